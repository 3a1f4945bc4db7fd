"""The command `langevax` and its commands, as Typer runs them.

The module of a command is imported when it runs, so that help is shown at once.
"""

import inspect
from dataclasses import fields
from importlib import import_module
from typing import Annotated, Any, get_type_hints

import click
import typer
import typer.core

from langevax._version import __version__
from langevax.app import options
from langevax.app.errors import exit_codes
from langevax.renamed import FORMER_NAMES


def _refuse_former(ctx: click.Context, word: str) -> None:
    """Raise for a command or an option that was removed, with what to do instead."""
    path = " ".join(["langevax", *ctx.command_path.split()[1:], word])
    if path in FORMER_NAMES:
        raise click.UsageError(f"{word} is gone: {FORMER_NAMES[path]}.", ctx)


class Group(typer.core.TyperGroup):
    """Commands, of which those that were removed say what replaced them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _refuse_former(ctx, args[0])
        return super().resolve_command(ctx, args)


class Command(typer.core.TyperCommand):
    """A command whose help has a plain section for each panel of options, and which says what replaced old options."""

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            argument = isinstance(parameter, click.Argument)
            other = "Arguments" if argument else options.Panel.RUN
            panel = getattr(parameter, "rich_help_panel", None) or other
            if record := parameter.get_help_record(ctx):
                name, text = record
                # Typer 0.20, which Flower requires, escapes brackets for rich
                panels.setdefault(panel, []).append((name, text.replace("\\[", "[")))
        # options that every command has come last
        for panel, records in sorted(
            panels.items(), key=lambda item: item[0] == options.Panel.RUN
        ):
            with formatter.section(panel):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse_former(ctx, error.option_name)
            raise


def _add(
    group: typer.Typer,
    name: str,
    kind: type[Any],
    module: str,
    short: str,
) -> None:
    """Add a command: its options are the fields of a dataclass, and `run` of a module takes them."""

    def command(**values: Any) -> None:
        with exit_codes():
            import_module(f"langevax.app.{module}").run(kind(**values))

    hints = get_type_hints(kind)
    defaults = options.defaults_of(kind)
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(one.name, inspect.Parameter.empty),
                annotation=Annotated[hints[one.name], one.metadata["typer"]],
            )
            for one in fields(kind)
        ]
    )
    add = group.command(name, cls=Command, help=inspect.getdoc(kind), short_help=short)
    add(command)


def _group(**settings: Any) -> typer.Typer:
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, **settings)


app: typer.Typer = _group(
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
federated: typer.Typer = _group(cls=Group)
app.add_typer(
    federated,
    name="federated",
    short_help="Train with clients that keep their rows.",
)
for command in (
    (app, "fit", options.FitOptions, "fitting.run", "Fit a network to a table."),
    (app, "predict", options.PredictOptions, "predict", "Predict with a fit."),
    (app, "certify", options.CertifyOptions, "certify", "Narrow a certificate."),
    (app, "explain", options.ExplainOptions, "explain", "Name the rows behind it."),
    (app, "convert", options.ConvertOptions, "convert", "Make a table a row file."),
    (app, "check", options.CheckOptions, "check", "Check files for damage."),
    (
        federated,
        "app",
        options.FlowerAppOptions,
        "flower_app",
        "Write an app for Flower.",
    ),
):
    _add(*command)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"langevax {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Train a network on a table, with bounds on the global optimum of its training.

    \b
      langevax fit wine.csv --target quality --out wine
      langevax predict wine new.csv --out predicted.csv

    `langevax COMMAND --help` explains a command, with examples.
    """


@federated.callback()
def _federated() -> None:
    """Federated optimisation: a server, and clients that keep their rows.

    \b
    On Flower (pip install 'langevax[flower]'):
      langevax federated app myapp
      flwr run myapp

    In one process, call langevax.simulate on a langevax.Federation in Python.
    """


def main() -> None:
    """Run the command line."""
    app(prog_name="langevax")


__all__ = ["app", "main"]
