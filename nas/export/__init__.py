"""A network as files, and files as a network.

config.py   config.json: the complete description that every command reads
archdef.py  arch-def files in timm's dialect; blockstring.py is one of their strings
plain.py    model.py: plain torch, no import of nas
weights.py  random weights for model.onnx, drawn without torch; weights_file.py reads and writes model.safetensors
folded.py   batch normalisation folded into convolutions; int8.py the network in 8-bit integers,
            saturation.py whether this processor multiplies them exactly
card.py     README.md of a Hugging Face folder
winner.py   which files an export consists of
source.py   which network a command was given, with its weights
study.py    a run as an Optuna study
"""
