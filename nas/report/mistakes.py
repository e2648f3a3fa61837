"""Pictures that a network gets wrong, those that it is surest of first."""

from __future__ import annotations

from markupsafe import Markup

from nas.formats.answers import Shown
from nas.report.classes import NO_ANSWERS
from nas.report.figures import share
from nas.report.markup import clipped, element, joined
from nas.report.trained import Trained


def mistakes_section(trained: Trained) -> Markup:
    """A card a picture."""
    if trained.answers is None:
        return element("p", NO_ANSWERS)
    wrong = sum(count for true, said, count in trained.answers.counts if true != said)
    if not wrong:
        return element("p", f"All of the {trained.count:,} test pictures are recognised.")
    shown = trained.answers.mistakes
    some = f"the {len(shown)} that it is surest of" if len(shown) < wrong else "surest first"
    words = (
        f"Of {trained.count:,} test pictures {wrong:,} are taken for another class; {some}, as the network saw them:"
    )
    cards = [_card(each, trained.classes) for each in shown]
    return joined([element("p", words), element("div", *cards, class_="mistakes")])


def _card(shown: Shown, classes: tuple[str, ...]) -> Markup:
    true, said = classes[shown.true], classes[shown.said]
    picture = element(
        "img", src=f"data:image/{shown.kind};base64,{shown.picture}", alt=f"a picture of class {true} taken for {said}"
    )
    return element(
        "figure",
        picture,
        element(
            "figcaption",
            "said ",
            element("b", clipped(said, 40)),
            f" ({share(shown.chance)}), is ",
            element("b", clipped(true, 40)),
        ),
    )
