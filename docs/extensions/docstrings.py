"""Docstrings of langevax as Sphinx reads them: Google sections, code between single backticks, formulas indented."""

import re
from collections.abc import Callable
from typing import Any

from docutils.utils.math.latex2mathml import MathError
from formulas import as_tex, display, mathml
from jax.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
EQUATION = re.compile(r" (?:=|<-|~) |sum_|sqrt\(|[A-Za-z)]\^[-({\w]")
PROGRAM = re.compile(
    r"\*\*|[\[\]\"':;@%]|\w\.\w|==|!=|\b[a-z]{3,}_[a-z]{2,}|\bself\b|\blambda \w+|\blen\("
)
"""What a formula between backticks has, and what programs have."""
LONGEST = 34  # letters of a formula in a sentence, which no browser breaks: longer ones stay code on narrow screens
EMPHASIS = re.compile(r"(?<![\w*])(\*{1,2})(?=\S)[^*\n]*[^*\s]\1(?![\w*])")
SPECIAL = re.compile(r"\\|\*|\||_(?=\W|$)")
SECTION = re.compile(r"^(Args|Attributes|Example|Raises|Returns|Warns|Yields):$")
NAMES = r"(?:\w+, )*\w+"
WRAPPED = re.compile(rf"^(    {NAMES},)\n +(?={NAMES}(?:,\n|:))", re.MULTILINE)
ITEM = re.compile(r"^    [\w, ]+(?=: )")
ROUTING = re.compile(r"get_metadata_routing|set_\w+_request")
LIST = re.compile(r"^ *(?:- |\d\. )")

ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")
ARRAY = ("~jax.jaxlib._jax.Array", "~jax.Array")
JAXTYPING = re.compile(r"~jaxtyping\.(\w+)\[jaxlib\._jax\.Array,")


def as_restructured_text(lines: list[str]) -> list[str]:
    """Return a docstring with its examples kept, its indented blocks as formulas, its tables and text in reST."""
    result: list[str] = []
    section = ""
    for block in _blocks(lines):
        first = block[0]
        if not first.strip():
            result += block
        elif (
            first.lstrip().startswith(">>>")
            or first == "Example:"
            or (section == "Example:" and first.startswith(" "))
        ):
            section = "Example:" if first.startswith(("Example", " ")) else section
            result += block
        elif not section and first.startswith("    ") and not LIST.match(first):
            result += display([line[4:] for line in block])
        elif first.startswith("|"):
            result += _table(block)
        else:
            if not first.startswith(" "):
                section = first if SECTION.match(first) else ""
            result += _text(block, section)
    return result


def _blocks(lines: list[str]) -> list[list[str]]:
    """Return runs of lines without a blank one between them, and the blank lines."""
    blocks: list[list[str]] = []
    for line in lines:
        if blocks and bool(line.strip()) == bool(blocks[-1][0].strip()):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks


def _text(block: list[str], section: str) -> list[str]:
    if section:
        block = _on_one_line("\n".join(block)).split("\n")
    heads = [ITEM.match(line) if section else None for line in block]
    rest = "\n".join(
        line[head.end() :] if head else line
        for head, line in zip(heads, block, strict=True)
    )
    names = [head[0].replace("_,", "\\_,") if head else "" for head in heads]
    lines = [
        name + line for name, line in zip(names, inline(rest).split("\n"), strict=True)
    ]
    return _spaced(lines) if not section else lines


def _on_one_line(section: str) -> str:
    """Return a section where several names that share a description stand on one line."""
    joined = WRAPPED.sub(r"\1 ", section)
    return joined if joined == section else _on_one_line(joined)


def _spaced(lines: list[str]) -> list[str]:
    """Return lines with a blank one before each list."""
    spaced: list[str] = []
    for line in lines:
        if (
            LIST.match(line)
            and spaced
            and not LIST.match(spaced[-1])
            and not spaced[-1].startswith(" ")
        ):
            spaced.append("")
        spaced.append(line)
    return spaced


def inline(text: str) -> str:
    """Return text with its code and emphasis in reST, and every other special character escaped."""
    text = _outside(
        CODE,
        text,
        lambda plain: _outside(
            EMPHASIS, plain, lambda rest: SPECIAL.sub(r"\\\g<0>", rest)
        ),
    )
    return CODE.sub(lambda code: formula(code[1]) or f"``{code[1]}``", text)


def formula(code: str) -> str:
    """Return code in a sentence as mathematics in reST where it is a formula, otherwise nothing."""
    if len(code) > LONGEST or not EQUATION.search(code) or PROGRAM.search(code):
        return ""
    try:
        tex = as_tex(code)
        mathml(tex, block=False)
    except (MathError, ValueError, AttributeError):
        return ""
    return f":math:`{tex}`"


def _outside(pattern: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
    """Return text with a change made between the matches of a pattern."""
    pieces, place = [], 0
    for match in pattern.finditer(text):
        pieces += [change(text[place : match.start()]), match[0]]
        place = match.end()
    return "".join(pieces) + change(text[place:])


def _table(block: list[str]) -> list[str]:
    rows = [row.strip("|").split("|") for row in block if "---" not in row]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [
            ("     - " if number else "   * - ") + inline(cell.strip())
            for number, cell in enumerate(row)
        ]
    return lines


def _read(
    app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    lines[:] = as_restructured_text(lines)


def _sign(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: Any,
    signature: str,
    returns: str,
) -> Any:
    return [
        text
        and JAXTYPING.sub(
            r"~jaxtyping.\1[Array,",
            text.replace(ARRAY_LIKE, "ArrayLike").replace(*ARRAY),
        )
        for text in (signature, returns)
    ]


def _skip(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: Any
) -> bool | None:
    """Fields of named tuples are described where their class is, scikit-learn's metadata routing in its manual."""
    return (
        True
        if type(obj).__name__ == "_tuplegetter" or ROUTING.fullmatch(name)
        else None
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _read, priority=400)  # before Napoleon
    app.connect("autodoc-process-signature", _sign)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
