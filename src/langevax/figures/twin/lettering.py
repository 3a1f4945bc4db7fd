"""A printed label, with its mathematics, as markup that a page's figure understands: `<sup>`, `<sub>` and signs."""

import html
import re

SIGNS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "psi": "ψ", "omega": "ω", "Delta": "Δ", "Lambda": "Λ", "Sigma": "Σ", "nabla": "∇",
    "infty": "∞", "to": "→", "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "times": "×", "cdot": "·", "pm": "±",
    "approx": "≈", "propto": "∝", "min": "min", "max": "max", "log": "log", "exp": "exp", "langle": "⟨",
    "rangle": "⟩", "|": "‖", ",": "\N{THIN SPACE}", ";": " ", " ": " ", "!": "", "%": "%",
}  # fmt: skip
STYLED = ("mathdefault", "mathrm", "mathbf", "mathit", "text", "mathbb")
RAISED = {"^": "sup", "_": "sub"}


def lettered(label: str) -> str:
    """Plain words are escaped, what stands between dollars is set.

    Example:
        >>> lettered(r"gap $E\\,F - \\min F$ (a < b)")
        'gap E\\u2009F − min F (a &lt; b)'
        >>> lettered(r"$10^{-3}$, $\\mu_k$, $\\sqrt{N}$")
        '10<sup>−3</sup>, μ<sub>k</sub>, √N'
    """
    parts = re.split(r"(?<!\\)\$", label)
    return "".join(_set(part) if i % 2 else html.escape(part.replace("\\$", "$"), quote=False)
                   for i, part in enumerate(parts)).replace("\n", "<br>")  # fmt: skip


def plain(label: str) -> str:
    """The same without markup, to be read aloud.

    Example:
        >>> plain(r"error $10^{-3}$")
        'error 10^−3'
    """
    words = re.sub(r"<br>", " ", lettered(label))
    return html.unescape(re.sub(r"</su[bp]>", "", re.sub(r"<sub>", "_", re.sub(r"<sup>", "^", words))))


def _set(formula: str) -> str:
    words, rest = [], html.escape(formula, quote=False).replace("-", "−")
    while rest:
        piece, rest = _first(rest)
        words.append(piece)
    return "".join(words)


def _first(rest: str) -> tuple[str, str]:
    """The first piece, set, and what follows."""
    if rest[0] == "{":
        inner, rest = _group(rest)
        return _set(inner), rest
    if rest[0] in RAISED and len(rest) > 1:
        inner, after = _first(rest[1:])
        tag = RAISED[rest[0]]
        return f"<{tag}>{inner}</{tag}>", after
    if rest[0] == "\\" and (found := re.match(r"\\([a-zA-Z]+|.)", rest)):
        name, after = found[1], rest[found.end() :]
        if name in SIGNS:
            return SIGNS[name], after
        if name in STYLED or name == "sqrt":
            inner, after = _first(after.lstrip())
            return (f"√{inner}" if name == "sqrt" else inner), after
        raise ValueError(f"\\{name} is not known; write it another way, or add it to langevax.figures.twin.lettering.")
    return rest[0], rest[1:]


def _group(rest: str) -> tuple[str, str]:
    depth = 0
    for end, letter in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return rest[1:end], rest[end + 1 :]
    raise ValueError(f"a brace is not closed in {rest!r}.")
