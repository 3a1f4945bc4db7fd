"""`langevax check`: are saved models and row files as they were written?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langevax.cli.errors import BadInput, count, exit_codes
from langevax.cli.folder import MODEL, SCHEMA

if TYPE_CHECKING:
    from langevax.cli.output import Output

HELP = """Check that models and row files are as they were written: every byte against the hashes stored in them.

\b
Examples:
  langevax check wine
  langevax check model.safetensors clicks.rows

PATH is a folder that `langevax fit` made, a model that save() wrote, or a row file. What is known of a model is
printed: its data, versions, scores and command. Training itself checks groups of rows of up to 1 GiB before their first
use, larger ones not; this reads all of them.

Exit codes: 0 all are whole, 2 one is damaged, of another version, or neither a model nor a row file.
"""


def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders of fits, models and row files.")],
) -> None:
    with exit_codes():
        from langevax.cli.output import Output

        output, refusals = Output(), []
        for path in paths:
            try:
                _check(path, output)
            except ValueError as error:
                refusals.append(str(error))
        if refusals:
            raise BadInput(" ".join(refusals))


def _check(path: Path, output: "Output") -> None:
    """Print a sentence on one path; raise ValueError where it is damaged."""
    from langevax.data import open_rows
    from langevax.data.rows import DESCRIPTION

    if (path / DESCRIPTION).exists():
        rows = open_rows(path)
        rows.check()
        output.say("Whole", f"{path}, {count(rows.num_rows, 'row')}.")
    elif path.is_dir() and not (path / MODEL).exists():
        raise BadInput(f"PATH {str(path)!r} holds neither {MODEL} nor {DESCRIPTION}; name a model or a row file.")
    else:
        _check_model(path, output)


def _check_model(path: Path, output: "Output") -> None:
    from langevax.cli.predict import load_model, model_hash
    from langevax.cli.tables.schema import read_schema

    file = path / MODEL if path.is_dir() else path
    model = load_model(file)
    if path.is_dir():
        read_schema(path / SCHEMA, model_hash(file))
    output.say("Whole", f"{path}, a {type(model).__name__}.")
    for name, value in model.card_.items():
        words = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
        output.note(f"{name.replace('_', ' ')}: {words}")
