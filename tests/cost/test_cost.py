"""The table of costs: how amounts are read and told, and what a new entry gets for nothing."""

from __future__ import annotations

import numpy as np
import pytest

import nas
from nas.cost.cost import COSTS, Cost
from nas.errors import NasError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("macs", "300M", 300e6),
        ("params", "4.5M", 4.5e6),
        ("params", "4000000", 4e6),
        ("flash", "1MiB", 1 << 20),
        ("flash", "1MB", 1e6),
        ("peak", "256KiB", 256 << 10),
        ("peak", "262144", 1 << 18),
        ("latency", "0.075s", 75.0),
    ],
)
def test_amounts_are_read(name: str, text: str, value: float) -> None:
    assert COSTS[name].parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("macs", "300MiB"), ("peak", "1M"), ("latency", "75"), ("macs", "0"), ("macs", "-1"), ("macs", "")],
)
def test_what_is_no_amount(name: str, text: str) -> None:
    assert COSTS[name].parse(text) is None


def test_amounts_are_told() -> None:
    told = [("macs", 3.12e8, "312 M"), ("params", 4.41e6, "4.4 M"), ("macs", 9e5, "900 k"), ("latency", 75.0, "75 ms")]
    told += [("peak", 256 << 10, "256 KiB"), ("flash", 3 << 19, "1.5 MiB")]
    told += [("macs", 39_421, "39 k"), ("macs", 999_499, "999 k"), ("params", 5_289_000, "5.3 M")]
    for name, value, text in told:
        assert COSTS[name].amount(value) == text


def test_keys_have_their_units_at_the_end() -> None:
    assert [cost.key for cost in COSTS.values()] == ["latency_ms", "macs", "params", "flash_bytes", "peak_bytes"]


def test_latency_is_a_tables() -> None:
    space = nas.load_space("mobile")
    with pytest.raises(NasError, match="that of a latency table"):
        COSTS["latency"].factors(space)


def test_a_new_cost_is_one_entry() -> None:
    cost = Cost("energy", "energy", lambda layer: layer.macs * 4.6e-9, unit="mJ")
    assert (cost.key, cost.parse("5mJ"), cost.parse("5"), cost.amount(1.25)) == ("energy_mJ", 5.0, 5.0, "1.25 mJ")
    space = nas.load_space("mobile")
    population = space.sample(3, np.random.default_rng(0))
    assert cost.factors(space)(population) == pytest.approx(nas.macs(space)(population) * 4.6e-9)
