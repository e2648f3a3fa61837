"""Reports of trainings: what they say without the data, and of odd ones."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from reports import WITH_PICTURES, Page, change
from small_run import nas

from nas.blocks import Architecture, Layer
from nas.formats.answers import Answers, Shown
from nas.formats.config import Pictures, to_config
from nas.report.classes import by_class, wilson
from nas.report.confusion import draw
from nas.report.trained import read_trained
from nas.runs.training_folder import TrainingFolder

PARTS = ("overview", "curves", "classes", "confusion", "mistakes", "latency", "reproduce")
METRICS = "epoch,step,train_loss,train_top1,validation_top1,validation_loss,learning_rate,seconds,pictures_per_second\n"


def picture(side: int, kind: str = "PNG") -> str:
    pixels = np.random.default_rng(side).integers(256, size=(side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), kind)
    return base64.b64encode(file.getvalue()).decode()


def training(folder: Path, classes: int, *, epochs: int = 3, metrics: str | None = None, **known: object) -> Path:
    """The folder of a finished training that nobody made: of so many classes, 20 pictures each, most of them right."""
    folder.mkdir(parents=True)
    shape = {"in_channels": 3, "mid_channels": 4, "height": 8, "width": 8}
    network = Architecture(3, 8, 8, (Layer(kind="head", out_channels=classes, **shape),))
    names = tuple(f"class <b>{n}" for n in range(classes))
    pictures = Pictures((0.5,) * 3, (0.25,) * 3, names)
    config = to_config(network, metrics=known or None, weights="trained", pictures=pictures)
    (folder / "config.json").write_text(json.dumps(config))
    request = {"config": "/runs/mine", "data": "imagefolder:/gone for ever", "seed": 3, "lr": 0.1 + 0.2}
    head = {"format": "nas-training/1", "request": request, "nas": "0.2", "created": "2026-11-28T01:00:00+00:00"}
    (folder / "request.json").write_text(json.dumps(head))
    wrong = [[n, (n + 1) % classes, 1 + n % 5] for n in range(classes)]
    counts = [[n, n, 20 - count] for n, _, count in wrong] + wrong
    shown = [
        Shown(true=n % classes, said=(n + 1) % classes, chance=0.9, picture=picture(96, "JPEG")) for n in range(24)
    ]
    answers = Answers(counts=counts, mistakes=shown, samples=[])
    (folder / "answers.json").write_text(answers.model_dump_json())
    rows = [f"{n},{9 * n},{2 / n},50.5,40.0,{2.5 / n},0.1,1.0,100.0\n" for n in range(1, epochs + 1)]
    (folder / "metrics.csv").write_text(METRICS + "".join(rows) if metrics is None else metrics)
    test = {"top1": 80.0, "top5": 99.0, "loss": 0.5, "count": 20 * classes, "standard_error": 1.5}
    result = {
        "test": test,
        "data": {"name": "imagefolder:<i>pets", "pictures": {"train": 80, "validation": 20, "test": 20 * classes}},
        "recipe": {"epochs": epochs, "label_smoothing": 0.1},
        "network": {"weights": "drawn from the seed"},
        "last_epoch": {"validation_top1": 40.0},
        "notes": ["<script>alert(1)</script>"],
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def reported(folder: Path) -> Page:
    """Its report, which loads nothing but the pictures within it."""
    nas("report", str(folder), cwd=folder.parent)
    page = Page(folder / "report.html", WITH_PICTURES)
    sources = [value or "" for name, value in page.attributes if name in ("src", "href")]
    assert all(source.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for source in sources)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page.html.replace("&#39;", "'")
    assert not {"script", "i", "link", "iframe", "a"} & set(page.tags)
    return page


@pytest.mark.parametrize("classes", [2, 10, 11, 100, 250])
def test_a_training_is_shown_without_its_data(tmp_path: Path, classes: int) -> None:
    page = reported(training(tmp_path / "a training", classes))
    text = page.text.replace("\u00a0", " ")
    assert all(page.part(part) for part in PARTS)
    assert f"guessing: ln {classes} = {np.log(classes):.2f}" in text
    assert "80.0 ± 1.5 %" in text
    assert ("top-5" in text) == (classes > 10)
    assert page.tags.count("img") == 24
    assert " % of 20" in text
    assert "class <b>0" in text
    matrix = page.part("confusion")
    assert f"Confusion of {min(classes, 100)} classes" in matrix
    assert ("Of 250 classes these are the 100 that are confused most" in text) == (classes == 250)
    assert "nas export 'a training' --format hf,onnx" in text.replace(str(tmp_path) + "/", "")
    assert "--data 'imagefolder:/gone for ever'" in text
    assert "--lr 0.30000000000000004" in text


@pytest.mark.parametrize("classes", [2, 12, 13, 30, 31, 100])
def test_the_names_beside_a_matrix_do_not_overlap(classes: int) -> None:
    matrix = np.random.default_rng(0).integers(0, 3, (classes, classes))
    root = ElementTree.fromstring(draw(matrix, [f"{n} has a long name" for n in range(classes)]))
    texts = [text for text in root.iter("text") if text.get("font-size")]
    letters = float(texts[0].get("font-size", "").removesuffix("px"))
    for place, names in (("y", texts[::2]), ("x", texts[1::2])):
        places = [float(text.get(place, "")) for text in names]
        assert len(places) == classes
        assert min(np.diff(places)) > letters >= 11


def test_intervals_by_hand() -> None:
    low, high = wilson(np.array([0.0, 8, 10, 0]), np.array([10.0, 10, 10, 0]))
    assert low == pytest.approx([0, 0.4902, 0.7225, 0], abs=1e-4)  # 8 of 10: Newcombe, Statistics in Medicine 17, 1998
    assert high == pytest.approx([0.2775, 0.9433, 1, 1], abs=1e-4)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({}, "The network's config has no latency"),
        ({"latency": 3}, "The network's config has no latency"),
        (
            {"latency": {"ms": 12.34, "target": "pixel-cpu", "error_pct": 9.0, "asked_ms": 15}},
            "12.3 ms ± 9 %, estimated",
        ),
        ({"latency": {"ms": 5, "target": "cpu", "measured": {"measured_ms": 4.5}}}, "4.50 ms measured on cpu"),
        ({"latency": {"ms": "<b>", "target": ["x"], "coverage": 7}}, "The network's config has no latency"),
    ],
)
def test_latencies_and_where_they_are_from(tmp_path: Path, known: dict[str, object], says: str) -> None:
    assert says in reported(training(tmp_path / "t", 3, **known)).text.replace("\u00a0", " ").replace("’", "'")


EARLIER = METRICS.replace("validation_loss,", "") + "1,9,2.0,50,40,0.1,1,100\n"
NO_PICTURES = METRICS + "1,9,2.0,50,,,0.1,1,100\n"


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        (EARLIER, "The held-out loss was not recorded by the version of nas that trained."),
        (NO_PICTURES, "No pictures were held out."),
        (METRICS, "metrics.csv has no epochs"),
        (METRICS + "".join(f"{n},{n},2,50,40,2,0.1,1,1\n" for n in range(1, 5_000)), "over 400 epochs"),
    ],
)
def test_curves_of_all_kinds(tmp_path: Path, metrics: str, says: str) -> None:
    page = reported(training(tmp_path / "t", 3, metrics=metrics))
    assert says in page.part("curves")


def test_a_training_of_an_earlier_version_says_what_was_not_kept(tmp_path: Path) -> None:
    folder = training(tmp_path / "t", 3)
    (folder / "answers.json").unlink()
    page = reported(folder)
    for part in ("classes", "confusion", "mistakes"):
        assert "was not kept, as this training was made by an earlier version" in page.part(part)


def test_nothing_wrong_and_nothing_tested(tmp_path: Path) -> None:
    folder = training(tmp_path / "t", 3)
    change(folder / "answers.json", counts=[[0, 0, 60]], mistakes=[])
    page = reported(folder)
    assert "All of the 60 test pictures are recognised" in page.part("mistakes")
    assert "Of 2 classes there are no test pictures" in page.part("classes")
    assert "No test picture is taken for another class" in page.part("confusion")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("answers.json", '{"format": "nas-answers/2"}', "answers.json: format: "),
        (
            "answers.json",
            '{"counts": [[0, 3, 1]], "mistakes": [], "samples": []}',
            "a class is one of 3 here, got number 3",
        ),
        ("answers.json", "[]", "answers are a mapping"),
        ("metrics.csv", "epoch\nmany\n", "an epoch is a line of numbers"),
        ("result.json", "{}", "this is no result of nas"),
        ("config.json", "{}", "config.json: "),
        ("request.json", "{}", "request.json"),
    ],
)
def test_what_is_no_training_of_ours(tmp_path: Path, file: str, content: str, says: str) -> None:
    folder = training(tmp_path / "t", 3)
    (folder / file).write_text(content)
    done = nas("report", "t", cwd=tmp_path, code=2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize("content", ["PHNjcmlwdD4=", "no base64", '"><script>'])
def test_a_picture_is_one_or_is_refused(tmp_path: Path, content: str) -> None:
    folder = training(tmp_path / "t", 3)
    answers = json.loads((folder / "answers.json").read_text())
    answers["mistakes"][0]["picture"] = content
    (folder / "answers.json").write_text(json.dumps(answers))
    assert "t/answers.json: " in nas("report", "t", cwd=tmp_path, code=2).stderr


def test_what_is_not_finished_or_compared(tmp_path: Path) -> None:
    folder = training(tmp_path / "a b", 3)
    done = nas("report", "--compare", "a b", "a b", cwd=tmp_path, code=2)
    assert "nas-training/1" in done.stderr
    (folder / "result.json").unlink()
    done = nas("report", "a b", cwd=tmp_path, code=2)
    assert "this training is not finished. Go on with it: nas train --resume --out 'a b'" in done.stderr
    shutil.rmtree(folder)


def test_counts_by_class(tmp_path: Path) -> None:
    trained = read_trained(TrainingFolder.load(training(tmp_path / "t", 4)))
    right, total = by_class(trained)
    assert right.tolist() == [19, 18, 17, 16]
    assert total.tolist() == [20] * 4
    assert trained.confusion(np.array([1, 2])).tolist() == [[18, 2], [0, 17]]
