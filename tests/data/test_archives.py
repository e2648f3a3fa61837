"""Archives of every kind: one reading, one set of bounds, and what was passed over is told."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from nas.data import DataError, load_data
from nas.data.imagefolder import load_imagefolder

Make = Callable[..., Path]
Files = Mapping[str, bytes]
KINDS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")


@pytest.fixture
def files(png: Callable[..., bytes]) -> dict[str, bytes]:
    return {f"pets/{part}/{kind}/{n}.png": png(n) for part in ("Train", "Test") for kind in "ab" for n in range(5)}


@pytest.fixture
def pack(tmp_path: Path) -> Make:
    """Makes an archive of these files, of the kind that its name says."""

    def make(files: Files, name: str) -> Path:
        path = tmp_path / name
        if name.endswith("zip"):
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for member, data in files.items():
                    archive.writestr(zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
            return path
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for member, data in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        packers = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
        path.write_bytes(packers.get(name.rpartition(".")[2], bytes)(file.getvalue()))
        return path

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_read_alike(pack: Make, files: Files, folder: Make, kind: str) -> None:
    data = load_data(f"imagefolder:{pack(files, f'pets.{kind}')}", 8)
    assert data.classes == ("a", "b")
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 10)
    assert np.array_equal(data.test.pictures, load_data(f"imagefolder:{folder({}, files)}", 8).test.pictures)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [0.5, 0.999, 0])
def test_archives_that_are_cut_short(pack: Make, files: Files, kind: str, cut: float) -> None:
    path = pack(files, f"pets.{kind}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * (0.4 if kind == "tar" and cut else cut))])
    with pytest.raises(DataError, match=r"the archive is damaged or cut short.*Get it anew"):
        load_imagefolder(str(path))


@pytest.mark.parametrize("kind", ["tar.bz2", "tar.xz", "zip"])
def test_checksums_are_checked(pack: Make, files: Files, kind: str) -> None:
    path = pack(files, f"pets.{kind}")
    data = bytearray(path.read_bytes())
    data[100 if kind == "zip" else len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged or cut short"):
        load_data(f"imagefolder:{path}", 8)


def test_xz_of_several_streams(pack: Make, files: Files, tmp_path: Path) -> None:
    plain = pack(files, "pets.tar").read_bytes()
    path = tmp_path / "two.tar.xz"
    path.write_bytes(lzma.compress(plain[:3000]) + bytes(8) + lzma.compress(plain[3000:]))
    assert load_imagefolder(str(path)).fingerprint == load_imagefolder(str(tmp_path / "pets.tar")).fingerprint


def test_xz_that_asks_for_memory(pack: Make, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "pets.tar.xz"
    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}])
    data = bytearray(packer.compress(pack(files, "pets.tar").read_bytes()) + packer.flush())
    assert data[16] == 8  # the size of the dictionary, 64 kB
    data[16] = 36  # 1 GB
    data[20:24] = (zlib.crc32(bytes(data[12:20]))).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match="Memory usage limit"):
        load_imagefolder(str(path))


def test_what_stands_behind_the_end_has_a_bound(pack: Make, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(files, "pets.tar")
    path.write_bytes(bz2.compress(path.read_bytes() + bytes(8 << 20)))
    monkeypatch.setattr("nas.data.member.SPARE", 4 << 20)
    with pytest.raises(DataError, match="it goes on behind its end mark"):
        load_imagefolder(str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_archive_unpacks_to_has_a_bound(
    pack: Make, files: Files, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.data.member.SPARE", 1000)
    monkeypatch.setattr("nas.data.member.MOST_PACKED", 0)
    with pytest.raises(DataError, match="an archive unpacks to at most 1,000 bytes"):
        load_imagefolder(str(pack(files, f"pets.{kind}")))


# zip alone


def test_zip_of_windows_and_of_macs(pack: Make, png: Callable[..., bytes], tmp_path: Path) -> None:
    names = {f"train\\{kind}\\{n}.png": png(n) for kind in "ab" for n in range(3)}
    assert load_imagefolder(str(pack(names, "windows.zip"))).classes == ("a", "b")
    hidden = {"__MACOSX/cafe/._0.png": b"x", "cafe/.DS_Store": b"x"}
    path = pack({f"{kind}/{n}.png": png(n) for kind in ("café", "tea") for n in range(3)} | hidden, "mac.zip")
    said(path, 8, b"\0\0")  # a Mac writes UTF-8 without the flag
    assert load_imagefolder(str(path)).classes == ("café", "tea")


def test_links_in_a_zip_are_passed_over(pack: Make, files: Files, tmp_path: Path) -> None:
    path = pack(files, "pets.zip")
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("pets/Train/a/link.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert len(load_imagefolder(str(path)).labels) == 20


def test_zip64(files: Files, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    assert load_data(f"imagefolder:{tmp_path}/pets.zip", 8).classes == ("a", "b")


def said(path: Path, place: int, value: bytes) -> Path:
    """Writes something else into every entry of a zip's directory."""
    first, *rest = path.read_bytes().split(b"PK\x01\x02")
    parts = [part[: place - 4] + value + part[place - 4 + len(value) :] for part in rest]
    path.write_bytes(b"PK\x01\x02".join([first, *parts]))
    return path


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (6, b"\xff\0", "damaged .*NotImplementedError"),  # the version that is needed
        (8, b"\1\0", r"pets/Train/a/0\.png is encrypted\. Unpack the archive with its password"),
        (10, b"\x0e\0", r"members are stored or deflated, pets/Train/a/0\.png is not"),  # but by LZMA
        (24, b"\5\0\0\0", "damaged or cut short"),  # of so many bytes
        (24, b"\xff\xff\xff\x7f", "unpacks to at most"),
        (42, b"\xff\xff\0\0", "damaged or cut short"),  # where it begins
    ],
)
def test_zips_that_lie(pack: Make, files: Files, place: int, value: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(f"imagefolder:{said(pack(files, 'pets.zip'), place, value)}", 8)


def test_a_time_of_no_calendar_does_no_harm(pack: Make, files: Files) -> None:
    load_imagefolder(str(said(pack(files, "pets.zip"), 12, b"\xff\xff\0\0")))


def test_an_empty_zip(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "pets.zip", "w").close()
    with pytest.raises(DataError, match="no pictures"):
        load_imagefolder(str(tmp_path / "pets.zip"))


# what was passed over


@pytest.mark.parametrize("kind", ["folder", *KINDS])
def test_a_class_whose_files_are_no_pictures_is_not_lost(pack: Make, folder: Make, kind: str) -> None:
    files = {
        f"{name}/{n}.{end}": b"x" for name, end in (("bad", "png"), ("good", "png"), ("scan", "heic")) for n in range(6)
    }
    path = folder({}, files) if kind == "folder" else pack(files, f"parts.{kind}")
    with pytest.raises(
        DataError, match=r"there are none of 'scan'\..* 6 files that are no pictures by their names .*: 6 \.heic"
    ):
        load_imagefolder(str(path))


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("above", ["/", "../", "/home/someone/", "a/../../"])
def test_names_that_lead_out_are_told_where_nothing_is_left(pack: Make, kind: str, above: str) -> None:
    path = pack({f"{above}{name}/{n}.png": b"x" for name in "ab" for n in range(6)}, f"pics.{kind}")
    with pytest.raises(
        DataError,
        match=r"no pictures.* 12 members whose names lead out of the archive were passed over, such as "
        rf"'{above}a/0\.png'; make it anew without -P",
    ):
        load_imagefolder(str(path))


def test_a_mix_says_what_it_lost(pack: Make, files: Files) -> None:
    path = pack(
        dict(files) | {"pets/Train/a/9.heic": b"x", "pets/Train/b/9.heic": b"x", "pets/notes": b"x"}, "p.tar.xz"
    )
    assert (
        "3 files that are no pictures by their names were passed over: 2 .heic, 1 without any."
        in load_imagefolder(str(path)).notes
    )
