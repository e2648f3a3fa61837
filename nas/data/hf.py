"""`hf:PATH_OR_NAME`: a data set of Hugging Face `datasets`, which is installed by `pip install "nas[hf]"`.

    hf:./pets                 a folder that `save_to_disk` wrote, or one of Parquet files, or such a file
    hf:uoft-cs/cifar10        a name on the hub, downloaded by `load_dataset`
    hf:owner/name#config      with the name of a configuration
    hf:PATH_OR_NAME?image=photo&label=fine_label      with the columns to take

Where nothing is said, the column of pictures is the one of type `Image`; the labels are the one of type `ClassLabel`
(of several, the one called `label`), or else whole numbers or texts in `label`.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.source import Encoded, Source
from nas.data.splits import named_parts, part_of, quoted
from nas.errors import DataError
from nas.system.text import one_line, printable

LABELS = ("label", "labels")
TYPES = {"string", "large_string", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
"""Of labels that are no ClassLabel."""


def load_hf(argument: str) -> Source:
    """The data set that the argument names. Raises `DataError` naming it, the rule and what came."""
    place = f"hf:{argument}"
    try:
        datasets = importlib.import_module("datasets")
    except ModuleNotFoundError as problem:
        raise DataError(
            f'{place}: needs Hugging Face datasets, which are missing ({problem}): pip install "nas[hf]"'
        ) from None
    name, _, query = argument.partition("?")
    chosen = _chosen(place, query) if query else {}
    found = _load(datasets, place, name)
    if not isinstance(found, dict):
        found = {"train": found}
    parts, notes = named_parts(list(found), place)
    if extra := [name for name in found if name not in parts]:
        notes += (f"Splits of other names were passed over: {quoted(extra)}.",)
    image, label = _columns(datasets, place, found[next(name for name in parts if parts[name] == "train")], chosen)
    values = {name: found[name][label][:] for name in parts}
    unlabelled = [
        name for name in parts if parts[name] != "train" and all(value in (-1, None) for value in values[name])
    ]
    if unlabelled:  # as competitions publish their tests
        parts, notes = named_parts([name for name in parts if name not in unlabelled], place)
        notes += (f"`{unlabelled[0]}` has no labels and was passed over.",)
    some = found[next(iter(parts))].features[label]
    if not hasattr(some, "names") and any(value is None for name in parts for value in values[name]):
        raise DataError(f"{place}: every picture has a label; some have none in the column {printable(label)!r}.")
    names = getattr(some, "names", None) or sorted({value for name in parts for value in values[name]})
    labels = [_numbers(place, names, values[name], hasattr(some, "names")) for name in parts]
    ends = np.cumsum([len(part) for part in labels])
    rows = [np.arange(end - len(part), end) for part, end in zip(labels, ends, strict=True)]
    tables = [found[name].select_columns([image]).cast_column(image, datasets.Image(decode=False)) for name in parts]
    identity = repr([(parts[name], found[name]._fingerprint, image, label, names) for name in parts])
    return Source(
        classes=tuple(printable(str(name)) for name in names),
        labels=np.concatenate(labels),
        parts=dict(zip(parts.values(), rows, strict=True)),
        read=lambda: _read(image, tables),
        title=lambda row: f"{place}: picture {row:,}",
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        notes=notes,
    )


def _load(datasets: Any, place: str, argument: str) -> Any:
    name, _, configuration = argument.partition("#")
    folder = Path(name)
    settings: Any = getattr(datasets, "config", None)
    if hasattr(settings, "HF_DATASETS_TRUST_REMOTE_CODE"):  # before 4.0 a data set may come with a script
        settings.HF_DATASETS_TRUST_REMOTE_CODE = False
    saved = any((folder / mark).is_file() for mark in ("dataset_dict.json", "state.json"))
    files = {} if saved else _parquet(place, folder)
    if folder.is_file() and not files:
        raise DataError(f"{place}: a folder that `save_to_disk` wrote, Parquet, or a name on the hub; this is a file.")
    if folder.is_dir() and not saved and not files:
        raise DataError(
            f"{folder}: `save_to_disk` of datasets did not write this folder, and it holds no Parquet. "
            f"Try imagefolder:{name}."
        )
    try:
        if files:
            return datasets.load_dataset("parquet", data_files=files)
        if saved:
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(name, configuration or None)
    except Exception as problem:  # of the network, the hub, the files
        why = one_line(problem).rstrip(".")
        raise DataError(f"{place}: cannot be loaded ({type(problem).__name__}: {why}).") from problem


def _parquet(place: str, path: Path) -> dict[str, list[str]]:
    """Parquet files by split, as the hub has them: `train-00000-of-00002.parquet`, or `train/0000.parquet`."""
    if path.is_file():
        return {"train": [str(path)]} if path.suffix == ".parquet" else {}
    splits: dict[str, list[str]] = {}
    roots = set()
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else ():
        name = re.sub(r"-\d+-of-\d+$", "", file.stem)
        within = part_of(name) is None and part_of(file.parent.name) is not None and file.parent != path
        roots.add(file.parent.parent if within else file.parent)
        splits.setdefault(file.parent.name if within else name, []).append(str(file))
    if len(roots) > 1:  # as of several configurations, which may hold the same pictures
        raise DataError(f"{place}: Parquet of one data set lies in one folder, this is in {len(roots)}. Name one.")
    if not splits or any(map(part_of, splits)):
        return splits
    return {"train": [file for files in splits.values() for file in files]}


def _chosen(place: str, query: str) -> dict[str, str]:
    """The columns named behind the question mark: `image`, `label` or both."""
    pairs = [pair.partition("=") for pair in query.split("&")]
    chosen = {key: column for key, _, column in pairs}
    if len(chosen) < len(pairs) or not all(key in ("image", "label") and column for key, column in chosen.items()):
        raise DataError(f"{place}: columns are chosen as ?image=COLUMN&label=COLUMN, or one of the two.")
    return chosen


def _columns(datasets: Any, place: str, table: Any, chosen: dict[str, str]) -> tuple[str, str]:
    """Names of the columns of pictures and of labels."""
    features = dict(table.features)
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    able = [name for name in features if name in labels or str(getattr(features[name], "dtype", "")) in TYPES]
    columns = printable(", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items()), 300)
    for key, fit in (("image", images), ("label", able)):
        if key in chosen and chosen[key] not in fit:
            kind = "Image" if key == "image" else "ClassLabel, or whole numbers or texts"
            raise DataError(f"{place}: no column {printable(chosen[key], 60)!r} of type {kind}; there are {columns}.")
    images = [chosen["image"]] if "image" in chosen else images
    if "label" in chosen:
        labels = [chosen["label"]]
    elif len(labels) != 1:
        labels = [name for name in LABELS if name in able]
    if len(images) != 1 or not labels:
        raise DataError(
            f"{place}: one column of type Image and one of type ClassLabel or called label, got {columns}. "
            f"Choose with ?image=COLUMN&label=COLUMN."
        )
    return images[0], labels[0]


def _numbers(place: str, names: list[Any], values: Any, numbered: bool) -> NDArray[np.int64]:
    """Labels int64[N]: places in `names`."""
    numbers = range(len(names)) if numbered else names
    places = {value: number for number, value in enumerate(numbers)}
    try:
        return np.array([places[value] for value in values], dtype=np.int64)
    except KeyError as problem:
        raise DataError(f"{place}: labels lie in 0..{len(names) - 1}, got {printable(str(problem))}.") from None


def _read(image: str, tables: list[Any]) -> Iterator[tuple[int, Encoded]]:
    number = 0
    for table in tables:
        for row in table:
            cell = row[image] or {}
            data, path = cell.get("bytes"), cell.get("path")
            yield number, Path(path) if data is None and path else data or b""
            number += 1
