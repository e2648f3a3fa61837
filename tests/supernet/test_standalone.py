"""A network of a supernet is the network by itself: the same function, bit for bit or to 1e-5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from odd_spaces import ODD, odd_space
from torch.nn.functional import interpolate

from nas.blocks.build import build
from nas.errors import NasError
from nas.formats.plain import to_python
from nas.space.load import load_space
from nas.supernet.multi_path import MultiPath
from nas.supernet.subnet import recalibrate
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Supernet

Shipped = Callable[..., Supernet]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.manual_seed(7)
    with torch.no_grad():
        yield


def check(supernet: Supernet, networks: int, x: torch.Tensor, seed: int = 0) -> None:
    """Subnets equal their standalones; so that the comparison says something, they differ from each other."""
    space, outputs = supernet.space, []
    for genotype in space.sample(networks, np.random.default_rng(seed)):
        outputs.append(supernet(x, genotype))
        alone = supernet.standalone(genotype)
        assert alone.training
        shown = x
        height = space.decode(genotype).height
        if height != space.resolution:  # in proportion to the resolution that the network is for
            side = round(x.shape[-1] * height / space.resolution)
            shown = interpolate(x, (side, side), mode="bilinear", antialias=True)
        assert torch.allclose(outputs[-1], alone(shown), atol=1e-5, rtol=0)
    assert max((one - outputs[0]).abs().max() for one in outputs[1:]) > 1e-2


@pytest.mark.parametrize(
    "networks", [10, pytest.param(200, marks=pytest.mark.slow)], ids=lambda networks: f"{networks}-networks"
)
@pytest.mark.parametrize(
    ("space", "side", "batch"), [("single-path", 32, 4), ("mobile", 64, 2), ("nas-bench-macro", 32, 2)]
)
def test_a_subnet_of_superkernels_equals_its_standalone(
    shipped: Shipped, space: str, side: int, batch: int, networks: int
) -> None:
    check(shipped(space), networks, torch.randn(batch, 3, side, side))


@pytest.mark.parametrize("space", ["attentive", "fbnet", "mnasnet", "ofa-mbv3"])
def test_likewise_where_kinds_groups_and_resolutions_are_chosen(shipped: Shipped, space: str) -> None:
    check(shipped(space), 5, torch.randn(4, 3, 32, 32))


@pytest.mark.parametrize("space", ["single-path", "nas-bench-macro"])
def test_a_subnet_of_branches_equals_its_standalone(shipped: Shipped, space: str) -> None:
    check(shipped(space, "multi-path"), 5, torch.randn(4, 3, 32, 32))


@pytest.mark.parametrize("make", [Superkernel, MultiPath])
@pytest.mark.parametrize("name", ODD)
def test_every_choice_that_a_file_can_offer(name: str, make: Callable[..., Supernet], tmp_path: Path) -> None:
    space = load_space(odd_space(name, tmp_path))
    check(make(space), 25, torch.randn(6, 3, space.resolution, space.resolution))


@pytest.mark.parametrize("name", ["kinds", "squeezes"])
def test_the_order_of_options_does_not_matter_to_a_superkernel(name: str, tmp_path: Path) -> None:
    """The largest may come first or last: the bank must hold it."""
    path = odd_space(name, tmp_path)
    lines = path.read_text()
    for options in (
        "[always, inverted, separable, full, wider, thin, thick, plain, skip]",
        "[0, 0.25, 0.5, 1]",
        "[3, 5]",
        "[1, 3]",
    ):
        backwards = ", ".join(reversed(options[1:-1].split(", ")))
        lines = lines.replace(options, f"[{backwards}]")
    path.write_text(lines)
    space = load_space(path)
    check(Superkernel(space), 15, torch.randn(6, 3, 16, 16))


@pytest.mark.parametrize("space", ["single-path", "mobile", "nas-bench-macro"])
def test_recalibrated_it_is_the_network_that_build_makes_of_its_state(shipped: Shipped, space: str) -> None:
    supernet = shipped(space)
    batches = [torch.randn(4, 3, 32, 32) for _ in range(3)]
    x = torch.randn(2, 3, 32, 32).double()
    genotype = supernet.space.sample(1, np.random.default_rng(5))[0]
    network = supernet.standalone(genotype)
    recalibrate(network, batches)
    network.double()  # statistics over a few pixels magnify rounding, which differs with the order in memory
    architecture = supernet.space.decode(genotype)
    again = build(architecture).double()
    again.load_state_dict(network.state_dict())
    expected = network(x)
    assert torch.allclose(again.eval()(x), expected, atol=1e-9, rtol=0)
    scope: dict[str, object] = {}
    exec(compile(to_python(architecture), "model.py", "exec"), scope)
    plain = scope["model"]().double()  # type: ignore[operator]
    plain.load_state_dict(network.state_dict())
    assert torch.allclose(plain.eval()(x), expected, atol=1e-9, rtol=0)


def test_a_standalone_has_a_copy_of_the_weights(tmp_path: Path) -> None:
    supernet = Superkernel(load_space(odd_space("widths", tmp_path)))
    x = torch.randn(4, 3, 16, 16)
    genotype = supernet.space.sample(1, np.random.default_rng(0))[0]
    before = supernet(x, genotype)
    for parameter in supernet.standalone(genotype).parameters():
        parameter.zero_()
    assert torch.equal(supernet(x, genotype), before)


def test_smaller_options_are_slices_of_larger_ones(tmp_path: Path) -> None:
    """A kernel of 3 is the centre of one of 5; fewer channels are the first ones (arXiv:1904.02877, section 3.1)."""
    space = load_space(odd_space("widths", tmp_path))
    supernet = Superkernel(space)
    chosen = {d.name: d.options[-1] for d in space.decisions}
    large = chosen | {"body.kernel": 5, "body.expansion": 4}
    small = chosen | {"body.kernel": 3, "body.expansion": 2}
    one, other = (supernet.standalone(space.encode([choices])[0]) for choices in (large, small))
    depthwise, narrow = (dict(network[1].named_parameters())["1.conv.weight"] for network in (one, other))
    assert depthwise.shape == (12 * 4, 1, 5, 5)  # the stem's 12 channels, times 4
    assert narrow.shape == (12 * 2, 1, 3, 3)
    assert torch.equal(narrow, depthwise[:24, :, 1:4, 1:4])


def test_too_many_branches_are_refused_in_words() -> None:
    with pytest.raises(NasError, match=r"at most 64 branches a slot; .* has 126\. Use a superkernel"):
        MultiPath(load_space("mnasnet"))
