"""Sources: the text of torch modules, with what they need of their file, so that a model.py stands by itself."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nas.errors import ArchitectureError

FREE = ("torch", "math")
"""Packages that a model.py may import."""


def sources(modules: Iterable[Any]) -> str:
    """Imports and definitions for torch modules given as classes, or as `"package.module:Class"`.

    Files are read, not imported: an untrained winner is written without torch. Raises `ArchitectureError` for a module
    whose source is not there, or uses more of its file than definitions and imports of torch.
    """
    wanted: dict[Path, list[str]] = {}
    for module in dict.fromkeys(modules):
        path, name = _place(module)
        wanted.setdefault(path, []).append(name)
    imports: dict[str, None] = {"import torch": None, "from torch import nn": None}
    parts: list[str] = []
    defined: dict[str, Path] = {}
    for path, names in wanted.items():
        file = _File(path)
        needed = file.needed(names)
        for name in needed:
            if defined.setdefault(name, path) != path:
                raise ArchitectureError(f"Two files define {name!r}, {defined[name].name} and {path.name}: rename one.")
        imports.update(dict.fromkeys(file.imports(needed)))
        parts += file.texts(needed)
    plain = sorted(line for line in imports if line.startswith("import"))
    head = ["from __future__ import annotations", "", *plain, *sorted(set(imports) - set(plain)), ""]
    for before, part in zip(["", *parts], parts, strict=False):
        defines = any(text.startswith(("class ", "def ", "@")) for text in (before, part))
        head += ["", "", part] if defines and before else ["", part] if defines else [part]
    return "\n".join(head)


def _place(module: Any) -> tuple[Path, str]:
    if isinstance(module, str):
        package, _, name = module.partition(":")
        spec = find_spec(package)
        origin = None if spec is None else spec.origin
    else:
        name, origin = module.__name__, inspect.getsourcefile(module)
    if origin is None:
        raise ArchitectureError(f"The source of the torch module {module!r} is not there: model.py cannot have it.")
    return Path(origin), name


class _File:
    """The top level of a Python file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.definitions: dict[str, ast.stmt] = {}
        self.imported: dict[str, str] = {}
        for statement in ast.parse(self.text).body:
            match statement:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                    self.definitions[name] = statement
                case ast.Import(names=names) | ast.ImportFrom(names=names):
                    for alias in names:
                        bound = (alias.asname or alias.name).partition(".")[0]
                        self.imported[bound] = _import_line(statement, alias)

    def needed(self, names: Iterable[str]) -> set[str]:
        """These definitions and all that they use of the file."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += self._uses(name) & self.definitions.keys()
        return found

    def imports(self, names: Iterable[str]) -> list[str]:
        """Lines of import that these definitions need."""
        lines = {self.imported[used] for name in names for used in self._uses(name) & self.imported.keys()}
        for line in lines:
            if line.split()[1].partition(".")[0] not in FREE:
                raise ArchitectureError(
                    f"{self.path.name}: what is copied into model.py imports {' and '.join(FREE)} alone, got `{line}`."
                )
        return sorted(lines)

    def texts(self, names: Iterable[str]) -> list[str]:
        """The definitions in their order, without what is only there for a type checker."""
        lines = self.text.splitlines()
        parts = []
        for name, statement in self.definitions.items():
            if name in names:
                first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
                text = re.sub(r"  # type: ignore\S*", "", "\n".join(lines[first - 1 : statement.end_lineno]))
                parts.append(text)
        return parts

    def _uses(self, name: str) -> set[str]:
        return {node.id for node in ast.walk(self.definitions[name]) if isinstance(node, ast.Name)} - {name}


def _import_line(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    named = alias.name + (f" as {alias.asname}" if alias.asname else "")
    return f"import {named}" if isinstance(statement, ast.Import) else f"from {statement.module} import {named}"
