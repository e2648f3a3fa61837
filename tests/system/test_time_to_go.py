"""How long what is left takes."""

from __future__ import annotations

import pytest

from nas.system.pace import Pace, minutes, to_go


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def worked(*stretches: tuple[float, int], begin: float = 0.0) -> tuple[Pace, Clock]:
    """A pace after stretches of work: so many seconds, in each of which so many pieces were done."""
    clock = Clock()
    pace, at = Pace(clock), begin
    pace.update(at)
    for seconds, a_second in stretches:
        for _ in range(int(seconds)):
            clock.now += 1
            at += a_second
            pace.update(at)
    return pace, clock


def test_an_even_pace_is_exact_and_counts_down() -> None:
    pace, clock = worked((60, 5))
    assert pace.left(600) == pytest.approx(60)
    clock.now += 10
    assert pace.left(600) == pytest.approx(50)
    clock.now += 100
    assert pace.left(600) == 0
    assert pace.seconds == 170


def test_what_was_done_before_does_not_count() -> None:
    pace, _ = worked((20, 1), begin=1_000)
    assert pace.left(1_040) == pytest.approx(20)


@pytest.mark.parametrize("total", [10, None])
def test_nothing_is_said_before_it_is_known(total: int | None) -> None:
    pace, _ = worked()
    assert pace.left(total) is None
    assert pace.rate is None
    pace, _ = worked((10, 0))
    assert pace.left(total) is None


def test_it_is_steady_where_single_steps_are_not() -> None:
    """Steps of no and of ten pieces in turns: a naive rate jumps between nothing and twice the pace."""
    clock = Clock()
    pace, at, said = Pace(clock), 0, []
    pace.update(at)
    for step in range(200):
        clock.now += 1
        at += 10 * (step % 2)
        pace.update(at)
        if step > 20:
            said.append(clock.now + (pace.left(10_000) or 0))
    assert max(said) / min(said) < 1.15


def test_a_new_pace_is_learnt() -> None:
    pace, _ = worked((30, 10), (60, 1))
    assert pace.rate == pytest.approx(1, abs=1.5)
    assert worked((30, 10), (200, 1))[0].rate == pytest.approx(1, abs=0.6)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (42.4, "0:42"), (59.6, "1:00"), (725, "12:05"), (3_725, "1:02:05")]
)
def test_minutes(seconds: float, text: str) -> None:
    assert minutes(seconds) == text
    assert to_go(seconds) == f"{text} to go"
    assert to_go(None) == ""
