"""What every plug-in promises, as checks that your own tests can run: controllers.py.

@pytest.mark.parametrize("check", nas.testing.CONTROLLER_CHECKS)
def test_mine(check):
    check(Mine)
"""

from nas.testing.controllers import CONTROLLER_CHECKS, line, worth

__all__ = ["CONTROLLER_CHECKS", "line", "worth"]
