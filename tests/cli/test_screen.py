"""What a person reads: amounts in units that leave digits to compare."""

import pytest

from nas.cli.screen import _count, _ms


@pytest.mark.parametrize(
    ("count", "text"), [(39_421, "39 k"), (999_499, "999 k"), (5_289_000, "5.3 M"), (385_870_000, "386 M")]
)
def test_counts(count: float, text: str) -> None:
    assert _count(count) == text


@pytest.mark.parametrize(("milliseconds", "text"), [(0.434, "0.43"), (1.668, "1.67"), (79.06, "79.1")])
def test_milliseconds(milliseconds: float, text: str) -> None:
    assert _ms(milliseconds) == text
