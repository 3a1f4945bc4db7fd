"""LaTeX as MathML, which browsers set themselves: no script, no font and no picture is loaded."""

import re
from xml.etree import ElementTree

from langevax.report.atlas.html import Html, element

WIDTHS = {"negativethinmathspace": "-0.167em"}  # names that MathML Core leaves out
FENCES = "⟨⟩"
UNDERNEATH = ("sup", "inf", "min", "max", "lim")
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"


def formula(latex: str) -> Html:
    r"""Statements with `\qquad` between them, each of which may stand on a line of its own.

    Example:
        >>> formula(r"x < 2, \qquad y = \mathrm{KL}").count("<math")
        2
        >>> print(formula(r"x < 2"))  # doctest: +ELLIPSIS
        <div class="formula"><math ... alttext="x &lt; 2" display="block"><mrow><mi>x</mi><mo>&lt;</mo>...
    """
    statements = [each for each in re.split(r"\s*\\qquad\s*", latex) if each]
    return element("div", *map(_set, statements), class_="formula") if statements else Html("")


def _set(latex: str) -> Html:
    from latex2mathml.converter import convert

    root = ElementTree.fromstring(convert(latex))
    for node in list(root.iter()):
        node.tag = node.tag.removeprefix(NAMESPACE)
        _mend(node)
    root.attrib.clear()
    root.attrib |= {"xmlns": "http://www.w3.org/1998/Math/MathML", "alttext": latex, "display": "block"}
    return Html(ElementTree.tostring(root, encoding="unicode"))


def _mend(node: ElementTree.Element) -> None:
    """What the converter writes and browsers set otherwise than TeX does."""
    if node.tag == "mspace":
        node.set("width", WIDTHS.get(node.get("width", ""), node.get("width", "")))
    if node.tag == "mi" and node.text in set(FENCES):
        node.tag = "mo"
        node.set("stretchy", "false")
    if node.tag == "mover":
        node.set("accent", "true")
    if node.tag == "msub" and node[0].text in UNDERNEATH:
        node.tag = "munder"
    upright = [child for child in node if child.tag.endswith("mi") and child.get("mathvariant") == "normal"]
    if len(upright) > 1 and len(upright) == len(node):  # letters of one name
        upright[0].text = "".join(child.text or "" for child in upright)
        del upright[0].attrib["mathvariant"]
        for child in upright[1:]:
            node.remove(child)
