"""From the words of `langevax federated app` to a folder that Flower runs."""

import importlib
from pathlib import Path

from langevax.cli.errors import BadInput, listing, nearest
from langevax.cli.federating.extra import check_flower
from langevax.cli.output import Output


def write(output: Output, folder: Path, framework: str, method: str | None, task: str | None, force: bool) -> None:
    """Check, write, and say how to go on."""
    check_flower("langevax federated app", "flwr")
    from langevax.flower import scaffold

    if task is not None:
        if method is not None:
            raise BadInput(
                f"--method {method!r} does not go with --task, which has a method of its own; leave one out."
            )
        _check(task)
    chosen = "fledge" if method is None else method
    if chosen not in scaffold.METHODS:
        hint = nearest(chosen, scaffold.METHODS)
        known = listing(scaffold.METHODS, 20)
        raise BadInput(f"--method {chosen!r} is no method; {hint if hint.startswith('did') else f'there are {known}.'}")
    try:
        paths = scaffold.write_app(folder, framework=framework, method=chosen, task=task, force=force)
    except ValueError as error:
        raise BadInput(f"{error}".replace("pass force=True", "pass --force")) from error
    except OSError as error:
        raise BadInput(f"DIR {str(folder)!r} cannot be written ({error.strerror}); name another folder.") from error
    for i, path in enumerate(paths):
        output.say("" if i else "Written", str(path))
    edited = next((path for path in paths if path.name == "task.py"), folder)
    output.blank()
    if task is None:
        output.say("Edit", f"{edited}: the method, the model, and where a client's rows are")
    output.say("Run", f"langevax federated run {folder} --engine simulation --clients 4")
    output.result({"folder": str(folder), "files": [str(path) for path in paths]})


def _check(task: str) -> None:
    """That it can be imported, as the server and the clients will."""
    from langevax.flower import Task
    from langevax.flower.scaffold import parts_of

    try:
        module, name = parts_of(task)
    except ValueError as error:
        raise BadInput(f"--{error}") from error
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise BadInput(
            f"--task {task!r} cannot be imported ({error}); install its package where this command is."
        ) from error
    except AttributeError as error:
        raise BadInput(f"--task {task!r} is not there: the module {module!r} has no {name!r}.") from error
    if not isinstance(found, Task):
        raise BadInput(f"--task {task!r} is a {type(found).__name__}; it must be a langevax.flower.Task.")
