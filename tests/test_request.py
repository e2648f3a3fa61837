"""What a request may name is what there is: names are checked before anything heavy is imported."""

from nas.accuracy import EVALUATORS
from nas.controllers import CONTROLLERS
from nas.request import ACCURACY_NAMES, CONTROLLER_NAMES, DEFAULT_BUDGETS, FRONT_CONTROLLERS


def test_every_controller_that_a_request_names_is_registered_and_the_other_way_round() -> None:
    assert sorted(CONTROLLER_NAMES) == sorted([*CONTROLLERS, "exact"])  # which is solved, not asked
    assert set(FRONT_CONTROLLERS) <= set(CONTROLLERS)


def test_every_accuracy_that_a_request_names_is_registered_and_the_other_way_round() -> None:
    assert sorted(ACCURACY_NAMES) == sorted(EVALUATORS) == sorted(DEFAULT_BUDGETS)
