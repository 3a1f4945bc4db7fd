"""`langevax check`: are saved models, row files and checkpoints as they were written?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langevax.app.errors import BadInput, count, exit_codes, listing
from langevax.app.folder import MODEL, RESULT, SCHEMA, Folder
from langevax.app.options import local_path

if TYPE_CHECKING:
    from langevax.app.output import Output

HELP = """Check that models, row files and checkpoints are as they were written: every byte against the hashes stored in
them.

\b
Examples:
  langevax check wine
  langevax check model.safetensors clicks.rows
  langevax check checkpoints/run1

PATH is a folder that `langevax fit` made, a model that save() wrote, a row file, a checkpoint of simulate(), of an
estimator, or of a Flower server. What is known of a model is printed: its data, versions, scores and command. Training
itself checks groups of rows of up to 1 GiB before their first use, larger ones not; this reads all of them. Of a folder
of `langevax fit`, an interrupted training is checked, too.

Exit codes: 0 all are whole, 2 one is damaged, of another version, being written, or none of these.
"""
SERVER = "server.safetensors"  # as langevax.flower names it
CHECKPOINT = "run.json"


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=local_path,
            metavar="PATH...",
            help="Folders of fits, models, row files and checkpoints.",
        ),
    ],
) -> None:
    with exit_codes():
        from langevax.app.output import Output

        output, refusals = Output(), []
        for path in paths:
            try:
                _check(path, output)
            except (
                ValueError,
                RuntimeError,
            ) as error:  # of models and rows, and of checkpoints
                refusals.append(str(error))
        if refusals:
            raise BadInput(" ".join(refusals))


def _check(path: Path, output: "Output") -> None:
    """Print a sentence on one path; raise where it is damaged."""
    from langevax.data import open_rows
    from langevax.data.rows import DESCRIPTION

    training = Folder(path)
    if not path.exists():
        raise BadInput(
            f"PATH {str(path)!r} does not exist; name a model, a row file or a checkpoint."
        )
    if (path / DESCRIPTION).exists():
        rows = open_rows(path)
        rows.check()
        output.say("Whole", f"{path}, {count(rows.num_rows, 'row')}.")
    elif (path / CHECKPOINT).exists():
        _check_checkpoint(path, output)
    elif (path / SERVER).exists():
        _check_server(path, output)
    elif path.is_file() or (path / MODEL).exists():
        _check_model(path, output)
    elif not training.begun:
        raise BadInput(
            f"PATH {str(path)!r} holds neither {MODEL}, {DESCRIPTION}, {CHECKPOINT} nor {SERVER}; name a model, a row "
            "file or a checkpoint."
        )
    if path.is_dir() and training.begun:
        training.check_settings()
        for record in sorted(training.checkpoints.rglob(CHECKPOINT)):
            _check_checkpoint(record.parent, output)


def _check_checkpoint(path: Path, output: "Output") -> None:
    from langevax.run.verification import verify

    whole = verify(path)
    states = (
        f"states of steps {', '.join(map(str, whole.steps))}"
        if whole.steps
        else "no state yet"
    )
    output.say(
        "Whole", f"{path}, {states} and {count(whole.num_records, 'recorded step')}."
    )
    for step in whole.without_hashes:
        output.note(
            f"the state of step {step} has no hashes, as its run was killed; resuming it compares its checksum."
        )


def _check_server(path: Path, output: "Output") -> None:
    from langevax.app.federating.apps import check_flower

    check_flower("langevax check of a server's checkpoint", "flwr")
    from langevax.flower import checkpoints

    _, saved = checkpoints.read(path)
    output.say(
        "Whole",
        f"{path}, a server after {count(int(saved.progress['step']), 'round')}.",
    )


def _check_model(path: Path, output: "Output") -> None:
    from langevax.app.predict import load_model, model_hash
    from langevax.app.tables.schema import read_schema

    file = path / MODEL if path.is_dir() else path
    model = load_model(file, "PATH")
    if path.is_dir():
        read_schema(path / SCHEMA, model_hash(file))
        _check_parts(path, output)
    output.say("Whole", f"{path}, a {type(model).__name__}.")
    for name, value in model.card_.items():
        words = (
            ", ".join(f"{key} {item}" for key, item in value.items())
            if isinstance(value, dict)
            else str(value)
        )
        output.note(f"{name.replace('_', ' ')}: {words}")


def _check_parts(path: Path, output: "Output") -> None:
    """Compare the files of a finished fit with the hashes in its result.json."""
    if not (path / RESULT).exists():
        output.note(
            f"{path} has no {RESULT}; only the model and its schema are checked."
        )
    elif damaged := Folder(path).damaged_parts():
        verb = "is" if len(damaged) == 1 else "are"
        raise BadInput(
            f"PATH {str(path)!r}: {listing(damaged)} {verb} not as written; fit again, or copy the folder."
        )
