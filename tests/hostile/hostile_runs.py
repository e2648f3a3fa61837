"""Run folders and trainings that a stranger made, and what they say to go on with."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from box import Box
from hostile import Hostile, Make, Reader
from hostile_networks import pickled, safetensors, text

PAYLOAD = "open('../canary', 'w')\ndef data():\n    return {}\n"
REQUEST = {
    "space": "mobile",
    "target": "pixel-cpu",
    "latency_ms": 75.0,
    "at_most": {},
    "objective": None,
    "controller": "random",
    "accuracy": None,
    "budget": 100,
    "seconds": None,
    "prove": False,
    "data": None,
    "resolution": None,
    "proxy_resolution": None,
    "skip_broken": False,
    "seed": 0,
}
TRAINING = {
    "config": "c.json",
    "data": "digits",
    "epochs": 1,
    "batch": 64,
    "lr": None,
    "seed": 0,
    "weights": None,
    "from_scratch": False,
    "teacher": None,
    "skip_broken": False,
}
RESUME = ["search", "--resume", "--out", "theirs"]


def run(box: Box, **request: Any) -> None:
    """A run that somebody began."""
    document = {
        "format": "nas-run/1",
        "request": REQUEST | request,
        "nas": "0.1.0",
        "created": "2020-01-01T00:00:00+00:00",
    }
    box.write("theirs/request.json", json.dumps(document))


def asking(words: list[str] = RESUME, **request: Any) -> Make:
    def makes(box: Box) -> list[str]:
        run(box, **request)
        return words

    return makes


def with_file(name: str, content: str | bytes, words: list[str] = RESUME, **request: Any) -> Make:
    def makes(box: Box) -> list[str]:
        run(box, **request)
        box.write(f"theirs/{name}", content)
        return words

    return makes


def with_entry(make: str, name: str, *of: Any, words: list[str] = RESUME) -> Make:
    def makes(box: Box) -> list[str]:
        run(box)
        (box.here / "theirs" / name).unlink(missing_ok=True)
        getattr(box, make)(f"theirs/{name}", *of)
        return words

    return makes


def outside(name: str, target: str, content: str = "") -> Make:
    """A link out of the folder, to a file that going on would write into."""

    def makes(box: Box) -> list[str]:
        run(box)
        (box.outside / "mine").write_text(content)
        box.link(f"theirs/{name}", box.outside / target)
        return RESUME

    return makes


def coded(words: list[str] = RESUME, **request: Any) -> Make:
    def makes(box: Box) -> list[str]:
        run(box, **request)
        box.write("payload.py", PAYLOAD)
        box.write("theirs/payload.py", PAYLOAD)
        box.write("theirs/setup.json", "{}")
        return words

    return makes


def ledger(content: Callable[[bytes], bytes], words: list[str]) -> Make:
    """A finished run whose ledger has a header of ours, and then whatever."""

    def makes(box: Box) -> list[str]:
        run(box)
        header = json.dumps(
            {"format": "nas-ledger/1", "width": 28, "columns": ["accuracy", "latency_ms", "macs", "params"]}
        )
        box.write("theirs/ledger.bin", content(header.encode() + b"\n"))
        return words

    return makes


def reported(result: object, **files: str) -> Make:
    def makes(box: Box) -> list[str]:
        run(box)
        box.write("theirs/result.json", json.dumps(result))
        for name, content in files.items():
            box.write(f"theirs/{name}.json", content)
        return ["report", "theirs"]

    return makes


RUNS = Reader(
    "run folder",
    with_file("result.json", "{}", ["report", "theirs"]),
    (
        Hostile(
            "pictures that are code (python:)", coded(data="python:payload.data", accuracy="supernet"), "runs that code"
        ),
        Hostile(
            "the same, asked for as an Optuna study",
            coded(
                ["export", "theirs", "--format", "study", "--out", "out"],
                data="python:payload.data",
                accuracy="supernet",
            ),
            "runs that code",
            300,
        ),
        Hostile("a request of nested lists", with_file("request.json", '{"format": ' + "[" * 100_000), "nested"),
        Hostile(
            "a request of 30 MB", with_file("request.json", '{"a": "' + "x" * 30_000_000 + '"}'), "at most 1,048,576"
        ),
        Hostile(
            "a bound of 10^400 ms",
            with_file(
                "request.json", json.dumps({"format": "nas-run/1", "request": REQUEST}).replace("75.0", "1" + "0" * 400)
            ),
            "digits",
        ),
        Hostile("10^30 evaluations", asking(budget=10**30), "budget"),
        Hostile("a mapping for a space", asking(space={"$ref": "/etc/passwd"}), "text"),
        Hostile("a secret for a space", asking(space="/etc/passwd"), "passwd"),
        Hostile("/dev/zero for a space", asking(space="/dev/zero"), "/dev/zero"),
        Hostile("a target that leads out", asking(target="../../../../etc"), "latency table"),
        Hostile("an option for an ssh host", asking(target="ssh:-oProxyCommand=touch ../canary"), "ssh", 150),
        Hostile("/dev/zero for a table of accuracies", asking(accuracy="table:/dev/zero"), "not a plain file", 150),
        Hostile("a pipe for its request", with_entry("pipe", "request.json"), "there is no run"),
        Hostile("a pipe for its ledger", with_entry("pipe", "ledger.bin"), "plain files"),
        Hostile("a device for its ledger", with_entry("link", "ledger.bin", "/dev/zero"), "a link"),
        Hostile("a link to an empty file of mine for its ledger", outside("ledger.bin", "mine"), "a link"),
        Hostile("a link to a new file elsewhere for its ledger", outside("ledger.bin", "new"), "a link"),
        Hostile("a link to a folder of mine for its winner", outside("winner", "."), "a link"),
        Hostile("a link in its winner", outside("winner/config.json", "mine"), "a link"),
        Hostile("a link to a file of mine for its report", outside("report.html", "mine"), "a link"),
        Hostile("a link to a file of mine for a half-written file", outside(".front.csv.x.part", "mine"), "a link"),
        Hostile("a plan of a list", with_file("setup.json", '{"planned": [1]}'), "has changed", 150),
        Hostile("an empty result", with_file("result.json", "{}"), "no result of nas", 150),
        Hostile(
            "a result whose size is a word",
            with_file(
                "result.json",
                '{"size": "many", "winner": {}, "accuracy": {}, "attainable": [1, 2], "bounds": {}, "space": "x"}',
            ),
            "no result of nas",
            150,
        ),
        Hostile(
            "a result of a million lists", with_file("result.json", '{"x": [' + "[]," * 1_500_000 + "1]}"), "values"
        ),
        Hostile("a report of an empty result", reported({}, setup="{}"), "not the folder of a search", 150),
        Hostile("a ledger for another space", ledger(lambda header: b'{"format": 1}\n', RESUME), "ledger", 150),
    ),
)


def training(box: Box, **request: Any) -> None:
    box.write("c.json", text())
    document = {"format": "nas-training/1", "request": TRAINING | {"config": str(box.here / "c.json")} | request}
    box.write("theirs/request.json", json.dumps(document))


def going_on(make: Callable[[Box], object] = lambda box: None, **request: Any) -> Make:
    def makes(box: Box) -> list[str]:
        training(box, **request)
        make(box)
        return ["train", "--resume", "--out", "theirs"]

    return makes


def checkpoint(content: bytes) -> Make:
    return going_on(lambda box: box.write("theirs/checkpoint.safetensors", content))


def state(content: bytes) -> bytes:
    return safetensors(b'{"__metadata__": {"format": "nas-checkpoint/1", "state": "' + content + b'"}}')


TRAININGS = Reader(
    "training",
    lambda box: ["train", "--resume", "--out", "theirs"],
    (
        Hostile(
            "pictures that are code (python:)",
            going_on(lambda box: box.write("payload.py", PAYLOAD), data="python:payload.data"),
            "runs that code",
        ),
        Hostile(
            "a pipe for its checkpoint", going_on(lambda box: box.pipe("theirs/checkpoint.safetensors")), "plain files"
        ),
        Hostile(
            "a link to a folder of mine for its curves",
            going_on(lambda box: box.link("theirs/tensorboard", box.outside)),
            "a link",
        ),
        Hostile("10^30 epochs", going_on(epochs=10**30), "epochs"),
        Hostile("a rate of 1e308", going_on(lr=1e308), "lr"),
    ),
)

CHECKPOINTS = Reader(
    "checkpoint",
    going_on(),
    (
        Hostile("a pickle for its checkpoint", checkpoint(pickled()), "no checkpoint of nas", 1),
        Hostile("a checkpoint with a header of 2^62 bytes", checkpoint(struct.pack("<Q", 1 << 62)), "header", 1),
        Hostile(
            "a checkpoint with 9,000,000 lists in its state",
            checkpoint(state(b"[" + b"[]," * 9_000_000 + b"1]")),
            "values",
            100,
        ),
        Hostile(
            "a checkpoint with nested lists in its state", checkpoint(state(b"[" * 1_000_000)), "no checkpoint", 60
        ),
        Hostile("a checkpoint of nothing", checkpoint(state(b"{}")), "another", 1),
        Hostile(
            "a pipe for its network", going_on(lambda box: box.pipe("p.json"), config="p.json"), "not a plain file"
        ),
    ),
    slow=True,
)
