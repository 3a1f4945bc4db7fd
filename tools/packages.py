"""Layers of the library, and the table of packages in docs/design.md: `python -m tools.packages` writes it.

A file imports only from layers below its own, or from its own package. The table is made of the packages' docstrings.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "langevax"
DESIGN = ROOT / "docs" / "design.md"
BEGIN, END = (
    "<!-- packages: written by python -m tools.packages -->\n",
    "<!-- end of packages -->",
)

LAYERS = (
    {"_typing", "_version", "platforms", "renamed"},
    {"imports", "keys", "log_weights", "storage"},
    {"checks", "locks", "trees"},
    {"problems", "data", "spaces"},
    {"gradients", "integrators", "algorithm", "likelihoods", "losses", "neurons"}
    | {"numpyro", "pymc"},
    {"run", "samplers"},
    {"meanfield", "federated", "teacher_student", "figures"},
    {"sampling", "optimize", "optax", "flower"},
    {"predictive_law"},
    {"sklearn"},
    {"app"},
    {"__init__", "__main__"},
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
THEORY, FIRST_ABOVE_THEORY = "theory", LAYER["sampling"]
"""`theory` imports nothing of langevax outside itself, and only integrations and above import it."""


def top_level(path: Path) -> str:
    """Return the package or module right under `langevax` to which a file belongs."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def table() -> str:
    """Return the packages, and the modules right under `langevax`, with layer and purpose."""
    rows = ["| package | layer | purpose |", "|---|---|---|"]
    for path in sorted([*SOURCE.glob("[!_]*.py"), *SOURCE.glob("*/**/__init__.py")]):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        layer = "beside" if parts[0] == THEORY else LAYER.get(parts[0], "?")
        rows.append(f"| `{name}` | {layer} | {_summary(path)} |")
    return "\n".join(rows) + "\n"


def _summary(path: Path) -> str:
    first = (
        ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    ).split("\n\n")[0]
    return " ".join(first.split()).replace("|", r"\|")


def with_table(text: str) -> str:
    """Return the page with the table between its marks."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DESIGN.write_text(with_table(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
