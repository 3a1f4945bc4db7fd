"""Formulas as MathML, which browsers draw without a script: TeX of the pages, plain text of the docstrings."""

import re

from docutils import nodes
from docutils.utils.math import latex2mathml
from docutils.utils.math.latex2mathml import MathError
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "pi",
        "rho",
        "sigma",
        "tau",
        "phi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
    ]
)
FUNCTIONS = frozenset(
    [
        "exp",
        "sin",
        "cos",
        "log",
        "tanh",
        "min",
        "max",
        "sup",
        "inf",
        "tr",
        "diag",
        "argmin",
        "argmax",
        "relu",
        "sgn",
        "clip",
        "fold",
        "KL",
        "Var",
        "Cov",
        "loss",
        "mod",
        "sign",
    ]
)
SIGNS = {
    **{
        "sum": r"\sum",
        "prod": r"\prod",
        "grad": r"\nabla",
        "integral": r"\int",
        "int": r"\int",
        "infinity": r"\infty",
    },
    **{
        "<-": r"\leftarrow",
        "->": r"\to",
        "<=": r"\le",
        ">=": r"\ge",
        "||": r"\parallel",
        "...": r"\ldots",
        "~": r"\sim",
    },
    **{"=>": r"\Rightarrow", "+-": r"\pm", "hess": r"\nabla^2", "eps": r"\varepsilon"},
    **{"==": "=", "*": r"\cdot", "%": r"\bmod", "{": r"\{", "}": r"\}", "#": r"\#"},
}
CLOSING = {"(": ")", "{": "}"}
WORD = re.compile(r"[A-Za-z]{2,}(?:_[A-Za-z]{3,})*")
DIFFERENTIAL = re.compile(r"d[xvtWh]|d(?=theta$)")
TOKEN = re.compile(
    rf"  +| |<-|->|<=|>=|=>|==|\+-|\|\||\.\.\.|{WORD.pattern}|\d+(?:\.\d+)?|."
)
FUNCTION = re.compile(
    r"(<mi>[A-Za-z]{2,}</mi>\s*<mo>&ApplyFunction;</mo>)(?=\s*<m(?!o\b|space))"
)
APPLIED = re.compile(
    r"(</m(?:i|n|sub|sup|subsup|sqrt|frac)>|>\)</mo>)(?=\s*(?:<msub>\s*)?<mi[^>]*>\w{2,}</mi>)"
)
FRACTION = re.compile(r"(\\[td]?frac)(\d)(\d)")
TEXT = re.compile(r"\\text\{[^{}]*\}")
FENCES = re.compile('<mo(?: stretchy="false"| class="mathopen")?>([⟨⟩|‖])</mo>')
TWO_TEXTS = re.compile(r"\\text\{ ([^{}]*) \} *\\text\{ ([^{}]*) \}")
SPACE_BEFORE = re.compile(r" \}(?= *[,.;:_^(')])")
CODE = re.compile(
    r"[\"`\\$&@]|\w\.\w+\(|\w/\w+/|DIR|NAME|\w=\w|^- |import |^with |^[a-z_]+ {3,}[a-z]"
)
BLOCK = re.compile(
    r"^```text\n(.*?)^```\n|(?<=\n\n)((?: {4}\S[^\n]*\n)+)(?=\n)",
    re.MULTILINE | re.DOTALL,
)
MATHEMATICAL = re.compile(r"<-|[=~<>^]|sum_|grad ")


def mathml(tex: str, *, block: bool) -> str:
    """Return MathML for TeX; lines that `\\\\` separates are aligned at `&`."""
    tex = FRACTION.sub(
        r"\1{\2}{\3}", tex.strip()
    )  # latex2mathml reads 12 as one number, and keeps \\_ in words
    tex = TEXT.sub(lambda words: words[0].replace(r"\_", "_"), tex)
    if "\\\\" in tex and "\\begin" not in tex:
        tex = f"\\begin{{aligned}} {tex} \\end{{aligned}}"
    drawn = str(latex2mathml.tex2mathml(tex, as_block=block))
    for place in (
        FUNCTION,
        APPLIED,
    ):  # a thin space on either side of a function's name
        drawn = place.sub(r'\1<mspace width="0.1667em" />', drawn)
    return FENCES.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', drawn)


def display(lines: list[str]) -> list[str]:
    """Return an indented block of a docstring as reST: formulas as mathematics, anything else as it stands."""
    try:
        tex = [as_tex(line) for line in lines]
        mathml("\\\\".join(tex), block=True)
    except (MathError, ValueError, AttributeError):
        return ["::", "", *("    " + line for line in lines)]
    return [
        ".. math::",
        "",
        *(
            "    " + line + r" \\" * (number < len(tex))
            for number, line in enumerate(tex, 1)
        ),
    ]


def typeset(page: str) -> str:
    """Return Markdown in which blocks of text, fenced or indented, are TeX where they are formulas in plain text."""
    return BLOCK.sub(_typeset, page)


def _typeset(block: re.Match[str]) -> str:
    lines = [line.strip() for line in (block[1] or block[2]).splitlines()]
    try:
        tex = r" \\ ".join(map(as_tex, lines))
        mathml(tex, block=True)
    except (MathError, ValueError, AttributeError):
        return block[0]
    return f"$$\n{tex}\n$$\n"


def as_tex(line: str) -> str:
    """Return TeX for a line of a formula in plain text; a ValueError says that it is not a formula.

    `x_i`, `x^2`, `sqrt(x)`, `<x, y>` and `x <- y` mean what they look like, two spaces are a wide one, and words of
    several letters stand as text.
    """
    if CODE.search(line) or not MATHEMATICAL.search(line):
        raise ValueError(line)
    tokens = TOKEN.findall(line.strip())
    tex, end = _sequence(tokens, 0, "")
    if end != len(tokens):
        raise ValueError(line)
    return tex


def _sequence(tokens: list[str], place: int, closing: str) -> tuple[str, int]:
    """Return TeX of the tokens up to a closing bracket, and the place behind it."""
    pieces: list[str] = []
    while place < len(tokens) and tokens[place] != closing:
        piece, place = _piece(tokens, place)
        pieces.append(piece)
    if closing and place == len(tokens):
        raise ValueError("".join(tokens))
    tex = " ".join(filter(None, pieces))
    while (joined := TWO_TEXTS.sub(r"\\text{ \1 \2 }", tex)) != tex:
        tex = joined
    return SPACE_BEFORE.sub("}", tex), place + bool(closing)


def _piece(tokens: list[str], place: int) -> tuple[str, int]:
    token, *behind = tokens[place : place + 3]
    before, after, second = (
        (tokens[place - 1] if place else " "),
        *behind,
        *("", "")[len(behind) :],
    )
    if token in ("_", "^") and after:
        if after in CLOSING:
            inner, end = _sequence(tokens, place + 2, CLOSING[after])
        elif after == "-" and second == "(":
            inner, end = _sequence(tokens, place + 3, ")")
            inner = f"-({inner})"
        elif after == "-" and second:
            inner, end = f"-{_sign(second)}", place + 3
        else:
            inner, end = (
                (
                    after
                    if len(after) < 3 and after.isalnum()
                    else _sign(after).replace(" ", "")
                ),
                place + 2,
            )
        return f"{token}{{{inner}}}", end
    if token == "sqrt" and after == "(":
        inner, end = _sequence(tokens, place + 2, ")")
        return f"\\sqrt{{{inner}}}", end
    if token == "sqrt" and after == " " and len(second) == 1:
        return f"\\sqrt{{{_sign(second)}}}", place + 3
    if token == "O" and after == "~":
        return r"\tilde{O}", place + 2
    if token == "(":
        inner, end = _sequence(tokens, place + 1, ")")
        return f"({inner})", end
    if token == " ":
        if after == "(" and _sign(before).startswith("\\text"):
            return r"\,", place + 1
        words = any(
            _sign(neighbour).startswith("\\text") for neighbour in (before, after)
        )
        return (
            "\\," if not words and before[-1].isalnum() and after[:1].isalnum() else ""
        ), place + 1
    if token == "|" and before == after == " ":
        return r"\mid", place + 1
    if token == "<" and not after.isspace() and (before.isspace() or before in "(["):
        return r"\langle", place + 1
    if token == ">" and not before.isspace() and before != "{":
        return r"\rangle", place + 1
    if token == "*" and not before.isspace():
        return "^{*}", place + 1
    if token == "~" and not before.isspace():
        return r"^{\sim}", place + 1
    if (
        token == "in"
        and before == after == " "
        and place > 1
        and len(tokens[place - 2]) == len(second) == 1
    ):
        return r"\in", place + 1
    if token == "." and before == after == " ":
        return r"\cdot", place + 1
    if token == "a" and after == " " and _sign(second).startswith("\\text"):
        return r"\text{ a }", place + 1
    return _sign(token), place + 1


def _sign(token: str) -> str:
    if token.isspace():
        return r"\quad" if len(token) > 2 else r"\;"
    if token in GREEK:
        return "\\" + token
    if token in FUNCTIONS:
        return f"\\operatorname{{{token}}}"
    if token in SIGNS:
        return SIGNS[token]
    if DIFFERENTIAL.match(token):
        return token if len(token) == 2 else f"d \\{token[1:]}"
    if WORD.fullmatch(token):
        return f"\\text{{ {token} }}"
    return token


def _visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(
        f'<div class="formula" tabindex="0">{mathml(node.astext(), block=True)}</div>'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(_visit_inline, None),
        block_renderers=(_visit_block, None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
