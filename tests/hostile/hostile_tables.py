"""Latency tables that a stranger made."""

from __future__ import annotations

import json

from box import ROOT, Box
from hostile import Hostile, Make, Reader

HEADER = """format: nas-latency-table/1
name: theirs
device: {model: board}
runtime: {name: runtime, version: "1"}
threads: 1
precision: float32
batch: 1
date: "2020-01-01"
estimator: median
source: someone
key_columns: [kind, in_channels, out_channels, height, width]
calibration: none
error:
  band_pct: {measured: 5, derived: 5, simulated: 5, interpolated: 5}
"""
COLUMNS = "kind,in_channels,out_channels,height,width,latency_ms,spread_ms,samples,provenance\n"
ROW = "conv,3,16,32,32,1.5,0.1,10,measured\n"
WHOLE = """  whole_networks:
  - {name: x, network: secret, published_ms: 1, table_ms: 1, error_pct: 1, source: s}
"""
MODEL = (ROOT / "latency_tables" / "pixel-cpu" / "table.yaml").read_text()


def table(box: Box, header: str = HEADER, rows: str | bytes = COLUMNS + ROW) -> str:
    box.write("theirs/table.yaml", header)
    box.write("theirs/table.csv", rows)
    return "./theirs"


def rows(text: str | bytes) -> Make:
    return lambda box: ["table", "show", table(box, rows=text)]


def header(text: str) -> Make:
    return lambda box: ["table", "show", table(box, text)]


def figures(old: str, new: str) -> Make:
    assert old in ROW, old
    return rows(COLUMNS + ROW.replace(old, new))


def replaced(make: str, *words: str, command: str = "show") -> Make:
    """A table with one of its files made anew by a method of the box."""

    def makes(box: Box) -> list[str]:
        place = table(box)
        (box.here / "theirs" / words[0]).unlink(missing_ok=True)
        getattr(box, make)(f"theirs/{words[0]}", *words[1:])
        return ["table", command, place]

    return makes


def sparse(box: Box) -> list[str]:
    place = table(box)
    box.sparse("theirs/table.csv", 100 << 30, (COLUMNS + ROW).encode())
    return ["table", "show", place]


def modelled(old: str, new: str) -> Make:
    assert old in MODEL, old
    return header(MODEL.replace(old, new))


def networks(box: Box) -> list[str]:
    place = table(box)
    box.link("theirs/networks", box.outside)
    return ["table", "add", place]


def climbing(box: Box) -> list[str]:
    return ["table", "check", table(box, HEADER + WHOLE.replace("secret", "../../outside/secret"))]


def piped_network(box: Box) -> list[str]:
    place = table(box, HEADER + WHOLE)
    box.pipe("theirs/networks/secret.json")
    return ["table", "check", place]


def hardly_columns(box: Box) -> list[str]:
    return ["table", "show", table(box, rows=COLUMNS + "," * 20_000_000 + "\n")]


TABLES = Reader(
    "table",
    rows(COLUMNS + ROW),
    (
        Hostile("100 GB of rows", sparse, "bytes are read"),
        Hostile("a field of 20 MB", rows(COLUMNS + '"' + "x" * 20_000_000), "letters", 90),
        Hostile("a row of 20,000,000 fields", hardly_columns, "letters", 90),
        Hostile("20,000,000 empty rows", rows(COLUMNS + "\n" * 20_000_000), "values", 90),
        Hostile("2,000,000 rows of one letter", rows(COLUMNS + "a\n" * 2_000_000), "values", 90),
        Hostile("zero bytes", rows(COLUMNS.encode() + b"\0" * 1000), "table.csv"),
        Hostile("no number of milliseconds", figures("1.5", "nan"), "finite number of milliseconds"),
        Hostile("infinitely many", figures("1.5", "inf"), "finite number of milliseconds"),
        Hostile("fewer than none", figures("1.5", "-1"), "finite number of milliseconds"),
        Hostile("10^400 samples", figures(",10,", "," + "9" * 400 + ","), "samples"),
        Hostile("samples of 60,000 digits", figures(",10,", "," + "9" * 60_000 + ","), "samples"),
        Hostile("a formula for a spreadsheet", figures("measured", "=cmd|' /C calc'!A0"), "provenance"),
        Hostile("two rows for one layer", rows(COLUMNS + ROW + ROW), "one row"),
        Hostile("a column named by a path", rows(COLUMNS.replace("width", "../../etc/passwd") + ROW), "column"),
        Hostile("a pipe for its rows", replaced("pipe", "table.csv"), "not a plain file"),
        Hostile("a link to /dev/zero for its rows", replaced("link", "table.csv", "/dev/zero"), "not a plain file"),
        Hostile(
            "/dev/zero for its rows, taken in",
            replaced("link", "table.csv", "/dev/zero", command="add"),
            "links are not followed",
        ),
        Hostile(
            "a link to a secret for its rows, taken in",
            replaced("link", "table.csv", "/etc/passwd", command="add"),
            "links are not followed",
        ),
        Hostile("a link for its networks, taken in", networks, "not a link"),
        Hostile("a network in another folder", climbing, "network"),
        Hostile("a pipe for a network", piped_network, "not a plain file"),
        Hostile(
            "a name that leads out of the folder",
            lambda box: ["table", "add", table(box, HEADER.replace("name: theirs", "name: ../../../outside/x"))],
            "name",
        ),
        Hostile(
            "the name of a device of mine",
            lambda box: ["table", "add", table(box, HEADER.replace("name: theirs", "name: cpu-mobile"))],
            "kept for tables of your own",
        ),
        Hostile("escape sequences for its device", header(HEADER.replace("board", '"x\\e]0;owned\\a"')), "printable"),
        Hostile("a coefficient of 10^400", modelled("dense: ", "dense: 1" + "0" * 400 + ", x: "), "digits"),
        Hostile(
            "a range of a million hexadecimal digits",
            modelled("resolutions: [224]", "resolutions: [0x" + "f" * 900_000 + "]"),
            "digits",
        ),
        Hostile(
            "a range of 49,000 numbers",
            modelled("resolutions: [224]", "resolutions: [" + "224, " * 49_000 + "x]"),
            "resolutions",
            60,
        ),
    ),
)


def imported(name: str, content: str) -> Make:
    return lambda box: ["table", "import", box.write(name, content), "--out", "out"]


ENTRY = '"Conv-input:32x32x3-output:16x16x8": {mean: 1.5}\n'
LOOKUPS = Reader(
    "lookup table",
    lambda box: ["table", "show", "pixel-cpu"],
    (
        Hostile("an alias", imported("l.yaml", f"a: &a {{mean: 1}}\nb: *a\n{ENTRY}"), "aliases"),
        Hostile("code", imported("l.yaml", f"a: !!python/object/apply:os.system ['touch ../canary']\n{ENTRY}"), "YAML"),
        Hostile("2 MB of YAML", imported("l.yaml", ENTRY + "# " + "x" * 2_000_000), "at most 1,048,576 bytes"),
        Hostile("a time of 10^400", imported("l.yaml", ENTRY.replace("1.5", "1" + "0" * 400)), "digits"),
        Hostile("an endless time", imported("l.yaml", ENTRY.replace("1.5", ".inf")), "`mean` is a number"),
        Hostile("a name of 500,000 letters", imported("l.yaml", f'? "{"x" * 500_000}"\n: {{mean: 1}}\n'), "no entry"),
        Hostile(
            "ends that multiply",
            imported(
                "l.json",
                json.dumps(
                    {f"Logits-input:1x1x8-output:{n}": {"mean": 1} for n in range(1, 1_001)}
                    | {f"AvgPool2D-input:{n}x1x8-output:1x1x8": {"mean": 1} for n in range(1, 1_001)}
                ),
            ),
            "at most 20,000 layers",
            60,
        ),
    ),
)
