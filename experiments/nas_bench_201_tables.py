"""Make what ships of NAS-Bench-201: accuracies of all networks, and a table for each of 27 measured settings.

    python experiments/nas_bench_201_tables.py [--data DIR]

DIR is the folder of measured data; by default `../shared/data/measured` beside the repository. Of each network its
canonical code is taken: a row of a code with an edge on no way through the cell is of another program, which runs that
edge, too. The error told in a header is that of the additive fit to 2,000 networks on all others.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from nas.blocks.layer import KEY_COLUMNS
from nas.errors import TableError
from nas.space.codes import format_code, parse_codes
from nas.space.load import load_space
from nas.space.space import Space
from nas.tables.header import TableHeader, WholeHeader
from nas.tables.rows import VALUE_COLUMNS
from nas.tables.whole import WholeNetworks
from nas.tables.write import header_text

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "nas_bench_201"
ACCURACIES = {
    "cifar10": "cifar10_test_200ep",
    "cifar100": "cifar100_test_200ep",
    "imagenet16-120": "imagenet16_test_200ep",
    "cifar10-12": "cifar10_val_12ep",
    "cifar100-12": "cifar100_val_12ep",
    "imagenet16-120-12": "imagenet16_val_12ep",
}
"""Our columns: tested after 200 epochs, and on validation pictures after 12."""
HELP = "HayeonLee/HELP data/nasbench201/latency @45f70eb (MIT), arXiv:2106.08630"
HW = "HW-NAS-Bench (arXiv:2103.10584), as in HayeonLee/HELP data/nasbench201/latency @45f70eb (MIT): CIFAR-10"
CARDS = {"1080ti": "GeForce GTX 1080 Ti", "2080ti": "GeForce RTX 2080 Ti", "titan_rtx": "Titan RTX"}
CARDS |= {"titanx": "GeForce GTX Titan X", "titanxp": "Titan Xp"}
OTHERS = {
    "essential_ph_1": "Essential PH-1",
    "gold_6226": "Intel Xeon Gold 6226",
    "gold_6240": "Intel Xeon Gold 6240",
    "pixel2": "Google Pixel 2",
    "samsung_a50": "Samsung A50",
    "samsung_s7": "Samsung S7",
    "silver_4114": "Intel Xeon Silver 4114",
    "silver_4210r": "Intel Xeon Silver 4210R",
    "eyeriss": "Eyeriss, a model of the accelerator",
    "fpga": "FPGA (Xilinx ZC706)",
    "pixel3": "Google Pixel 3",
    "raspi4": "Raspberry Pi 4",
}
FROM_HW = ("eyeriss", "fpga", "pixel3", "raspi4")


def rows_of(file: Path) -> dict[str, dict[str, str]]:
    """Rows of a packed CSV by their code."""
    with gzip.open(file, "rt", newline="") as text:
        return {row["ops"]: row for row in csv.DictReader(text)}


def pack(file: Path, lines: Sequence[str]) -> None:
    """Write lines packed, always to the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def header(name: str, column: str, space: Space, errors: NDArray[np.float64]) -> TableHeader:
    """What is known of a setting."""
    card = next((card for card in CARDS if column.startswith(f"{card}_")), None)
    batch = int(column.rpartition("_")[2]) if card else 1
    ours = column in FROM_HW
    simulated = column in ("eyeriss", "fpga")
    mean, p90 = float(errors.mean()), float(np.quantile(errors, 0.9))
    middle = round(float(np.median(errors)), 3)
    bands = dict.fromkeys(("measured", "derived", "simulated"), middle) | {"interpolated": round(p90, 3)}
    left_out = {"networks": len(errors), "mean_pct": round(mean, 3), "p90_pct": round(p90, 3)}
    entries: dict[str, Any] = {
        "format": "nas-latency-table/1",
        "name": name,
        "device": {"model": CARDS[card] if card else OTHERS[column]},
        "runtime": {"name": "not stated", "version": "not stated"},
        "threads": 1,
        "precision": "float32",
        "batch": batch,
        "date": "2020-21, as published; the day of measuring is not stated",
        "resolution": 32,
        "estimator": "repeats, runtime and threads are not stated; the band of a measured network is the median error "
        "of the additive fit, which says of a single figure no more than that",
        "source": HW if ours else HELP,
        "licence": "MIT",
        "key_columns": list(KEY_COLUMNS),
        "calibration": "none",
        "whole": {
            "space": space.name,
            "space_sha256": space.fingerprint,
            "provenance": "simulated" if simulated else "measured",
        },
        "error": {"band_pct": bands, "leave_one_out": left_out},
    }
    return TableHeader.model_validate(entries)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/measured")
def main(data: Path) -> None:
    """Write the files, and print the errors of the additive fits as JSON."""
    space = load_space("nas-bench-201")
    accuracies = rows_of(data / FOLDER / "nb201_accuracy.csv.gz")
    latencies = rows_of(data / FOLDER / "nb201_latency_27_devices.csv.gz")
    lines = [",".join(("arch", *ACCURACIES))]
    for code, row in sorted(accuracies.items()):
        lines.append(",".join((code, *(row[name] for name in ACCURACIES.values()))))
    pack(ROOT / "search_spaces/accuracies/nas-bench-201.csv.gz", lines)
    population = space.enumerate()
    codes = tuple(format_code(genotype, space) for genotype in population)
    assert (parse_codes(Path(), space, codes, TableError) == population).all()
    told = {}
    for column in next(iter(latencies.values())):
        if column == "ops":
            continue
        short = column.removesuffix("_ms")
        name = f"nb201-{short.replace('_', '-')}"
        texts = [latencies[code][column] for code in codes]
        figures = np.array(texts, float)
        whole = WholeNetworks(Path(), WholeHeader(space=space.name, space_sha256=space.fingerprint), codes, figures)
        errors = whole.left_out()
        assert errors is not None
        told[name] = {"median_pct": round(float(np.median(errors)), 2), "mean_pct": round(float(errors.mean()), 2)}
        folder = ROOT / "latency_tables" / name
        pack(folder / "whole.csv.gz", ["arch,latency_ms", *(f"{c},{ms}" for c, ms in zip(codes, texts, strict=True))])
        (folder / "table.csv").write_text(",".join((*KEY_COLUMNS, *VALUE_COLUMNS)) + "\n")
        (folder / "table.yaml").write_text(
            "# Written by experiments/nas_bench_201_tables.py; change it there.\n"
            + header_text(header(name, short, space, errors))
        )
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
