"""What a request may name is what there is: names are checked before anything heavy is imported."""

from nas.accuracy import EVALUATORS
from nas.controllers import CONTROLLERS
from nas.policies import POLICIES, SUPERNET_OF, SUPERNETS
from nas.runs.request import ACCURACY_NAMES, CONTROLLER_NAMES, DEFAULT_BUDGETS, FRONT_CONTROLLERS, POLICY_NAMES


def test_every_controller_that_a_request_names_is_registered_and_the_other_way_round() -> None:
    assert sorted(CONTROLLER_NAMES) == sorted([*CONTROLLERS, *POLICIES, "exact"])  # which is solved, not asked
    assert set(FRONT_CONTROLLERS) <= set(CONTROLLERS)


def test_every_policy_that_a_request_names_is_registered_and_has_a_supernet() -> None:
    assert sorted(POLICY_NAMES) == sorted(POLICIES) == sorted(SUPERNET_OF)
    assert set(SUPERNET_OF.values()) <= set(SUPERNETS)


def test_every_accuracy_that_a_request_names_is_registered_and_the_other_way_round() -> None:
    assert sorted(ACCURACY_NAMES) == sorted(EVALUATORS) == sorted(DEFAULT_BUDGETS)
