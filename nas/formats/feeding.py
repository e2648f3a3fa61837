"""Feeding: how a picture becomes a network's input, and the same as a program that needs nothing of nas.

Above 64 pixels the shorter side becomes round(resolution / 0.875) and the middle is kept, as torchvision's recipes
resize and crop. Up to 64 the shorter side becomes the resolution itself.
"""

from __future__ import annotations

import json

from nas.blocks.architecture import Architecture

PADDED = 64
"""Up to this resolution pictures are stored at it, and padded for training."""


def stored_size(height: int, width: int) -> tuple[int, int]:
    """What a picture is resized to cover, of which a network of this resolution sees the middle."""
    return (height, width) if max(height, width) <= PADDED else (round(height / 0.875), round(width / 0.875))


def feeding_example(architecture: Architecture, named: bool, files: tuple[str, ...]) -> str:
    """A program that classifies pictures, by default these, by model.onnx with onnxruntime, Pillow and numpy alone.

    It says the classes' names where they are `named` in config.json, else their numbers.
    """
    height, width = architecture.height, architecture.width
    high, wide = stored_size(height, width)
    grey = '.convert("L")' if architecture.channels == 1 else ""
    name = "{pictures['classes'][best]}" if named else "class {best}"
    given = f" or {json.dumps(files)}" if files else ""
    return f"""\
import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

with open("config.json", encoding="utf-8") as file:
    pictures = json.load(file)["pictures"]  # mean, std, classes
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
batch = session.get_inputs()[0].shape[0]  # any, or a number that it was exported for


def read(path):
    \"\"\"float32[1, {architecture.channels}, {height}, {width}]: resized, cropped, normalised.\"\"\"
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    side, shorter = min(({wide}, image.width), ({high}, image.height), key=lambda pair: pair[1] / pair[0])
    size = [max(least, int(side * length / shorter)) for least, length in zip(({wide}, {high}), image.size)]
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, upper = round((size[0] - {width}) / 2), round((size[1] - {height}) / 2)
    image = image.crop((left, upper, left + {width}, upper + {height})){grey}
    pixels = np.asarray(image, np.float32).reshape({height}, {width}, {architecture.channels}) / 255
    pixels = (pixels - np.float32(pictures["mean"])) / np.float32(pictures["std"])
    return pixels.transpose(2, 0, 1)[None]


for path in sys.argv[1:]{given}:
    x = np.repeat(read(path), batch if isinstance(batch, int) else 1, axis=0)
    scores = session.run(None, {{"input": x}})[0][0].astype(np.float64)
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    best = int(chances.argmax())
    print(f"{{path}}: {name} {{100 * chances[best]:.1f}} %")
"""
