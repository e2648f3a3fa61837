"""The stepper: what it does for every training, on two numbers that fall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.errors import Interrupted, NasError, OutOfMemory, RunError
from nas.system.checkpoint import read_checkpoint, write_checkpoint
from nas.system.interrupt import Signals
from nas.training.processes import Processes
from nas.training.stepper import Stepper, sgd

HERE = Processes(0, 1, torch.device("cpu"))


class Told:
    """What a stepper tells."""

    def __init__(self) -> None:
        self.done: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, note: str) -> None:
        self.done.append((done, total, note))

    def say(self, line: str) -> None:
        raise AssertionError(line)


def numbers() -> nn.Module:
    network = nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.ones_(network.bias)
    return network


def make(path: Path | None = None, network: nn.Module | None = None, **changes: Any) -> Stepper:
    network = network or numbers()
    given: dict[str, Any] = {
        "network": network,
        "optimiser": sgd(network, 0.5, 0.1),
        "rate": lambda step: 0.25 * 0.5**step,
        "clip": 100.0,
        "planned": 4,
        "batch": 8,
        "team": HERE,
        "path": path,
        "identity": {"seed": "1"},
        "names": ("weight/", "momentum/"),
        "diverged": "Go slower.",
        "short": "Take less.",
    }
    return Stepper(**given | changes)


def falls(stepper: Stepper) -> Tensor:
    loss = torch.stack([p.sum() for p in stepper.network.parameters()]).sum()
    torch.autograd.backward(loss)
    return loss.detach()


def train(stepper: Stepper, told: Told | None = None, stop: int | None = None, nan: int | None = None) -> Stepper:
    """To the end, to a signal while step `stop` is made, or on with a loss that is no number at step `nan`."""
    signals = Signals()
    for step in stepper.steps(told or Told(), signals, lambda: {"mine": stop}):
        if step == stop:
            signals.note(2, None)
        stepper.follow(step, lambda step=step: falls(stepper) * (float("nan") if step == nan else 1))  # type: ignore[misc]
    return stepper


def test_two_steps_by_hand() -> None:
    stepper = train(make(planned=2))
    weight, bias = (p.item() for p in stepper.network.parameters())
    # gradient 1, Nesterov with momentum 0.5: the buffer b is 1, then 1.5; a step is rate · (1 + 0.5 b)
    assert bias == pytest.approx(1 - 0.25 * 1.5 - 0.125 * 1.75)
    first = 1.1  # 1, and 0.1 of the weight, which decays; the bias does not
    after = 1 - 0.25 * 1.5 * first
    second = 1 + 0.1 * after
    assert weight == pytest.approx(after - 0.125 * (second + 0.5 * (0.5 * first + second)))


def test_gradients_are_clipped_together() -> None:
    network = numbers()
    stepper = train(make(network=network, optimiser=sgd(network, 0.0, 0.0), planned=1, clip=1.0))
    assert [p.item() for p in stepper.network.parameters()] == pytest.approx([1 - 0.25 / 2**0.5] * 2)


def test_every_step_is_told() -> None:
    told = Told()
    train(make(), told=told)
    assert told.done == [(0, 32, "img"), (8, 32, "img"), (16, 32, "img"), (24, 32, "img"), (32, 32, "img")]


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_asked_to_stop_it_keeps_all_and_goes_on(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "checkpoint"
    with pytest.raises(Interrupted, match=f"{stop} of 4 steps are kept"):
        train(make(path), stop=stop - 1)
    again, seen = make(path), []
    again.restore(lambda state: seen.append(state["mine"]))
    assert (again.step, seen) == (stop, [stop - 1])
    expected = train(make()).tensors()
    found = train(again).tensors()
    assert found.keys() == expected.keys() == {"weight/weight", "weight/bias", "momentum/weight", "momentum/bias"}
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_what_an_owner_adds_is_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"

    def with_policy() -> tuple[Stepper, nn.Parameter, torch.optim.Adam]:
        stepper, policy = make(path), numbers()
        own = next(policy.parameters())
        adam = torch.optim.Adam([own], lr=0.1)
        stepper.modules["policy/"] = policy
        stepper.optimisers["adam/"] = adam, {"0": own}
        return stepper, own, adam

    stepper, own, adam = with_policy()
    own.grad = torch.full_like(own, 3.0)
    adam.step()
    stepper.write()
    tensors, state = read_checkpoint(path)
    assert {"policy/weight", "policy/bias", "adam/0/step", "adam/0/exp_avg", "adam/0/exp_avg_sq"} <= tensors.keys()
    assert state == {"step": 0, "identity": {"seed": "1"}}
    again, parameter, other = with_policy()
    again.restore()
    for optimiser, value in ((adam, own), (other, parameter)):
        value.grad = torch.ones_like(value)
        optimiser.step()
    assert torch.equal(own, parameter)


@pytest.mark.parametrize("fingerprint", ["1", "2"])
def test_a_supernets_checkpoint_of_version_0_1(tmp_path: Path, fingerprint: str) -> None:
    path = tmp_path / "checkpoint"
    write_checkpoint(path, make().tensors(), {"step": 3, "fingerprint": fingerprint})
    stepper = make(path)
    if fingerprint == "1":
        stepper.restore()
        assert stepper.step == 3
    else:
        with pytest.raises(RunError, match=r"this checkpoint is of another seed\. Start anew with another --out"):
            stepper.restore()


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, state: tensors.pop("weight/bias"),
        lambda tensors, state: tensors.update({"weight/bias": torch.ones(3)}),
        lambda tensors, state: tensors.update({"momentum/bias": torch.ones(3)}),
        lambda tensors, state: tensors.update({"momentum/other": torch.ones(1)}),
        lambda tensors, state: state.pop("step"),
        lambda tensors, state: state.update(step="three"),
        lambda tensors, state: state.update(identity=["seed"]),
    ],
)
def test_anything_else_is_refused_in_a_line(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "checkpoint"
    tensors, state = make().tensors(), {"step": 3, "identity": {"seed": "1"}}
    change(tensors, state)
    write_checkpoint(path, tensors, state)
    with pytest.raises(RunError, match="no checkpoint of this training") as caught:
        make(path).restore()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("look", "before"), [(1, 2), (3, 4)])
def test_no_finite_number_is_told_at_the_next_look(tmp_path: Path, look: int, before: int) -> None:
    path = tmp_path / "checkpoint"
    stepper = make(path, look=look)
    stepper.write()
    with pytest.raises(NasError, match=rf"shortly before step {before}\. The last checkpoint is kept\. Go slower\."):
        train(stepper, nan=1)
    assert read_checkpoint(path)[1]["step"] == 0


def test_short_memory_is_told_and_nothing_else() -> None:
    message = r"cpu has too little memory for batches of 8 pictures\. Take less\."
    with pytest.raises(OutOfMemory, match=message), make().memory_told():
        raise MemoryError
    with pytest.raises(RuntimeError, match="Half"), make().memory_told():
        raise RuntimeError("expected scalar type Half")
