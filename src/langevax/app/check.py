"""`langevax check`: are saved models, row files and checkpoints as they were written?"""

from pathlib import Path

from langevax.app.errors import BadInput, count, listing
from langevax.app.folder import MODEL, RESULT, SCHEMA, Folder
from langevax.app.options import CheckOptions
from langevax.app.output import Output
from langevax.app.predict import load_model, model_hash
from langevax.app.tables.schema import read_schema
from langevax.data import open_rows
from langevax.data.rows import DESCRIPTION
from langevax.run.verification import verify

SERVER = "server.safetensors"
"""As langevax.flower names it."""
CHECKPOINT = "run.json"


def run(options: CheckOptions) -> None:
    """Check all paths, and refuse those that are damaged."""
    output = Output()
    refusals = []
    for path in options.paths:
        try:
            _check(path, output)
        except (ValueError, RuntimeError) as error:  # models and rows; checkpoints
            refusals.append(str(error))
    if refusals:
        raise BadInput(" ".join(refusals))


def _check(path: Path, output: Output) -> None:
    """Print a sentence on one path; raise where it is damaged."""
    training = Folder(path)
    if not path.exists():
        raise BadInput(
            f"PATH {str(path)!r} does not exist; name a model, a row file or a "
            "checkpoint."
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
            f"PATH {str(path)!r} holds neither {MODEL}, {DESCRIPTION}, {CHECKPOINT} "
            f"nor {SERVER}; name a model, a row file or a checkpoint."
        )
    if training.begun:
        training.check_settings()
        for record in sorted(training.checkpoints.rglob(CHECKPOINT)):
            _check_checkpoint(record.parent, output)


def _check_checkpoint(path: Path, output: Output) -> None:
    whole = verify(path)
    states = "no state yet"
    if whole.steps:
        states = f"states of steps {', '.join(map(str, whole.steps))}"
    records = count(whole.num_records, "recorded step")
    output.say("Whole", f"{path}, {states} and {records}.")


def _check_server(path: Path, output: Output) -> None:
    from langevax.app.flower_app import check_flower

    check_flower("langevax check of a server's checkpoint")
    from langevax.flower import checkpoints

    _, saved = checkpoints.read(path)
    rounds = count(int(saved.progress["step"]), "round")
    output.say("Whole", f"{path}, a server after {rounds}.")


def _check_model(path: Path, output: Output) -> None:
    file = path / MODEL if path.is_dir() else path
    model = load_model(file, "PATH")
    if path.is_dir():
        read_schema(path / SCHEMA, model_hash(file))
        _check_parts(path, output)
    output.say("Whole", f"{path}, a {type(model).__name__}.")
    for name, value in model.card_.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        output.note(f"{name.replace('_', ' ')}: {value}")


def _check_parts(path: Path, output: Output) -> None:
    """Compare the files of a finished fit with the hashes in its result.json."""
    if not (path / RESULT).exists():
        output.note(
            f"{path} has no {RESULT}; only the model and its schema are checked."
        )
    elif damaged := Folder(path).damaged_parts():
        verb = "is" if len(damaged) == 1 else "are"
        raise BadInput(
            f"PATH {str(path)!r}: {listing(damaged)} {verb} not as written; fit again, "
            "or copy the folder."
        )
