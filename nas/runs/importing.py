"""import_network(): a trained network from elsewhere, as a config.json with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from nas.blocks.architecture import Architecture
from nas.errors import ArchitectureError, NasError
from nas.formats.config import Pictures
from nas.formats.dialects import IMAGENET, Fitted, fit
from nas.formats.kernels import FILE as KERNELS
from nas.formats.kernels import flat
from nas.formats.state_dict import Tensors, read_state_dict
from nas.formats.weights_file import write_file
from nas.formats.winner import export
from nas.runs.network import find_network
from nas.system.atomic import write_atomic
from nas.system.files import read_json
from nas.system.text import short

TIMM = "timm:"
MAX_CONFIG_BYTES = 1 << 20
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder of the Hugging Face hub, in the order in which they are looked for."""


@dataclass(frozen=True)
class Imported:
    """A network with weights, and what is known of both."""

    fitted: Fitted
    mean: tuple[float, ...]
    """By colour of the pictures that it was trained on, on the scale 0 to 1; `std` likewise."""
    std: tuple[float, ...]
    origin: dict[str, Any]
    classes: tuple[str, ...] = ()
    """Names of what its outputs stand for; () where that is not known."""

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return self.fitted.architecture

    def write(self, folder: Path) -> list[Path]:
        """config.json and model.safetensors in a folder, and kernels.safetensors of kernel transforms. Raises `OSError`
        where they cannot be written."""
        written = export(
            self.architecture,
            folder,
            ("config",),
            metrics={"imported": self.origin},
            weights=self.fitted.weights,
            weights_from="trained",
            pictures=Pictures(self.mean, self.std, ()),
        )
        if self.fitted.kernels:
            written.append(folder / KERNELS)
            write_atomic(written[-1], write_file(flat(self.fitted.kernels), "trained"))
        return written


def import_network(
    source: str, *, network: str | None = None, weights: Path | None = None, resolution: int | None = None
) -> Imported:
    """Weights from elsewhere, in the places of a network.

    `source` is a file of weights (then `network` says which network they are of, in any form), `timm:NAME` (weights
    from the file `weights`, or else those that timm fetches), or a folder of the Hugging Face hub with a network of
    timm's or ours. `resolution` is the size of its pictures in pixels, by default what its network or timm says.
    Raises `ArchitectureError` where names or shapes do not fit.
    """
    if source.startswith(TIMM):
        if network is not None:
            raise NasError("timm:NAME says which network it is: leave --network out.")
        return _from_timm(source.removeprefix(TIMM), weights, resolution)
    if weights is not None:
        raise NasError("--weights goes with timm:NAME. A file of weights is itself SOURCE: leave --weights out.")
    place = Path(source)
    if place.is_dir():
        return _from_folder(place, network, resolution)
    if network is None:
        raise NasError(
            "--network says which network the weights are of, for example: "
            f"nas import {short(source, 60)} --network mobilenetv2-1.0 --out DIR"
        )
    return _of_file(place, network, resolution)


def _of_file(path: Path, network: str, resolution: int | None) -> Imported:
    tensors = read_state_dict(path)
    found = find_network(network, resolution)
    shown = found.config.pictures
    mean, std = (shown.mean, shown.std) if shown else usual(found.config.architecture)
    return Imported(_fitted(found.config.architecture, tensors, path), mean, std, _origin(path))


def _from_timm(name: str, weights: Path | None, resolution: int | None) -> Imported:
    from nas.formats.timm_network import from_timm, timm_model, timm_pictures, timm_tensors

    tensors = None if weights is None else read_state_dict(weights)
    model = timm_model(name, pretrained=weights is None)
    architecture = from_timm(model, resolution)
    mean, std = timm_pictures(model)
    if weights is None or tensors is None:
        return Imported(fit(architecture, timm_tensors(model)), mean, std, {"from": f"timm:{name}"})
    origin = {**_origin(weights), "network": f"timm:{name}"}
    return Imported(_fitted(architecture, tensors, weights), mean, std, origin)


def _from_folder(folder: Path, network: str | None, resolution: int | None) -> Imported:
    """A folder of the Hugging Face hub: its config.json is ours, or names a model of timm."""
    files = [folder / name for name in HUB_FILES if (folder / name).is_file()]
    if not files:
        raise ArchitectureError(f"{folder}: a folder with weights has {' or '.join(HUB_FILES)} in it, got none.")
    if network is not None:
        return _of_file(files[0], network, resolution)
    document = read_json(folder / "config.json", ArchitectureError, MAX_CONFIG_BYTES)
    if isinstance(document, dict) and isinstance(name := document.get("architecture"), str):
        return _from_timm(name, files[0], resolution)
    return _of_file(files[0], str(folder / "config.json"), resolution)


def _fitted(architecture: Architecture, tensors: Tensors, path: Path) -> Fitted:
    try:
        return fit(architecture, tensors)
    except ArchitectureError as problem:
        raise ArchitectureError(f"{path}: {problem}") from None


def usual(architecture: Architecture) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pictures where a network says none: those of ImageNet, in grey the mean of them."""
    if architecture.channels == 3:
        return IMAGENET
    mean, std = (sum(values) / len(values) for values in IMAGENET)
    return (mean,) * architecture.channels, (std,) * architecture.channels


def _origin(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"from": path.name, "sha256": file_digest(file, "sha256").hexdigest()}
