"""Write the page of the command line from the output of `--help`."""

import warnings
from collections.abc import Iterator
from typing import Any

import click

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of Typer 0.20, which Flower pins, with click 8.5
    import typer

    from langevax.cli import app

PLACE, WIDTH = "<!-- the help of every command -->", 80


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    if PLACE not in markdown:
        return markdown
    return markdown.replace(PLACE, "\n".join(f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps()))


def helps() -> Iterator[tuple[str, str]]:
    """Yield the path and the `--help` of every command, groups before their commands."""
    yield from _below("langevax", typer.main.get_command(app), None)


def _below(name: str, command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = command.context_class(
        command, parent, name, terminal_width=WIDTH, max_content_width=WIDTH, **command.context_settings
    )
    yield context.command_path, command.get_help(context).strip()
    for inner in command.list_commands(context) if isinstance(command, click.Group) else ():
        subcommand = command.get_command(context, inner)
        if subcommand is not None and not subcommand.hidden:
            yield from _below(inner, subcommand, context)
