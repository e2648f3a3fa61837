"""Search spaces that a stranger made."""

from __future__ import annotations

from box import ROOT
from hostile import Hostile, Make, Reader

GOOD = (ROOT / "search_spaces" / "mobile.yaml").read_text()
SMALL = """format: nas-space/1
name: small
source: "none"
input: {resolution: 32}
num_classes: 10
activation: relu
stages:
- {name: stem, block: conv, width: 16, stride: 2}
- {name: body, block: mbconv, width: 24, stride: 2, depth: 2, kernel: {choice: [3, 5]}, expansion: 4}
head: {width: 64}
references: {first: {body: {kernel: 3}}}
"""


def shown(text: str | bytes) -> Make:
    return lambda box: ["spaces", "show", "./" + box.write("space.yaml", text)]


def instead(old: str, new: str) -> Make:
    assert old in SMALL, old
    return shown(SMALL.replace(old, new))


def laughs() -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines)


def many_slots() -> str:
    """Every layer depends on 10,000 combinations, which a slot may, and there are 140 of them."""
    options = f"{{choice: [{', '.join(str(8 * n) for n in range(1, 101))}]}}"
    stages = [f"- {{name: s{n}, block: conv, width: {options}, kernel: 3}}" for n in range(140)]
    return SMALL.split("- {name: stem")[0] + "\n".join(stages) + "\nhead: {width: 64}\n"


def many_decisions() -> str:
    stages = [
        f"- {{name: s{n}, block: mbconv, width: 16, depth: 1, kernel: {{choice: [3, 5, 7]}}, "
        f"expansion: {{choice: [1, 2, 3, 4, 5, 6]}}, se: {{choice: [0, 0.25]}}}}"
        for n in range(900)
    ]
    return SMALL.split("- {name: body")[0] + "\n".join(stages) + "\nhead: {width: 64}\n"


SPACES = Reader(
    "space",
    shown(SMALL),
    (
        Hostile("billion laughs: ten levels of aliases", shown(laughs()), "aliases (*name) are not allowed"),
        Hostile("500,000 nested lists", shown("x: " + "[" * 500_000), "values"),
        Hostile("100,000 nested block lists", shown("x:\n " + "- " * 100_000), "nested"),
        Hostile("300,000 empty mappings", shown("x: [" + "{}," * 300_000 + "]"), "values"),
        Hostile("110,000 keys", shown("".join(f"a{n}:\n" for n in range(110_000))), "values"),
        Hostile("a file of 1 GB", lambda box: ["spaces", "show", box.sparse("s.yaml", 1 << 30)], "at most 1,048,576"),
        Hostile("a text of 1 MB in a field", instead('"none"', "x" * 1_000_000), "4000 characters"),
        Hostile(
            "a whole number of a million hexadecimal digits", instead("10\n", "0x" + "f" * 1_000_000 + "\n"), "digits"
        ),
        Hostile("a whole number of 900,000 digits", instead("10\n", "9" * 900_000 + "\n"), "digits"),
        Hostile("300,000 sexagesimal places", instead("10\n", "1" + ":59" * 300_000 + "\n"), "digits", 60),
        Hostile("not a number", instead("expansion: 4", "expansion: .nan"), "expansion"),
        Hostile("infinity", instead("expansion: 4", "expansion: .inf"), "expansion"),
        Hostile(
            "!!python/object/apply of os.system",
            instead('"none"', '!!python/object/apply:os.system ["touch ../canary"]'),
            "not valid YAML",
        ),
        Hostile("!!python/name", instead('"none"', "!!python/name:os.system"), "not valid YAML"),
        Hostile(
            "the same key twice", instead("num_classes: 10", "num_classes: 10\nnum_classes: 11"), "keys are unique"
        ),
        Hostile("a merge key", instead("num_classes: 10", "<<: {num_classes: 10}"), "not valid YAML"),
        Hostile(
            "a slot of 10^14 combinations",
            instead(
                "kernel: {choice: [3, 5]}, expansion: 4",
                ", ".join(
                    ["kernel: {choice: [1, 3, 5, 7, 9, 11]}"]
                    + [
                        f"{name}: {{choice: [{', '.join(f'{n}' for n in values)}]}}"
                        for name, values in (
                            ("expansion", range(1, 65)),
                            ("groups", range(1, 250)),
                            ("se", [n / 250 for n in range(250)]),
                        )
                    ]
                ),
            ),
            "combinations of options",
        ),
        Hostile("140 slots of 10,000 combinations", shown(many_slots()), "combinations", 60),
        Hostile("10^1,400 architectures", shown(many_decisions()), "genotypes"),
        Hostile("a name that leads out of the folder", instead("name: small", "name: ../../outside/x"), "name"),
        Hostile("a picture of 10^18 pixels", instead("resolution: 32", "resolution: 1000000000"), "resolution"),
        Hostile("a pipe", lambda box: ["spaces", "show", "./" + box.pipe("s.yaml")], "s.yaml"),
        Hostile(
            "a link to /dev/zero", lambda box: ["spaces", "show", "./" + box.link("s.yaml", "/dev/zero")], "s.yaml"
        ),
        Hostile(
            "escape sequences in a key",
            instead("num_classes: 10", 'num_classes: 10\n"\\e]0;owned\\a\\e[2J": 1'),
            "no such key",
        ),
        Hostile(
            "escape sequences in a setting", instead("expansion: 4", '"\\e]0;owned\\a\\e[2J": 1'), "settings of mbconv"
        ),
        Hostile("a setting of 1 MB", instead("expansion: 4", f'se_gate: "{"x" * 1_000_000}"'), "a setting is"),
        Hostile(
            "a setting that is a mapping", instead("expansion: 4", "se_gate: {choice: [{a: [1]}]}"), "a setting is"
        ),
        Hostile("escape sequences in a block's name", instead("block: mbconv", 'block: "x\\e[2J"'), "block"),
        Hostile(
            "weights of 34 GB",
            shown(
                SMALL.replace("width: 16", "width: 65536")
                .replace("width: 24", "width: 65536")
                .replace("expansion: 4", "expansion: 1")
            ),
            "parameters",
        ),
    ),
)
