"""What a person reads: amounts in units that leave digits to compare."""

import pytest

from nas.cli.screen import _ms


@pytest.mark.parametrize(("milliseconds", "text"), [(0.434, "0.43"), (1.668, "1.67"), (79.06, "79.1")])
def test_milliseconds(milliseconds: float, text: str) -> None:
    assert _ms(milliseconds) == text
