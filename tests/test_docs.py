"""Every command, Python example and YAML space in README and docs is run; every option and page is mentioned.

Languages of fenced blocks: of `sh`, commands of `nas` run, in order and in one folder a page; `sh slow` runs by night,
with fewer steps; those of `console` and plain blocks are parsed, and either run elsewhere or need what no test machine
has. `python` runs, `yaml` spaces are loaded.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass
from fnmatch import fnmatch
from inspect import signature
from pathlib import Path
from typing import Any

import click
import pytest
from pictures import pets

from nas.accuracy import EVALUATORS
from nas.cli import cli
from nas.controllers import CONTROLLERS
from nas.errors import NasError
from nas.policies import POLICIES
from nas.policies.descent import PolicySettings
from nas.runs.request import DEFAULT_STEPS, OWN_BUDGET
from nas.runs.run import Run
from nas.solvers import SOLVERS
from nas.space.load import load_space

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONTROLLER_PAGES = ROOT / "docs" / "controllers"
LACKING = ("ssh:", "adb:", "browser", "hf:", "torchrun", "--workers", "import", "--weights", "runs/small")
"""What a command of a `console` block needs, where it does not run: a board, a phone, a browser, the network, several
processes, a cluster or weights from elsewhere. `tests/devices`, `data`, `training`, `workers` and `formats` have these,
some with stand-ins."""


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def fences(page: Path) -> list[tuple[str, str]]:
    """Languages and contents of a page's fenced blocks, in order."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in fences(page) if language in languages]


PROGRAM = r"\s*(?:\$ )?(?:torchrun .* -m )?(nas|python docs/examples/bottleneck.py) (.*)"
"""Ways to call `nas`: the second is that of docs/own.md."""


def lines(page: Path, *languages: str) -> list[str]:
    """Commands in blocks of these languages, continued lines joined and those that follow `&&` apart."""
    text = "".join(blocks(page, *languages)).replace("\\\n", " ")
    return [part for line in text.splitlines() for part in line.split("&&")]


def split(line: str) -> list[str]:
    """Words of a command as bash has them: a comment begins with a word."""
    return shlex.split(re.sub(r"(^|\s)#.*", "", line))


def commands(page: Path, *languages: str) -> list[list[str]]:
    """Arguments of each `nas` command in blocks of these languages."""
    found = (re.match(PROGRAM, line) for line in lines(page, *languages))
    return [split(match[2]) for match in found if match]


def run(line: str, folder: Path, further: tuple[str, ...] = ()) -> None:
    """Run a line that calls `nas`, or copies an example; others are about machines and installing."""
    words = split(line)
    match = re.match(PROGRAM, line)
    if match:
        script = ["-m", "nas"] if match[1] == "nas" else [match[1].split()[1]]
        words = [sys.executable, *script, *split(match[2]), *further]
    elif words[:1] != ["cp"]:
        return
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, f"{shlex.join(words)}\n{result.stderr}"


def sooner(arguments: list[str]) -> tuple[str, ...]:
    """Options that make a command end sooner: of those that stand twice, the later one counts."""
    name = arguments[0]
    if name == "search" and "--data" in arguments:
        small = () if {"--resolution", "--proxy-resolution"} & set(arguments) else ("--proxy-resolution", "32")
        learns = "--controller" in arguments and arguments[arguments.index("--controller") + 1] in POLICIES
        trained = () if learns else ("--accuracy", "train:1" if "train:3" in arguments else "supernet:4")
        return (*small, *trained, "--budget", "4", "--finalists", "0")
    if name == "train":
        return ("--epochs", "1")
    if name == "profile" and "fake" not in arguments:
        return ("--budget", "5s")
    if name == "verify":
        return ("--tolerance", "100%")  # of a table of five seconds, on a machine that has other work
    return ()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page's commands run: the repository's tables and spaces, and pictures of one's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("latency_tables", "search_spaces", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    pets(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, "sh")], ids=page_id)
def test_commands_run(page: Path, folder: Path) -> None:
    for line in lines(page, "sh"):
        run(line, folder)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, "sh slow")], ids=page_id)
def test_slow_commands_run_with_fewer_steps(page: Path, folder: Path) -> None:
    for line in lines(page, "sh", "sh slow"):
        match = re.match(PROGRAM, line)
        arguments = split(match[2]) if match else [""]
        if {"cpu", "search"} <= set(arguments):  # its table is profiled first, in five seconds
            space = arguments[arguments.index("--space") + 1]
            run(f"nas profile --space {space} --target cpu --budget 5s", folder)
        run(line, folder, sooner(arguments))


class Parsed(Exception):
    """Raised in place of making a run."""


def stopped(path: Path | None, request: Any) -> Run:
    raise Parsed


@pytest.mark.parametrize("page", [page for page in PAGES if "nas " in page.read_text()], ids=page_id)
def test_every_command_is_parsed(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that cannot run here: names, options and their values are those that the program knows."""

    monkeypatch.setattr(Run, "create", stopped)
    monkeypatch.setattr(sys.modules["nas.cli.search"], "space_path", lambda space: None)
    monkeypatch.setattr("nas.tables.target.check_target", lambda target, precision: None)
    for arguments in commands(page, *{language for language, _ in fences(page)} - {"python"}):
        try:
            parse(arguments)
        except (click.ClickException, NasError) as problem:
            pytest.fail(f"nas {shlex.join(arguments)}: {getattr(problem, 'message', problem)}")


def parse(arguments: list[str]) -> None:
    """Parse a command with the program's own parser, a search up to its checked request."""
    command: click.Command = cli
    context, left = None, arguments
    while isinstance(command, click.Group):
        name, found, left = command.resolve_command(click.Context(command, parent=context, info_name="nas"), left)
        assert found is not None
        command = found
    parsed = command.make_context(str(name), list(left))
    if name == "search" and "--resume" not in left:
        with pytest.raises(Parsed):
            command.invoke(parsed)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_in_the_text_exist(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for text in re.findall(r"`nas ([a-z][^`]*)`", prose):
        words = text.split()
        command: click.Command = cli
        while isinstance(command, click.Group) and words and re.fullmatch("[a-z]+", words[0]):
            word = words.pop(0)
            assert word in command.commands, f"nas {text}"
            command = command.commands[word]
        known = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
            assert option in known, f"nas {text}: {option}"


def test_a_command_that_is_only_shown_runs_elsewhere_or_lacks_something() -> None:
    running = [frozenset(arguments) for page in PAGES for arguments in commands(page, "sh", "sh slow")]
    for page in PAGES:
        for line in lines(page, "console", ""):
            match = re.match(PROGRAM, line)
            if match and not any(word in line for word in LACKING):
                assert frozenset(split(match[2])) in running, f"{page_id(page)}: {line}"


def test_extras_named_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        for name in re.findall(r"pip install [^`\n]*nas\[(\w+)\]", page.read_text()):
            assert name in extras, f"{page_id(page)}: {name}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=page_id)
def test_python_examples_run(page: Path, folder: Path) -> None:
    for example in blocks(page, "python"):
        subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=folder, check=True, env=os.environ)


@pytest.mark.parametrize(
    ("page", "text"),
    [(page, text) for page in PAGES for text in blocks(page, "yaml") if "nas-space/1" in text],
    ids=lambda value: page_id(value) if isinstance(value, Path) else "",
)
def test_example_spaces_load(page: Path, text: str, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(text)
    assert load_space(path).size > 1


def test_every_option_is_documented() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for name, command in cli.commands.items():
        assert f"nas {name}" in text
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or option in text, f"{option} of nas {name}"


def links(page: Path) -> list[Path]:
    return [(page.parent / target).resolve() for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())]


def test_links_lead_somewhere_and_every_page_is_reachable_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        for target in links(page):
            assert target.exists(), f"{page_id(page)}: {target}"
            if target.suffix == ".md" and target not in reached:
                left.append(target)
    assert not set(PAGES) - reached


def test_every_experiment_named_exists_and_is_named() -> None:
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"experiments/(\w+\.py)", text))
    assert named == {path.name for path in (ROOT / "experiments").glob("*.py")}


def controller_page(name: str) -> Path:
    return CONTROLLER_PAGES / f"{name.partition(':')[0]}.md"


@pytest.mark.parametrize("name", [*CONTROLLERS, *SOLVERS, *POLICIES])
def test_every_controller_has_a_page_in_the_index(name: str) -> None:
    assert f"`{name}`" in controller_page(name).read_text()
    index = (CONTROLLER_PAGES / "README.md").read_text()
    assert f"({controller_page(name).name})" in index


@pytest.mark.parametrize(
    "page", sorted({controller_page(name) for name in (*CONTROLLERS, *SOLVERS, *POLICIES)}), ids=lambda page: page.stem
)
def test_settings_of_a_controller_are_those_of_the_code(page: Path) -> None:
    settings = page.read_text().partition("## Settings")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", settings, re.MULTILINE))
    if not told:
        assert settings.strip().startswith(("None", "Samplers run at Optuna's defaults"))
        return
    named = re.search(r"`(nas\.[\w.]+)`", settings)
    assert named is not None
    actual = defaults(named[1], set(told))
    assert told.keys() == actual.keys()
    for name, value in actual.items():
        assert float(told[name].replace(",", "")) == value, name


def defaults(dotted: str, names: set[str]) -> dict[str, float]:
    """Defaults of a dataclass's fields, of a class's keyword arguments, or of the named constants of a module."""
    try:
        owner: Any = importlib.import_module(dotted)
        return {name: getattr(owner, name) for name in names}
    except ModuleNotFoundError:
        module, _, name = dotted.rpartition(".")
        owner = getattr(importlib.import_module(module), name)
    if is_dataclass(owner):
        return {field.name: field.default for field in fields(owner)}  # type: ignore[misc]
    return {n: p.default for n, p in signature(owner).parameters.items() if p.default is not p.empty}


@pytest.mark.parametrize("page", sorted(CONTROLLER_PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_figures_of_a_controller_stand_in_the_results(page: Path) -> None:
    """One home for a figure: who measures anew finds the pages that quote the old one."""
    results = (ROOT / "docs" / "results.md").read_text()
    for line in page.read_text().partition("## Measured")[2].partition("\n## ")[0].splitlines():
        for figure in re.findall(r"\d[\d,]*\.?\d+", line):
            assert figure in results, f"{figure} in: {line}"


def test_settings_of_policies_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "policies.md").read_text().partition("### Settings")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert told == {field.name: str(field.default) for field in fields(PolicySettings)}


def test_default_budgets_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "search.md").read_text()
    slow = {kind.most for kind in CONTROLLERS.values() if kind.most}
    for amount in (*(kind.budget for kind in EVALUATORS.values()), *slow, DEFAULT_STEPS, OWN_BUDGET):
        assert f"{amount:,}" in text


def test_no_file_lists_the_operations() -> None:
    """What there is to know of an op stands in its class: beside the blocks that use it, only readers of what version
    0.1 wrote, and a policy that is about squeeze-and-excitation, name one."""
    knowing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "nas").rglob("*.py")
        if re.search(r"^(from .* import .*|class )SqueezeExcite\b", path.read_text(), re.MULTILINE)
    }
    blocks = {"nas/blocks/convolution.py", "nas/blocks/modules.py", "nas/blocks/inverted.py"}
    blocks |= {"nas/blocks/excitation.py", "nas/blocks/moat.py", "nas/blocks/rep.py"}
    assert knowing == blocks | {"nas/supernet/former.py", "nas/policies/single_path.py"}


def peers() -> tuple[list[list[str]], str]:
    """Rows of the tables in which `nas` is a column, as cells, and the evidence."""
    text, _, evidence = (ROOT / "docs" / "peers.md").read_text().partition("## Evidence")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if len(row) == 10 and set(row[1]) != {"-"} and row[1] != "`nas`"], evidence


def test_what_nas_is_said_to_have_is_there() -> None:
    rows, _ = peers()
    assert len(rows) > 40
    for feature, own, *_ in rows:
        if own == "no":
            continue
        found = re.fullmatch(r"(?:yes|part) `([^`]+)`", own)
        assert found is not None, f"{feature}: {own}"
        place = found[1]
        if place == "nas --help":
            continue
        if place.startswith("nas "):
            command: click.Command = cli
            for word in place.split()[1:]:
                assert isinstance(command, click.Group)
                command = command.commands[word]
        else:
            assert (ROOT / place).is_file(), f"{feature}: {place}"


def test_what_peers_have_has_evidence() -> None:
    rows, evidence = peers()
    numbers = set(re.findall(r"(?<![\w#])([A-Z]\d+)\s", evidence))
    cited = set(re.findall(r"\b([A-Z]\d+) \|$", (ROOT / "docs" / "peers.md").read_text(), re.MULTILINE))
    for feature, _, *cells in rows:
        for cell in cells:
            found = re.fullmatch(r"no|not tried|(?:\*\*)?(?:yes|part|no)(?:\*\*)? ([A-Z]\d+)", cell)
            assert found is not None, f"{feature}: {cell}"
            if found[1]:
                cited.add(found[1])
    assert cited <= numbers
    assert numbers - cited <= {"N1", "E1"}


def test_design_names_every_part_of_the_package() -> None:
    told = re.findall(r"`(nas/[\w/*.]+)`", (ROOT / "docs" / "design.md").read_text())
    for entry in (ROOT / "nas").iterdir():
        if entry.name != "__pycache__":
            name = f"nas/{entry.name}/" if entry.is_dir() else f"nas/{entry.name}"
            assert any(fnmatch(name, pattern) for pattern in told), name
    for pattern in told:
        assert list(ROOT.glob(pattern)), pattern


def systems() -> list[tuple[str, str]]:
    """Names and commands of the rows of the tables in docs/systems.md."""
    text = (ROOT / "docs" / "systems.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| **")]
    assert all(len(row) == 4 for row in rows)
    return [(name.strip("| "), command.strip("`")) for name, command, *_ in rows]


@pytest.mark.parametrize(("system", "line"), systems(), ids=lambda value: value.split("**")[-2:][0])
def test_each_system_has_a_paper_and_a_command_that_is_parsed(
    system: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pictures, a target, a network and a space in the places of D, T, NET and FILE."""
    monkeypatch.setattr(Run, "create", stopped)
    assert re.search(r"arXiv:\d{4}\.\d{5}", system)
    given = {"D": "digits", "T": "cpu", "NET": "mobilenetv2-1.0", "FILE": "mobile"}
    words = [given.get(word, word) for word in shlex.split(line)]
    assert words[0] == "nas"
    parse(words[1:])
