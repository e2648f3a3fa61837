"""Pictures of one's own for the commands in the docs: two classes, as a folder and as an archive."""

import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def pets(folder: Path) -> None:
    """Write `pets/CLASS/N.png` and `pets.tar.gz`: 20 pictures of 48 x 48 for each of two classes."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (folder / "pets" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(60, size=(48, 48, 3), dtype=np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).save(folder / "pets" / name / f"{number}.png")
    with tarfile.open(folder / "pets.tar.gz", "w:gz") as archive:
        archive.add(folder / "pets", arcname="pets")
