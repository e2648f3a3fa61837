"""Boards of one kind as a pool: what one leaves undone the others do, and what one is slower is taken out."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from sshd import HOST, running_sshd
from tellers import Said

from nas.devices.device import Device, DeviceInfo, Fault, Plan, Sample
from nas.devices.pool import FAULTS_IN_A_ROW, Pool
from nas.devices.ssh import ssh_device
from nas.errors import NasError
from nas.profiler.bench import together
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.samples import read_samples
from nas.space.load import load_space
from nas.workers.on_ray import OnRay

SPACE = """
format: nas-space/1
name: tiny
source: this test
input: {resolution: 32}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: 16, kernel: 3, stride: 2}
  - {name: one, block: mbconv, width: 24, stride: 2, kernel: {choice: [3, 5]}, expansion: {choice: [2, 4]}}
  - {name: two, block: mbconv, width: 48, stride: 2, kernel: {choice: [3, 5]}, expansion: {choice: [2, 4]}}
head: {width: 64}
"""


@pytest.fixture(scope="module")
def ray() -> Iterator[OnRay]:
    with closing(OnRay(None, Said())) as ray:
        yield ray


def board(pace: float, faulty_from: int | None = None, model: str = "board") -> Callable[[], Device]:
    """A board whose times are computed, and that fails for ever from a sample on; for another process, so a closure."""

    def make() -> Device:
        from dataclasses import replace as changed

        from nas.devices.device import Fault as Trouble
        from nas.devices.fake import Fake

        class Board:
            inner = Fake()
            given = 0

            @property
            def info(self) -> DeviceInfo:
                return changed(self.inner.info, model=model)

            def measure(self, plan: Plan) -> Iterator[Sample]:
                assert plan.weights.stat().st_size > 1e6
                for sample in self.inner.measure(plan):
                    self.given += 1
                    if faulty_from is not None and self.given >= faulty_from:
                        raise Trouble("unplugged.")
                    yield changed(sample, ns=tuple(pace * ns for ns in sample.ns))

            def close(self) -> None:
                pass

        return Board()

    return make


def measured(
    ray: OnRay, folder: Path, boards: dict[str, Callable[[], Device]], teller: Said
) -> tuple[Path, Counter[str]]:
    """A table's folder, and how many samples each board gave."""
    (folder / "tiny.yaml").write_text(SPACE)
    with closing(Pool(boards, ray, teller)) as pool:
        profile(load_space(folder / "tiny.yaml"), "ssh:a", pool, folder / "table", Effort(2.0, 1e6), teller)
    return folder / "table", Counter(sample.board for _, sample in read_samples(folder / "table" / "samples.jsonl")[0])


@pytest.mark.slow
def test_a_slower_board_does_not_make_its_rows_slower(ray: OnRay, tmp_path: Path) -> None:
    from nas.tables.table import load_table

    for name in ("alone", "pool"):
        (tmp_path / name).mkdir()
    alone, _ = measured(ray, tmp_path / "alone", {"ssh:a": board(1.0)}, Said())
    teller = Said()
    pool, given = measured(ray, tmp_path / "pool", {"ssh:a": board(0.95), "ssh:b": board(1.05)}, teller)
    assert min(given["ssh:a"], given["ssh:b"]) > 0.2 * sum(given.values())
    table = load_table(pool)
    assert table.header.device.boards == 2
    apart = re.search(r"; 2 boards of one kind, ([0-9.]+) % apart, taken out$", table.header.estimator)
    assert apart is not None
    assert float(apart[1]) == pytest.approx(10, abs=0.7)
    assert any(re.search(r"which was taken out: ssh:a -\d\.\d %, ssh:b \+\d\.\d %$", line) for line in teller.lines)
    for one, other in zip(table.rows(), load_table(alone).rows(), strict=True):
        assert one.latency_ms == pytest.approx(other.latency_ms, rel=0.04)
    assert load_table(alone).header.device.boards == 1


@pytest.mark.slow
def test_what_a_faulty_board_leaves_undone_the_other_does(ray: OnRay, tmp_path: Path) -> None:
    teller = Said()
    _, given = measured(ray, tmp_path, {"ssh:a": board(1.0), "ssh:b": board(1.0, faulty_from=20)}, teller)
    told = [line for line in teller.lines if line.startswith("fault")]
    assert told[0] == "fault 1 of ssh:b: unplugged. Its work goes to whoever is free."
    assert len(told) <= FAULTS_IN_A_ROW
    assert given["ssh:a"] > given["ssh:b"] > 0
    (tmp_path / "anew").mkdir()
    with pytest.raises(NasError, match="Every board was left out"):
        measured(
            ray, tmp_path / "anew", {"ssh:a": board(1.0, faulty_from=1), "ssh:b": board(1.0, faulty_from=1)}, Said()
        )


@pytest.mark.slow
def test_boards_of_another_kind_and_boards_that_do_not_answer_are_refused(ray: OnRay) -> None:
    boards = {"ssh:a": board(1.0), "ssh:b": board(1.0, model="other")}
    other = "of one kind: ssh:b has model 'other', ssh:a has 'board'"
    with closing(Pool(boards, ray, Said())) as pool, pytest.raises(NasError, match=other):
        _ = pool.info
    with closing(Pool({"ssh:a": partial(ssh_device, "nowhere.invalid")}, ray, Said())) as pool, pytest.raises(Fault):
        _ = pool.info


@pytest.mark.slow
def test_two_real_boards_one_of_which_goes_away(ray: OnRay, tmp_path: Path) -> None:
    """Over two sshd, this machine being both boards; one stops listening for a while in the middle."""
    (tmp_path / "tiny.yaml").write_text(SPACE)
    teller = Said()
    with ExitStack() as stack:
        servers = {}
        for name in ("ssh:a", "ssh:b"):
            folder = tmp_path / name[-1]
            folder.mkdir()
            servers[name] = stack.enter_context(running_sshd(folder))
        boards = {name: partial(ssh_device, HOST, config=server.config) for name, server in servers.items()}
        pool = stack.enter_context(closing(Pool(boards, ray, teller)))
        file = tmp_path / "table" / "samples.jsonl"

        def unplug() -> None:
            while not (file.is_file() and b'"ssh:b"' in file.read_bytes()):
                time.sleep(0.05)
            servers["ssh:b"].stop()

        thread = threading.Thread(target=unplug, daemon=True)
        thread.start()
        table = profile(
            load_space(tmp_path / "tiny.yaml"), "ssh:a", pool, tmp_path / "table", Effort(10.0, 5.0), teller
        )
        thread.join(10)
        servers["ssh:b"].start()  # for its end
    given = Counter(sample.board for _, sample in read_samples(file)[0])
    assert given["ssh:a"] > given["ssh:b"] > 0
    assert any(line.startswith("fault 1 of ssh:b: ") for line in teller.lines)
    assert table.header.device.boards == 2
    assert {row.provenance for row in table.rows()} == {"measured"}


@pytest.mark.parametrize(
    ("targets", "workers", "rule"),
    [
        (["ssh:a", "ssh:b"], None, "add --workers ray"),
        (["ssh:a", "ssh:b"], "ray:head:6379", "from this machine: add --workers ray"),
        (["ssh:a"], "ray", "several boards: give --target once for each"),
        (["ssh:a", "ssh:a"], "ray", "each once"),
        (["ssh:a", "cpu"], "ray", "ssh or adb, got 'cpu'"),
        (["ssh:a", "ssh:b:4t"], "ray", "as many threads"),
        (["ssh:a", "pixel-cpu"], "ray", "is no device"),
    ],
)
def test_what_is_no_pool(targets: list[str], workers: str | None, rule: str) -> None:
    with pytest.raises(NasError, match=rule), together(targets, workers, Said()):
        pass
