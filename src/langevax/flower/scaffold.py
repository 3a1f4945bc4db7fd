"""A Flower app for a task of langevax: three small files, a pyproject.toml and a README, ready for `flwr run`.

The example task is softmax regression on handwritten digits, written in JAX, PyTorch or NumPy; or the app imports a
task that the user's own package has.
"""

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

TEMPLATES = files("langevax.flower") / "templates"
FRAMEWORKS = {"jax": (), "torch": ("torch>=2.9",), "numpy": ()}
"""By framework: what an app needs beside langevax and scikit-learn."""
ROUNDS = 10


class Method(NamedTuple):
    """A method of langevax.federated in an app: its class, its settings, and a step size that does well on digits."""

    name: str
    step_size: float
    settings: tuple[str, ...]


LOCAL = ("step-size", "local-steps", "batch-size", "clients-per-round")
METHODS = {
    "minibatch-sgd": Method("MinibatchSGD", 1.0, ("step-size", "batch-size", "clients-per-round")),
    "fedavg": Method("FedAvg", 0.5, LOCAL),
    "scaffold": Method("Scaffold", 0.5, LOCAL),
    "mimesgd": Method("MimeSGD", 0.25, LOCAL),
    "minibatch-sarah": Method("MinibatchSARAH", 1.0, ("step-size", "batch-size")),
    "bvr-l-sgd": Method("BVRLSGD", 0.25, ("step-size", "local-steps", "batch-size")),
    "bvr-l-psgd": Method("BVRLPSGD", 0.25, ("step-size", "local-steps", "batch-size", "radius")),
    "fledge": Method("FLEDGE", 0.25, LOCAL),
}
VALUES = {"local-steps": "16", "batch-size": "4", "clients-per-round": "0", "radius": "0.001"}
MEANINGS = {
    "step-size": "",
    "local-steps": "K, of a client in a round",
    "batch-size": "b, rows of a step",
    "clients-per-round": "p; 0: all",
    "radius": "of the noise in each local step",
}


def write_app(
    folder: str | Path, *, framework: str = "jax", method: str = "fledge", task: str | None = None, force: bool = False
) -> list[Path]:
    """Write an app and return its files.

    Args:
        folder: made if need be; its last part names the app.
        framework: the example task's: "jax", "torch" or "numpy".
        method: the example task's: one of `METHODS`.
        task: "module:name" of a `langevax.flower.Task` in an installed package, instead of the example.
        force: write over files that are there.

    Raises:
        ValueError: no such framework or method; a task that is no "module:name"; a folder whose name no app can have,
            or that has one of these files.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from langevax.flower.scaffold import write_app
        >>> folder = Path(tempfile.mkdtemp()) / "digits-app"
        >>> [str(path.relative_to(folder)) for path in write_app(folder, framework="numpy")][3:5]
        ['digits_app/__init__.py', 'digits_app/task.py']
    """
    folder = Path(folder)
    content = app_files(folder.absolute().name, framework, method, task)
    paths = [folder / name for name in content]
    if not force and (there := [str(path) for path in paths if path.exists()]):
        raise ValueError(f"folder {str(folder)!r} has {there[0]!r} already; pass force=True to write over it.")
    for path, text in zip(paths, content.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return paths


def app_files(name: str, framework: str = "jax", method: str = "fledge", task: str | None = None) -> dict[str, str]:
    """The app's files, by their paths in its folder."""
    for what, value, known in (("framework", framework, FRAMEWORKS), ("method", method, METHODS)):
        if value not in known:
            raise ValueError(f"{what} must be one of {', '.join(known)}, got {value!r}.")
    package = package_of(name)
    words = {
        "project": package.replace("_", "-"),
        "package": package,
        "publisher": "me",
        "rounds": str(ROUNDS),
        "folder": name,
    }
    if task is None:
        chosen = METHODS[method]
        needs, kind = ("scikit-learn>=1.9", *FRAMEWORKS[framework]), f"task_{framework}"
        words |= {
            "description": f"{chosen.name} on handwritten digits, federated by langevax and Flower",
            "settings": _settings(chosen),
            "algorithm": _algorithm(chosen),
        }
    else:
        module, name_there = parts_of(task)
        needs, kind = (), "task_own"
        words |= {
            "description": f"The task {name_there} of {module}, federated by langevax and Flower",
            "settings": f"# Add here what {task} reads from its config, with defaults, such as:\n# step-size = 0.1\n",
            "module": module,
            "name": name_there,
        }
    words["dependencies"] = ", ".join(f'"{each}"' for each in ("langevax[flower]", *needs))
    words["extra"] = "".join(f" {each.partition('>')[0]}" for each in needs)

    def filled(template: str) -> str:
        return Template((TEMPLATES / f"{template}.template").read_text(encoding="utf-8")).substitute(words)

    return {
        "README.md": filled("README.md"),
        ".gitignore": filled("gitignore"),
        "pyproject.toml": filled("pyproject.toml"),
        f"{package}/__init__.py": "",
        f"{package}/task.py": filled(f"{kind}.py"),
        f"{package}/client_app.py": filled("client_app.py"),
        f"{package}/server_app.py": filled("server_app.py"),
    }


def package_of(name: str) -> str:
    """The app's package, by its folder's name.

    Example:
        >>> package_of("My app-2")
        'my_app_2'
    """
    package = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    if not package or not package[0].isalpha():
        raise ValueError(f"the folder is named {name!r}, of which no app's name can be made; begin it with a letter.")
    return package


def parts_of(task: str) -> tuple[str, str]:
    """Module and name of "module:name"."""
    module, _, name = task.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ValueError(f"task must be MODULE:NAME, as in mypackage.federated:task, got {task!r}.")
    return module, name


def _settings(method: Method) -> str:
    """Lines of TOML, each with what it means."""
    lines = []
    for key in method.settings:
        text = f"{key} = {VALUES.get(key, method.step_size)}"
        lines.append(f"{text:<24}# {MEANINGS[key]}\n" if MEANINGS[key] else f"{text}\n")
    return "".join(lines)


def _algorithm(method: Method) -> str:
    """The call, indented; clients-per-round 0 is None, all of them."""
    lines = [f"    return lx.federated.{method.name}("]
    for key in method.settings:
        kind = "float" if key in ("step-size", "radius") else "int"
        rest = " or None" if key == "clients-per-round" else ""
        lines.append(f'        {key.replace("-", "_")}={kind}(config["{key}"]){rest},')
    return "\n".join([*lines, "    )"])
