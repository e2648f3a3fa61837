"""docs/tables.md names what the code names: every column, every key of a header, with its default."""

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from nas.blocks.block import BLOCKS, STANDARD
from nas.blocks.layer import ACTIVATIONS, GATES, KEY_COLUMNS, PRECISIONS
from nas.tables import header
from nas.tables.header import DeviceHeader, ErrorHeader, ReferenceNetwork, TableHeader
from nas.tables.model import BANDS, FEATURES, BlockModel, Range
from nas.tables.rows import PROVENANCES, VALUE_COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()


def between(start: str, end: str) -> str:
    return PAGE.partition(start)[2].partition(end)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the lines of tables that begin with a name, without its ticks."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_key_columns_and_their_defaults() -> None:
    told = {names(row[0])[0]: row[1] for row in rows(between("## `table.csv`", "\nThen\n"))}
    assert tuple(told) == (*KEY_COLUMNS, "precision")
    assert told["precision"] == PRECISIONS[0]
    for column in STANDARD:
        default = "" if column.default is MISSING else column.default
        assert told[column.name] == str(int(default) if isinstance(default, bool) else default), column.name


def test_value_columns_and_words() -> None:
    columns = rows(between("\nThen\n", "```"))
    assert tuple(names(row[0])[0] for row in columns) == VALUE_COLUMNS
    assert tuple(names(columns[-1][1])) == PROVENANCES
    text = between("## `table.csv`", "\nThen\n")
    for word in (*BLOCKS, *ACTIVATIONS, *GATES):
        assert word in text


@pytest.mark.parametrize(
    ("model", "start", "end"),
    [
        (TableHeader, "## `table.yaml`", "An unknown key"),
        (ErrorHeader, "**`error`** has", "**`references`**"),
    ],
)
def test_keys_of_the_header(model: type[BaseModel], start: str, end: str) -> None:
    assert {names(row[0])[0] for row in rows(between(start, end))} == set(model.model_fields)


@pytest.mark.parametrize(
    ("model", "start", "end"),
    [
        (DeviceHeader, "**`device`** has", "**`error`**"),
        (ReferenceNetwork, "**`references`** have", "**`model`**"),
    ],
)
def test_keys_told_in_a_sentence(model: type[BaseModel], start: str, end: str) -> None:
    assert set(model.model_fields) <= set(names(between(start, end)))


@pytest.mark.parametrize("key", ["networks", "whole_networks", "source_scales", "band_pct"])
def test_keys_within_the_error(key: str) -> None:
    annotation: Any = ErrorHeader.model_fields[key].annotation
    (inner,) = set(re.findall(r"nas\.tables\.header\.(\w+)", repr(annotation)))
    row = next(row for row in rows(between("**`error`** has", "**`references`**")) if names(row[0]) == [key])
    assert set(getattr(header, inner).model_fields) <= set(names(row[1]))


def test_the_block_model() -> None:
    text = between("**`model`** answers", "## Tables travel")
    for part in fields(BlockModel):
        assert f"`{part.name}`" in text
    for name in (*FEATURES, *BANDS, *(field.name for field in fields(Range))):
        assert f"`{name}`" in text


def test_the_rows_shown_are_rows_of_the_shipped_table() -> None:
    shown = PAGE.partition("```\nkind,")[2].partition("```")[0].splitlines()
    assert len(shown) == 3
    rows = (Path(__file__).parents[2] / "latency_tables" / "pixel-cpu" / "table.csv").read_text().splitlines()
    assert {f"kind,{shown[0]}", *shown[1:]} <= set(rows)
