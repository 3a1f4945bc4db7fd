"""The reference: in docs/api a line `::: NAME` is an entry of a list and a page, or the docstring of a module."""

import importlib
import inspect
import re
from itertools import chain, groupby
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx
from sphinx.config import Config

ENTRY = re.compile(r"^::: (langevax[\w.]*)$", re.MULTILINE)
FOLDER = "names"

MEMBERS: dict[str, list[str]] = {}
"""Names that are listed below the docstring of each module."""


def resolve(path: str) -> object:
    """Return the object of a dotted path: attributes where there are any, else modules."""
    value: object = importlib.import_module("langevax")
    for number, name in enumerate(path.split(".")[1:], 2):
        if not hasattr(value, name):
            importlib.import_module(".".join(path.split(".")[:number]))
        value = getattr(value, name)
    return value


def names_of(module: ModuleType) -> list[str]:
    """Return what a module exports, or defines under a public name."""
    own = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    ]
    return list(
        getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    )


def write_pages(app: Sphinx, config: Config) -> None:
    """Write a page for each name; what has not changed keeps its time."""
    folder = Path(app.srcdir) / "api" / FOLDER
    folder.mkdir(exist_ok=True)
    listed = {path: resolve(path) for path in _listed(Path(app.srcdir))}
    MEMBERS.update(
        {
            path: _unlisted(path, value, listed)
            for path, value in listed.items()
            if inspect.ismodule(value)
        }
    )
    names = [path for path, value in listed.items() if not inspect.ismodule(value)]
    pages = {
        path: _page(path, resolve(path)) for path in chain(names, *MEMBERS.values())
    }
    for path, text in pages.items():
        page = folder / f"{path}.rst"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    for page in folder.glob("*.rst"):
        if page.stem not in pages:
            page.unlink()


def _listed(docs: Path) -> list[str]:
    return [
        path
        for page in sorted((docs / "api").glob("*.md"))
        for path in ENTRY.findall(page.read_text("utf-8"))
    ]


def _unlisted(path: str, module: ModuleType, listed: dict[str, object]) -> list[str]:
    """Return the documented functions and classes of a module that no line of docs/api names."""
    values = {f"{path}.{name}": getattr(module, name) for name in names_of(module)}
    return [
        name
        for name, value in values.items()
        if (inspect.isclass(value) or inspect.isroutine(value)) and value.__doc__
        if not any(value is other for other in listed.values())
    ]


def _page(path: str, value: object) -> str:
    name = path.rpartition(".")[2]
    directive = "autofunction"
    options = ""
    if inspect.isclass(value):
        directive = "autoexception" if issubclass(value, BaseException) else "autoclass"
        options = "   :members:\n   :member-order: bysource\n"
        if hasattr(value, "get_params"):  # an estimator, whose `fit` is often inherited
            options += "   :inherited-members: BaseEstimator\n"
    return f"{name}\n{'=' * len(name)}\n\n.. {directive}:: {path}\n{options}"


def _lists(app: Sphinx, docname: str, source: list[str]) -> None:
    if not docname.startswith("api/") or not ENTRY.search(source[0]):
        return
    lines: list[str] = []
    for listed, group in groupby(
        source[0].splitlines(), lambda line: bool(ENTRY.match(line))
    ):
        run = list(group)
        lines += (
            _entries([line.removeprefix("::: ") for line in run]) if listed else run
        )
    source[0] = "\n".join(lines)


def _entries(paths: list[str]) -> list[str]:
    modules = [path for path in paths if inspect.ismodule(resolve(path))]
    lines: list[str] = []
    for path in modules:
        heading = [f"### `{path}`\n"] if len(modules) > 1 else []
        lines += [
            *heading,
            f"```{{eval-rst}}\n.. automodule:: {path}\n```\n",
            *_table(MEMBERS[path]),
        ]
    return lines + _table([path for path in paths if path not in modules])


def _table(names: list[str]) -> list[str]:
    """Return a table of names with their first sentences, and their pages for the bar at the side."""
    if not names:
        return []
    pages = [f"{FOLDER}/{name}" for name in names]
    rows = [
        f"| [`{name.removeprefix('langevax.')}`]({page}.rst) | {_summary(name)} |"
        for name, page in zip(names, pages, strict=True)
    ]
    return [
        "| name | |",
        "|---|---|",
        *rows,
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *pages,
        "```",
        "",
    ]


def _summary(path: str) -> str:
    """Return the first sentence of a docstring, for the cell of a table."""
    first = " ".join((inspect.getdoc(resolve(path)) or "").partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[^.]\w\.|[^.][)`]\.) |:$", first)[0]
    return (
        re.sub(r"(?<!`)[|<*_](?!`)", r"\\\g<0>", sentence)
        if "`" not in sentence
        else sentence.replace("|", "\\|")
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write_pages)
    app.connect("source-read", _lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
