"""Which folders are splits and which are classes: read where it is clear, refused where it is not, never guessed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nas.data import DataError
from nas.data.imagefolder import load_imagefolder
from nas.data.source import Source
from nas.data.splits import part_of

Make = Callable[[Mapping[str, int]], Source]


@pytest.fixture
def source(tmp_path: Path) -> Make:
    """What is read of so many pictures by folder; nothing is decoded."""

    def make(counts: Mapping[str, int]) -> Source:
        for folder, count in counts.items():
            (tmp_path / "p" / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                path = tmp_path / "p" / folder / f"{number}.png"
                path.write_bytes(bytes(number + 10))
                os.utime(path, (1e9, 1e9))
        return load_imagefolder(str(tmp_path / "p"))

    return make


def sizes(source: Source) -> dict[str, int]:
    return {part: len(rows) for part, rows in source.parts.items()}


SPLITS: dict[str, str] = {
    "train TRAIN Train Training training seg_train train2017 train_images train-set TrainSet trainset trn": "train",
    "val Val valid VALIDATION validation dev eval Evaluation val2017 valset img_val": "validation",
    "test Test TEST Testing test1 test-set test_images holdout hold-out hold_out testdata (test)": "test",
}


@pytest.mark.parametrize(("name", "part"), [(name, part) for names, part in SPLITS.items() for name in names.split()])
def test_names_of_splits(name: str, part: str) -> None:
    assert part_of(name) == (None if name.startswith("seg_") else part)  # which takes a sister of the same form


@pytest.mark.parametrize(
    "name", ["trainer", "strain", "contest", "latest", "value", "device", "evaluate", "rain", "", "12"]
)
def test_names_of_classes(name: str) -> None:
    assert part_of(name) is None


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Val", "Test"),
        ("TRAIN", None, "TEST"),
        ("seg_train", None, "seg_test"),
        ("train", None, "test1"),
        ("training", None, "validation"),
        ("Training", None, "Testing"),
        ("train_images", None, "test_images"),
        ("train-set", "dev", "test-set"),
        ("train", "eval", "holdout"),
        ("train2017", None, "val2017"),
        ("train", "Validation", "test"),
        ("chest_train", "chest_val", "chest_test"),
    ],
)
@pytest.mark.parametrize("above", ["", "pets/"])
def test_splits_are_known_by_their_names(
    source: Make, train: str, validation: str | None, test: str, above: str
) -> None:
    folders = {train: 4, test: 2} | ({validation: 1} if validation else {})
    found = source({f"{above}{part}/{kind}": count for part, count in folders.items() for kind in ("cat", "dog")})
    assert found.classes == ("cat", "dog")
    assert sizes(found) == {"train": 8, "test": 4} | ({"validation": 2} if validation else {})
    assert found.title(int(found.parts["test"][0])).endswith(f"{above}{test}/cat/0.png")


def test_splits_that_are_wrapped_once_more(source: Make) -> None:
    found = source(
        {"seg_train/seg_train/a": 3, "seg_train/seg_train/b": 3, "seg_test/seg_test/a": 1, "seg_pred/seg_pred": 5}
    )
    assert found.classes == ("a", "b")
    assert sizes(found) == {"train": 6, "test": 1}
    assert "Folders beside the splits were passed over: `seg_pred`." in found.notes


@pytest.mark.parametrize("test", ["test", "test1", "Test/Test"])
def test_tests_without_labels_are_passed_over(source: Make, test: str) -> None:
    found = source({"train/a": 5, "train/b": 5, test: 4, "val/a": 2, "val/b": 2})
    assert sizes(found) == {"train": 10, "test": 4}  # val is the test split then
    name = test.partition("/")[0]
    assert f"Without folders of classes, so without labels, and passed over: `{name}`." in found.notes


CLASSES = {
    "train among vehicles": {"car": 3, "plane": 3, "train": 3},
    "Train and Tram": {"Train": 3, "Tram": 3},
    "a test": {"test": 3, "control": 3},
    "valid and invalid": {"valid": 3, "invalid": 3},
    "valid with folders": {"valid/2023": 3, "invalid/2024": 3},
    "training and resting": {"training": 3, "resting": 3},
    "tests by number": {"test1": 3, "test2": 3, "test3": 3},
    "one of them with folders": {"test1/x": 3, "test2": 3},
    "folders that differ": {"a/x": 2, "a/y": 2, "b/z": 2, "b/w": 2},
    "the same single folder": {"a/images": 2, "b/images": 2},
    "pictures beside the same folders": {"a": 4, "a/x": 1, "a/y": 1, "b/x": 1, "b/y": 1},
    "the same folders in a few of them": {"a/x": 1, "a/y": 1, "b/x": 1, "b/y": 1, "c": 2, "d": 2},
    "a wrapper called as a split of tests": {"test_data/a": 3, "test_data/b": 3},
    "a wrapper called Training": {"Training/a": 3, "Training/b": 3},
    "train in train": {"train/train": 3, "train/car": 3},
}


@pytest.mark.parametrize("case", CLASSES)
def test_classes_stay_classes(source: Make, case: str) -> None:
    found = source(CLASSES[case])
    assert sizes(found) == {"train": sum(CLASSES[case].values())}
    assert len(found.classes) == len({*CLASSES[case]} if "/" not in " ".join(CLASSES[case]) else found.classes) >= 2


def test_a_class_called_as_its_split(source: Make) -> None:
    found = source({"train/exam": 3, "train/test": 3, "test/test": 2})
    assert sizes(found) == {"train": 6, "test": 2}


UNCLEAR = {
    "names that say nothing": (
        {"one/a": 2, "one/b": 2, "two/a": 1, "two/b": 1},
        r"`one`, `two` hold the same folders \(`a`, `b`\)\. Are they splits\? Then call them train, val and test",
    ),
    "another language": ({"entrenar/a": 2, "entrenar/b": 2, "prueba/a": 1, "prueba/b": 1}, "hold the same folders"),
    "a class that the smaller lacks": (
        {"one/a": 2, "one/b": 2, "one/c": 2, "two/a": 1, "two/b": 1},
        "hold the same folders",
    ),
    "deeper": ({"one/a/x": 2, "one/b/y": 2, "two/a/z": 1, "two/b/x": 1}, "hold the same folders"),
    "a stray picture": ({"one": 1, "one/a": 2, "one/b": 2, "two/a": 1, "two/b": 1}, "`one`, `two` hold the same"),
    "a flat folder beside them": ({"one/a": 2, "one/b": 2, "two/a": 1, "two/b": 1, "more": 2}, "`one`, `two` hold"),
    "folds": ({f"fold{n}/{kind}": 2 for n in range(5) for kind in "ab"}, "hold the same folders"),
    "train of one form only": ({"a_train/x": 1, "a_train/y": 1, "b/x": 1, "b/y": 1}, "hold the same folders"),
    "two tests": ({"test1/a": 2, "test1/b": 2, "test2/a": 1, "test2/b": 1}, "hold the same folders"),
    "splits below classes": (
        {"cat/train": 2, "cat/test": 1, "dog/train": 2, "dog/test": 1},
        "splits lie above classes, as in train/cat/1.jpg; here `cat` holds `test`, `train`",
    ),
    "splits below one of two": ({"set/Train/a": 2, "set/Test/a": 2, "more": 3}, "here `set` holds `Test`, `Train`"),
    "three levels": ({f"{v}/{s}/{k}": 1 for v in ("v1", "v2") for s in ("train", "val") for k in "ab"}, "`v1` holds"),
    "a split or a class": (
        {"train/steam": 2, "train/diesel": 2, "car": 2, "plane": 2},
        "is `train` a split, or a class beside `car`, `plane`",
    ),
    "a split of another name": (
        {"train/a": 2, "train/b": 2, "prueba/a": 1, "prueba/b": 1},
        "is `train` a split, or a class beside `prueba`. Call all splits train, val and test",
    ),
    "training and resting with folders": (
        {"training/2020": 2, "training/2021": 2, "resting/2020": 2, "resting/2022": 1},
        "is `training` a split, or a class beside `resting`",
    ),
    "flat splits": (
        {"Train": 3, "Test": 3},
        "in `Test`, `Train`, which are called as splits are, pictures lie in none",
    ),
    "flat splits among others": ({"Train": 3, "Test": 3, "car": 2}, "pictures lie in a folder for each class"),
    "train is flat": ({"Train": 3, "Test/a": 3, "Test/b": 3}, "pictures lie in a folder for each class"),
    "Test and Val only": ({"Test/a": 3, "Val/a": 3}, "are needed in `train`, got only Test, Val"),
    "Testing only": ({"Testing/a": 3, "Testing/b": 3}, "are needed in `train`, got only Testing"),
    "twice": ({"Train/a": 3, "TRAIN/a": 3, "Test/a": 1}, "`TRAIN` and `Train` mean the same split"),
    "a class in another case": (
        {"train/Cat": 2, "train/Dog": 2, "test/cat": 1},
        "the class 'cat' of test has no pictures in train.*Train has 'Cat': write both alike",
    ),
    "a class with a space": ({"train/red fox": 2, "train/b": 2, "test/red_fox": 1}, "Train has 'red fox'"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_refused(source: Make, case: str) -> None:
    counts, message = UNCLEAR[case]
    with pytest.raises(DataError, match=message) as refused:
        source(counts)
    assert "\n" not in str(refused.value)


LETTER, ACCENT = "caf\u00e9", "cafe\u0301"


def test_two_ways_to_write_an_accent_are_one_class(source: Make) -> None:
    found = source({f"train/{ACCENT}": 3, "train/tea": 3, f"test/{LETTER}": 1})
    assert found.classes == (ACCENT, "tea")  # as train has it, and as older versions had it
    assert sizes(found) == {"train": 6, "test": 1}


def test_both_in_train_are_one_class_too(source: Make) -> None:
    found = source({ACCENT: 3, LETTER: 4, "tea": 3})
    assert found.classes == (LETTER, "tea")
    assert (found.labels == 0).sum() == 7
    assert f"Written in two ways that look alike, and one class each: `{LETTER}`." in found.notes


def test_names_that_differ_in_case_are_two_classes_and_said_to_be(source: Make) -> None:
    found = source({"A": 2, "a": 2, "b": 2})
    assert found.classes == ("A", "a", "b")
    assert "Different classes, though their names differ only in case: `A`, `a`." in found.notes


READ_BEFORE = {
    "classes": ({"cat": 3, "dog": 3}, "530bf76066c53005"),
    "splits": ({"train/cat": 3, "train/dog": 2, "val/cat": 1, "test/dog": 1}, "490b13cacdda5f06"),
    "wrapped": ({"pets/v1/train/cat": 3, "pets/v1/train/dog": 3}, "76149d577b65ed40"),
    "a class called train": ({"plane": 3, "train": 3}, "71af30eb834d5570"),
    "beside train": ({"train/cat": 3, "train/dog": 3, "extra/cat": 1}, "76149d577b65ed40"),
    "one folder called Training": ({"Training/cat": 3, "Training/dog": 3}, "530bf76066c53005"),
    "a class called test1, deeper": ({"test1/x": 2, "test2": 2}, "77f0aba5fa138eb5"),
}
"""Layouts, and what version 0.1 made of them."""


@pytest.mark.parametrize("case", READ_BEFORE)
def test_what_was_read_before_has_the_fingerprint_it_had(source: Make, case: str) -> None:
    counts, fingerprint = READ_BEFORE[case]
    assert source(counts).fingerprint[:16] == fingerprint


def test_what_is_read_otherwise_has_another_fingerprint(source: Make) -> None:
    splits = source({f"{part}/{kind}": count for part, count in (("Training", 2), ("Testing", 1)) for kind in "ab"})
    assert splits.fingerprint[:16] != "278dcf754c7c9b44"  # as two classes, by version 0.1
