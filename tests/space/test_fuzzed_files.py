"""Search-space files with anything in them: a space, or one error of ours; never a traceback, never for long."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import NasError
from nas.space.load import load_space
from nas.system.places import shipped_folder

FILES = sorted(shipped_folder("search_spaces").glob("*.yaml"))
GOOD = {path.stem: path.read_text() for path in FILES}
QUICK = settings(max_examples=120, deadline=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.sampled_from(["mbconv", "identity", "relu", "", "stage1", "1e-3", "x" * 300]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def accepts_or_explains(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        load_space(path)
    except NasError as problem:
        message = str(problem)
        assert len(message.splitlines()) <= 2, message
        assert str(path) in message


@QUICK
@given(st.data())
def test_bytes_changed_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    content = GOOD[data.draw(st.sampled_from(sorted(GOOD)))].encode()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 30)))
        content = content[:start] + data.draw(st.binary(max_size=10)) + content[end:]
    accepts_or_explains(tmp_path / "fuzzed.yaml", content)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value in a document."""
    children = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    return [path, *(found for key, child in children for found in places(child, (*path, key)))]


@QUICK
@given(st.data())
def test_values_replaced_or_removed_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    document = yaml.safe_load(GOOD[data.draw(st.sampled_from(sorted(GOOD)))])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(document)[1:]))
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        if data.draw(st.booleans()):
            holder[path[-1]] = data.draw(values)
        else:
            del holder[path[-1]]
    accepts_or_explains(tmp_path / "fuzzed.yaml", yaml.safe_dump(document, allow_unicode=True).encode())


@pytest.mark.parametrize("name", sorted(GOOD))
def test_the_shipped_files_load(name: str) -> None:
    assert load_space(name).size > 1
