"""The command `langevax` and its commands, as Typer runs them."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
import typer.core

from langevax._version import __version__
from langevax.app import certify, check, convert, federated, fit, predict

HELP = """Train a network on a table, with bounds on the global optimum of its training.

\b
  langevax fit wine.csv --target quality --out wine
  langevax predict wine new.csv --out predicted.csv

`langevax COMMAND --help` explains a command, with examples.
"""

_Context = typer.core.TyperCommand.context_class


class _Formatter(_Context.formatter_class):
    """Plain help: Typer 0.20, which Flower requires, escapes brackets for rich."""

    def write_dl(
        self, rows: Iterable[tuple[str, str]], *args: Any, **options: Any
    ) -> None:
        super().write_dl(
            [(name, text.replace("\\[", "[")) for name, text in rows], *args, **options
        )


_Context.formatter_class = _Formatter

app: typer.Typer = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("fit", help=fit.HELP, short_help="Fit a network to a table.")(fit.fit)
app.command("predict", help=predict.HELP, short_help="Predict with a fitted network.")(
    predict.predict
)
app.command(
    "certify",
    help=certify.HELP,
    short_help="Narrow the certificate of a fitted network.",
)(certify.certify)
app.command(
    "convert",
    help=convert.HELP,
    short_help="Convert a table larger than memory to a row file.",
)(convert.convert)
app.command(
    "check", help=check.HELP, short_help="Check models and row files for damage."
)(check.check)
app.add_typer(
    federated.app,
    name="federated",
    short_help="Train with clients that keep their rows.",
)


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
    pass


def main() -> None:
    """Run the command line."""
    app(prog_name="langevax")


__all__ = ["app", "main"]
