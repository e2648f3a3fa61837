"""The card's program, taken out of the card and run, sees pictures as nas does."""

from __future__ import annotations

import base64
import re
import sys
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.blocks import Architecture, Layer
from nas.data.batches import picture_tensor
from nas.data.data import Data, Split
from nas.data.pictures import View, picture_array
from nas.formats.answers import Answers, Shown
from nas.formats.config import Pictures
from nas.formats.weights import random_weights
from nas.formats.winner import export
from nas.training.network import network_of

NAMES = ("a cat", "Ünïcode ```", "<b>|", "d", "e")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def network(side: int) -> Architecture:
    stem = Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=side, width=side)
    half = {"height": (side + 1) // 2, "width": (side + 1) // 2}
    return Architecture(
        3, side, side, (stem, Layer(kind="head", in_channels=8, out_channels=5, mid_channels=16, **half))
    )


def program(folder: Path) -> str:
    """The one in the card that runs model.onnx."""
    blocks = re.findall(r"^```python\n(.*?)^```", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if "onnxruntime" in block)
    return found


def printed(folder: Path, *pictures: str) -> list[str]:
    """What it prints, run in the folder with these pictures behind it."""
    out = StringIO()
    with chdir(folder), redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["example.py", *pictures])
        exec(compile(program(folder), "example.py", "exec"), {"__name__": "__main__"})
    return out.getvalue().splitlines()


def smooth(height: int, width: int, channels: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """A picture that is not noise: where a crop lies or how a picture is resized hardly changes noise's mean."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin(rows / (9 + 3 * c) + c) * np.cos(columns / (15 - 2 * c)) for c in range(channels)]
    return np.stack(waves, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of all kinds: wide, tall, tiny, turned by EXIF, transparent, of a palette, grey."""
    folder = tmp_path_factory.mktemp("odd")
    images = {
        "wide.jpg": Image.fromarray(smooth(90, 301, 3)),
        "tall.png": Image.fromarray(smooth(257, 100, 3)),
        "tiny.png": Image.fromarray(smooth(7, 5, 3)),
        "turned.jpg": Image.fromarray(smooth(120, 200, 3)),
        "clear.png": Image.fromarray(smooth(130, 130, 4), "RGBA"),
        "palette.gif": Image.fromarray(smooth(99, 98, 3)).quantize(16),
        "grey.webp": Image.fromarray(smooth(64, 64, 1)[..., 0]),
    }
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, image in images.items():
        image.save(folder / name, **({"exif": exif} if name == "turned.jpg" else {}))
    return [folder / name for name in images]


@pytest.mark.parametrize("side", [17, 64, 65, 96])
def test_the_cards_program_sees_what_nas_sees(side: int, odd: list[Path], tmp_path: Path) -> None:
    architecture = network(side)
    weights = random_weights(architecture, 0)
    about = {"weights": weights, "weights_from": "trained", "pictures": Pictures(MEAN, STD, NAMES)}
    export(architecture, tmp_path, ["hf"], **about)
    empty = Split(np.zeros((0, side, side, 3), np.uint8), np.zeros(0, np.int64))
    data = Data("odd", NAMES, side, empty, empty, empty, MEAN, STD, False, "")
    own = network_of(architecture, weights).eval()
    for path, line in zip(odd, printed(tmp_path, *map(str, odd)), strict=True):
        with torch.inference_mode():
            best = own(picture_tensor(data, picture_array(path, View(side, side))[None])).softmax(1)[0].max(0)
        said, chance = re.fullmatch(rf"{re.escape(str(path))}: (.*) ([0-9.]+) %", line).groups()  # type: ignore[union-attr]
        assert said == NAMES[int(best.indices)], path.name
        assert float(chance) == pytest.approx(100 * float(best.values), abs=0.5), path.name


def test_what_is_stated_cannot_end_its_block(tmp_path: Path) -> None:
    file = tmp_path / "p.png"
    Image.fromarray(smooth(16, 16, 3)).save(file)
    shown = Shown(true=1, said=2, chance=0.5, picture=base64.b64encode(file.read_bytes()).decode())
    answers = Answers(counts=[], mistakes=[], samples=[shown])
    architecture = network(16)
    about = {"weights": random_weights(architecture, 0), "weights_from": "trained", "answers": answers}
    export(architecture, tmp_path / "x", ["hf"], pictures=Pictures(MEAN, STD, NAMES), **about)
    text = (tmp_path / "x" / "README.md").read_text()
    assert "example-1.png: ‹b›¦ 50.0 %\n```\n" in text
    assert "`Ünïcode ′′′`" in text
    assert text.count("```") == 6
    assert (tmp_path / "x" / "example-1.png").read_bytes() == file.read_bytes()
    assert not (tmp_path / "x" / "example-2.png").exists()
    assert printed(tmp_path / "x")[0].startswith("example-1.png: ")


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (None, []),
        (
            Pictures(MEAN, STD, NAMES),
            ["the shorter side to 110 pixels", "0.4, 0.5, 0.6", "NCHW: 1 × 3 × 96 × 96", "`a cat`"],
        ),
    ],
)
def test_how_it_is_fed_is_told_where_it_is_known(pictures: Pictures | None, words: list[str], tmp_path: Path) -> None:
    export(network(96), tmp_path, ["hf"], pictures=pictures)
    text = (tmp_path / "README.md").read_text()
    assert ("## How to feed it" in text) == (pictures is not None)
    assert all(word in text for word in words)
    assert "prints this" not in text


def test_networks_that_see_other_shapes_and_grey_have_a_program_too(odd: list[Path], tmp_path: Path) -> None:
    stem = Layer(kind="conv", in_channels=1, out_channels=4, kernel=3, stride=2, height=24, width=80)
    head = Layer(kind="head", in_channels=4, out_channels=5, mid_channels=8, height=12, width=40)
    architecture = Architecture(1, 24, 80, (stem, head))
    about = {"weights": random_weights(architecture, 0), "weights_from": "trained"}
    export(architecture, tmp_path, ["hf"], pictures=Pictures((0.5,), (0.2,), NAMES), **about)
    assert "to cover 27 × 91 pixels" in (tmp_path / "README.md").read_text()
    assert len(printed(tmp_path, *map(str, odd))) == len(odd)


@pytest.mark.parametrize("batch", [None, 4])
def test_networks_without_names_and_of_a_fixed_batch_have_a_program_too(
    batch: int | None, odd: list[Path], tmp_path: Path
) -> None:
    about = {"weights": random_weights(network(17), 0), "weights_from": "trained", "batch": batch}
    export(network(17), tmp_path, ["hf"], pictures=Pictures(MEAN, STD, ()), **about)
    assert "a score each; nobody said their names" in (tmp_path / "README.md").read_text()
    assert re.fullmatch(r"\S+: class [0-4] [0-9.]+ %", printed(tmp_path, str(odd[0]))[0])
