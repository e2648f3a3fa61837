"""Folders and archives of pictures: layouts, splits, what is refused and what is passed over."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import Data, DataError, load_data

Make = Callable[..., Path]


def load(path: Path, resolution: int = 8, **options: object) -> Data:
    return load_data(f"imagefolder:{path}", resolution, **options)


def counts(data: Data) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def test_three_splits(folder: Make) -> None:
    data = load(folder({"train/cat": 4, "train/dog": 3, "val/cat": 2, "val/dog": 1, "test/dog": 2, "test/cat": 3}))
    assert counts(data) == (7, 3, 5)
    assert data.classes == ("cat", "dog")
    assert np.bincount(data.test.labels).tolist() == [3, 2]
    assert data.notes == ()
    assert data.mirrors


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_val_alone_is_the_test_split(folder: Make, name: str) -> None:
    data = load(folder({"train/cat": 10, "train/dog": 10, f"{name}/cat": 3, f"{name}/dog": 3}))
    assert counts(data) == (16, 4, 6)
    assert data.notes == (
        f"`{name}` is the test split, since there is no `test`.",
        "Validation: 20% of each class's training pictures, by seed 0.",
    )


def test_classes_only_are_split_by_seed(folder: Make) -> None:
    root = folder({"cat": 25, "dog": 50})
    data = load(root, held_out=0.25)
    assert counts(data) == (20 - 5 + 40 - 10, 15, 15)  # a fifth for test, then a quarter of what is left
    assert np.bincount(data.test.labels).tolist() == [5, 10]
    assert np.bincount(data.validation.labels).tolist() == [5, 10]
    assert any("by seed 0" in note for note in data.notes)
    whole = np.concatenate([data.train.pictures, data.validation.pictures, data.test.pictures])
    assert len(np.unique(whole.reshape(75, -1), axis=0)) == 75


def test_seeds_decide(folder: Make, cache: Path) -> None:
    root = folder({"cat": 25, "dog": 25})
    first, second = load(root), load(root, seed=1)
    assert first.fingerprint != second.fingerprint
    assert not np.array_equal(first.test.pictures, second.test.pictures)
    again = load(root)
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.train.pictures, first.train.pictures)


def test_what_is_learned_from_is_in_random_order_and_labels_go_with_it(folder: Make) -> None:
    root = folder({})
    for number, colour in enumerate([(250, 0, 0), (0, 250, 0)]):
        (root / f"class{number}").mkdir(parents=True)
        for picture in range(30):
            Image.new("RGB", (9, 9), colour).save(root / f"class{number}" / f"{picture}.png")
    data = load(root)
    for split in (data.train, data.validation, data.test):
        assert (split.pictures[:, 4, 4].argmax(axis=1) == split.labels).all()
    first = data.subset(20).train.labels
    assert 4 < first.sum() < 16
    assert (np.diff(data.validation.labels) < 0).any()  # not class by class: a part of it is a fair sample too


def test_held_out_may_be_nothing(folder: Make) -> None:
    assert counts(load(folder({"train/a": 3, "train/b": 3, "test/a": 1}), held_out=0)) == (6, 0, 1)


def test_a_single_picture_goes_to_train(folder: Make) -> None:
    data = load(folder({"a": 1, "b": 12}))
    assert np.bincount(data.train.labels)[0] == 1
    assert "Classes with a single picture have it in train: a." in data.notes


def test_nested_folders_links_and_other_files(folder: Make) -> None:
    root = folder({"a/deep/er": 4, "b": 4}, {"a/notes.txt": b"x", "README.md": b"x", ".git/x.png": b"x"})
    (root / "c").symlink_to(root / "b", target_is_directory=True)
    (root / "b" / "loop").symlink_to(root, target_is_directory=True)
    (root / "b" / "none.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "b" / "pipe.png")
    data = load(root)
    assert data.classes == ("a", "b", "c")
    assert sum(counts(data)) == 12
    assert "2 files that are no pictures by their names were passed over: 1 .md, 1 .txt." in data.notes


def test_a_folder_at_the_top_is_looked_through(folder: Make) -> None:
    root = folder({"data/v1/train/a": 5, "data/v1/train/b": 5})
    assert load(root).classes == ("a", "b")


def test_train_may_be_a_class(folder: Make) -> None:
    assert load(folder({"train": 5, "plane": 5})).classes == ("plane", "train")


def test_folders_beside_train(folder: Make) -> None:
    data = load(folder({"train/a": 5, "train/b": 5, "extra/a": 2}))
    assert "Folders beside the splits were passed over: `extra`." in data.notes


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz"])
def test_archives(archive: Make, png: Callable[..., bytes], folder: Make, name: str) -> None:
    files = {f"top/{part}/{kind}/{n}.png": png(n) for part in ("train", "test") for kind in "ab" for n in range(5)}
    data = load(archive({"top/": None, **files}, name))
    assert counts(data) == (8, 2, 10)
    assert np.array_equal(data.test.pictures, load(folder({}, files)).test.pictures)


def test_the_order_of_an_archive_does_not_matter(archive: Make, png: Callable[..., bytes]) -> None:
    files = {f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(9)}
    first = load(archive(files))
    second = load(archive(dict(reversed(files.items())), "other.tar.gz"))
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(first.train.pictures, second.train.pictures)


def test_names_that_lead_out_and_links_are_passed_over(
    archive: Make, png: Callable[..., bytes], tmp_path: Path, folder: Make
) -> None:
    link, hard, pipe = (tarfile.TarInfo(f"a/{kind}.png") for kind in ("link", "hard", "pipe"))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "a/0.png"
    pipe.type = tarfile.FIFOTYPE
    files = {f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(5)}
    evil = {name: png() for name in ("../../evil/x.png", "/tmp/evil/x.png", "a/../../x.png")}
    before = sorted(tmp_path.rglob("*"))
    data = load(archive({**files, **evil, "link": link, "hard": hard, "pipe": pipe}))
    assert sum(counts(data)) == 10
    (note,) = [note for note in data.notes if "lead out" in note]
    assert note == (
        "3 members whose names lead out of the archive were passed over, such as '../../evil/x.png'; make it anew "
        "without -P, a zip with relative names."
    )
    new = {path.name for path in tmp_path.rglob("*")} - {path.name for path in before}
    assert not new & {"evil", "x.png", "link.png", "hard.png"}


def test_of_members_with_one_name_the_last_counts(tmp_path: Path, archive: Make, png: Callable[..., bytes]) -> None:
    path = archive({f"{kind}/{n}.png": png(n, (8, 8)) for kind in "ab" for n in range(3)})
    with tarfile.open(path, "a") as file:
        (tmp_path / "new.png").write_bytes(png(99, (8, 8)))
        file.add(tmp_path / "new.png", "a/0.png")
    data = load(path)
    assert sum(counts(data)) == 6
    whole = np.concatenate([data.train.pictures, data.validation.pictures, data.test.pictures])
    has = [(whole == np.asarray(Image.open(BytesIO(png(n, (8, 8)))))).all(axis=(1, 2, 3)).sum() for n in (0, 1, 99)]
    assert has == [1, 2, 1]


MESSAGES: dict[str, tuple[Mapping[str, int], Mapping[str, bytes], str]] = {
    "no pictures": (
        {"a": 0},
        {"a/x.txt": b""},
        r"no pictures \(.png, .*\)\. 1 files that are no pictures by their names were passed over: 1 .txt",
    ),
    "nothing": ({".": 0}, {}, "no pictures"),
    "loose": ({".": 3}, {}, "pictures lie in a folder for each class, such as train/cat/1.jpg; there are none"),
    "loose in train": ({"train": 3}, {}, "pictures lie in a folder for each class"),
    "single class": ({"cat": 3}, {}, "a classifier needs two classes or more, got only 'cat'"),
    "empty class": ({"a": 3, "b": 3, "c": 0}, {}, "there are none of 'c'. Add some, or remove the class"),
    "empty class in train": ({"train/a": 3, "train/b": 0, "test/b": 1}, {}, "there are none of 'b'"),
    "unknown class": ({"train/a": 3, "train/b": 3, "test/c": 1}, {}, "the class 'c' of test has no pictures in train"),
    "no train": ({"test/a": 3, "val/a": 3}, {}, "pictures to train with are needed in `train`, got only test, val"),
    "twice": ({"train/a": 3, "val/a": 1, "valid/a": 1}, {}, "mean the same split"),
    "empty test": ({"train/a": 3, "train/b": 3, "test/a": 0}, {}, "no pictures in test"),
    "text": ({"a": 3, "b": 3}, {"b/x.jpg": b"text"}, "b/x.jpg: not a picture of a known.*--skip-broken"),
    "zero bytes": ({"a": 3, "b": 3}, {"b/x.jpg": b""}, "b/x.jpg: the file is empty.*--skip-broken"),
    "too few": (
        {"train/a": 1, "train/b": 1, "test/a": 1},
        {},
        "too few pictures for three splits, none is left for validation",
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages(folder: Make, case: str) -> None:
    count, files, message = MESSAGES[case]
    with pytest.raises(DataError, match=message) as caught:
        load(folder(count, files))
    assert str(caught.value).count("\n") <= 1
    assert "pictures" in str(caught.value)  # the path


def test_broken_pictures_are_named_in_archives(archive: Make, png: Callable[..., bytes]) -> None:
    files = {f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(5)}
    with pytest.raises(DataError, match=r"pictures\.tar: a/x\.png: cannot be decoded"):
        load(archive({**files, "a/x.png": png()[:100]}))


@pytest.mark.parametrize("packed", [False, True])
def test_broken_pictures_can_be_skipped(folder: Make, archive: Make, png: Callable[..., bytes], packed: bool) -> None:
    files = {f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(20)}
    files |= {f"a/broken{n}.jpg": b"text" for n in range(6)}
    path = archive(files, "x.tgz") if packed else folder({}, files)
    data = load(path, skip_broken=True)
    assert sum(counts(data)) == 40
    assert "6 broken pictures were left out, first" in data.notes[-1]
    assert "a/broken0.jpg: not a picture" in data.notes[-1]
    whole = np.concatenate([data.train.pictures, data.validation.pictures, data.test.pictures])
    assert len(np.unique(whole.reshape(40, -1), axis=0)) == 20  # of the two classes each
    with pytest.raises(DataError, match="a/broken"):  # what was kept is not taken for whole
        load(path)
    assert load(path, skip_broken=True).notes == data.notes


def test_a_class_of_broken_pictures_is_an_error(folder: Make) -> None:
    root = folder({"a": 5}, {f"b/{n}.png": b"x" for n in range(5)})
    with pytest.raises(DataError, match=r"b/0\.png: like every training picture of the class 'b', it is broken"):
        load(root, skip_broken=True)


def test_a_split_of_broken_pictures_is_an_error(folder: Make) -> None:
    root = folder({"train/a": 5, "train/b": 5}, {"test/a/0.png": b"x"})
    with pytest.raises(DataError, match=r"test/a/0\.png: like every picture of test, it is broken"):
        load(root, skip_broken=True)


def test_large_members_are_broken(archive: Make, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("nas.data.pictures", "nas.data.imagefolder"):
        monkeypatch.setattr(f"{module}.MAX_PICTURE_BYTES", 1000)
    files = {f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(5)}
    with pytest.raises(DataError, match=r"b/x\.png: a file of 1,001 bytes, at most 1,000 are read"):
        load(archive({**files, "b/x.png": bytes(5000)}))


def test_members_are_counted(archive: Make, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.member.MAX_MEMBERS", 3)
    with pytest.raises(DataError, match="at most 3 members are read"):
        load(archive({f"a/{n}.png": png(n) for n in range(4)}))


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
@pytest.mark.parametrize("damage", ["half", "end mark", "flipped", "nothing", "text"])
def test_damaged_archives(archive: Make, png: Callable[..., bytes], name: str, damage: str) -> None:
    path = archive({f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(5)}, name)
    whole = path.read_bytes()
    plain = gzip.decompress(whole) if name.endswith("gz") else whole
    middle = 512 * 2 * 5  # the header of the sixth member: 512 bytes and 512 of contents each
    assert plain[middle : middle + 7] == b"b/0.png"
    damaged = {
        "half": whole[: len(whole) // 2],
        "end mark": plain[: 512 * 2 * 10],
        "flipped": plain[:middle] + b"X" * 100 + plain[middle + 100 :],
        "nothing": b"",
        "text": b"this is no archive, whatever its name says",
    }[damage]
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"the archive is damaged or cut short.*Get it anew"):
        load(path)


def test_gzip_checksums_are_checked(archive: Make, png: Callable[..., bytes]) -> None:
    path = archive({f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(5)}, "x.tgz")
    whole = bytearray(path.read_bytes())
    whole[-8] ^= 1  # of the checksum
    path.write_bytes(whole)
    with pytest.raises(DataError, match="damaged or cut short"):
        load(path)


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder or archive"):
        load(tmp_path / "nowhere")


def test_names_cannot_move_the_cursor(folder: Make) -> None:
    with pytest.raises(DataError) as caught:
        load(folder({"a": 3, "b": 3}, {"b/\x1b[2J\n.jpg": b"text"}))
    assert str(caught.value).isprintable()
    root = folder({os.fsdecode(b"caf\xe9"): 3})
    (root / "b" / "\x1b[2J\n.jpg").unlink()
    " ".join(load(root).classes).encode()  # no surrogates


def test_real_photos(images: Path) -> None:
    data = load(images / "trashnet-128x96" / "trashnet-128x96.tar", 32)
    assert counts(data) == (1768, 328, 431)
    assert data.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert data.train.pictures.shape == (1768, 32, 32, 3)


@pytest.mark.slow
def test_all_of_the_cifar_copy(images: Path, told: object) -> None:
    data = load(images / "cifar10-jpeg" / "cifar10-jpeg.tar.gz", 32, teller=told)
    assert counts(data) == (40_000, 10_000, 10_000)
    assert np.bincount(data.validation.labels).tolist() == [1000] * 10
    assert data.mean == pytest.approx((0.491, 0.482, 0.446), abs=0.005)  # as published of CIFAR-10
