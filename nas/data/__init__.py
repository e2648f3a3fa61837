"""Data: the pictures that networks are trained on. One source a file; `DATA_KINDS` is where they are registered.

data.py         the contract: `Data` and its splits
source.py       Source: pictures as they come
digits.py       scikit-learn's digits, which need no file
imagefolder.py  a folder or an archive with a folder for each class; listing.py: what lies there, layout.py: what it is
label_list.py   a list of pictures and their labels
cifar10.py      as its author distributes it, the binary version
idx.py          the MNIST family
hf.py           Hugging Face datasets
python.py       a function of one's own
archive.py      tar.py and zip.py, within the bounds of member.py
pictures.py     from a file's bytes to pixels of the right size
classes.py      which names mean the same class
splits.py       which pictures train, validate and test
decoding.py     many pictures, in worker processes
store.py        decoded pictures, kept on the disk
batches.py      tensors for training and evaluation (imports torch)
"""

from __future__ import annotations

import hashlib
import json
import os

from nas.data.data import Data, Split
from nas.data.pictures import View
from nas.data.source import Source
from nas.data.splits import split
from nas.data.store import stored
from nas.errors import DataError
from nas.system.lazy import Lazy
from nas.system.teller import Silent, Teller

__all__ = ["DATA_KINDS", "Data", "DataError", "Split", "load_data"]

FORMAT = 2
"""To be raised when the same files give other pictures than before."""
MAX_RESOLUTION = 4096
CHANNELS = (3, 1)

DATA_KINDS: dict[str, Lazy[Source]] = {
    "digits": Lazy("nas.data.digits:load_digits"),
    "imagefolder": Lazy("nas.data.imagefolder:load_imagefolder"),
    "csv": Lazy("nas.data.label_list:load_label_list"),
    "cifar10": Lazy("nas.data.cifar10:load_cifar10"),
    "idx": Lazy("nas.data.idx:load_idx"),
    "hf": Lazy("nas.data.hf:load_hf"),
    "python": Lazy("nas.data.python:load_python"),
}
"""By name: a function of what follows the colon in `--data NAME:ARGUMENT`."""


def load_data(
    name: str,
    resolution: int | tuple[int, int],
    *,
    channels: int = 3,
    seed: int = 0,
    held_out: float = 0.2,
    skip_broken: bool = False,
    teller: Teller = Silent(),  # noqa: B008  # has no state
) -> Data:
    """The pictures that `--data` names, decoded for networks of this resolution: height and width, or one number.

    In colour they have 3 channels, in grey 1.
    `held_out` is the share of each class's training pictures that becomes `validation`, where the source has no such
    split; it and `seed` decide the splits. Decoded pictures are kept on the disk, see `store.py`. Raises `DataError`.
    """
    kind, _, argument = name.partition(":")
    if kind not in DATA_KINDS:
        raise DataError(
            f"no data named {name[:80]!r}; it is one of {', '.join(DATA_KINDS)}, all but digits with what to load: "
            f"imagefolder:PATH, for instance."
        )
    if kind != "digits" and not argument:
        raise DataError(f"`{kind}` needs to be told what to load, as in {kind}:PATH; see docs/data.md.")
    view = View(*((resolution, resolution) if isinstance(resolution, int) else resolution), channels)
    if not 1 <= min(view.height, view.width) <= max(view.height, view.width) <= MAX_RESOLUTION:
        raise DataError(f"a resolution lies in 1..{MAX_RESOLUTION} pixels, got {resolution}.")
    if channels not in CHANNELS:
        raise DataError(f"pictures have 3 channels, or 1 where they are grey, and this network takes {channels}.")
    if not 0 <= held_out < 1:
        raise DataError(f"the share of training pictures held out lies in 0..1, below 1, got {held_out}.")
    if seed < 0:
        raise DataError(f"a seed is a whole number from 0, got {seed}.")
    source = DATA_KINDS[kind](os.path.expanduser(argument))  # as it is, where that home folder is not known
    splits = split(source, seed, held_out, name)
    grey = [] if channels == 3 else ["grey"]
    identity = [FORMAT, source.fingerprint, view.resolution, seed, held_out, *grey]
    fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    result = stored(source, splits, view, fingerprint, skip_broken=skip_broken, teller=teller)
    train, validation, test = result.splits
    notes = splits.notes
    if result.about.broken:
        notes += (f"{result.about.broken:,} broken pictures were left out, first {result.about.first_broken}.",)
    return Data(
        name=name,
        classes=source.classes,
        resolution=view.resolution,
        train=train,
        validation=validation,
        test=test,
        mean=result.about.mean,
        std=result.about.std,
        mirrors=source.mirrors,
        fingerprint=fingerprint,
        notes=notes,
    )
