"""answer(): what a trained network says of the test pictures, to be kept beside it (`nas.formats.answers`)."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from nas.data.batches import evaluation_batches, picture_tensor
from nas.data.data import Data, Split
from nas.data.pictures import View, picture_array
from nas.formats.answers import MISTAKES, SAMPLES, Answers, Shown
from nas.training.processes import Processes, alone
from nas.training.score import BATCH, autocast

THUMBNAIL, SAMPLE = 96, 256
"""Pixels of the longer side, at most, of a mistake's picture and of a sample's."""
EXACT = 48
"""Up to so many pixels a thumbnail is a PNG, which is small enough then."""


@torch.inference_mode()
def answer(network: nn.Module, data: Data, processes: Processes | None = None) -> Answers:
    """Of all test pictures, by a network in evaluation mode on the processes' device; each process gets the same."""
    team, split = processes or alone(), data.test
    said, chance = np.zeros(len(split)), np.zeros(len(split))
    rows = np.arange(team.rank, len(split), team.count)
    mine = Split(split.pictures[team.rank :: team.count], split.labels[team.rank :: team.count])
    found = [_likeliest(network, x, team) for x, _ in evaluation_batches(data, mine, BATCH)]
    if found:
        said[rows], chance[rows] = (np.concatenate(part) for part in zip(*found, strict=True))
    said, chance = np.array(team.sums(said.tolist())).astype(np.int64), np.array(team.sums(chance.tolist()))
    pairs, counts = np.unique(np.stack([split.labels, said], axis=1), axis=0, return_counts=True)
    wrong = np.flatnonzero(said != split.labels)
    wrong = wrong[np.argsort(-chance[wrong], kind="stable")[:MISTAKES]]
    return Answers(
        counts=np.column_stack([pairs, counts]).tolist(),
        mistakes=[
            Shown(
                true=int(split.labels[row]),
                said=int(said[row]),
                chance=float(chance[row]),
                picture=_thumbnail(data, row),
            )
            for row in wrong.tolist()
        ],
        samples=[_sample(network, data, row, team.device) for row in _spread(split.labels)],
    )


def _likeliest(network: nn.Module, x: torch.Tensor, team: Processes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """int64[N] and float32[N]: the class of the highest score, and its share by softmax."""
    with autocast(team.device):
        scores = network(x.to(team.device))
    best = scores.float().softmax(1).max(1)
    return best.indices.cpu().numpy(), best.values.cpu().numpy()


def _spread(labels: NDArray[np.int64]) -> list[int]:
    """Rows of pictures whose classes lie far apart."""
    order = np.argsort(labels, kind="stable")
    return np.unique(order[(2 * np.arange(SAMPLES) + 1) * len(order) // (2 * SAMPLES)]).tolist()  # type: ignore[no-any-return]


def _thumbnail(data: Data, row: int) -> str:
    """What the network saw, in base64."""
    seen = picture_tensor(data, data.test.pictures[row : row + 1])[0].permute(1, 2, 0).numpy()
    mean, std = np.array(data.mean), np.array(data.std)
    pixels = np.rint(255 * (seen * std + mean))
    return _encoded(np.clip(pixels, 0, 255).astype(np.uint8), THUMBNAIL, lossless=False)


def _sample(network: nn.Module, data: Data, row: int, device: torch.device) -> Shown:
    """A picture with what the network says of its file, in float32: the file may be smaller than what was tested."""
    picture = _encoded(data.test.pictures[row], SAMPLE, lossless=True)
    seen = picture_array(base64.b64decode(picture), View(*data.size, len(data.mean)))
    best = network(picture_tensor(data, seen[None]).to(device)).float().softmax(1)[0].max(0)
    said, chance = int(best.indices), min(float(best.values), 1.0)
    return Shown(true=int(data.test.labels[row]), said=said, chance=chance, picture=picture)


def _encoded(picture: NDArray[np.uint8], most: int, *, lossless: bool) -> str:
    """uint8[H, W, C] as a file in base64, its longer side made at most `most` pixels."""
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    image.thumbnail((most, most), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    if lossless or max(image.size) <= EXACT:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()
