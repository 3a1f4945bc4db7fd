"""Text that pages take from elsewhere: files of the repository's top, `--help`, titles of links, links of names."""

import posixpath
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
from docutils import nodes
from formulas import typeset
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # of Typer 0.20, which Flower pins, with click 8.5
    import typer

    from langevax.app.main import app as command_line

HELP, OTHERS, WIDTH = (
    "<!-- the help of every command -->",
    "<!-- pages that no list names -->",
    80,
)

TOP = {
    name: name.lower()
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
}
"""Files at the top of the repository, and their pages."""
TEXT_OF = re.compile(r"<!-- the text of (\w+\.md) -->")
FROM_THE_TOP = re.compile(r"\]\((?:docs/)?([\w./-]+\.md)((?:#[\w-]*)?)\)")
TO_THE_TOP = re.compile(
    rf"\]\((?:\.\./)+({'|'.join(map(re.escape, TOP))})((?:#[\w-]*)?)\)"
)
NOT_A_PAGE = re.compile(r"\[([^\]]*)\]\(LICENSE\)")
LINK_OF_A_FILE = re.compile(r"\[\w+\.md\]\(([\w./]+\.md(?:#[\w-]*)?)\)")
PATTERN = re.compile(r"^[\w/]+\*$\n", re.MULTILINE)
PATH = re.compile(r"[\w.*-]*(?:/[\w.*-]*)+")
PUBLIC_NAME = re.compile(r"langevax(?:\.[a-zA-Z]\w*)+")


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    start, docs = posixpath.dirname(docname) or ".", Path(app.srcdir)
    if HELP in source[0] or TEXT_OF.search(source[0]):
        app.env.note_reread()  # its text changes without its file
    text = TEXT_OF.sub(
        lambda place: (docs.parent / place[1]).read_text(encoding="utf-8"), source[0]
    )
    if text != source[0]:
        text = FROM_THE_TOP.sub(
            lambda link: f"]({TOP.get(link[1], link[1])}{link[2]})",
            NOT_A_PAGE.sub(r"\1", text),
        )
    text = TO_THE_TOP.sub(
        lambda link: f"]({posixpath.relpath(TOP[link[1]], start)}{link[2]})", text
    )
    text = LINK_OF_A_FILE.sub(r"[](\1)", text)
    if HELP in text:
        text = text.replace(
            HELP,
            "\n".join(
                f"## {name}\n\n```text\n{shown}\n```\n" for name, shown in helps()
            ),
        )
    if docname == "atlas":  # written from docstrings, as the pages of the gallery are
        text = typeset(text)
    elif start == "gallery":
        above, fence, code = text.partition("```")
        text = typeset(above) + fence + code
    if any((docs / docname).glob("*.md")) and "{toctree}" not in text:
        text += f"\n\n```{{toctree}}\n:hidden:\n:glob:\n\n{posixpath.basename(docname)}/*\n```\n"
    text = text.replace(OTHERS, "\n".join(_unlisted(docs)))
    source[0] = PATTERN.sub(
        lambda line: (
            line[0] if any((docs / start).glob(line[0].strip() + ".md")) else ""
        ),
        text,
    )


def _unlisted(docs: Path) -> list[str]:
    """Return the pages of the top folder that no table of contents names."""
    pages = {
        page.stem: page.read_text(encoding="utf-8")
        for page in sorted(docs.glob("*.md"))
    }
    trees = "\n".join(
        tree
        for text in pages.values()
        for tree in re.findall(r"```{toctree}(.*?)```", text, re.DOTALL)
    )
    named = set(re.findall(r"^(?:.* <)?([\w/]+)>?$", trees, re.MULTILINE)) | {"index"}
    shown = tuple(
        pattern.removesuffix("*")
        for pattern in re.findall(r"^[\w/]+\*$", trees, re.MULTILINE)
    )
    return [page for page in pages if page not in named and not page.startswith(shown)]


def helps() -> Iterator[tuple[str, str]]:
    """Yield the path and the `--help` of every command, groups before their commands."""
    yield from _below("langevax", typer.main.get_command(command_line), None)


def _below(
    name: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    context = command.context_class(
        command,
        parent,
        name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield context.command_path, command.get_help(context).strip()
    for inner in (
        command.list_commands(context) if isinstance(command, click.Group) else ()
    ):
        subcommand = command.get_command(context, inner)
        if subcommand is not None and not subcommand.hidden:
            yield from _below(inner, subcommand, context)


class Names(SphinxTransform):
    """Link code that is a public name to its page, and let paths in tables break after a slash."""

    default_priority = 300

    def apply(self, **kwargs: object) -> None:
        for code in list(self.document.findall(nodes.literal)):
            text = code.astext()
            if isinstance(code.parent, (nodes.reference, pending_xref, nodes.title)):
                continue
            if PUBLIC_NAME.fullmatch(text):
                link = pending_xref(
                    "",
                    refdomain="py",
                    reftype="obj",
                    reftarget=text,
                    refdoc=self.env.docname,
                )
                code.replace_self(link)
                link += code
            elif PATH.fullmatch(text) and isinstance(code.parent.parent, nodes.entry):
                code.clear()
                first, *others = text.split("/")
                code += nodes.Text(first)
                for name in others:
                    code += [
                        nodes.Text("/"),
                        nodes.raw("", "<wbr />", format="html"),
                        nodes.Text(name),
                    ]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _read)
    app.add_transform(Names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
