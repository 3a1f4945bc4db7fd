"""`langevax federated app`: write a Flower app."""

import re
from collections.abc import Collection
from importlib.util import find_spec

from langevax.app.errors import BadInput, listing, nearest
from langevax.app.options import FlowerAppOptions
from langevax.app.output import Output
from langevax.federated.defaults import METHODS


def run(options: FlowerAppOptions) -> None:
    """Check the options, write the app, and print the next steps."""
    output, folder, task = Output(options.json), options.folder, options.task
    check_flower("langevax federated app")
    from langevax.flower import app_template

    if task is not None and options.method is not None:
        raise BadInput(
            f"--method {options.method!r} does not go with --task, which has its own method; leave one out."
        )
    method = "fledge" if options.method is None else options.method
    if method not in METHODS:
        raise BadInput(unknown_method(method, METHODS))
    try:
        paths = app_template.write_app(
            folder,
            framework=options.framework,
            method=method,
            task=task,
            force=options.force,
        )
    except ValueError as error:
        message = str(error).replace("pass force=True", "pass --force")
        message = re.sub("^task ", "--task ", message)
        raise BadInput(message) from error
    except OSError as error:
        raise BadInput(
            f"DIR {str(folder)!r} cannot be written ({error.strerror}); name another folder."
        ) from error
    for i, path in enumerate(paths):
        output.say("" if i else "Written", str(path))
    output.blank()
    if task is None:
        edited = next(path for path in paths if path.name == "task.py")
        about = "the method, the model, and where a client's rows are"
        output.say("Edit", f"{edited}: {about}")
    output.say("Run", f"flwr run {folder}")
    output.result({"folder": str(folder), "files": [str(path) for path in paths]})


def check_flower(command: str) -> None:
    """Refuse in a sentence if Flower is not installed."""
    if find_spec("flwr") is None:
        raise BadInput(
            f"{command} needs Flower, and flwr is not installed; pip install 'langevax[flower]'."
        )


def unknown_method(method: str, known: Collection[str]) -> str:
    """Return that a method is not known, and which are."""
    hint = nearest(method, known)
    if not hint.startswith("did"):
        hint = f"choose from {listing(known, len(known))}."
    return f"--method {method!r} is not a method; {hint}"
