"""What a request may name is what the tables hold; names are checked before anything heavy is imported."""

import subprocess
import sys

import pytest

from nas.accuracy import EVALUATORS
from nas.controllers import CONTROLLERS
from nas.errors import NasError
from nas.policies import POLICIES
from nas.runs.request import Request
from nas.solvers import SOLVERS
from nas.supernet import SUPERNETS
from nas.system.lazy import Lazy

TABLES = [CONTROLLERS, POLICIES, SOLVERS, SUPERNETS, EVALUATORS]


@pytest.mark.parametrize("kind", [kind for table in TABLES for kind in table.values()], ids=lambda kind: kind.place)
def test_every_name_stands_for_something(kind: Lazy[object]) -> None:
    assert callable(kind.load())


def test_every_policy_has_its_supernet() -> None:
    assert {policy.supernet for policy in POLICIES.values()} <= set(SUPERNETS)


def test_a_request_is_checked_without_heavy_imports() -> None:
    heavy = "print(*({'numpy', 'torch', 'scipy', 'pydantic', 'optuna'} & set(sys.modules)))"
    program = f"import sys; from nas.runs.request import Request; Request(space='s', target='t'); {heavy}"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize("name", ["own:Mine", "a.b:C.d"])
def test_code_of_ones_own_is_named_by_its_place(name: str) -> None:
    request = Request(space="s", target="t", controller=name, accuracy=name)
    assert request.code == {"controller": name, "accuracy": name}
    assert request.planned(name) == 150


@pytest.mark.parametrize("name", ["own", "own:", ":Mine", "own:1", "own/x:Mine", "optuna:cmaes", "table:"])
def test_what_is_no_place_is_no_controller(name: str) -> None:
    with pytest.raises(NasError, match="No controller named"):
        Request(space="s", target="t", controller=name)


def test_strides_are_kept_unless_a_request_says_otherwise_or_is_older_than_the_choice() -> None:
    kept = Request(space="mobile", target="t", resolution=96)
    assert kept.to_json()["strides"] == "keep"
    assert Request.from_json(kept.to_json()).strides == "keep"
    old = {name: value for name, value in kept.to_json().items() if name != "strides"}
    assert Request.from_json(old).strides == "drop"  # as version 0.1 did without saying it
    assert Request.from_json({"space": "mobile", "target": "t"}).strides is None
    with pytest.raises(NasError, match="add --resolution"):
        Request(space="mobile", target="t", strides="drop")
    with pytest.raises(NasError, match="No strides named 'some'"):
        Request(space="mobile", target="t", resolution=96, strides="some")
