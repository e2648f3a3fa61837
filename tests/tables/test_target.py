"""Targets: what a word names, and where the table of a device lives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.devices.names import DEVICE_KINDS, DeviceName, device_name, named_devices
from nas.errors import NasError, TableError
from nas.system.places import own_tables_folder, shipped_folder, shipped_tables, table_path
from nas.system.text import listed
from nas.system.user_folders import config_folder
from nas.tables.target import check_target, is_table_path, table_folder, target_path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without tables and devices, in an empty folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def devices_file(text: str) -> Path:
    file = config_folder() / "devices.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def make_table(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "table.yaml").write_text("a table\n")


@pytest.mark.parametrize(
    ("word", "runtime", "place", "threads"),
    [
        ("cpu:openvino", "openvino", "", 1),
        ("cpu:openvino:4t", "openvino", "", 4),
        ("ssh:board:openvino", "openvino", "board", 1),
        ("ssh:ssh://pi@board:2222:openvino:2t", "openvino", "ssh://pi@board:2222", 2),
        ("ssh:pi@fe80::1%eth0:openvino", "openvino", "pi@fe80::1%eth0", 1),
        ("ssh:openvino", "", "openvino", 1),
        ("ssh:openvino:openvino", "openvino", "openvino", 1),
        ("adb:openvino:openvino", "", "openvino:openvino", 1),
    ],
)
def test_a_word_names_a_runtime(word: str, runtime: str, place: str, threads: int) -> None:
    """Of this machine and of boards; a phone has none but its runner's."""
    assert device_name(word) == DeviceName(word, word.partition(":")[0], place, threads, runtime=runtime)
    check_target(word)


@pytest.mark.parametrize(
    ("word", "kind", "place", "threads"),
    [
        ("cpu", "cpu", "", 1),
        ("cpu:1t", "cpu", "", 1),
        ("cpu:4t", "cpu", "", 4),
        ("cpu:128t", "cpu", "", 128),
        ("cuda", "cuda", "", 1),
        ("coreml", "coreml", "", 1),
        ("openvino:2t", "openvino", "", 2),
        ("xnnpack", "xnnpack", "", 1),
        ("fake", "fake", "", 1),
        ("ssh:board", "ssh", "board", 1),
        ("ssh:pi@board", "ssh", "pi@board", 1),
        ("ssh:board:2t", "ssh", "board", 2),
        ("ssh:pi@192.168.0.7:4t", "ssh", "pi@192.168.0.7", 4),
        ("ssh:4t-board", "ssh", "4t-board", 1),
        ("adb:HT7B91A00123", "adb", "HT7B91A00123", 1),
        ("adb:HT7B91A00123:4t", "adb", "HT7B91A00123", 4),
        ("adb:127.0.0.1:6000", "adb", "127.0.0.1:6000", 1),
        ("adb:127.0.0.1:6000:8t", "adb", "127.0.0.1:6000", 8),
        ("adb:adb-39021F-QVpZhQ (2)._adb-tls-connect._tcp", "adb", "adb-39021F-QVpZhQ (2)._adb-tls-connect._tcp", 1),
        ("adb:adb-39021F (2)._adb._tcp:4t", "adb", "adb-39021F (2)._adb._tcp", 4),
        ("ssh:ssh://pi@board:2222", "ssh", "ssh://pi@board:2222", 1),
        ("ssh:ssh://pi@board:2222:4t", "ssh", "ssh://pi@board:2222", 4),
        ("ssh:ssh://[::1]:2222", "ssh", "ssh://[::1]:2222", 1),
        ("ssh:pi@fe80::1%eth0:2t", "ssh", "pi@fe80::1%eth0", 2),
        ("browser", "browser", "", 1),
        ("browser:4t", "browser", "", 4),
        ("browser:webgpu", "browser", "webgpu", 1),
        ("browser:wasm:2t", "browser", "wasm", 2),
    ],
)
def test_a_word_names_a_device(word: str, kind: str, place: str, threads: int) -> None:
    assert device_name(word) == DeviceName(word, kind, place, threads)
    check_target(word)


@pytest.mark.parametrize(
    "word",
    [
        *("ssh", "ssh:", "ssh:4t", "ssh:-oProxyCommand=reboot", "ssh:-oProxyCommand=reboot:4t"),
        *("ssh:pi@", "ssh:@board", "ssh:ssh://", "ssh:ssh://pi@board:0", "ssh:ssh://pi@board:65536"),
        *("adb", "adb:", "adb:4t", "adb:-s", "adb:-H:2t", "adb:a :4t"),
        *("cpu:", "cpu:4", "cpu:0t", "cpu:-1t", "cpu:04t", "cpu:10000t", "cpu:t", "cpu:4T", "cpu::4t", "cpu:fast:4t"),
        *("cuda:0", "fake:slow", "browser:", "browser:chrome", "browser:webgpu:fast", "browser:WASM"),
        *("cpu:tflite", "cpu:OpenVINO", "cpu:4t:openvino", "cpu:openvino:", "cpu::openvino", "cpu:openvino:openvino"),
        *("cuda:openvino", "openvino:openvino", "browser:openvino", "fake:openvino", "ssh:pi@board:tflite"),
        *("ssh::openvino", "ssh:pi@board:4t:openvino", "ssh:pi@board:openvino:openvino"),
    ],
)
def test_a_device_that_cannot_be_is_refused(word: str) -> None:
    kind = word.partition(":")[0]
    with pytest.raises(NasError, match=rf"^A {kind} device is written {kind}.*{re.escape(repr(word))}") as caught:
        device_name(word)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "word",
    ["nonsense", "CPU", "Cpu:4t", "cpu4", "cpu-4t", ":", ":cpu", "tpu:1t", "cpu 4t", "cpu: 4t", " cpu", "cpu\n"],
)
def test_other_words_name_no_device(word: str) -> None:
    assert device_name(word) is None
    with pytest.raises(TableError, match="No target named"):
        check_target(word)


def test_nothing_is_no_target() -> None:
    assert device_name("") is None
    with pytest.raises(TableError):
        check_target("")


@pytest.mark.parametrize(
    "word", ["ssh:\x1b[2J", "ssh:board\x00", "ssh:bo ard", "adb:SER\nIAL", "ssh:bøard", "adb:" + "9" * 190]
)
def test_places_are_plain_words(word: str) -> None:
    """They become arguments of programs, names in headers and lines on terminals."""
    assert device_name(word) is None


def test_a_table_of_that_name_wins(home: Path) -> None:
    devices_file("pi: ssh:pi@board\n")
    assert device_name("pi") is not None
    for name in ("cpu", "pi"):
        make_table(own_tables_folder() / name)
        assert device_name(name) is None
        check_target(name)
        assert target_path(name, "mobile") == own_tables_folder() / name
    assert device_name("pixel-cpu") is None
    check_target("pixel-cpu")


def test_a_path_is_a_table() -> None:
    make_table(Path("mine"))
    for place in ("mine", "./mine"):
        assert device_name(place) is None
        check_target(place)
        assert target_path(place, None) == Path(place)
    with pytest.raises(TableError, match="this is none") as caught:
        check_target("./elsewhere")
    assert "Or a device" not in str(caught.value)


@pytest.mark.parametrize("name", ["fake", "cpu", "browser", "pi", "pixel-cpu"])
def test_a_folder_hides_no_device_and_no_name(name: str) -> None:
    """It is a path where a separator says so."""
    devices_file("pi: ssh:pi@board\n")
    make_table(Path(name))
    found = device_name(name)
    assert (found is None) == (name == "pixel-cpu")
    assert not is_table_path(name)
    if found is None:
        assert target_path(name, "mobile") == shipped_folder("latency_tables") / name
    for place in (f"./{name}", f"{name}/", str(Path(name).resolve())):
        assert device_name(place) is None
        assert is_table_path(place)
        assert table_path(target_path(place, "mobile")) == Path(place)


def test_an_unknown_name_is_told_both_ways() -> None:
    with pytest.raises(TableError) as caught:
        check_target("cpuu")
    message = str(caught.value)
    assert message.startswith(f"No target named 'cpuu'. Tables here: {listed(shipped_tables())};")
    assert message.endswith(f"Or a device: {', '.join(DEVICE_KINDS)} (see `nas devices`).")


def test_the_table_of_a_device_is_found_by_its_space() -> None:
    with pytest.raises(
        TableError, match=r"cpu:4t has no table of mobile yet\. .*nas profile --space mobile --target cpu:4t"
    ):
        target_path("cpu:4t", "mobile")
    with pytest.raises(TableError, match="this network names none"):
        target_path("cpu:4t", None)
    make_table(own_tables_folder() / "cpu-4t-mobile")
    assert target_path("cpu:4t", "mobile") == own_tables_folder() / "cpu-4t-mobile"
    with pytest.raises(TableError, match="has no table of fbnet"):
        target_path("cpu:4t", "fbnet")
    with pytest.raises(TableError, match="cpu has no table"):
        target_path("cpu", "mobile")


@pytest.mark.parametrize(
    ("text", "space", "name"),
    [
        ("cpu", "mobile", "cpu-mobile"),
        ("cpu:4t", "single-path", "cpu-4t-single-path"),
        ("ssh:pi@board", "mobile", "ssh-pi-board-mobile"),
        ("adb:127.0.0.1:6000", "mobile", "adb-127-0-0-1-6000-mobile"),
    ],
)
def test_names_of_table_folders(text: str, space: str, name: str) -> None:
    assert table_folder(DeviceName(text, "", "", 1), space).name == name


@given(text=st.text(max_size=300), space=st.text(max_size=100))
def test_a_table_folder_is_a_safe_name_among_the_users_own(text: str, space: str) -> None:
    folder = table_folder(DeviceName(text, "ssh", "board", 1), space)
    assert folder.parent == own_tables_folder()
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", folder.name)  # which is also what a table may be named
    assert folder == table_folder(DeviceName(text, "ssh", "board", 1), space)


@given(st.integers(1, 40), st.text("abc.@:", min_size=1, max_size=90), st.text("abc.@:", min_size=1, max_size=90))
def test_long_names_are_told_apart(fill: int, one: str, other: str) -> None:
    names = {table_folder(DeviceName("ssh:" + "x" * (60 + fill) + end, "ssh", "", 1), "mobile") for end in (one, other)}
    assert len(names) == len({one, other})


@given(
    st.text(max_size=40)
    | st.builds("{}:{}".format, st.sampled_from(DEVICE_KINDS), st.text("a:-1t@ \n\x1bé", max_size=9))
)
def test_any_word_is_a_device_or_none_or_refused(word: str) -> None:
    try:
        found, refusal = device_name(word), "one line"
    except NasError as problem:
        found, refusal = None, str(problem)
    assert len(refusal.splitlines()) == 1
    if found is not None:
        assert found.kind in DEVICE_KINDS
        assert found.text == word
        assert 1 <= found.threads < 10_000
        assert not found.place.startswith("-")
        assert re.fullmatch(r"([!-~]([ -~]*[!-~])?)?" if found.kind == "adb" else r"[!-~]*", found.place)


def test_devices_have_names_of_the_users_own() -> None:
    devices_file("pi: ssh:pi@board:4t\nphone_2: adb:127.0.0.1:6000\nThis-Machine: cpu:2t\n")
    assert device_name("pi") == DeviceName("pi", "ssh", "pi@board", 4)
    assert device_name("phone_2") == DeviceName("phone_2", "adb", "127.0.0.1:6000", 1)
    assert device_name("This-Machine") == DeviceName("This-Machine", "cpu", "", 2)
    assert device_name("ssh:pi@board") == DeviceName("ssh:pi@board", "ssh", "pi@board", 1)
    assert device_name("pi:2t") is None
    devices_file("pi: {device: 'ssh:pi@board:4t', python: ~/my venv/bin/python}\n")
    assert device_name("pi") == DeviceName("pi", "ssh", "pi@board", 4, "~/my venv/bin/python")
    name = device_name("pi")
    assert name is not None
    assert table_folder(name, "mobile").name == "pi-mobile"


def test_without_a_file_no_device_has_a_name() -> None:
    assert named_devices() == {}
    devices_file("{}\n")
    assert named_devices() == {}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("- pi\n", "a line a device, such as `pi: ssh:pi@board`"),
        ("pi\n", "a line a device"),
        ("", "a line a device"),
        ("pi: [unclosed\n", "not valid YAML"),
        ("pi: ssh:a\npi: ssh:b\n", "keys are unique"),
        ("7: ssh:a\n", "keys are text"),
        ("a: &x ssh:a\nb: *x\n", "aliases"),
        ("cpu: ssh:pi@board\n", "a device's name is a word"),
        ("../up: ssh:board\n", "a device's name is a word"),
        ("my pi: ssh:board\n", "a device's name is a word"),
        ("1pi: ssh:board\n", "a device's name is a word"),
        (f"{'p' * 65}: ssh:board\n", "a device's name is a word"),
        ("pi: 7\n", "pi: a device is one of cpu"),
        ("pi: null\n", "pi: a device is one of cpu"),
        ("pi: telnet:board\n", "pi: a device is one of cpu"),
        ("pi: pi\n", "pi: a device is one of cpu"),
        ("a: ssh:board\nb: a\n", "b: a device is one of cpu"),
        ("pi: 'ssh:bo ard'\n", "pi: a device is one of cpu"),
        ("pi: 'ssh:'\n", "pi: A ssh device is written ssh:pi@board"),
        ("pi: cpu:fast\n", "pi: A cpu device is written cpu"),
        ("pi: {}\n", "pi: a device is one of cpu"),
        ("pi: {python: python3.11}\n", "pi: a device is one of cpu"),
        ("pi: {device: [ssh:a]}\n", "pi: a device is one of cpu"),
        ("pi: {device: ssh:a, pyhton: x}\n", "pi: an entry has `device` and `python`"),
        ("pi: {device: ssh:a, python: 3.11}\n", "pi: An interpreter is a name there"),
        ("pi: {device: ssh:a, python: venv/bin/python}\n", "pi: An interpreter is a name there"),
        ("pi: {device: cpu, python: python3}\n", "pi: `python` names the interpreter of an ssh board"),
        ("pi: ssh:pi@board:2222\n", "pi: A ssh device is written ssh:ssh://pi@board:2222"),
    ],
)
def test_a_file_of_devices_that_breaks_a_rule_is_named(text: str, rule: str) -> None:
    file = devices_file(text)
    for call in (named_devices, lambda: device_name("pi"), lambda: check_target("cpu")):
        with pytest.raises(NasError, match=re.escape(rule)) as caught:
            call()  # type: ignore[operator]
        assert str(caught.value).startswith(f"{file}: ")
        assert caught.value.exit_code == 2
        assert len(str(caught.value).splitlines()) == 1


def test_a_broken_file_of_devices_is_not_in_the_way_of_tables() -> None:
    devices_file("- pi\n")
    assert device_name("pixel-cpu") is None


def test_a_file_of_devices_that_is_not_text(home: Path) -> None:
    file = devices_file("")
    file.write_bytes(b"pi: \xff\xfe\n")
    with pytest.raises(NasError, match="UTF-8"):
        named_devices()
