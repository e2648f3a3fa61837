"""Feeding: how a picture becomes a network's input, and the same as a program that needs nothing of nas.

Above 64 pixels the shorter side becomes round(resolution / 0.875) and the middle is kept, as torchvision's recipes
resize and crop. Up to 64 the shorter side becomes the resolution itself.
"""

from __future__ import annotations

import json

from nas.blocks.architecture import Architecture

PADDED = 64
"""Up to this resolution pictures are stored at it, and padded for training."""


def stored_side(resolution: int) -> int:
    """Pixels of the shorter side of a picture that a square of so many is cropped from."""
    return resolution if resolution <= PADDED else round(resolution / 0.875)


def stored_sides(height: int, width: int) -> tuple[int, int]:
    """The same of what is not a square: both sides, of the longer one's kind."""
    padded = max(height, width) <= PADDED
    return (height, width) if padded else (round(height / 0.875), round(width / 0.875))


def centre_offset(length: int, crop: int) -> int:
    """Where torchvision's CenterCrop begins."""
    return round((length - crop) / 2.0)


def feeding_example(architecture: Architecture, files: tuple[str, ...]) -> str:
    """A program that classifies pictures, by default these, by model.onnx with onnxruntime, Pillow and numpy alone."""
    height, width = architecture.height, architecture.width
    mode = "L" if architecture.channels == 1 else "RGB"
    given = f" or {json.dumps(files)}" if files else ""
    high, wide = stored_sides(height, width)
    resize = f"""\
    shorter = min(image.size)
    size = [int({high} * side / shorter) for side in image.size]"""
    if height != width:
        resize = f"""\
    whole, short = min(zip(({wide}, {high}), image.size), key=lambda pair: pair[1] / pair[0])
    size = [max(least, int(whole * side / short)) for least, side in zip(({wide}, {high}), image.size)]"""
    return f"""\
import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

with open("config.json", encoding="utf-8") as file:
    pictures = json.load(file)["pictures"]  # mean, std, classes
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])


def read(path):
    \"\"\"float32[1, {architecture.channels}, {height}, {width}]: resized, cropped, normalised.\"\"\"
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("{mode}")
{resize}
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, upper = round((size[0] - {width}) / 2), round((size[1] - {height}) / 2)
    image = image.crop((left, upper, left + {width}, upper + {height}))
    pixels = np.asarray(image, np.float32).reshape({height}, {width}, {architecture.channels}) / 255
    pixels = (pixels - np.float32(pictures["mean"])) / np.float32(pictures["std"])
    return pixels.transpose(2, 0, 1)[None]


for path in sys.argv[1:]{given}:
    scores = session.run(None, {{"input": read(path)}})[0][0].astype(np.float64)
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    best = int(chances.argmax())
    print(f"{{path}}: {{pictures['classes'][best]}} {{100 * chances[best]:.1f}} %")
"""
