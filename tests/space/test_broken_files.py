"""Every way to get a search-space file wrong that we could think of: one or two lines, with the place and the rule."""

from pathlib import Path

import pytest

from nas.errors import NasError
from nas.space.load import load_space
from nas.system.places import shipped_folder

GOOD = (shipped_folder("search_spaces") / "mobile.yaml").read_text()

BROKEN = {
    "not a mapping": ("", "- 1\n- 2\n", "mapping"),
    "empty": (None, "", "mapping"),
    "not yaml": ("format: nas-space/1", "format: [nas-space/1", "not valid YAML"),
    "tab": ("input:", "\tinput:", "not valid YAML"),
    "unknown key": ("num_classes:", "num_clases:", "no such key"),
    "missing key": ("name: mobile\n", "", "name"),
    "other format": ("nas-space/1", "nas-space/9", "format"),
    "repeated key": ("name: mobile\n", "name: mobile\nname: again\n", "unique"),
    "alias": ("num_classes: 1000", "num_classes: &n 1000\nx: *n", "aliases"),
    "text for a number": ("num_classes: 1000", "num_classes: many", "num_classes"),
    "1e3 is text in YAML": ("num_classes: 1000", "num_classes: 1e3", "num_classes"),
    "negative": ("num_classes: 1000", "num_classes: -1", "num_classes"),
    "truth value for a number": ("width: 16", "width: true", "width"),
    "fraction for a whole number": ("width: 16", "width: 16.5", "width"),
    "empty choice": ("depth: {choice: [1, 2, 3]}", "depth: {choice: []}", "depth"),
    "bare list": ("depth: {choice: [1, 2, 3]}", "depth: [1, 2, 3]", "choice"),
    "repeated option": ("depth: {choice: [1, 2, 3]}", "depth: {choice: [1, 1]}", "differ"),
    "depth 0": ("depth: {choice: [1, 2, 3]}", "depth: {choice: [0, 1]}", "depth"),
    "even kernel": ("kernel: {choice: [3, 5]}", "kernel: {choice: [3, 4]}", "kernel"),
    "unknown block": ("block: mbconv", "block: mbconvv", "a block is one of"),
    "unknown activation": ("activation: relu", "activation: mish", "activation"),
    "ratio over 1": ("se: {choice: [0, 0.25]}", "se: {choice: [0, 25]}", "se"),
    "not a number": ("se: {choice: [0, 0.25]}", "se: {choice: [0, .nan]}", "se"),
    "infinite": ("se: {choice: [0, 0.25]}", "se: {choice: [0, .inf]}", "se"),
    "unknown setting": ("kernel: {choice: [3, 5]}", "kernal: {choice: [3, 5]}", "kernel, se, se_gate"),
    "a field that is derived": ("se: {choice: [0, 0.25]}", "se_channels: 8", "got 'se_channels'"),
    "a list for a setting": ("kernel: {choice: [3, 5]}", "kernel: {choice: [[3], 5]}", "a setting is a whole number"),
    "nothing for a setting": ("kernel: {choice: [3, 5]}", "kernel: ~", "a setting is a whole number"),
    "truth value for a setting": ("kernel: {choice: [3, 5]}", "kernel: {choice: [true, 3]}", "whole number, got True"),
    "a huge kernel": ("kernel: {choice: [3, 5]}", "kernel: {choice: [3, 99999999999]}", "kernel"),
    "a long word": ("kernel: {choice: [3, 5]}", f"kernel: {'x' * 9_000}", "kernel"),
    "per what": ("kernel: {choice: [3, 5]}", "kernel: {choice: [3, 5], per: block}", "per"),
    "depth per layer": ("depth: {choice: [1, 2, 3]}", "depth: {choice: [1, 2], per: layer}", "per"),
    "a billion layers": ("depth: {choice: [1, 2, 3]}", "depth: {choice: [1, 1000000000]}", "depth"),
    "too many layers": ("depth: {choice: [1, 2, 3]}", "depth: {choice: [1, 999]}", "at most 1,000 layers"),
    "a dimension too large": ("width: 1280", "width: 1000000", "width"),
    "repeated stage": ("name: stage2", "name: stage1", "different names"),
    "reference misses a decision": ("stage7: {depth: 1, kernel: 3,", "stage7: {depth: 1,", "missing"),
    "reference with a foreign option": ("stage7: {depth: 1, kernel: 3,", "stage7: {depth: 1, kernel: 7,", "one of"),
    "tag": ("name: mobile", "name: !!python/object/apply:os.system [echo]", "not valid YAML"),
    "nested too deep": ("source:", "source: " + "[" * 5_000 + "\nx:", "not valid YAML"),
    "not utf-8": (None, b"\xff\xfe\x00", "UTF-8"),
    "too large": (None, "#" * (2 << 20), "at most"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file(case: str, tmp_path: Path) -> None:
    old, new, part = BROKEN[case]
    path = tmp_path / "broken.yaml"
    if isinstance(new, bytes):
        path.write_bytes(new)
    else:
        if old:
            assert old in GOOD
        path.write_text(GOOD.replace(old, new, 1) if old else new)
    with pytest.raises(NasError) as caught:
        load_space(path)
    message = str(caught.value)
    assert part in message
    assert str(path) in message
    assert len(message.splitlines()) <= 2
    assert len(message) < 600


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(NasError, match=r"No search space named 'mobil'.*mobile"):
        load_space("mobil")


def test_missing_file() -> None:
    with pytest.raises(NasError, match="no such search-space file"):
        load_space("nowhere/space.yaml")
