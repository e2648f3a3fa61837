"""Spaces for pictures of another size, and for another number of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from nas.errors import SpaceError
from nas.space.adapt import Strides, options_of
from nas.space.load import load_space
from nas.system.places import space_path

NAMES = ("mobile", "single-path", "fbnet", "mnasnet", "nas-bench-macro")


def strides(name: str | Path) -> list[int]:
    return [stage.get("stride", 1) for stage in yaml.safe_load(space_path(name).read_text())["stages"]]


@pytest.mark.parametrize(
    ("name", "resolution", "left"),
    [
        ("mobile", 32, [1, 1, 1, 2, 2, 1, 2, 1]),  # 2 * 2 * 2 = 8, and 32 / 8 = 4; the stem and stage2 lose theirs
        ("mobile", 64, [1, 1, 2, 2, 2, 1, 2, 1]),  # 64 / 16 = 4
        ("mobile", 127, [1, 1, 2, 2, 2, 1, 2, 1]),  # 127 < 4 * 32
        ("mobile", 128, [2, 1, 2, 2, 2, 1, 2, 1]),  # 128 / 32 = 4: nothing is left out
        ("mobile", 320, [2, 1, 2, 2, 2, 1, 2, 1]),
        ("mobile", 4, [1] * 8),
        ("mobile", 3, [1] * 8),  # no stride is left to leave out
        ("nas-bench-macro", 16, [1, 1, 2, 2]),  # stem 1, then 2 * 2: 16 / 4 = 4
    ],
)
def test_early_strides_are_left_out_until_four_pixels_remain(name: str, resolution: int, left: list[int]) -> None:
    assert len(strides(name)) == len(left)
    space = load_space(name, resolution=resolution, strides="drop")
    population = space.sample(20, np.random.default_rng(0))
    for genotype in population:
        architecture = space.decode(genotype)
        assert (architecture.height, architecture.width) == (resolution, resolution)
        expected, size = [stride for stride in left if stride > 1], resolution
        assert [layer.stride for layer in architecture.layers if layer.stride > 1] == expected
        for stride in expected:
            size = -(-size // stride)
        assert architecture.layers[-1].height == size
        assert size >= min(4, resolution)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_what_changed_and_nothing_else_does(name: str) -> None:
    own = load_space(name)
    adapted = load_space(name, resolution=48, strides="drop", classes=7)
    assert adapted.name == f"{name}-48px-7c"
    assert load_space(name, resolution=48, strides="drop").name == f"{name}-48px"
    kept = load_space(name, resolution=48)
    if name == "nas-bench-macro":  # 48 / 8 is 6: there is nothing to drop, and one space
        assert (kept.name, kept.strides) == (f"{name}-48px", "")
    else:
        assert kept.name == f"{name}-48px-keep"
        assert kept.fingerprint != load_space(name, resolution=48, strides="drop").fingerprint
    assert load_space(name, classes=7).name == f"{name}-7c"
    assert adapted.decisions == own.decisions
    assert adapted.references.keys() == own.references.keys()
    references = adapted.encode(list(adapted.references.values()))
    assert (references == own.encode(list(own.references.values()))).all()
    for genotype in references:
        assert adapted.decode(genotype).layers[-1].out_channels == 7
    assert len({own.fingerprint, adapted.fingerprint, load_space(name, classes=7).fingerprint}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_what_the_file_says_already_changes_nothing(name: str) -> None:
    own = load_space(name)
    classes = own.decode(own.sample(1, np.random.default_rng(0))[0]).layers[-1].out_channels
    same = load_space(name, resolution=own.resolution, classes=classes)
    assert same.name == own.name
    assert same.fingerprint == own.fingerprint


@pytest.fixture
def several(tmp_path: Path) -> Path:
    path = tmp_path / "several.yaml"
    path.write_text("""
format: nas-space/1
name: several
source: test
num_classes: 10
input: {resolution: {choice: [64, 96]}}
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 16, stride: 2, depth: 1, kernel: {choice: [3, 5]}, expansion: 2}
head: {width: 16}
references:
  plain: {resolution: 96, body: {kernel: 5}}
""")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_less_pixels_are_never_more_work(name: str) -> None:
    own = load_space(name)
    genotypes = own.sample(3, np.random.default_rng(0))
    before = np.zeros(3)
    for resolution in [own.shrinkage, *range(own.shrinkage + 1, 257, 37)]:
        space = load_space(name, resolution=resolution, strides="keep")
        assert (space.shrinkage, space.resolution) == (own.shrinkage, resolution)
        macs = np.array([space.decode(genotype).macs for genotype in genotypes])
        assert (macs >= before).all()
        before = macs
    at_home = np.array([own.decode(genotype).macs for genotype in genotypes])
    assert own.resolution > 256 or (macs >= at_home).all()


@pytest.mark.parametrize(
    ("resolution", "strides", "message"),
    [
        (32, None, r"leaves one at the end\.\nChoose --strides keep \(9\.09 M MACs in the middle\), "
                   r"--strides drop \(82\.3 M MACs in the middle\), .* or --resolution 33 or more\."),
        (31, None, r"less than one at the end\.\nChoose --strides drop \(.* M MACs in the middle\), .*33 or more"),
        (1, "keep", r"less than one at the end\.\nChoose --strides drop .* or --resolution 32 or more"),
    ],
)  # fmt: skip
def test_a_last_map_that_would_vanish_is_refused_with_what_each_way_costs(
    resolution: int, strides: Strides | None, message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        load_space("mobile", resolution=resolution, strides=strides)
    if resolution == 32:
        for way, side in (("keep", 1), ("drop", 4)):
            space = load_space("mobile", resolution=resolution, strides=way)
            assert {space.decode(g).layers[-1].height for g in space.sample(5, np.random.default_rng(0))} == {side}


@pytest.mark.parametrize("resolution", [32, 96])
def test_one_of_several_resolutions_is_settled_in_references_too(several: Path, resolution: int) -> None:
    space = load_space(several, resolution=resolution)
    assert space.name == f"several-{resolution}px"
    assert [decision.name for decision in space.decisions] == ["body.kernel"]
    (genotype,) = space.encode(list(space.references.values()))
    assert space.choices(genotype) == {"body.kernel": 5}
    assert space.decode(genotype).height == resolution


def test_several_resolutions_stay_where_none_is_named(several: Path) -> None:
    assert [decision.name for decision in load_space(several, classes=3).decisions] == ["resolution", "body.kernel"]


def test_pictures_smaller_than_the_strides_that_remain_do_not_occur() -> None:
    for name in NAMES:
        for resolution in (4, 17, 32, 100):
            space = load_space(name, resolution=resolution, strides="drop")
            assert space.shrinkage <= resolution
            assert space.resolution == resolution


def test_a_name_tells_the_options_of_nas_profile() -> None:
    assert options_of("mobile") == "mobile"
    assert options_of("mobile-32px-10c") == "mobile --resolution 32 --strides drop --classes 10"
    assert options_of("mobile-32px-keep-10c") == "mobile --resolution 32 --strides keep --classes 10"
    assert options_of("mobile-160px") == "mobile --resolution 160"
    assert options_of("mobile-10c") == "mobile --classes 10"
    assert options_of("my-12c-space-48px") == "my-12c-space --resolution 48 --strides drop"
