"""Descent: a policy and its supernet in training, stopped and gone on with, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from descents import TINY, never, state

from nas.accuracy.shared import Shared
from nas.cost.counts import macs, params
from nas.data import Data, load_data
from nas.errors import Interrupted, NasError, RunError
from nas.policies import POLICIES
from nas.policies.bound import Bounds
from nas.policies.descent import Descent
from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet import SUPERNETS
from nas.supernet.shared_weights import SharedSettings, SharedWeights
from nas.supernet.training import WeightSettings, WeightTraining
from nas.system.interrupt import Signals
from nas.system.teller import Silent
from nas.training import stepper as module

STEPS = 14


class Asked(Signals):
    """Signals that come when a function says so."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        super().__init__()
        self._ask = ask

    def __call__(self) -> bool:
        return self._ask()


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(TINY)
    return load_space(path)


@pytest.fixture(scope="module")
def digits(cache: None) -> Data:
    return load_data("digits", 8)


@pytest.fixture(params=POLICIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(
    name: str, space: Space, data: Data, path: Path | None, *, drawn: int = 0, planned: int = STEPS, print_: str = "it"
) -> Descent:
    """`drawn` is the seed of the first weights, which a checkpoint replaces."""
    torch.manual_seed(drawn)
    supernet = SUPERNETS[POLICIES[name].supernet](space)
    training = WeightTraining(supernet, data, planned, 0, WeightSettings(batch=16, warm_up=3), None, path, print_)
    costs = {"latency_ms": macs(space) * 1e-5, "params": params(space)}
    low, high = costs["latency_ms"].bounds()
    bounds = {"latency_ms": (low + high) / 2, "params": float(np.mean(costs["params"].bounds()))}
    policy = POLICIES[name](space, supernet, costs["latency_ms"], bounds["latency_ms"])
    return Descent(training, policy, Bounds(costs, bounds))


def test_stopped_anywhere_and_gone_on_with_it_ends_the_same_bit_by_bit(
    name: str, space: Space, digits: Data, tmp_path: Path
) -> None:
    straight = make(name, space, digits, None)
    straight.run(Silent(), never)
    assert straight.training.stepper.step == STEPS
    assert straight.first == 4  # int(0.3 * 14): with stops before, at and after it
    path = tmp_path / "checkpoint.safetensors"
    done = 0
    for stop in (2, 4, 9, 13):
        cut = make(name, space, digits, path, drawn=done)
        steps = cut.training.stepper
        assert steps.step == done
        with pytest.raises(Interrupted, match=f"{stop} of 14 steps are kept"):
            cut.run(Silent(), Asked(lambda steps=steps, stop=stop: steps.step == stop))  # type: ignore[misc]
        done = stop
    last = make(name, space, digits, path, drawn=99)
    last.run(Silent(), never)
    expected, found = state(straight), state(last)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert last.records == straight.records
    assert len(last.records) == STEPS
    assert last.bounds.multipliers == straight.bounds.multipliers
    done_already = make(name, space, digits, path)
    assert done_already.training.stepper.step == STEPS
    done_already.run(Silent(), never)
    assert done_already.records == straight.records


def test_every_option_is_left_alone_while_only_weights_are_trained(name: str, space: Space, digits: Data) -> None:
    descent = make(name, space, digits, None)
    before = [parameter.clone() for parameter in descent.policy.parameters()]
    weights = [parameter.clone() for parameter in descent.training.supernet.parameters()]
    for step in range(descent.first):
        descent.advance(step)
    assert all(torch.equal(a, b) for a, b in zip(before, descent.policy.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(weights, descent.training.supernet.parameters(), strict=True))
    assert descent.bounds.multipliers == {"latency_ms": 0, "params": 0}
    descent.advance(descent.first)
    assert any(not torch.equal(a, b) for a, b in zip(before, descent.policy.parameters(), strict=True))
    assert descent.bounds.multipliers["latency_ms"] != 0
    assert all(parameter.requires_grad for parameter in descent.training.supernet.parameters())


def test_records_say_how_things_stand(name: str, space: Space, digits: Data) -> None:
    descent = make(name, space, digits, None, planned=400)
    for step in range(10):
        descent.advance(step)
    assert [record.step for record in descent.records] == [2, 4, 6, 8, 10]  # 200 of 400
    low, high = descent.bounds.costs["latency_ms"].bounds()
    for record in descent.records:
        assert low <= record.expected_ms <= high
        assert 0 <= record.skips <= 1
        assert 0 < record.entropy <= 1 + 1e-6
        assert 0 < record.loss < 20


@pytest.mark.parametrize("when", [1, 8])
def test_divergence_is_told_and_the_last_checkpoint_stays(
    name: str, when: int, space: Space, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)  # after every step
    path = tmp_path / "checkpoint.safetensors"
    descent = make(name, space, digits, path)
    with pytest.raises(Interrupted):
        descent.run(Silent(), Asked(lambda: descent.training.stepper.step == when))
    kept = path.read_bytes()
    with torch.no_grad():
        for parameter in descent.training.supernet.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(
        NasError, match=f"loss or its gradient is no finite number, at .* step {when + 1}.* is kept"
    ) as caught:
        descent.run(Silent(), never)
    assert "--seed" in str(caught.value)
    assert path.read_bytes() == kept
    assert make(name, space, digits, path).training.stepper.step == when


def test_a_policys_loss_that_is_not_finite_is_told_too(
    space: Space, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)
    path = tmp_path / "checkpoint.safetensors"
    descent = make("proxyless", space, digits, path)
    real = descent.policy.policy_loss
    descent.policy.policy_loss = (  # type: ignore[method-assign]
        lambda *a: real(*a) * (float("nan") if descent.training.stepper.step == 7 else 1)
    )
    with pytest.raises(NasError, match="no finite number, at or shortly before step 8"):
        descent.run(Silent(), never)
    resumed = make("proxyless", space, digits, path)
    assert resumed.training.stepper.step == 7
    assert all(torch.isfinite(value).all() for value in state(resumed).values())


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 137438953472 bytes."),
        MemoryError(),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_running_out_of_memory_says_how_to_need_less(
    problem: Exception, space: Space, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    descent = make("reinforce", space, digits, None)

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(type(descent.training.supernet), "run", fail)
    with pytest.raises(NasError, match=r"too little memory for batches of 16 .*--proxy-resolution"):
        descent.run(Silent(), never)


def test_another_mistake_is_not_taken_for_a_lack_of_memory(
    space: Space, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    descent = make("reinforce", space, digits, None)

    def fail(*_: object) -> None:
        raise RuntimeError("expected scalar type Half")

    monkeypatch.setattr(type(descent.training.supernet), "run", fail)
    with pytest.raises(RuntimeError, match="Half"):
        descent.run(Silent(), never)


def test_checkpoints_of_something_else_are_refused_in_a_line(space: Space, digits: Data, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        make("reinforce", space, digits, path).run(Silent(), Asked(lambda: True))
    with pytest.raises(RunError, match="another space, data set or seed") as caught:
        make("reinforce", space, digits, path, print_="other")
    assert "\n" not in str(caught.value)
    for other in ("fbnet", "single-path"):  # another supernet, another policy
        with pytest.raises(RunError, match="no checkpoint of this training"):
            make(other, space, digits, path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match="no checkpoint of nas"):
        make("reinforce", space, digits, path)


def shared(space: Space, data: Data, folder: Path | None, **changes: object) -> Shared:
    settings = SharedSettings(**({"steps": 6} | {k: v for k, v in changes.items() if k != "seed"}))  # type: ignore[arg-type]
    return Shared(SharedWeights(space, data, settings, int(changes.get("seed", 0)), folder, Silent()))  # type: ignore[call-overload]


def test_what_weights_depend_on_is_in_the_fingerprint(space: Space, digits: Data) -> None:
    own = shared(space, digits, None).fingerprint
    other_data, other_space = load_data("digits", 16), load_space("nas-bench-macro")
    others = [
        shared(space, digits, None, seed=1).fingerprint,
        shared(space, digits, None, steps=7).fingerprint,
        shared(space, digits, None, rule="fair").fingerprint,
        shared(space, digits, None, kind="multi-path").fingerprint,
        shared(space, other_data, None).fingerprint,
        shared(other_space, digits, None).fingerprint,
    ]
    assert own == shared(space, digits, None).fingerprint
    assert len({own, *others}) == 7


@pytest.mark.parametrize("rule", ["uniform", "fair", "sandwich"])
def test_inherited_accuracy_is_that_of_the_network_with_the_weights_it_takes_along(
    rule: str, space: Space, digits: Data
) -> None:
    from nas.blocks.build import build
    from nas.data.batches import evaluation_batches

    evaluator = shared(space, digits, None, rule=rule)
    population = space.canonical(space.sample(3, np.random.default_rng(0)))
    accuracy = evaluator(population)
    assert (evaluator(population[::-1]) == accuracy[::-1]).all()
    for genotype, percent in zip(population, accuracy, strict=True):
        network = build(space.decode(genotype))
        missing, unexpected = network.load_state_dict(
            {name: torch.from_numpy(value) for name, value in evaluator.weights(genotype).items()}, strict=False
        )
        assert not unexpected
        assert all(key.endswith("num_batches_tracked") for key in missing)
        network.eval()
        with torch.no_grad():
            right = [(network(x).argmax(1) == y).float() for x, y in evaluation_batches(digits, digits.validation, 500)]
        assert percent == pytest.approx(100 * float(torch.cat(right).mean()), abs=0.4)  # a picture of 287
    error = evaluator.uncertainty(population)
    count = len(digits.validation)
    share = (accuracy / 100 * count + 2) / (count + 4)  # Agresti and Coull, as after a training
    assert error == pytest.approx(100 * np.sqrt(share * (1 - share) / (count + 4)))


def test_a_supernets_training_is_gone_on_with(
    space: Space, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shared(space, digits, None)
    population = space.sample(2, np.random.default_rng(0))
    expected = whole(population)
    cut = shared(space, digits, tmp_path)
    real: Callable[..., float] = cut.shared.training.step

    def step(number: int, backward: Callable[[], float]) -> float:
        if number == 4:
            raise KeyboardInterrupt
        return real(number, backward)

    monkeypatch.setattr(cut.shared.training, "step", step)
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        cut(population)
    again = shared(space, digits, tmp_path)
    found = again(population)
    assert (found == expected).all()
    for one, two in zip(
        whole.shared.training.supernet.parameters(), again.shared.training.supernet.parameters(), strict=True
    ):
        assert torch.equal(one, two)
    with pytest.raises(RunError, match="another space, data set or seed"):
        shared(space, digits, tmp_path, seed=1)(population)


def test_more_branches_than_fit_are_refused_before_a_run_begins(digits: Data) -> None:
    with pytest.raises(NasError, match="at most 64 branches a slot"):
        shared(load_space("mnasnet"), digits, None, kind="multi-path")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", SharedSettings()),
        ("20", SharedSettings(steps=20)),
        ("fair,1000,multi-path", SharedSettings(steps=1000, rule="fair", kind="multi-path")),
        ("sandwich", SharedSettings(rule="sandwich")),
    ],
)
def test_words_after_the_colon(argument: str, expected: SharedSettings) -> None:
    assert SharedSettings.parse(argument) == expected


@pytest.mark.parametrize("argument", ["nonsense", "0", "-5", "1e3", "20,unfair", "²"])
def test_words_that_mean_nothing(argument: str) -> None:
    with pytest.raises(NasError, match="takes a number of steps, a rule"):
        SharedSettings.parse(argument)


def test_the_learning_rate_rises_and_falls(space: Space, digits: Data) -> None:
    torch.manual_seed(0)
    training = WeightTraining(
        SUPERNETS["superkernel"](space), digits, 100, 0, WeightSettings(learning_rate=0.2, warm_up=10)
    )
    rates = [training.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)  # a tenth of 0.2
    assert max(rates) == pytest.approx(0.2, rel=0.03)
    assert rates[50] == pytest.approx(0.1)  # half way down the cosine
    assert 0 < rates[99] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
