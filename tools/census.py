"""Size and knottiness of the library by package, beside its budget: `make census`, or `python -m tools.census`.

Tokens leave out comments, docstrings and layout, so that neither short nor dense lines change them. Branches of a
function are its conditions, loops, handlers, contexts and comprehensions, and each `and` or `or`; locals are the names
it assigns. `tools/budget.toml` says what each package may have; `tests/test_architecture.py` compares.
"""

import ast
import collections
import inspect
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.packages import SOURCE, top_level

BUDGET = Path(__file__).with_name("budget.toml")
SHORT = 40
"""Lines below which a file is joined with its neighbour unless a reason is stated."""
HAND_FORMATTED = re.compile(r"#\s*fmt:\s*(skip|off|on)\b")
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
PLAIN_NUMBERS = {"0", "1", "2", "0.0", "1.0", "2.0", "0.5"}
BRANCHES = (
    ast.If,
    ast.For,
    ast.While,
    ast.ExceptHandler,
    ast.With,
    ast.IfExp,
    ast.comprehension,
    ast.match_case,
)
LIMITS = {"lines": 60, "branches": 15, "locals": 20, "parameters": 14}
"""Of one function; beyond them it is counted as long, knotted, crowded or wide."""


@dataclass(frozen=True)
class Function:
    """A function and what it asks of its reader, by the names of `LIMITS`."""

    place: str
    size: dict[str, int]


@dataclass
class Census:
    """Counts of one package, or of all."""

    tokens: int = 0
    lines: int = 0
    numbers: int = 0
    constants: dict[str, set[str]] = field(default_factory=dict)
    """The values of each name in capitals at the top of a file."""
    num_constants: int = 0
    functions: list[Function] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Count a file."""
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        code = set(_code(text, tree))
        lines = {line for token in code for line in range(token[1], token[2] + 1)}
        self.tokens += len(code)
        self.lines += len(lines)
        self.numbers += sum(
            kind == tokenize.NUMBER and word not in PLAIN_NUMBERS
            for kind, _, _, word, _ in code
        )
        for name, value in _constants(tree):
            self.constants.setdefault(name, set()).add(value)
            self.num_constants += 1
        place = path.relative_to(SOURCE)
        self.functions += [
            Function(f"{place}:{node.lineno} {node.name}", _size(node, lines))
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    @property
    def clashing(self) -> list[str]:
        """Constants that have another value in another file."""
        return sorted(
            name for name, values in self.constants.items() if len(values) > 1
        )

    def over(self, what: str) -> list[Function]:
        """Return the functions above one of `LIMITS`, the worst first."""
        above = [one for one in self.functions if one.size[what] > LIMITS[what]]
        return sorted(above, key=lambda one: -one.size[what])


def _code(text: str, tree: ast.AST) -> Iterator[tuple[int, int, int, str, int]]:
    docstrings = {
        (node.lineno, node.col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and token.start in docstrings
        if token.type not in LAYOUT and not is_docstring:
            yield (
                token.type,
                token.start[0],
                token.end[0],
                token.string,
                token.start[1],
            )


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [
            name
            for target in targets
            for name in (target.elts if isinstance(target, ast.Tuple) else [target])
        ]
        value = ast.unparse(node.value) if node.value else ""
        yield from (
            (name.id, value)
            for name in names
            if isinstance(name, ast.Name) and name.id.isupper()
        )


def _size(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lines: Iterable[int]
) -> dict[str, int]:
    inside = list(ast.walk(node))
    last = node.end_lineno or node.lineno
    operands = [len(x.values) - 1 for x in inside if isinstance(x, ast.BoolOp)]
    names = {
        x.id for x in inside if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)
    }
    arguments = node.args
    return {
        "lines": sum(node.lineno <= line <= last for line in lines),
        "branches": 1 + sum(isinstance(x, BRANCHES) for x in inside) + sum(operands),
        "locals": len(names),
        "parameters": sum(
            map(len, (arguments.posonlyargs, arguments.args, arguments.kwonlyargs))
        ),
    }


def census(source: Path = SOURCE) -> dict[str, Census]:
    """Return the counts of each package; of files right under `langevax` as "root"."""
    counts: dict[str, Census] = collections.defaultdict(Census)
    for path in sorted(source.rglob("*.py")):
        name = top_level(path) if path.parent != source else "root"
        counts[name].add(path)
    return dict(counts)


def together(counts: Iterable[Census]) -> Census:
    """Return the counts of all packages as one."""
    total = Census()
    for one in counts:
        total.tokens += one.tokens
        total.lines += one.lines
        total.numbers += one.numbers
        total.num_constants += one.num_constants
        total.functions += one.functions
        for name, values in one.constants.items():
            total.constants.setdefault(name, set()).update(values)
    return total


def budget(path: Path = BUDGET) -> tuple[dict[str, int], dict[str, int]]:
    """Return the tokens that each package may have, and the limits of the whole."""
    text = tomllib.loads(path.read_text(encoding="utf-8"))
    tokens: dict[str, int] = dict(text["tokens"])
    for issue, allowance in text["allowances"].items():
        taken: dict[str, int] = allowance.get("taken", {})
        if sum(taken.values()) > allowance["may_add"]:
            raise ValueError(
                f"{issue}: takes {taken} of {allowance['may_add']} tokens."
            )
        for name, number in taken.items():
            tokens[name] += number
    return tokens, text["limits"]


MEASURES: dict[str, Callable[[Census], float]] = {
    "tokens_per_line": lambda total: total.tokens / total.lines,
    "constants": lambda total: total.num_constants,
    "clashing": lambda total: len(total.clashing),
    "numbers": lambda total: total.numbers,
    "long": lambda total: len(total.over("lines")),
    "knotted": lambda total: len(total.over("branches")),
    "crowded": lambda total: len(total.over("locals")),
    "wide": lambda total: len(total.over("parameters")),
}
"""What `budget.toml` limits for the whole library, by name."""


def public_names() -> dict[str, list[str]]:
    """Return the public names of `langevax` and of the modules that it exports, at any depth."""
    import langevax

    names: dict[str, list[str]] = {}
    modules = [langevax]
    while modules:
        module = modules.pop()
        own = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
        ]
        names[module.__name__] = list(
            getattr(
                module, "__all__", [name for name in own if not name.startswith("_")]
            )
        )
        exported = [getattr(module, name) for name in names[module.__name__]]
        modules += [
            value
            for value in exported
            if inspect.ismodule(value) and value.__name__ not in names
        ]
    return names


def main() -> int:
    """Print the counts beside their budget; 1 where one is above it."""
    counts = census()
    total = together(counts.values())
    tokens, limits = budget()
    above = 0
    print(f"{'package':18}{'tokens':>9}{'budget':>9}{'constants':>11}{'numbers':>9}")
    for name, one in sorted(counts.items(), key=lambda item: -item[1].tokens):
        most = tokens.get(name, 0)
        above += one.tokens > most
        mark = "  above" if one.tokens > most else ""
        print(
            f"{name:18}{one.tokens:9,}{most:9,}{one.num_constants:11}{one.numbers:9}{mark}"
        )
    print(f"{'total':18}{total.tokens:9,}{sum(tokens.values()):9,}\n")
    for name, measure in MEASURES.items():
        value = measure(total)
        above += value > limits[name]
        mark = "  above" if value > limits[name] else ""
        print(f"{name:18}{value:9.4g}{limits[name]:9}{mark}")
    for what in LIMITS:
        worst = [f"{one.size[what]:6}  {one.place}" for one in total.over(what)[:5]]
        print(f"\nmost {what}", *worst, sep="\n")
    if total.clashing:
        print("\nconstants with several values:", *total.clashing)
    public = public_names()
    print(
        f"\n{sum(map(len, public.values()))} public names in {len(public)} namespaces"
    )
    return int(above > 0)


if __name__ == "__main__":
    sys.exit(main())
