"""What every kind of `--data` yields, and what each refuses."""

from __future__ import annotations

import gzip
import io
import pickle
import re
import sys
import tarfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data import DATA_KINDS, Data, DataError, load_data
from nas.data.cifar10 import CLASSES
from nas.data.pictures import View, picture_array

Make = Callable[..., Path]


def check(data: Data, name: str, resolution: int, side: int) -> None:
    """What the contract promises, of any kind."""
    assert data.name == name
    assert data.resolution == resolution
    for split in (data.train, data.validation, data.test):
        assert split.pictures.shape == (len(split), side, side, 3)
        assert split.pictures.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert split.labels.min() >= 0
        assert split.labels.max() < len(data.classes)
    assert set(data.train.labels) == set(range(len(data.classes)))
    assert all(0 <= mean <= 1 and 1e-3 <= std <= 0.5 for mean, std in zip(data.mean, data.std, strict=True))
    assert len(data.fingerprint) == 64


# digits


@pytest.mark.parametrize(("resolution", "side"), [(32, 32), (96, 110)])
def test_digits(resolution: int, side: int) -> None:
    data = load_data("digits", resolution)
    check(data, "digits", resolution, side)
    assert len(data.train) + len(data.validation) + len(data.test) == 1797
    assert not data.mirrors
    other = load_data("digits", resolution, seed=1)
    assert np.array_equal(other.test.pictures, data.test.pictures)  # whatever the seed
    assert not np.array_equal(other.validation.labels, data.validation.labels)


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    data = load_data("digits", 8)
    whole = np.concatenate([data.train.pictures, data.validation.pictures, data.test.pictures])
    assert whole[..., 0].max() == 255
    theirs = np.sort(load_digits().images.sum(axis=(1, 2)))
    assert np.allclose(np.sort(whole[..., 0].sum(axis=(1, 2))) * 16 / 255, theirs, atol=2)


# cifar10


def records(count: int = 50, seed: int = 0) -> np.ndarray:
    """uint8[N, 3073] as in the binary version, five pictures a class for 50."""
    data = np.random.default_rng(seed).integers(256, size=(count, 3073), dtype=np.uint8)
    data[:, 0] = np.arange(count) % 10
    return data


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(records(seed=number).tobytes())
    (folder / "test_batch.bin").write_bytes(records(seed=9).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    (folder / "readme.html").write_text("x")
    return folder


def test_cifar10_binary(binary: Path) -> None:
    data = load_data(f"cifar10:{binary}", 32)
    check(data, f"cifar10:{binary}", 32, 32)
    assert data.classes == CLASSES
    assert (len(data.train), len(data.validation), len(data.test)) == (200, 50, 50)
    assert data.mirrors
    red = records(seed=9)[:, 1:1025].reshape(-1, 32, 32)
    assert np.array_equal(data.test.pictures[..., 0], red)
    assert data.test.labels.tolist() == [*range(10)] * 5


def test_cifar10_real_pixels(images: Path) -> None:
    path = images / "cifar10-original-first2000" / "data_batch_1_first2000.bin"
    data = load_data(f"cifar10:{path}", 32)
    check(data, f"cifar10:{path}", 32, 32)
    whole = np.concatenate([data.train.pictures, data.validation.pictures, data.test.pictures])
    labels = np.concatenate([data.train.labels, data.validation.labels, data.test.labels])
    first = (whole[:, 0, :3, 0] == [59, 43, 50]).all(axis=1) & (whole[:, 31, 31] == [123, 92, 72]).all(axis=1)
    assert labels[first].tolist() == [CLASSES.index("frog")]


@pytest.fixture
def python_version(tmp_path: Path) -> Path:
    """The pictures of `binary` as the author's Python 2 wrote them: protocol 2, byte strings."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, seed in {**{f"data_batch_{number}": number for number in range(1, 6)}, "test_batch": 9}.items():
        rows = records(seed=seed)
        document = {b"data": rows[:, 1:], b"labels": rows[:, 0].tolist(), b"filenames": [b"a"]}
        (folder / name).write_bytes(pickle.dumps(document, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": []}, protocol=2))
    return folder


def packed(folder: Path) -> Path:
    path = folder.with_suffix(".tar.gz")
    with tarfile.open(path, "w:gz") as file:
        file.add(folder, folder.name)
    return path


def test_cifar10_archives(binary: Path) -> None:
    assert load_data(f"cifar10:{packed(binary)}", 32).fingerprint == load_data(f"cifar10:{binary}", 32).fingerprint


def test_cifar10_pickles_are_refused_and_the_page_converts_them(
    binary: Path, python_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (python_version, packed(python_version)):
        with pytest.raises(DataError, match=r"pickles, which are not read\. Get cifar-10-binary\.tar\.gz"):
            load_data(f"cifar10:{place}", 32)
    monkeypatch.chdir(python_version.parent)
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    (lines,) = re.findall(r"```python\n(import pickle.*?)```", page, re.DOTALL)
    exec(lines, {})
    one, other = load_data(f"cifar10:{binary}", 32), load_data(f"cifar10:{python_version}", 32)
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"records of 3,073 bytes each, got 0 bytes"),
        (bytes(3072), r"records of 3,073 bytes each, got 3,072 bytes"),
        (b"\x0a" + bytes(3072), r"picture 0: labels lie in 0\.\.9, got 10"),
    ],
)
def test_cifar10_binary_files_that_break_rules(binary: Path, content: bytes, message: str) -> None:
    (binary / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(DataError, match=rf"data_batch_3\.bin: .*{message}"):
        load_data(f"cifar10:{binary}", 32)


def test_cifar10_files_that_are_missing(binary: Path, tmp_path: Path) -> None:
    (binary / "test_batch.bin").unlink()
    (binary / "data_batch_2.bin").unlink()
    data = load_data(f"cifar10:{binary}", 32)
    assert "1 of the 5 files of training pictures are missing." in data.notes
    assert any("No test split" in note for note in data.notes)
    for path in binary.glob("data_batch_*"):
        path.unlink()
    with pytest.raises(DataError, match=r"CIFAR-10 is data_batch_1\.bin"):
        load_data(f"cifar10:{binary}", 32)
    (binary / "test_batch.bin").write_bytes(records().tobytes())
    with pytest.raises(DataError, match="there is only a test_batch"):
        load_data(f"cifar10:{binary}", 32)
    with pytest.raises(DataError, match="no such folder or file"):
        load_data(f"cifar10:{tmp_path}/none", 32)


def test_cifar10_classes_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(records()[:8].tobytes())
    with pytest.raises(DataError, match="there are none of 'ship', 'truck'"):
        load_data(f"cifar10:{path}", 32)


def test_cifar10_names_of_classes_are_checked(binary: Path) -> None:
    (binary / "batches.meta.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="has 10 classes of different names, got 2"):
        load_data(f"cifar10:{binary}", 32)


# idx


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 9)):
        pictures = rng.integers(256, size=(count, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pictures))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(count, dtype=np.uint8) % 3)))
    return folder


def test_idx(mnist: Path) -> None:
    data = load_data(f"idx:{mnist}", 28)
    check(data, f"idx:{mnist}", 28, 28)
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 6, 9)
    assert data.classes == ("0", "1", "2")
    assert not data.mirrors
    pixels = np.frombuffer((mnist / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16).reshape(9, 28, 28)
    assert np.array_equal(data.test.pictures[..., 1], pixels)
    check(load_data(f"idx:{mnist}", 96), f"idx:{mnist}", 96, 110)


def test_idx_classes_need_not_begin_at_nought(mnist: Path) -> None:
    for path, count in ((mnist / "train-labels-idx1-ubyte", 30), (mnist / "t10k-labels-idx1-ubyte", 9)):
        path.write_bytes(idx(np.arange(count, dtype=np.uint8) % 3 * 2 + 1))  # beside the .gz, which it goes before
    assert load_data(f"idx:{mnist}", 28).classes == ("1", "3", "5")


def test_idx_without_test_pictures(mnist: Path) -> None:
    (mnist / "t10k-labels-idx1-ubyte.gz").unlink()
    assert any("No test split" in note for note in load_data(f"idx:{mnist}", 28).notes)


def test_fashion_mnist(images: Path) -> None:
    data = load_data(f"idx:{images / 'fashion-mnist'}", 28)
    assert (len(data.train), len(data.validation), len(data.test)) == (48_000, 12_000, 10_000)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.mean[0] == pytest.approx(0.286, abs=0.003)  # as published


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "begins with 00 00 08 03, got nothing"),
        ("train-images-idx3-ubyte", b"\x89PNG1234567890123", "begins with 00 00 08 03, got 89 50 4e 47"),
        ("train-images-idx3-ubyte", idx(np.zeros((2, 3, 3), np.uint8))[:-1], "18 bytes follow .* got 17"),
        ("train-images-idx3-ubyte", idx(np.zeros((2, 3, 3), np.uint8)) + b"x", "18 bytes follow .* got more"),
        ("train-images-idx3-ubyte", idx(np.zeros((0, 3, 3), np.uint8)), "holds 1 to"),
        ("train-images-idx3-ubyte", bytes([0, 0, 8, 3]) + b"\xff" * 12, "holds 1 to"),
        ("train-images-idx3-ubyte", idx(np.zeros((2, 28, 28), np.uint8)), "2 pictures, 30 labels"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((9, 20, 20), np.uint8)), "train and test have one size"),
        ("t10k-labels-idx1-ubyte", idx(np.full(9, 7, np.uint8)), "7 has no pictures in train"),
        ("train-labels-idx1-ubyte", idx(np.zeros(30, np.uint8)), "in train|needs two classes"),
        (
            "train-labels-idx1-ubyte.gz",
            gzip.compress(idx(np.zeros(30, np.uint8)), mtime=0)[:-12],
            "damaged or cut short",
        ),
        ("train-labels-idx1-ubyte.gz", b"text", "damaged or cut short"),
    ],
)
def test_idx_files_that_break_rules(mnist: Path, name: str, content: bytes, message: str) -> None:
    (mnist / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_data(f"idx:{mnist}", 28)


def test_idx_files_that_are_missing(mnist: Path, tmp_path: Path) -> None:
    (mnist / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte or the same with \.gz is missing"):
        load_data(f"idx:{mnist}", 28)
    with pytest.raises(DataError, match="no such folder"):
        load_data(f"idx:{tmp_path}/none", 28)


# python


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes `def load(): return …` into a module of the current folder and names it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    count = iter(range(100))

    def write(result: str) -> str:
        name = f"own_pictures_{tmp_path.name}_{next(count)}"
        Path(f"{name}.py").write_text(f"import numpy as np\nfrom PIL import Image\ndef load():\n    return {result}\n")
        return f"python:{name}.load"

    return write


PICTURES = "np.arange(10 * 6 * 6 * 3).reshape(10, 6, 6, 3).astype(np.uint8)"


def test_python(function: Callable[[str], str]) -> None:
    name = function(f"{{'train': ({PICTURES}, [0, 1] * 5), 'test': ({PICTURES}, np.arange(10) % 2)}}")
    data = load_data(name, 6)
    check(data, name, 6, 6)
    assert data.classes == ("0", "1")
    assert len(data.test) == 10
    assert data.mirrors
    assert sys.path[0] != str(Path.cwd())


def test_python_options(function: Callable[[str], str]) -> None:
    grey = "np.zeros((10, 6, 6), np.uint8)"
    name = function(
        f"{{'train': ({grey}, [0, 1] * 5), 'validation': ({grey}, [1] * 10), 'classes': ['x', 'y'], 'mirrors': False}}"
    )
    data = load_data(name, 6)
    assert data.classes == ("x", "y")
    assert len(data.validation) == 10
    assert not data.mirrors


def test_python_pictures_of_any_size(function: Callable[[str], str]) -> None:
    name = function("{'train': ([Image.new('RGBA', (5 + n, 9), (n, 0, 0, 255)) for n in range(10)], [0, 1] * 5)}")
    data = load_data(name, 8)
    check(data, name, 8, 8)
    whole = np.concatenate([data.train.pictures, data.validation.pictures, data.test.pictures])
    assert sorted(whole[:, 0, 0, 0]) == list(range(10))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("[1, 2]", "returns a dictionary with `train`, got list"),
        ("{'test': ()}", "the dictionary has `train`, .* got test"),
        (f"{{'train': ({PICTURES}, [0, 1] * 5), 'tests': 1}}", "got train, tests"),
        ("{'train': 3}", r"`train` is a pair \(pictures, labels\), got int"),
        ("{'train': (np.zeros((4, 6, 6, 3)), [0, 1] * 2)}", r"got float64\[4, 6, 6, 3\]"),
        ("{'train': (np.zeros((4, 3, 6, 6), np.uint8), [0, 1] * 2)}", r"got uint8\[4, 3, 6, 6\]"),
        ("{'train': (np.zeros((4, 0, 6), np.uint8), [0, 1] * 2)}", r"got uint8\[4, 0, 6\]"),
        ("{'train': ('abcd', [0, 1] * 2)}", "or a list of PIL images, got str"),
        ("{'train': ([1, 2], [0, 1])}", "got int as picture 0"),
        ("{'train': ([Image.new('F', (4, 4))] * 2, [0, 1])}", "picture 0: pixels are whole numbers"),
        (f"{{'train': ({PICTURES}, [0.5] * 10)}}", r"labels are whole numbers, one a picture; got float64\[10\]"),
        (f"{{'train': ({PICTURES}, [[0, 1]] * 10)}}", r"got int64\[10, 2\]"),
        (f"{{'train': ({PICTURES}, [0, 1])}}", "10 pictures, 2 labels"),
        ("{'train': (np.zeros((0, 6, 6), np.uint8), np.zeros(0, int))}", "`train` has no pictures"),
        (f"{{'train': ({PICTURES}, [0, -1] * 5)}}", r"labels lie in 0\.\.0, got -1"),
        (f"{{'train': ({PICTURES}, [0, 2] * 5), 'classes': 'ab'}}", "`classes` is a list of different names, got 'ab'"),
        (f"{{'train': ({PICTURES}, [0, 2] * 5), 'classes': ['a', 'b']}}", r"labels lie in 0\.\.1, got 2"),
        (f"{{'train': ({PICTURES}, [0, 2] * 5)}}", "there are none of '1'"),
        (f"{{'train': ({PICTURES}, [0] * 10)}}", "needs two classes or more, got only '0'"),
        (f"{{'train': ({PICTURES}, [0, 1] * 5), 'mirrors': 1}}", "`mirrors` is True or False, got 1"),
        ("1 / 0", "the function raised ZeroDivisionError: division by zero"),
    ],
)
def test_python_results_that_break_rules(function: Callable[[str], str], result: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(function(result), 6)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("load", "given as python:module.function, got 'load'"),
        ("a b.load", "given as python:module.function"),
        ("nowhere_at_all.load", "neither installed nor in the folder"),
        ("json.nothing", "the module json has no function 'nothing'"),
        ("broken_module.load", "importing broken_module raised SyntaxError"),
    ],
)
def test_python_functions_that_are_not_there(
    argument: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken_module.py").write_text("def load(:")
    with pytest.raises(DataError, match=message):
        load_data(f"python:{argument}", 6)


# hf, through a stand-in with the same interface, and through the real one where it is installed


class FakeImage:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class FakeClassLabel:
    dtype = "int64"

    def __init__(self, names: list[str]) -> None:
        self.names = names


class FakeValue:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class FakeDataset:
    def __init__(self, columns: dict[str, list[Any]], features: dict[str, Any]) -> None:
        self.columns, self.features, self._fingerprint = columns, features, str(len(columns))

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def __iter__(self) -> Any:
        return ({name: column[row] for name, column in self.columns.items()} for row in range(len(self)))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def select_columns(self, names: list[str]) -> FakeDataset:
        return FakeDataset({name: self.columns[name] for name in names}, self.features)

    def cast_column(self, name: str, feature: FakeImage) -> FakeDataset:
        assert not feature.decode
        return self


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `load_dataset` finds, by name."""
    found: dict[str, Any] = {}

    def load_dataset(name: str, configuration: str | None) -> Any:
        return found[f"{name}/{configuration}" if configuration else name]

    fake = types.SimpleNamespace(
        Image=FakeImage, ClassLabel=FakeClassLabel, load_dataset=load_dataset, load_from_disk=lambda name: found["disk"]
    )
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return found


def table(png: Callable[..., bytes], labels: list[Any], feature: Any, column: str = "label") -> FakeDataset:
    cells = [{"bytes": png(number), "path": None} for number in range(len(labels))]
    return FakeDataset({"img": cells, column: labels}, {"img": FakeImage(), column: feature})


def test_hf(hub: dict[str, Any], png: Callable[..., bytes]) -> None:
    feature = FakeClassLabel(["cat", "dog"])
    hub["pets"] = {"train": table(png, [0, 1] * 5, feature), "test": table(png, [0, 1, 1], feature)}
    data = load_data("hf:pets", 8)
    check(data, "hf:pets", 8, 8)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 3)


def test_hf_configurations_and_single_tables(hub: dict[str, Any], png: Callable[..., bytes], tmp_path: Path) -> None:
    hub["pets/small"] = table(png, ["b", "a"] * 5, FakeValue("string"))
    data = load_data("hf:pets#small", 8)
    assert data.classes == ("a", "b")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    hub["disk"] = hub["pets/small"]
    assert load_data(f"hf:{tmp_path}/saved", 8).fingerprint == data.fingerprint


def test_hf_files_and_missing_pictures(hub: dict[str, Any], png: Callable[..., bytes], tmp_path: Path) -> None:
    hub["pets"] = table(png, [0, 1] * 5, FakeClassLabel(["cat", "dog"]))
    (tmp_path / "x.png").write_bytes(png(77))
    hub["pets"].columns["img"][3] = {"bytes": None, "path": str(tmp_path / "x.png")}
    hub["pets"].columns["img"][4] = None
    with pytest.raises(DataError, match="hf:pets: picture 4: the file is empty"):
        load_data("hf:pets", 8)
    assert "1 broken pictures" in load_data("hf:pets", 8, skip_broken=True).notes[-1]


def test_hf_unlabelled_tests_are_passed_over(hub: dict[str, Any], png: Callable[..., bytes]) -> None:
    feature = FakeClassLabel(["cat", "dog"])
    hub["pets"] = {
        "train": table(png, [0, 1] * 5, feature),
        "validation": table(png, [0, 1, 1], feature),
        "test": table(png, [-1] * 4, feature),
    }
    data = load_data("hf:pets", 8)
    assert len(data.test) == 3
    assert "`test` has no labels and was passed over." in data.notes


PARQUET = {
    "one file": (["p.parquet"], {"train": ["p.parquet"]}),
    "files without a split": (["0.parquet", "1.parquet"], {"train": ["0.parquet", "1.parquet"]}),
    "shards": (
        [f"data/{name}.parquet" for name in ("train-0-of-2", "train-1-of-2", "test-0-of-1")],
        {"train": ["data/train-0-of-2.parquet", "data/train-1-of-2.parquet"], "test": ["data/test-0-of-1.parquet"]},
    ),
    "a folder for each split": (
        ["default/Train/0.parquet", "default/Test/0.parquet"],
        {"Train": ["default/Train/0.parquet"], "Test": ["default/Test/0.parquet"]},
    ),
}


@pytest.mark.parametrize("case", PARQUET)
def test_hf_parquet_by_split(
    hub: dict[str, Any], png: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    files, expected = PARQUET[case]
    for file in files:
        (tmp_path / "p" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / file).write_bytes(b"")
    asked = []

    def load_dataset(kind: str, data_files: dict[str, list[str]]) -> Any:
        asked.append((kind, data_files))
        return {name: several(png) for name in data_files}

    monkeypatch.setattr(sys.modules["datasets"], "load_dataset", load_dataset)
    assert load_data(f"hf:{tmp_path}/p?image=photo&label=fine", 8).classes == ("cat", "dog")
    assert asked == [("parquet", {name: [f"{tmp_path}/p/{file}" for file in some] for name, some in expected.items()})]


def test_hf_parquet_of_two_configurations(hub: dict[str, Any], tmp_path: Path) -> None:
    for name in ("fine", "coarse"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train-0-of-1.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"lies in one folder, this is in 2\. Name one"):
        load_data(f"hf:{tmp_path}", 8)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": FakeClassLabel(["a", "b"])}, r"got label \(FakeClassLabel\)"),
        ({"img": FakeImage(), "mask": FakeImage(), "label": FakeClassLabel(["a"])}, r"mask \(FakeImage\)"),
        (
            {"img": FakeImage(), "fine": FakeClassLabel(["a"]), "coarse": FakeClassLabel(["a"])},
            "one of type ClassLabel",
        ),
        ({"img": FakeImage(), "label": FakeValue("float32")}, "one of type ClassLabel"),
    ],
)
def test_hf_columns_are_found_by_type(hub: dict[str, Any], columns: dict[str, Any], message: str) -> None:
    hub["pets"] = FakeDataset({name: [] for name in columns}, columns)
    with pytest.raises(DataError, match=message):
        load_data("hf:pets", 8)


TWO = {
    "photo": FakeImage(),
    "mask": FakeImage(),
    "fine": FakeClassLabel(["cat", "dog"]),
    "coarse": FakeClassLabel(["x", "y", "z"]),
    "text": FakeValue("string"),
    "weight": FakeValue("float32"),
}


def several(png: Callable[..., bytes]) -> FakeDataset:
    """Ten rows of a table with two columns of pictures and several of labels."""
    photos, masks = ([{"bytes": png(first + n), "path": None} for n in range(10)] for first in (0, 50))
    labels = {"fine": [0, 1] * 5, "coarse": [0, 1, 2, 1, 0] * 2, "text": ["m", "n"] * 5, "weight": [0.5] * 10}
    return FakeDataset({"photo": photos, "mask": masks, **labels}, TWO)


@pytest.mark.parametrize(
    ("query", "classes"),
    [
        ("image=photo&label=fine", ("cat", "dog")),
        ("label=coarse&image=mask", ("x", "y", "z")),
        ("image=photo&label=text", ("m", "n")),
    ],
)
def test_hf_columns_can_be_chosen(
    hub: dict[str, Any], png: Callable[..., bytes], query: str, classes: tuple[str, ...]
) -> None:
    hub["pets"] = hub["pets/small"] = several(png)
    data = load_data(f"hf:pets?{query}", 8)
    check(data, f"hf:pets?{query}", 8, 8)
    assert data.classes == classes
    whole = np.concatenate([data.train.pictures, data.validation.pictures, data.test.pictures])
    first = picture_array(png(50 if "mask" in query else 0), View(8, 8))
    assert (whole == first).all(axis=(1, 2, 3)).sum() == 1
    assert load_data(f"hf:pets#small?{query}", 8).fingerprint == data.fingerprint


def test_hf_one_column_may_be_chosen(hub: dict[str, Any], png: Callable[..., bytes]) -> None:
    hub["pets"] = table(png, [0, 1] * 5, FakeClassLabel(["cat", "dog"]), "kind")
    assert load_data("hf:pets?label=kind", 8).fingerprint == load_data("hf:pets?image=img", 8).fingerprint


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", r"Choose with \?image=COLUMN&label=COLUMN"),
        ("?image=photo", "one column of type Image and one of type ClassLabel or called label"),
        ("?image=picture&label=fine", r"no column 'picture' of type Image; there are photo \(FakeImage\), mask"),
        ("?image=fine&label=fine", "no column 'fine' of type Image"),
        ("?image=photo&label=mask", "no column 'mask' of type ClassLabel, or whole numbers or texts"),
        ("?image=photo&label=weight", "no column 'weight' of type ClassLabel"),
        ("?image=photo&labels=fine", r"columns are chosen as \?image=COLUMN&label=COLUMN"),
        ("?image=photo&image=mask", "columns are chosen as"),
        ("?image=&label=fine", "columns are chosen as"),
        ("?photo", "columns are chosen as"),
    ],
)
def test_hf_columns_that_are_not_there(
    hub: dict[str, Any], png: Callable[..., bytes], query: str, message: str
) -> None:
    hub["pets"] = several(png)
    with pytest.raises(DataError, match=message):
        load_data(f"hf:pets{query}", 8)


def test_hf_rows_without_labels(hub: dict[str, Any], png: Callable[..., bytes]) -> None:
    hub["pets"] = table(png, ["a", None] * 5, FakeValue("string"))
    with pytest.raises(DataError, match="every picture has a label; some have none in the column 'label'"):
        load_data("hf:pets", 8)
    feature = FakeClassLabel(["cat", "dog"])
    hub["pets"] = {"train": table(png, [0, 1] * 5, feature), "test": table(png, [None] * 4, feature)}
    assert "`test` has no labels and was passed over." in load_data("hf:pets", 8).notes


def test_hf_splits_of_other_names(hub: dict[str, Any], png: Callable[..., bytes]) -> None:
    feature = FakeClassLabel(["cat", "dog"])
    names = ("Train", "dev", "test", "unsupervised")
    hub["pets"] = {name: table(png, [0, 1] * 5, feature) for name in names}
    data = load_data("hf:pets", 8)
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 10, 10)
    assert "Splits of other names were passed over: `unsupervised`." in data.notes


def test_hf_messages(hub: dict[str, Any], png: Callable[..., bytes], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hf:none: cannot be loaded"):
        load_data("hf:none", 8)
    with pytest.raises(DataError, match="did not write this folder, and it holds no Parquet"):
        load_data(f"hf:{tmp_path}", 8)
    hub["pets"] = table(png, [0, 2] * 5, FakeClassLabel(["cat", "dog"]))
    with pytest.raises(DataError, match=r"labels lie in 0\.\.1, got 2"):
        load_data("hf:pets", 8)
    hub["pets"] = {"test": table(png, [0, 1], FakeClassLabel(["cat", "dog"]))}
    with pytest.raises(DataError, match="needed in `train`, got only test"):
        load_data("hf:pets", 8)


def test_hf_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r'pip install "nas\[hf\]"'):
        load_data("hf:pets", 8)


def test_the_real_hf(tmp_path: Path, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})

    def made(count: int, first: int) -> Any:
        pictures = [Image.open(io.BytesIO(png(first + number))) for number in range(count)]
        return datasets.Dataset.from_dict({"image": pictures, "label": [0, 1] * (count // 2)}, features=features)

    datasets.DatasetDict({"train": made(20, 0), "test": made(6, 50)}).save_to_disk(tmp_path / "pets")
    data = load_data(f"hf:{tmp_path}/pets", 8)
    check(data, f"hf:{tmp_path}/pets", 8, 8)
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 6)
    assert load_data(f"hf:{tmp_path}/pets", 8).fingerprint == data.fingerprint
    chosen = load_data(f"hf:{tmp_path}/pets?image=image&label=label", 8)
    assert chosen.fingerprint == data.fingerprint
    made(20, 0).rename_columns({"image": "img", "label": "fine_label"}).to_parquet(tmp_path / "p.parquet")
    data = load_data(f"hf:{tmp_path}/p.parquet?image=img&label=fine_label", 8)
    check(data, f"hf:{tmp_path}/p.parquet?image=img&label=fine_label", 8, 8)
    assert data.classes == ("cat", "dog")


# names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no data named 'nothing'; it is one of digits, imagefolder, .*imagefolder:PATH, for instance"),
        ("", "no data named ''"),
        ("/some/path", "no data named"),
        ("digits:x", "`digits` takes no argument, got 'x'"),
        *((kind, f"`{kind}` needs to be told what to load") for kind in DATA_KINDS if kind != "digits"),
    ],
)
def test_names_that_break_rules(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(name, 32)


@pytest.mark.parametrize(
    "options", [{"resolution": 0}, {"resolution": 5000}, {"held_out": 1.0}, {"held_out": -0.1}, {"seed": -1}]
)
def test_numbers_that_break_rules(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"lies in|from 0"):
        load_data("digits", **{"resolution": 8, **options})


def test_every_kind_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    assert all(f"## `{kind}" in page for kind in DATA_KINDS)
