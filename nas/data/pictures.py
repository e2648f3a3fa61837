"""Pictures: from a file's bytes to uint8[H, W, 3], or [H, W, 1] in grey, as torchvision's recipes resize and crop.

Above 64 pixels the shorter side becomes round(resolution / 0.875) and the middle square of that side is kept, from
which training crops at random. Up to 64 the shorter side becomes the resolution itself, and training pads.
Where a network's pictures are not square, what is resized covers both sides, and what is kept has their shape.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from nas.data.source import Encoded
from nas.formats.feeding import stored_size
from nas.system.files import open_plain
from nas.system.text import printable

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
TIFF = (b"II*\0", b"MM\0*")
MAX_PICTURE_BYTES = 64 << 20
"""Of one picture's file."""
MAX_PAGES = 16
"""Smaller copies and masks that a TIFF may hold behind its picture and are looked at."""
SUBFILE, REDUCED, MASK = 254, 1, 4
"""A tag of a TIFF's page, and two of its bits."""


@dataclass(frozen=True)
class View:
    """What a network sees of a picture."""

    height: int
    width: int
    channels: int = 3
    """Red, green and blue, or 1: grey."""

    @property
    def resolution(self) -> int | tuple[int, int]:
        """Pixels, high and wide; one number where both are the same."""
        return self.height if self.height == self.width else (self.height, self.width)

    @property
    def stored(self) -> tuple[int, int, int]:
        """Shape of the stored pictures."""
        return *stored_size(self.height, self.width), self.channels


class BrokenPicture(ValueError):
    """A picture that cannot be used; the text is the reason, without a full stop."""


def centre_offset(length: int, crop: int) -> int:
    """Where torchvision's CenterCrop begins."""
    return round((length - crop) / 2.0)


def picture_array(encoded: Encoded, view: View) -> NDArray[np.uint8]:
    """uint8[*view.stored] of a picture in any form; grey is ITU-R 601 luma, as Pillow's. Raises `BrokenPicture`."""
    if isinstance(encoded, np.ndarray):
        if encoded.shape == view.stored:
            return encoded
        if encoded.shape == view.stored[:2]:
            return np.repeat(encoded[..., None], view.channels, axis=2)
        image = Image.fromarray(encoded).convert("RGB")
    else:
        image = decode(_file_bytes(encoded) if isinstance(encoded, Path) else encoded)
    image = _fit(image, view)
    return np.asarray(image.convert("L") if view.channels == 1 else image).reshape(view.stored)


def decode(data: bytes) -> Image.Image:
    """The RGB picture in a file's bytes, the right way up, on white. Raises `BrokenPicture`."""
    if not data:
        raise BrokenPicture("the file is empty")
    if len(data) > MAX_PICTURE_BYTES:
        raise BrokenPicture(f"a file of {len(data):,} bytes, at most {MAX_PICTURE_BYTES:,} are read")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that nothing here reads
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if isinstance(image, TiffImageFile):
                    _check_tiff(image)
                    with _unheard():
                        image.load()
                image.load()
                return to_rgb(image)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise BrokenPicture(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
        except UnidentifiedImageError:
            if data.startswith(TIFF):
                raise BrokenPicture("no TIFF in grey, RGB or CMYK of 8 or 16 bits a colour, or cut short") from None
            raise BrokenPicture(f"not a picture of a known format ({', '.join(FORMATS)})") from None
        except MemoryError:
            raise BrokenPicture("there is not enough memory to decode it") from None
        except BrokenPicture:
            raise
        except Exception as problem:  # Pillow's decoders raise what they happen to
            raise BrokenPicture(printable(f"cannot be decoded ({type(problem).__name__}: {problem})")) from problem


@contextmanager
def _unheard() -> Iterator[None]:
    """Nothing is written to stderr: libtiff would print a line for every row that it does not like."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_tiff(image: TiffImageFile) -> None:
    """Refuse what one picture cannot be made of without a guess: several pages, pixels of more than 16 bits."""
    if image.mode == "LAB":
        raise BrokenPicture("colours are grey, RGB or CMYK, these are L*a*b*")
    if image.mode == "I":
        raise BrokenPicture("pixels have 8 or 16 bits without a sign, these have more or one")
    page = 0
    with suppress(EOFError):
        while page < MAX_PAGES:
            image.seek(page + 1)
            page += 1
            if not image.tag_v2.get(SUBFILE, 0) & (REDUCED | MASK):
                raise BrokenPicture("a TIFF holds one picture, this one has several pages. Save the one that is meant")
    image.seek(0)


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode as RGB: turned as its EXIF says, alpha on white, 16 bits to 8."""
    image = _upright(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise BrokenPicture("pixels are whole numbers, these are floats")
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block raises all kinds; the pixels are none the worse
        return image


def _file_bytes(path: Path) -> bytes:
    try:
        with open_plain(path) as file:
            return file.read(MAX_PICTURE_BYTES + 1)
    except OSError as problem:
        raise BrokenPicture(f"cannot be read ({problem.strerror})") from None


def _fit(image: Image.Image, view: View) -> Image.Image:
    """Resize and CenterCrop in one step, which only computes what is kept.

    The crop lies so that what a network sees in its middle is what torchvision takes from the whole picture.
    """
    size, seen = view.stored[1::-1], (view.width, view.height)
    # of the two directions the one that fills its side exactly; the other is as long or longer, and cropped
    side, short = min(zip(size, image.size, strict=True), key=lambda pair: Fraction(pair[1], pair[0]))
    box = []
    for length, stored, inner in zip(image.size, size, seen, strict=True):
        resized = max(stored, int(side * length / short))  # as torchvision computes the longer side
        begin = centre_offset(resized, inner) - centre_offset(stored, inner)
        scale = length / resized
        box += [(begin * scale, min((begin + stored) * scale, length))]
    (left, right), (upper, lower) = box
    return image.resize(size, Image.Resampling.BILINEAR, box=(left, upper, right, lower))
