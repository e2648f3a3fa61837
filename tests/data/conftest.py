"""Pictures to load: real ones where they lie beside the repository, small ones made here otherwise."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder of real pictures, which is not part of the repository (the README.md of each names its source).

    Tests that need them are skipped on machines that do not have them. Where `NAS_IMAGES` names the folder, or it lies
    beside the repository as it does in CI, whatever it lacks is a failure.
    """
    named = os.environ.get("NAS_IMAGES")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data" / "images"
    if not named and not folder.is_dir():
        pytest.skip("the real pictures are not beside the repository; NAS_IMAGES may name their folder")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of decoded pictures, empty at the start of each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nas" / "data"


class Told:
    """A teller that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shares: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, note: str) -> None:
        self.shares.append((done, total, note))

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Bytes of a picture of noise, by default a PNG of 6 x 5 pixels; equal seeds give equal bytes."""

    def make(seed: int = 0, size: tuple[int, int] = (6, 5), kind: str = "PNG") -> bytes:
        pixels = np.random.default_rng(seed).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        return file.getvalue()

    return make


@pytest.fixture
def folder(tmp_path: Path, png: Callable[..., bytes]) -> Callable[..., Path]:
    """Makes a folder of so many pictures by folder name, such as {"train/cat": 3}, and of further files."""

    def make(counts: Mapping[str, int], files: Mapping[str, bytes] | None = None) -> Path:
        root = tmp_path / "pictures"
        for name, count in counts.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                (root / name / f"{number}.png").write_bytes(png(hash((name, number)) % 2**32))
        for name, data in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root

    return make


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Makes a tar archive of these members: bytes, or a `TarInfo` as it is, or None for a folder."""

    def make(members: Mapping[str, bytes | tarfile.TarInfo | None], name: str = "pictures.tar") -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as file:
            for member, content in members.items():
                info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(member)
                if content is None:
                    info.type = tarfile.DIRTYPE
                if isinstance(content, bytes):
                    info.size = len(content)
                    file.addfile(info, io.BytesIO(content))
                else:
                    file.addfile(info)
        return path

    return make
