"""`--accuracy table:PATH`: what a table of accuracies answers, and every broken one we could think of."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from nas.accuracy.make import make_evaluator
from nas.cli import cli
from nas.errors import NasError
from nas.space.codes import format_code
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.places import shipped_folder
from nas.tables.table import latency, load_table
from nas.testing import line

ROWS = "arch,accuracy,std\n00000000,40,0.5\n00000001,60,0.2\n00000010,62,0.4\n22222222,93.5,0.1\n"


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("nas-bench-macro")


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "accuracies.csv"
        path.write_text(text)
        return f"table:{path}"

    return write


def code(text: str) -> np.ndarray:
    return np.array([list(text)], dtype=np.uint8)


def test_a_network_is_found_under_any_of_its_genotypes(space: Space, write) -> None:
    table = make_evaluator(write(ROWS), space)
    population = np.concatenate([code("22222222"), code("00000010"), code("00000001")])
    assert table(population).tolist() == [93.5, 61, 61]  # 00000001 and 00000010 are one network: (60 + 62) / 2
    assert table.uncertainty(population) == pytest.approx([0.1, 0.3, 0.3])
    assert table(population[:0]).shape == (0,)
    assert table.label == "accuracy"
    assert table.provenance == "table accuracies.csv, column accuracy: 4 rows, 3 networks of nas-bench-macro"


def test_columns(space: Space, write) -> None:
    text = "params,mean_acc,acc_seed0,arch\n5,90,91,00000000\n"
    assert make_evaluator(write(text), space)(code("00000000")).tolist() == [90]
    table = make_evaluator(write(text) + "#acc_seed0", space)
    assert table(code("00000000")).tolist() == [91]
    assert table.uncertainty(code("00000000")).tolist() == [0]
    assert table.label == "acc_seed0"
    both = make_evaluator(write("arch,mean_acc,accuracy\n00000000,1,2\n"), space)
    assert both(code("00000000")).tolist() == [2]


def test_codes_of_spaces_with_many_options(write) -> None:
    space = line([12, 2])
    table = make_evaluator(write("arch,accuracy\n11-1,50\n3-0,40\n"), space)
    population = np.array([[3, 0], [11, 1]], dtype=np.uint8)
    assert table(population).tolist() == [40, 50]
    assert format_code(population[1], space) == "11-1"
    with pytest.raises(NasError, match="line 2: `arch` is 2 numbers separated by `-` for line-2, got '31'"):
        make_evaluator(write("arch,accuracy\n31,50\n"), space)


def test_an_architecture_that_is_not_there_is_named(space: Space, write) -> None:
    table = make_evaluator(write(ROWS), space)
    with pytest.raises(NasError, match=r"no row for the architecture 12000000 \(stage1\.layer1\.block=k3_e3 "):
        table(np.concatenate([code("22222222"), code("12000000")]))


BROKEN = {
    "missing file": (None, "no such file"),
    "empty": ("", "empty"),
    "header only": ("arch,accuracy\n", "at least one row"),
    "no arch": ("code,accuracy\n00000000,1\n", "column arch is missing; it has code, accuracy"),
    "no accuracy": ("arch,top1\n00000000,1\n", "column accuracy or mean_acc is missing"),
    "a value too few": ("arch,accuracy\n00000000\n", "line 2: a row has 2 values, got 1"),
    "open quote": ('arch,accuracy\n"0000\n', "not valid CSV"),
    "too short": ("arch,accuracy\n00000000,1\n0000000,1\n", "line 3: `arch` is 8 digits for nas-bench-macro"),
    "not digits": ("arch,accuracy\n0000000x,1\n", "line 2: `arch` is 8 digits"),
    "digits of another script": ("arch,accuracy\n0000000٣,1\n", "line 2: `arch` is 8 digits"),
    "no such option": ("arch,accuracy\n00000300,1\n", "line 2: `stage3.layer1.block` has the options 0..2, got 3"),
    "not a number": ("arch,accuracy\n00000000,high\n", "line 2: `accuracy` is a number of percent"),
    "nan": ("arch,accuracy\n00000000,nan\n", "line 2: `accuracy` is a number of percent from 0 to 100, got 'nan'"),
    "infinite": ("arch,accuracy\n00000000,inf\n", "line 2"),
    "over 100": ("arch,accuracy\n00000000,101\n", "line 2"),
    "negative spread": ("arch,accuracy,std\n00000000,1,-1\n", "line 2: `std` is a number of points"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file(case: str, space: Space, write, tmp_path: Path) -> None:
    text, part = BROKEN[case]
    argument = write(text) if text is not None else f"table:{tmp_path / 'none.csv'}"
    with pytest.raises(NasError) as caught:
        make_evaluator(argument, space)
    message = str(caught.value)
    assert part in message
    assert str(tmp_path) in message
    assert len(message.splitlines()) == 1


def test_unknown_column_and_missing_path(space: Space, write) -> None:
    with pytest.raises(NasError, match="column top1 is missing; it has arch, accuracy, std"):
        make_evaluator(write(ROWS) + "#top1", space)
    with pytest.raises(NasError, match="table:PATH"):
        make_evaluator("table", space)


@pytest.fixture(scope="module")
def macro(measured: Path) -> Path:
    return measured / "nas_bench_macro" / "nas_bench_macro_cifar10.csv"


@pytest.fixture(scope="module")
def published(macro: Path) -> pd.DataFrame:
    return pd.read_csv(macro, dtype={"arch": str})


def test_nas_bench_macro_answers_every_genotype(space: Space, macro: Path, published: pd.DataFrame) -> None:
    table = make_evaluator(f"table:{macro}", space)
    population = np.array([list(arch) for arch in published["arch"]], dtype=np.uint8)
    assert table(population) == pytest.approx(published["mean_acc"].to_numpy(), abs=1e-9)  # equal networks agree
    assert table.uncertainty(population) == pytest.approx(published["std"].to_numpy(), abs=1e-9)
    assert table.provenance.endswith("6,561 rows, 3,969 networks of nas-bench-macro")
    best = make_evaluator(f"table:{macro}#acc_seed0", space)(population)
    assert best == pytest.approx(published["acc_seed0"].to_numpy(), abs=1e-9)


def test_search_of_nas_bench_macro_finds_the_best_within_the_bound(
    space: Space, macro: Path, published: pd.DataFrame, tmp_path: Path
) -> None:
    """End to end on a copy of pixel-cpu whose model is told to answer at 32 px: figures of no device."""
    target = tmp_path / "elsewhere"
    shutil.copytree(shipped_folder("latency_tables") / "pixel-cpu", target)
    header = (target / "table.yaml").read_text()
    (target / "table.yaml").write_text(header.replace("resolutions: [224]", "resolutions: [32]"))
    population = np.array([list(arch) for arch in published["arch"]], dtype=np.uint8)
    ms = latency(space, load_table(target))(population)
    bound = float(np.median(ms))
    expected = published["mean_acc"].to_numpy()[ms <= bound].max()
    command = ["search", "--space", "nas-bench-macro", "--target", str(target), "--accuracy", f"table:{macro}"]
    command += ["--latency", f"{bound:.9f}ms", "--budget", "20000", "--out", str(tmp_path / "run"), "--json"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    winner = json.loads(result.stdout)["winner"]
    assert winner["accuracy"] == pytest.approx(expected, abs=1e-3)
    assert winner["latency_ms"] <= bound


def test_a_relative_path_is_kept_whole_in_the_request(tmp_path: Path) -> None:
    """So that a run can be resumed from another folder."""
    import json
    import subprocess
    import sys

    lines = "arch,accuracy\n" + "".join(f"{d:028d},{50 + d}\n" for d in (0, 1, 10))
    (tmp_path / "few.csv").write_text(lines)
    command = ["search", "--space", "mobile", "--target", "pixel-cpu", "--accuracy", "table:few.csv#accuracy"]
    result = subprocess.run(
        [sys.executable, "-m", "nas", *command, "--budget", "3", "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "no row for the architecture" in result.stderr
    request = json.loads((tmp_path / "run" / "request.json").read_text())["request"]
    assert request["accuracy"] == f"table:{tmp_path.resolve() / 'few.csv'}#accuracy"
