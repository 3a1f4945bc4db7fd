"""`langevax federated app`: write a Flower app."""

from importlib.util import find_spec

from langevax.app.errors import BadInput, listing, nearest
from langevax.app.options import FlowerAppOptions
from langevax.app.output import Output
from langevax.federated.defaults import FEDERATED_METHODS


def run(options: FlowerAppOptions) -> None:
    """Check the options, write the app, and print the next steps."""
    output = Output(options.json)
    folder = options.folder
    method = options.method
    check_flower("langevax federated app")
    from langevax.flower import app_template

    if method not in FEDERATED_METHODS:
        hint = nearest(method, FEDERATED_METHODS)
        if not hint.startswith("did"):
            hint = f"choose from {listing(FEDERATED_METHODS, len(FEDERATED_METHODS))}."
        raise BadInput(f"--method {method!r} is not a method; {hint}")
    try:
        paths = app_template.write_app(
            folder, framework=options.framework, method=method, force=options.force
        )
    except ValueError as error:
        raise BadInput(f"{error}".replace("pass force=True", "pass --force")) from error
    except OSError as error:
        raise BadInput(
            f"DIR {str(folder)!r} cannot be written ({error.strerror}); name another "
            "folder."
        ) from error
    for i, path in enumerate(paths):
        output.say("" if i else "Written", str(path))
    output.blank()
    edited = next(path for path in paths if path.name == "task.py")
    about = "the method, the model, and where a client's rows are"
    output.say("Edit", f"{edited}: {about}")
    output.say("Run", f"flwr run {folder}")
    output.result({"folder": str(folder), "files": [str(path) for path in paths]})


def check_flower(command: str) -> None:
    """Refuse in a sentence if Flower is not installed."""
    if find_spec("flwr") is None:
        raise BadInput(
            f"{command} needs Flower, and flwr is not installed; pip install "
            "'langevax[flower]'."
        )
