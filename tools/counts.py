"""Size of the library and what is left of its fragments: `make counts`, or `python -m tools.counts [FOLDER]`."""

import ast
import collections
import inspect
import io
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "langevax"
SHORT = 40
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
HAND_FORMATTED = re.compile(r"#\s*fmt:\s*(skip|off|on)\b")


def formatted_lines(source: Path) -> int:
    """Return the lines of all files after the formatter, hand-formatted ones included, at 88 characters."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(source, Path(folder) / "langevax"))
        for file in copy.rglob("*.py"):
            file.write_text(
                HAND_FORMATTED.sub("", file.read_text(encoding="utf-8")),
                encoding="utf-8",
            )
        ruff = [
            sys.executable,
            "-m",
            "ruff",
            "format",
            "--quiet",
            "--isolated",
            "--line-length",
            "88",
            str(copy),
        ]
        subprocess.run(ruff, check=True)
        return sum(
            file.read_text(encoding="utf-8").count("\n") for file in copy.rglob("*.py")
        )


def tokens(text: str) -> int:
    """Return the number of Python tokens, without comments and layout."""
    return sum(
        token.type not in LAYOUT
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    )


def parameters(tree: ast.AST) -> list[ast.arg]:
    """Return all annotated parameters of functions and methods."""
    signatures = [
        node.args
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    listed = [
        arg
        for args in signatures
        for arg in (
            *args.posonlyargs,
            *args.args,
            *args.kwonlyargs,
            args.vararg,
            args.kwarg,
        )
    ]
    return [arg for arg in listed if arg is not None and arg.annotation is not None]


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


def main(source: Path = SOURCE) -> None:
    """Print the counts."""
    texts = {
        str(file.relative_to(source)): file.read_text(encoding="utf-8")
        for file in sorted(source.rglob("*.py"))
    }
    trees = {name: ast.parse(text) for name, text in texts.items()}
    lines = {name: text.count("\n") for name, text in texts.items()}
    classes = collections.Counter(
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    annotated = [arg for tree in trees.values() for arg in parameters(tree)]
    bare = sum(
        isinstance(arg.annotation, ast.Name) and arg.annotation.id == "Any"
        for arg in annotated
    )
    short = [
        name
        for name, count in lines.items()
        if count < SHORT and not name.endswith("__init__.py")
    ]
    repeated = sorted(name for name, count in classes.items() if count > 1)
    public = public_names()
    for label, value in {
        "lines, formatted at 88": formatted_lines(source),
        "tokens": sum(map(tokens, texts.values())),
        "files": len(texts),
        "median lines of a file": statistics.median(lines.values()),
        "fmt: skip, off, on": sum(
            len(HAND_FORMATTED.findall(text)) for text in texts.values()
        ),
        "parameters typed Any": f"{bare} of {len(annotated)}",
        "class names used twice or more": f"{len(repeated)}  {' '.join(repeated)}",
        f"files under {SHORT} lines": f"{len(short)}  {' '.join(short)}",
        "public names": f"{sum(map(len, public.values()))} in {len(public)} namespaces",
    }.items():
        print(f"{label:32}{value}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
