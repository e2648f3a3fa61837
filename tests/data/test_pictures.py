"""One picture: every mode comes out as RGB, resized and cropped as torchvision does it; broken ones say why."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import pictures
from nas.data.pictures import BrokenPicture, View, decode, picture_array


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


@pytest.mark.parametrize("resolution", [32, 64, 65, 96, 127, 192, 224])
@pytest.mark.parametrize("size", [(128, 96), (97, 131), (300, 40), (33, 33), (64, 64), (256, 256), (257, 320)])
def test_the_centre_is_what_torchvision_takes(size: tuple[int, int], resolution: int) -> None:
    import torchvision.transforms as transforms

    image = Image.fromarray(noise(size[1], size[0], 3)).resize((400, 300)).resize(size)  # noise, less rough
    side = View(resolution, resolution).stored[0]
    theirs = transforms.CenterCrop(resolution)(transforms.Resize(side)(image))
    begin = round((side - resolution) / 2)
    ours = picture_array(encoded(image), View(resolution, resolution))[
        begin : begin + resolution, begin : begin + resolution
    ]
    assert np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).max() <= 1


@pytest.mark.parametrize("resolution", [48, 96])
def test_real_photos_as_torchvision(images: Path, resolution: int) -> None:
    import torchvision.transforms as transforms

    side = View(resolution, resolution).stored[0]
    begin = round((side - resolution) / 2)
    recipe = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(resolution)])
    with tarfile.open(images / "trashnet-128x96" / "trashnet-128x96.tar") as archive:
        for member in list(archive)[::250]:
            data = archive.extractfile(member).read()
            theirs = np.asarray(recipe(Image.open(io.BytesIO(data)))).astype(int)
            ours = picture_array(data, View(resolution, resolution))[
                begin : begin + resolution, begin : begin + resolution
            ]
            assert np.abs(ours.astype(int) - theirs).max() <= 1, member.name


def test_stored_sides() -> None:
    assert [View(side, side).stored[0] for side in (1, 32, 64, 65, 96, 224)] == [1, 32, 64, 74, 110, 256]


@pytest.mark.parametrize(("resolution", "side"), [(32, 32), (224, 256)])
def test_a_picture_of_the_right_size_is_untouched(resolution: int, side: int) -> None:
    pixels = noise(side, side, 3)
    assert np.array_equal(picture_array(encoded(Image.fromarray(pixels)), View(resolution, resolution)), pixels)
    assert np.array_equal(picture_array(pixels, View(resolution, resolution)), pixels)
    grey = picture_array(pixels[..., 0], View(resolution, resolution))
    assert np.array_equal(grey, np.repeat(pixels[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF", "JPEG", "MPO", "TIFF", "PPM"])
def test_formats(kind: str) -> None:
    image = Image.new("RGB", (9, 7), (200, 100, 50))
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.abs(np.asarray(decode(data)).astype(int) - [200, 100, 50]).max() <= 3


def test_alpha_lies_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    pixels = np.asarray(decode(encoded(image)))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert (pixels[1:] == 255).all()
    assert (np.asarray(decode(encoded(Image.new("LA", (2, 2), (7, 0))))) == 255).all()


def test_palettes_and_transparent_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([1, 2, 3, 4, 5, 6])
    image.putpixel((1, 0), 1)
    assert np.asarray(decode(encoded(image))).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert np.asarray(decode(encoded(image, transparency=1))).tolist() == [[[1, 2, 3], [255, 255, 255]]]
    plain = Image.fromarray(np.array([[[9, 9, 9], [8, 8, 8]]], np.uint8))
    assert np.asarray(decode(encoded(plain, transparency=(8, 8, 8)))).tolist() == [[[9, 9, 9], [255, 255, 255]]]


def test_grey_bits_and_cmyk() -> None:
    assert np.asarray(decode(encoded(Image.new("L", (2, 2), 77)))).tolist() == [[[77] * 3] * 2] * 2
    assert np.asarray(decode(encoded(Image.new("1", (1, 1), 1)))).tolist() == [[[255] * 3]]
    cmyk = np.asarray(decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")))
    assert np.abs(cmyk.astype(int) - [255, 0, 0]).max() <= 4  # no cyan, all else: red


def test_sixteen_bits_become_eight() -> None:
    levels = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    expected = [0, 0, 1, 128, 255]  # the upper byte
    assert np.asarray(decode(encoded(Image.fromarray(levels))))[0, :, 0].tolist() == expected


def test_the_right_way_up() -> None:
    image = Image.fromarray(noise(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = np.asarray(decode(encoded(image, exif=exif.tobytes())))
    assert np.array_equal(turned, np.rot90(np.asarray(image), -1))


def test_damaged_exif_does_no_harm() -> None:
    image = Image.fromarray(noise(8, 8, 3))
    data = encoded(image, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(40)))
    assert np.asarray(decode(data)).shape == (8, 8, 3)


def test_the_first_frame() -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(data))[0, 0].tolist() == [255, 0, 0]


def test_a_sliver_needs_no_more_memory_than_what_is_kept() -> None:
    data = encoded(Image.new("L", (20_000, 1), 9))
    assert (picture_array(data, View(224, 224)) == 9).all()  # resized as a whole it would have 5,120,000 x 256 pixels


def bomb(side: int) -> bytes:
    """A PNG that says it is this large, of black pixels."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", zlib.compress(bytes(1000))) + block(b"IEND", b"")
    )


def pages(reduced: bool = False) -> bytes:
    """A TIFF of three pages; `reduced` says that those behind the first are smaller copies of it."""
    image = Image.new("RGB", (8, 8), (1, 2, 3))
    copies = [image.resize((4, 4)), image.resize((2, 2))]
    for copy in copies:
        copy.encoderinfo = {"tiffinfo": {254: 1}} if reduced else {}
    return encoded(image, "TIFF", save_all=True, append_images=copies)


def test_smaller_copies_in_a_tiff_are_no_pages() -> None:
    assert np.asarray(decode(pages(reduced=True)))[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "options", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "packbits"}]
)
def test_tiffs_as_they_are(options: dict[str, str]) -> None:
    pixels = noise(5, 7, 3)
    assert np.array_equal(np.asarray(decode(encoded(Image.fromarray(pixels), "TIFF", **options))), pixels)


def test_a_damaged_tiff_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(Image.fromarray(noise(40, 60)).convert("1"), "TIFF", compression="group4"))
    (begin,) = Image.open(io.BytesIO(data)).tag_v2[273]  # where its only strip is
    data[begin : begin + 40] = noise(40).tobytes()
    with suppress(BrokenPicture):
        decode(bytes(data))
    assert capfd.readouterr().err == ""  # where libtiff would have a line for every row


def test_tiffs_of_other_kinds() -> None:
    levels = np.array([[0, 255, 256, 65535]], np.uint16)
    assert np.asarray(decode(encoded(Image.fromarray(levels), "TIFF")))[0, :, 0].tolist() == [0, 0, 1, 255]
    cmyk = encoded(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), "TIFF")
    assert np.asarray(decode(cmyk))[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(decode(encoded(Image.new("1", (2, 2), 1), "TIFF", compression="group4"))).min() == 255
    assert np.asarray(decode(encoded(Image.new("RGBA", (2, 2), (9, 9, 9, 0)), "TIFF"))).min() == 255
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.asarray(decode(encoded(Image.fromarray(noise(4, 6, 3)), "TIFF", exif=exif)))
    assert np.array_equal(turned, np.rot90(noise(4, 6, 3), -1))


@pytest.mark.parametrize(
    ("data", "first"),
    [
        (b"P2\n2 1\n255\n7 200\n", [7, 7, 7]),
        (b"P3\n# a remark\n1 1\n255\n1 2 3\n", [1, 2, 3]),
        (b"P4\n2 1\n\x40", [255, 255, 255]),
        (b"P5\n2 1\n255\n\x07\x08", [7, 7, 7]),
        (b"P5\n1 1\n4095\n\x0f\xff", [255, 255, 255]),  # 12 bits
        (b"P6\n1 1\n255\n\x01\x02\x03", [1, 2, 3]),
        (b"P6\n1 1\n65535\n\x01\x00\xff\xff\x80\x00", [1, 255, 128]),
    ],
)
def test_the_ppm_family(data: bytes, first: list[int]) -> None:
    assert np.asarray(decode(data))[0, 0].tolist() == first


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"this is a text", "not a picture of a known format"),
        (bomb(12_000), "more than 89,478,485 pixels"),
        (bomb(50_000), "more than 89,478,485 pixels"),
        (encoded(Image.new("RGB", (90, 90)), "JPEG")[:300], "not a picture|cannot be decoded"),
        (encoded(Image.fromarray(noise(90, 90, 3)))[:9000], "cannot be decoded"),
        (b"P5\n60000 60000\n255\n", "more than 89,478,485 pixels"),
        (b"P6\n9 9\n255\n123", "cannot be decoded"),
        (b"Pf\n1 1\n-1.0\n\0\0\x80\x3f", "pixels are whole numbers, these are floats"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "pixels are whole numbers, these are floats"),
        (encoded(Image.new("I", (4, 4)), "TIFF"), "pixels have 8 or 16 bits without a sign"),
        (encoded(Image.new("LAB", (4, 4)), "TIFF"), r"these are L\*a\*b\*"),
        (pages(), "this one has several pages"),
        (encoded(Image.new("RGB", (9, 9)), "TIFF")[:-9], "cannot be decoded"),
        (encoded(Image.new("RGB", (9, 9)), "TIFF", compression="tiff_lzw")[:40], "no TIFF in .*, or cut short"),
    ],
)
def test_broken_pictures_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(BrokenPicture, match=reason):
        decode(data)


def test_files_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PICTURE_BYTES", 100)
    path = tmp_path / "a.png"
    path.write_bytes(bytes(200))
    with pytest.raises(BrokenPicture, match="a file of 101 bytes, at most 100 are read"):
        picture_array(path, View(32, 32))
    with pytest.raises(BrokenPicture, match="cannot be read"):
        picture_array(tmp_path / "none.png", View(32, 32))


def test_grey_is_luma_as_pillow_has_it() -> None:
    pixels = noise(20, 30, 3)
    luma = picture_array(pixels, View(20, 30, 1))
    assert luma.shape == (20, 30, 1)
    assert np.array_equal(luma[..., 0], np.asarray(Image.fromarray(pixels).convert("L")))
    grey = pixels[..., 0]
    assert np.array_equal(picture_array(encoded(Image.fromarray(grey)), View(20, 30, 1))[..., 0], grey)
    assert np.array_equal(picture_array(grey, View(20, 30, 1))[..., 0], grey)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (7, 500), (500, 7), (96, 160), (1, 1)], ids=str)
@pytest.mark.parametrize("view", [View(96, 160), View(160, 96), View(24, 40), View(48, 80)], ids=str)
def test_what_fills_a_view_that_is_not_square(size: tuple[int, int], view: View) -> None:
    """The picture resized as a whole, so that it covers what is stored, and its centre."""
    width, height = size
    image = Image.fromarray(noise(height, width, 3))
    high, wide, _ = view.stored
    tall = height * wide > width * high
    covering = (wide, int(wide * height / width)) if tall else (int(high * width / height), high)
    whole = np.asarray(image.resize(covering, Image.Resampling.BILINEAR)).astype(int)
    found = picture_array(encoded(image), view)
    assert found.shape == view.stored
    expected, seen = (
        array[top : top + view.height, left : left + view.width]
        for array in (whole, found)
        for top, left in [(round((len(array) - view.height) / 2), round((len(array[0]) - view.width) / 2))]
    )
    assert np.abs(seen - expected).max() <= 1
