"""A dependency is what the package imports, and what it imports is one."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}
"""Of packages that are imported by another name."""


def imported() -> set[str]:
    """Top-level modules that a line of `nas/` imports, those of Python left out."""
    nodes = [node for path in (ROOT / "nas").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"nas"}


def test_dependencies_are_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        line for name in ("android", "hf", "openvino", "tensorboard") for line in project["optional-dependencies"][name]
    ]

    def modules(requirements: list[str]) -> set[str]:
        names = [re.split(r"[^\w-]", requirement)[0] for requirement in requirements]
        return {MODULES.get(name, name) for name in names}

    needed = modules(project["dependencies"])
    assert needed - imported() == set()
    assert imported() - needed - modules(extras) == set()
