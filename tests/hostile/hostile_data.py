"""Pictures that a stranger packed."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from box import Box
from hostile import Hostile, Make, Reader
from hostile_networks import Canary
from hostile_spaces import SMALL


def searched(data: str, *more: str) -> list[str]:
    words = ["search", "--space", "./space.yaml", "--target", "pixel-cpu", "--latency", "99ms", "--data", data]
    return [*words, "--budget", "1", "--out", "out", *more]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 8, height: int = 8, *chunks: bytes, pixels: bytes | None = None) -> bytes:
    raw = b"".join(b"\0" + bytes(3 * width) for _ in range(height)) if pixels is None else pixels
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


GOOD = [(entry(f"{name}/{n}.png", len(png())), png()) for name in ("cat", "dog") for n in range(4)]


def tar(members: list[tuple[tarfile.TarInfo, bytes]], packed: bool = False) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz" if packed else "w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return file.getvalue()


def zipped(members: dict[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def said(content: bytes, mark: bytes, place: int, value: bytes) -> bytes:
    """An archive in which something else stands so many bytes behind each of these marks."""
    first, *rest = content.split(mark)
    return first + b"".join(mark + part[:place] + value + part[place + len(value) :] for part in rest)


ZIP = zipped({f"{name}/{n}.png": png() for name in ("cat", "dog") for n in range(4)})


def archive(content: bytes | Callable[[], bytes]) -> Make:
    def makes(box: Box) -> list[str]:
        box.write("space.yaml", SMALL)
        box.write("d.tar.gz", content() if callable(content) else content)
        return searched("imagefolder:d.tar.gz")

    return makes


def listed(text: bytes | Callable[[Box], object]) -> Make:
    """A list of pictures, beside such a picture."""

    def makes(box: Box) -> list[str]:
        box.write("space.yaml", SMALL)
        box.write("d/1.png", png())
        if callable(text):
            text(box)
        else:
            box.write("d/list.csv", text)
        return searched("csv:d/list.csv")

    return makes


def tiff(pages: int, side: int = 8) -> bytes:
    """A TIFF of so many pages; all have the pixels that stand where the first one's tags are."""
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side, 279: side}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    page = struct.pack("<H", len(tags)) + fields
    ends = [8 + (number + 1) * (len(page) + 4) for number in range(pages - 1)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(page + struct.pack("<I", end) for end in (*ends, 0))


def folders(names: str) -> Make:
    """A picture in each of these folders."""

    def makes(box: Box) -> list[str]:
        box.write("space.yaml", SMALL)
        for name in names.split():
            box.write(f"d/{name}/1.png", png())
        return searched("imagefolder:d")

    return makes


def pictured(content: bytes, name: str = "cat/bad.png") -> Make:
    return archive(lambda: tar([*GOOD, (entry(name, len(content)), content)]))


def header(size: int, kind: bytes, name: bytes = b"x") -> bytes:
    """A header that `tarfile` would not write; its size in base 256."""
    block = bytearray(entry("x", 0, kind).tobuf(tarfile.GNU_FORMAT))
    block[: len(name)] = name
    block[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % (1 << 88)).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def bomb(head: bytes, zeros: int) -> bytes:
    """Packed: a head and so many zeros."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
        packed.write(head)
        for _ in range(zeros >> 20):
            packed.write(bytes(1 << 20))
    return file.getvalue()


def folder(**files: bytes) -> Make:
    """The files of an idx or CIFAR-10 folder."""

    def makes(box: Box) -> list[str]:
        box.write("space.yaml", SMALL)
        for name, content in files.items():
            box.write("d/" + name.replace("__", "-").replace("_gz", ".gz"), content)
        return searched(
            (
                "idx:"
                if "train__images__idx3__ubyte" in files or "train__images__idx3__ubyte_gz" in files
                else "cifar10:"
            )
            + "d"
        )

    return makes


def cifar(pickled: bytes) -> Make:
    return folder(data_batch_1=pickled)


def idx(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def entries(make: Callable[[Path], object]) -> Make:
    """A folder of pictures with something else in it."""

    def makes(box: Box) -> list[str]:
        box.write("space.yaml", SMALL)
        for info, content in GOOD:
            box.write(f"d/{info.name}", content)
        make(box.here / "d" / "cat")
        return searched("imagefolder:d")

    return makes


PNG_BOMB = png(60_000, 60_000, pixels=b"")

PICTURES = Reader(
    "pictures",
    entries(lambda cat: None),
    (
        Hostile(
            "zip slip: all names lead out",
            archive(
                tar(
                    [
                        (entry("../../outside/cat/1.png", len(png())), png()),
                        (entry("/tmp/cat/2.png", len(png())), png()),
                    ]
                )
            ),
            "no pictures",
        ),
        Hostile(
            "a link, then a file through it",
            archive(tar([(entry("cat", 0, tarfile.SYMTYPE, "../../outside"), b""), (entry("cat/1.png", 5), b"owned")])),
            "needs two classes",
        ),
        Hostile(
            "hard links to secrets",
            archive(tar([(entry("cat/1.png", 0, tarfile.LNKTYPE, "/etc/passwd"), b"")])),
            "no pictures",
        ),
        Hostile(
            "devices and pipes",
            archive(
                tar([(entry("cat/1.png", 0, tarfile.CHRTYPE), b""), (entry("cat/2.png", 0, tarfile.FIFOTYPE), b"")])
            ),
            "no pictures",
        ),
        Hostile(
            "a bomb: 3 GB of zeros in 13 MB",
            archive(lambda: bomb(header(3 << 30, b"0", b"cat/1.png"), 64 << 20)),
            "unpacks to at most",
        ),
        Hostile("a header of 4 GB (pax)", archive(lambda: bomb(header(4 << 30, b"x"), 64 << 20)), "damaged"),
        Hostile("a name of 4 GB (GNU)", archive(lambda: bomb(header(4 << 30, b"L"), 64 << 20)), "damaged"),
        Hostile("a header of less than no bytes (pax)", archive(header(-1024, b"x") + bytes(1 << 20)), "damaged"),
        Hostile("a member of less than no bytes", archive(header(-1024, b"0") * 2 + bytes(1 << 20)), "damaged"),
        Hostile("2,000 headers of headers", archive(header(0, b"x") * 2_000 + bytes(10_240)), "damaged"),
        Hostile("a name of 100,000 folders", archive(tar([(entry("a/" * 100_000 + "x.png", 0), b"")])), "letters"),
        Hostile("folders 1,000 deep", archive(tar([(entry("a/" * 1_000 + "x.png", 0), b"")])), "deep"),
        Hostile("an archive that is cut short", archive(tar(GOOD)[:1_000]), "cut short"),
        Hostile(
            "zip: links to secrets", archive(zipped({"cat/1.png": b"/etc/passwd"}, stat.S_IFLNK | 0o777)), "no pictures"
        ),
        Hostile(
            "zip: a bomb that says 4 GB",
            archive(said(ZIP, b"PK\x01\x02", 20, b"\xff\xff\xff\x7f")),
            "unpacks to at most",
        ),
        Hostile("zip: a directory of 4 GB", archive(said(ZIP, b"PK\5\6", 8, b"\xff\xff\xff\xf0")), "damaged"),
        Hostile(
            "bzip2: a bomb of 3 GB", archive(lambda: bz2.compress(header(3 << 30, b"0", b"cat/1.png"))), "unpacks to"
        ),
        Hostile("splits that may be classes", folders("one/a two/a one/b two/b"), "hold the same folders"),
        Hostile("a list that leads out", listed(b"picture,label\n../../outside/secret.png,a\n"), "stay in it"),
        Hostile("a list that is a pipe", listed(lambda box: box.pipe("d/list.csv")), "not a plain file"),
        Hostile(
            "a list that is a link to /dev/zero",
            listed(lambda box: box.link("d/list.csv", "/dev/zero")),
            "not a plain file",
        ),
        Hostile("a list of 1 TB", listed(lambda box: box.sparse("d/list.csv", 1 << 40)), "at most 134,217,728 bytes"),
        Hostile("a list of one line of 8 MB", listed(b"picture,label\n" + b"x" * (8 << 20)), "letters", 60),
        Hostile("a TIFF of 60,000 × 60,000 pixels", pictured(tiff(1, 60_000)), "pixels"),
        Hostile("a TIFF of 20,000 pages", pictured(tiff(20_000)), "several pages"),
        Hostile("a picture of 60,000 × 60,000 pixels", pictured(PNG_BOMB), "pixels"),
        Hostile(
            "a picture that says 2 GB of text",
            pictured(png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80 << 20), 9)))),
            "bad.png",
        ),
        Hostile("a picture cut short", pictured(png()[:45]), "bad.png"),
        Hostile("a picture that is a script", pictured(b"#!/bin/sh\ntouch ../canary\n"), "not a picture"),
        Hostile(
            "PostScript by the name of a picture",
            pictured(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) (w) file\n", "cat/bad.jpg"),
            "not a picture",
        ),
        Hostile(
            "SVG by the name of a picture",
            pictured(b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"),
            "not a picture",
        ),
        Hostile("escape sequences in a name", pictured(b"x", "cat/\x1b]0;owned\x07\x1b[2J.png"), "not a picture"),
        Hostile(
            "a pipe for a picture",
            entries(
                lambda cat: [(cat / f"{n}.png").unlink() for n in range(4)] and __import__("os").mkfifo(cat / "p.png")
            ),
            "none of",
        ),
        Hostile(
            "a link to /dev/zero for all pictures",
            entries(
                lambda cat: [(cat / f"{n}.png").unlink() for n in range(4)] and (cat / "z.png").symlink_to("/dev/zero")
            ),
            "none of",
        ),
        Hostile(
            "a pipe for an archive",
            lambda box: [box.write("space.yaml", SMALL), box.pipe("p.tar")] and searched("imagefolder:p.tar"),
            "no such folder or archive",
        ),
        Hostile("a pickle by the name of CIFAR-10", cifar(pickle.dumps(Canary(), 2)), "are not read"),
        Hostile(
            "a pickle of 30,000,000 instructions", cifar(b"\x80\x02](" + b"N" * 30_000_000 + b"e."), "are not read"
        ),
        Hostile(
            "100 files of 60 MB",
            lambda box: (
                [box.write("space.yaml", SMALL), [box.sparse(f"d/data_batch_{n}.bin", 60 << 20) for n in range(10)]]
                and searched("cifar10:d")
            ),
            "in all",
            340,
        ),
        Hostile(
            "2^31 pictures in no file",
            folder(train__images__idx3__ubyte=idx((1 << 31, 28, 28)), train__labels__idx1__ubyte=idx((1 << 31,))),
            "holds 1 to",
        ),
        Hostile(
            "1 GB of pictures in no file",
            folder(train__images__idx3__ubyte=idx((1 << 20, 32, 32)), train__labels__idx1__ubyte=idx((1 << 20,))),
            "bytes follow",
        ),
        Hostile(
            "1 GB of pictures in a bomb of 1 kB",
            folder(
                train__images__idx3__ubyte_gz=gzip.compress(idx((1 << 20, 32, 32))),
                train__labels__idx1__ubyte=idx((1 << 20,)),
            ),
            "bytes follow",
        ),
    ),
)
