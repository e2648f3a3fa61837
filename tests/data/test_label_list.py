"""Lists of pictures and labels: what is read, and what is refused with its line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.data import DataError, load_data
from nas.data.label_list import load_label_list
from nas.data.source import Source

Make = Callable[[str | bytes], Path]
ROWS = "".join(f"scans/{n}.png,{'ab'[n % 2]}\n" for n in range(10))
SPLIT = "".join(f"scans/{n}.png,{'ab'[n % 2]},{['train', 'train', 'test'][n % 3]}\n" for n in range(10))


@pytest.fixture
def listed(tmp_path: Path, png: Callable[..., bytes]) -> Make:
    """Writes a list beside a folder `scans` of ten pictures."""
    (tmp_path / "p" / "scans").mkdir(parents=True)
    for number in range(10):
        (tmp_path / "p" / "scans" / f"{number}.png").write_bytes(png(number))
        os.utime(tmp_path / "p" / "scans" / f"{number}.png", (1e9, 1e9))
    (tmp_path / "secret.png").write_bytes(png())

    def make(text: str | bytes) -> Path:
        (tmp_path / "p" / "list.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / "p" / "list.csv"

    return make


def read(path: Path) -> Source:
    return load_label_list(str(path))


def sizes(source: Source) -> dict[str, int]:
    return {part: len(rows) for part, rows in source.parts.items()}


def test_pictures_of_a_list(listed: Make) -> None:
    path = listed("picture,label,split\n" + SPLIT)
    data = load_data(f"csv:{path}", 8)
    assert data.classes == ("a", "b")
    assert (len(data.train), len(data.validation), len(data.test)) == (5, 2, 3)
    assert data.mirrors


def test_without_splits_they_are_made(listed: Make) -> None:
    source = read(listed("picture,label\n" + ROWS))
    assert sizes(source) == {"train": 10}
    assert source.title(3).endswith("list.csv: line 5: scans/3.png")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: "\ufeff" + text.replace(",", ";").replace("\n", "\r\n"),
        lambda text: text.replace(",", " , "),
        lambda text: text.replace("scans/", '"scans/').replace(".png", '.png"'),
        lambda text: text.replace("scans/", "./scans//"),
        lambda text: text.replace("scans/", "scans\\"),
        lambda text: text + "\n\n,,\n",
        lambda text: text.replace("train", "Training").replace("test", "TEST"),
    ],
    ids=["semicolons", "tabs", "Excel", "spaces", "quotes", "dots", "backslashes", "blank lines", "names of splits"],
)
def test_one_list_written_otherwise(listed: Make, change: Callable[[str], str]) -> None:
    plain = read(listed("picture,label,split\n" + SPLIT))
    other = read(listed(change("picture,label,split\n" + SPLIT)))
    assert other.fingerprint == plain.fingerprint
    assert sizes(other) == {"train": 7, "test": 3}


def test_columns_and_lines_in_any_order(listed: Make) -> None:
    plain = read(listed("picture,label\n" + ROWS))
    turned = "".join(",".join(reversed(line.split(","))) + "\n" for line in reversed(ROWS.splitlines()))
    assert read(listed("label,picture\n" + turned)).fingerprint == plain.fingerprint


def test_whatever_changes_the_pictures_changes_the_fingerprint(listed: Make) -> None:
    prints = {read(listed("picture,label\n" + ROWS)).fingerprint}
    prints.add(read(listed("picture,label\n" + ROWS.replace("0.png,a", "0.png,b"))).fingerprint)
    prints.add(read(listed("picture,label,split\n" + SPLIT)).fingerprint)
    path = listed("picture,label\n" + ROWS)
    os.utime(path.parent / "scans" / "3.png", (5, 5))
    prints.add(read(path).fingerprint)
    assert len(prints) == 4


def test_lines_that_repeat_are_passed_over(listed: Make) -> None:
    source = read(listed("picture,label\n" + ROWS + "./scans/1.png,b\n"))
    assert len(source.labels) == 10
    assert "1 lines that repeat another were passed over." in source.notes


def test_val_alone_is_the_test_split(listed: Make) -> None:
    source = read(listed("picture,label,split\n" + SPLIT.replace("test", "valid")))
    assert sizes(source) == {"train": 7, "test": 3}


def test_a_class_written_in_two_ways_is_one(listed: Make) -> None:
    rows = ROWS.replace("1.png,b", "1.png,caf\u00e9").replace(",b", ",cafe\u0301")
    assert read(listed("picture,label\n" + rows)).classes == ("a", "caf\u00e9")


@pytest.mark.parametrize(("disk", "text"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_names_of_pictures_may_be_written_in_two_ways(listed: Make, disk: str, text: str) -> None:
    path = listed(f"picture,label\n{ROWS}{text}/1.png,b\n")
    (path.parent / "scans").rename(path.parent / disk)
    (path.parent / "scans").symlink_to(path.parent / disk)
    assert len(read(path).labels) == 11


def test_a_text_called_a_picture_is_named_with_its_line(listed: Make) -> None:
    path = listed("picture,label\n" + ROWS)
    (path.parent / "scans" / "4.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"list\.csv: line 6: scans/4\.png: not a picture .*--skip-broken"):
        load_data(f"csv:{path}", 8)


HEAD = "picture,label\n"
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "no pictures"),
    "a header alone": (HEAD, "no pictures"),
    "no header": (ROWS, r"the first line names the columns: .* got 'scans/0\.png, a'"),
    "other words": ("filename,class\n" + ROWS, "picture and label, and split .* got 'filename, class'"),
    "capitals": ("Picture,Label\n" + ROWS, "in these words; got 'Picture, Label'"),
    "a further column": ("id,picture,label\n" + ROWS, "got 'id, picture, label'"),
    "a column twice": ("picture,label,label\n" + ROWS, "got 'picture, label, label'"),
    "one column": ("picture\n" + ROWS, "got 'picture'"),
    "spaces for columns": ("picture label\n" + ROWS, "got 'picture label'"),
    "too few columns": (HEAD + ROWS + "scans/1.png\n", "line 12: 2 columns as in the first line, got 1"),
    "too many columns": (HEAD + "scans/1.png,a,b\n", "line 2: 2 columns as in the first line, got 3"),
    "an absolute path": (HEAD + "/etc/passwd,a\n", "line 2: paths are those from the list's folder, and stay in it"),
    "a path that leads out": (HEAD + "../secret.png,a\n", r"stay in it; got '\.\./secret\.png'"),
    "a path that leads out later": (HEAD + "scans/../../secret.png,a\n", "stay in it"),
    "a path of Windows": (HEAD + "C:\\pics\\1.png,a\n", "stay in it"),
    "backslashes that lead out": (HEAD + "..\\secret.png,a\n", "stay in it"),
    "a missing picture": (HEAD + ROWS + "scans/77.png,a\n", r"line 12: no picture 'scans/77\.png' .*\(1 of 11 are"),
    "an address": (HEAD + "https://example.org/1.png,a\n", "no picture 'https:/example"),
    "a folder": (HEAD + ROWS + "scans,a\n", "line 12: no picture 'scans'"),
    "no label": (HEAD + ROWS + "scans/1.png,\n", "line 12: every line has a label, here is none"),
    "no name": (HEAD + ",a\n", "line 2: every line has a picture"),
    "two labels": (
        HEAD + ROWS + "scans/1.png,a\n",
        r"line 12: a picture has one label, scans/1\.png has 'a' here and 'b' in line 3",
    ),
    "two splits": (
        "picture,label,split\n" + SPLIT + "scans/2.png,a,train\n",
        "line 12: a picture has one split, .* has 'train' here and 'test' in line 4",
    ),
    "an unknown split": ("picture,label,split\nscans/1.png,a,1\n", "line 2: a split is train, val or test; got '1'"),
    "no split": ("picture,label,split\nscans/1.png,a,\n", "line 2: every line has a split"),
    "no train": ("picture,label,split\nscans/1.png,a,test\n", "are needed in `train`, got only test"),
    "a class of test alone": (
        "picture,label,split\n" + SPLIT.replace("2.png,a", "2.png,c"),
        "line 4: the class 'c' of test has no pictures in train",
    ),
    "one class": (HEAD + ROWS.replace(",b", ",a"), "needs two classes"),
    "a quote that does not end": (HEAD + '"scans/1.png,a\n', "line 2: no CSV"),
    "no UTF-8": ("picture,label\nscans/1.png,caf\xe9\n".encode("latin-1"), "the text is UTF-8, byte 29 is not"),
    "UTF-16": ((HEAD + ROWS).encode("utf-16"), "the text is UTF-8"),
    "a line without end": (HEAD + "x" * 70_000, "a line has at most 65,536 letters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_lists_that_break_rules(listed: Make, case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as refused:
        read(listed(text))
    assert "list.csv" in str(refused.value)
    assert len(str(refused.value)) < 700


def test_lists_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match="not a plain file"):
        read(tmp_path)
