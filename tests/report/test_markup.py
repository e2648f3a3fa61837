"""Text stays text, and drawings are XML."""

from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from nas.report.axis import Axis
from nas.report.bars import bars
from nas.report.chart import area, chart, line, mark, vertical
from nas.report.figures import millions, milliseconds, share, spoken
from nas.report.markup import element, joined

X = Axis(0, 10, (0, 5, 10), ("0", "5", "10"), "latency, ms")
Y = Axis(0, 1, (0, 1), ("0", "1"), "top-1, %")


def test_what_is_not_markup_is_escaped() -> None:
    found = element("p", "<b>&\"'", Markup("<i>1</i>"), class_='"><script>')
    assert found == '<p class="&#34;&gt;&lt;script&gt;">&lt;b&gt;&amp;&#34;&#39;<i>1</i></p>'
    assert joined(["<", Markup("<br/>")]) == "&lt;<br/>"
    assert element("p", class_=Markup('"<')) == '<p class="&#34;&lt;"></p>'  # a value is text, whatever it says it is


def test_attributes() -> None:
    assert element("path", d="M0 0", aria_label=None, stroke_width=1.50) == '<path d="M0 0" stroke-width="1.5"/>'
    assert element("path", element("title", "t"), d="") == '<path d=""><title>t</title></path>'


def test_control_characters_are_replaced() -> None:
    assert element("p", "a\x00b\x1b[31m\ud800\u202e\nc") == "<p>a�b�[31m��\nc</p>"


def test_points_are_where_the_axes_say() -> None:
    drawing = mark(X, Y, (2.5, 0.25), "star", "winner", "tip")
    root = ElementTree.fromstring(drawing)
    assert (root.get("x"), root.get("y")) == ("25%", "75%")
    assert "M250 1000L500 0" in line(X, Y, np.array([2.5, 5]), np.array([0.0, 1]), "front")
    assert "M0 1000H500V0" in line(X, Y, np.array([0.0, 5]), np.array([0.0, 1]), "front", steps=True)
    assert "M0 1000L1000 1000L1000 0z" in area(X, Y, np.array([0.0, 10, 10]), np.array([0.0, 0, 1]), "band")


def test_a_chart_is_xml_with_words_beside_its_axes_only() -> None:
    root = ElementTree.fromstring(chart(X, Y, 'a "chart" & more', marks=[vertical(X, 2, "bound", "<asked>")]))
    texts = [text.text for text in root.iter("text")]
    assert texts == ["0", "5", "10", "0", "1", "latency, ms", "top-1, %"]
    assert [title.text for title in root.iter("title")] == ["<asked>"]


def test_bars_are_long_by_the_longest() -> None:
    root = ElementTree.fromstring(bars(["a", "b"], np.array([2.0, 1.0]), ["measured", "derived"], ["", ""]))
    assert [rect.get("width") for rect in root.iter("rect")] == ["76.00%", "38.00%"]
    assert [rect.get("class") for rect in root.iter("rect")] == ["p-measured", "p-derived"]


def test_figures() -> None:
    assert [milliseconds(ms) for ms in (1234.5, 102.84, 4.951, 0.0834)] == [
        *("1,234.5\u00a0ms", "102.8\u00a0ms", "4.95\u00a0ms", "0.083\u00a0ms")
    ]
    assert [millions(n) for n in (4e8, 6.44e6, 4.1e4)] == ["400\u00a0M", "6.4\u00a0M", "0.04\u00a0M"]
    assert [share(p) for p in (0, 0.001, 0.25)] == ["0\u00a0%", "<\u00a01\u00a0%", "25\u00a0%"]
    assert spoken({"a.depth": 2, "a.kernel": 3, "width": 1}) == "a: depth 2, kernel 3\nwidth 1"
    assert len(spoken({f"stage{n}.kernel": 3 for n in range(999)})) == 400
