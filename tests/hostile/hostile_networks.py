"""Networks and weights that a stranger made: config.json, arch-def files, model.safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from box import Box
from hostile import Hostile, Make, Reader


def layer(kind: str, **fields: Any) -> dict[str, Any]:
    known = {
        "kind": kind,
        "in_channels": 8,
        "out_channels": 8,
        "mid_channels": 0,
        "kernel": 1,
        "stride": 1,
        "groups": 1,
    }
    known |= {
        "se_channels": 0,
        "se_gate": "sigmoid",
        "activation": "relu",
        "residual": False,
        "height": 16,
        "width": 16,
    }
    return known | fields


def config(weights: str = "random") -> dict[str, Any]:
    return {
        "format": "nas-architecture/1",
        "input": {"channels": 3, "height": 32, "width": 32},
        "num_classes": 4,
        "space": "small",
        "decisions": None,
        "metrics": None,
        "weights": weights,
        "layers": [
            layer("conv", in_channels=3, kernel=3, stride=2, height=32, width=32),
            layer("head", mid_channels=16, out_channels=4),
        ],
    }


def text(change: Callable[[dict[str, Any]], object] = lambda document: None, weights: str = "random") -> str:
    document = config(weights)
    change(document)
    return json.dumps(document)


def estimated(content: str | bytes) -> Make:
    return lambda box: ["estimate", box.write("c.json", content), "--target", "pixel-cpu"]


def put(place: str, value: object) -> Make:
    """A config with a value at a place such as `layers.0.kernel`."""

    def change(document: Any) -> None:
        *path, last = place.split(".")
        for step in path:
            document = document[int(step) if step.isdigit() else step]
        document[last] = value

    return estimated(text(change))


def raw(place: str, value: str) -> Make:
    """The same with a value that no JSON writer makes."""
    assert place in text()
    return estimated(text().replace(place, value))


def exported(content: str, *formats: str) -> Make:
    return lambda box: [
        "export",
        box.write("c.json", content),
        "--format",
        ",".join(formats or ("config",)),
        "--out",
        "out",
    ]


def huge(document: dict[str, Any]) -> None:
    wide = {"in_channels": 65_536, "out_channels": 65_536, "kernel": 65_535}
    document["layers"] = [
        layer("conv", in_channels=3, out_channels=65_536, kernel=3, height=32, width=32),
        *[layer("conv", **wide, height=32, width=32) for _ in range(900)],
        layer("head", in_channels=65_536, mid_channels=65_536, out_channels=4, height=32, width=32),
    ]


def nested(document: dict[str, Any]) -> None:
    inner: Any = 1
    for _ in range(900):
        inner = [inner]
    document["metrics"] = {"x": inner}


def arch(**changes: Any) -> Make:
    document = {"resolution": 224, "stem": 32, "head": 1280, "activation": "relu", "blocks": [["ds_r1_k3_s1_e1_c16"]]}
    return lambda box: [
        "estimate",
        "--arch-def",
        box.write("a.json", json.dumps(document | changes)),
        "--target",
        "pixel-cpu",
    ]


CONFIGS = Reader(
    "config",
    lambda box: ["export", box.write("c.json", text()), "--format", "config", "--out", "out"],
    (
        Hostile("a million nested lists", estimated('{"metrics": ' + "[" * 1_000_000), "nested"),
        Hostile("900 nested lists where anything may stand", exported(text(nested)), "nested"),
        Hostile("1,300,000 empty lists", estimated('{"metrics": [' + "[]," * 1_300_000 + "1]}"), "values"),
        Hostile("10^400", raw('"num_classes": 4', '"num_classes": 1' + "0" * 400), "digits"),
        Hostile("1e400", raw('"num_classes": 4', '"num_classes": 1e400'), "finite"),
        Hostile(
            "a whole number of 4,000,000 digits", raw('"num_classes": 4', '"num_classes": ' + "7" * 4_000_000), "digits"
        ),
        Hostile("NaN", raw('"num_classes": 4', '"num_classes": NaN'), "finite"),
        Hostile("the same key twice", raw('"num_classes": 4', '"num_classes": 4, "num_classes": 5'), "unique"),
        Hostile(
            "a file of 1 GB",
            lambda box: ["estimate", box.sparse("c.json", 1 << 30), "--target", "pixel-cpu"],
            "at most 4,194,304",
        ),
        Hostile("a pipe", lambda box: ["estimate", box.pipe("c.json"), "--target", "pixel-cpu"], "not a plain file"),
        Hostile("/dev/zero", lambda box: ["estimate", "/dev/zero", "--target", "pixel-cpu"], "not a plain file"),
        Hostile("a dimension of 10^9", put("layers.0.out_channels", 10**9), "out_channels"),
        Hostile("10,000 layers", put("layers", [layer("conv")] * 10_000), "layers", 60),
        Hostile("a kernel of 65,536", put("layers.0.kernel", 65_536), "kernel"),
        Hostile("weights of 10^21 bytes, exported to onnx", exported(text(huge), "onnx"), "parameters"),
        Hostile("weights of 10^21 bytes, exported to torch", exported(text(huge), "torch"), "parameters"),
        Hostile("a space of 4 MB", put("space", "x" * 4_000_000), "space"),
        Hostile(
            "a lone surrogate for its space",
            lambda box: ["estimate", box.write("c.json", text(lambda d: d.update(space="\ud800"))), "--target", "cpu"],
            "unicode",
        ),
        Hostile("bytes that are no text", estimated(b"\xff\xfe\x00{"), "UTF-8"),
    ),
)

ARCH_DEFS = Reader(
    "arch-def",
    arch(),
    (
        Hostile("r1000000000", arch(blocks=[["ds_r1000000000_k3_s1_e1_c16"]]), "at most 1,000 layers"),
        Hostile("10^90 channels", arch(blocks=[["ds_r1_k3_s1_e1_c" + "9" * 80]]), "a.json"),
        Hostile("an expansion of 10^80", arch(blocks=[["ir_r1_k3_s1_e" + "9" * 80 + "_c16"]]), "a.json"),
        Hostile("a string of a million underscores", arch(blocks=[["_" * 1_000_000]]), "100 characters"),
        Hostile("a string made for slow expressions", arch(blocks=[["ds_r" + "1" * 95 + "!"]]), "takes"),
        Hostile("200,000 stages", arch(blocks=[["ds_r1_k3_s1_e1_c16"]] * 40_000), "blocks"),
        Hostile("nested lists for a block", arch(blocks=[[[["ds"]]]]), "blocks"),
        Hostile("no number for a size", arch(stem="__import__('os').system('touch ../canary')"), "stem"),
    ),
)


def once_for_all(**changes: Any) -> Make:
    document = {"first_conv": conv_layer(), "blocks": [BLOCK], "classifier": CLASSIFIER, "resolution": 32}
    return lambda box: [
        "export",
        box.write("n.json", json.dumps(document | changes)),
        "--format",
        "config",
        "--out",
        "out",
    ]


def conv_layer(**keys: Any) -> dict[str, Any]:
    return {"name": "ConvLayer", "in_channels": 3, "out_channels": 8, "stride": 2, **keys}


def inverted(**keys: Any) -> dict[str, Any]:
    return {**BLOCK, "mobile_inverted_conv": {"name": "MBConvLayer", **SHAPE, **keys}}


SHAPE = {"in_channels": 8, "out_channels": 8, "stride": 1}
BLOCK = {"mobile_inverted_conv": {"name": "MBConvLayer", **SHAPE, "expand_ratio": 1}, "shortcut": None}
CLASSIFIER = {"name": "LinearLayer", "in_features": 8, "out_features": 4}

ONCE_FOR_ALL = Reader(
    "once-for-all",
    once_for_all(),
    (
        Hostile("20,000 blocks", once_for_all(blocks=[BLOCK] * 20_000), "at most 1000 items", 60),
        Hostile("pictures of 10^9 pixels a side", once_for_all(resolution=10**9), "resolution"),
        Hostile("an expansion of 10^300", once_for_all(blocks=[inverted(expand_ratio=1e300)]), "expand_ratio"),
        Hostile("a name of 4 MB", once_for_all(name="x" * 3_900_000), "name", 40),
        Hostile("escape sequences for a layer", once_for_all(first_conv=conv_layer(name="\x1b[2J")), "first_conv.name"),
    ),
)


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def weights(content: bytes) -> Make:
    def makes(box: Box) -> list[str]:
        box.write("model.safetensors", content)
        return exported(text(weights="trained"), "torch")(box)

    return makes


def tensor(**entry: Any) -> bytes:
    return json.dumps(
        {"0.0.conv.weight": {"dtype": "F32", "shape": [8, 3, 3, 3], "data_offsets": [0, 864]} | entry}
    ).encode()


def instead(make: str, *words: Any) -> Make:
    def makes(box: Box) -> list[str]:
        getattr(box, make)("model.safetensors", *words)
        return exported(text(weights="trained"), "torch")(box)

    return makes


class Canary:
    """Unpickled, it would write the file `canary`."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch ../canary canary",)


def pickled() -> bytes:
    import pickle

    return pickle.dumps(Canary())


def zipped() -> bytes:
    """As torch.save writes it."""
    import io
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


WEIGHTS = Reader(
    "weights",
    exported(text(), "config"),
    (
        Hostile("a pickle", weights(pickled()), "safetensors"),
        Hostile("a zip with a pickle, as torch.save writes", weights(zipped()), "safetensors"),
        Hostile("a header of 2^63 bytes", weights(safetensors(b"{}", length=1 << 63)), "its header has"),
        Hostile("a header of 1 GB", instead("sparse", 1 << 40, struct.pack("<Q", 1 << 30)), "its header has"),
        Hostile("a header of 8 MB of lists", weights(safetensors(b'{"a": [' + b"[]," * 2_500_000 + b"1]}")), "header"),
        Hostile("a header of nested lists", weights(safetensors(b"[" * 1_000_000)), "header"),
        Hostile("tensors past the end", weights(safetensors(tensor(data_offsets=[0, 1 << 40]))), "invalid shape"),
        Hostile("tensors before the begin", weights(safetensors(tensor(data_offsets=[-8, 864]), bytes(864))), "`-8`"),
        Hostile(
            "a shape of 10^40 values",
            weights(safetensors(tensor(shape=[10**20, 10**20]), bytes(864))),
            "invalid type",
        ),
        Hostile(
            "a tensor of 1 TB in a file of 1 TB",
            lambda box: instead(
                "sparse", 1 << 40, safetensors(tensor(shape=[1 << 38], data_offsets=[0, (1 << 40) - 4096]))
            )(box),
            "does not fit",  # into the 6 GB of addresses here; else its shape is refused
        ),
        Hostile(
            "a name with escape sequences",
            weights(safetensors(b'{"\\u001b[2J": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}')),
            "no weights",
        ),
        Hostile("no numbers", weights(safetensors(tensor(), b"\xff" * 864)), "not finite"),
        Hostile("a pipe", instead("pipe"), "not a plain file"),
        Hostile("a link to /dev/zero", instead("link", "/dev/zero"), "not a plain file"),
        Hostile("a link to a secret", instead("link", "/etc/passwd"), "safetensors"),
    ),
)
