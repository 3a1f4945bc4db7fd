"""A Flower app for a langevax task: three small files, a pyproject.toml and a README, ready for `flwr run`.

The example task is softmax regression on handwritten digits, written in JAX, PyTorch or NumPy; or the app imports a
task from the user's own package.
"""

import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template

from langevax.federated.defaults import (
    BATCH_SIZE,
    METHODS,
    NUM_LOCAL_STEPS,
    RADIUS,
    SERVER_STEP_SIZES,
    MethodDefaults,
)

TEMPLATES = files("langevax.flower") / "templates"
FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "jax": (),
    "torch": ("torch>=2.9",),
    "numpy": (),
}
"""By framework: what an app needs beside langevax and scikit-learn."""
ROUNDS = 10
PACKAGES_OF_APPS = ("flwr", "jax", "langevax", "numpy", "ray", "sklearn", "torch")
"""Packages that an app imports, so that its own cannot have their names."""


def write_app(
    folder: str | Path,
    *,
    framework: str = "jax",
    method: str = "fledge",
    task: str | None = None,
    force: bool = False,
) -> list[Path]:
    """Write an app and return its files.

    Args:
        folder: created if needed; its last part names the app.
        framework: of the example task: "jax", "torch" or "numpy".
        method: of the example task: one of `METHODS`.
        task: "module:name" of a `langevax.flower.Task` in an installed package, instead of the example.
        force: overwrite existing files.

    Raises:
        ValueError: an unknown framework or method; a task that is not "module:name"; a folder whose name cannot be an
            app's, or that has one of these files.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from langevax.flower.app_template import write_app
        >>> folder = Path(tempfile.mkdtemp()) / "digits-app"
        >>> [str(path.relative_to(folder)) for path in write_app(folder, framework="numpy")][3:5]
        ['digits_app/__init__.py', 'digits_app/task.py']
    """
    folder = Path(folder)
    content = app_files(folder.absolute().name, framework, method, task)
    paths = [folder / name for name in content]
    if not force and (existing := [str(path) for path in paths if path.exists()]):
        raise ValueError(
            f"folder {str(folder)!r} has {existing[0]!r} already; pass force=True to write over it."
        )
    for path, text in zip(paths, content.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return paths


def app_files(
    name: str, framework: str = "jax", method: str = "fledge", task: str | None = None
) -> dict[str, str]:
    """The app's files, by their paths in its folder."""
    for argument, value, known in (
        ("framework", framework, FRAMEWORKS),
        ("method", method, METHODS),
    ):
        if value not in known:
            raise ValueError(
                f"{argument} must be one of {', '.join(known)}, got {value!r}."
            )
    package = package_of(name)
    values = {
        "project": package.replace("_", "-"),
        "package": package,
        "rounds": str(ROUNDS),
        "folder": name,
    }
    if task is None:
        chosen = METHODS[method]
        needs, template = (
            ("scikit-learn>=1.9", *FRAMEWORKS[framework]),
            f"task_{framework}",
        )
        description = f"{chosen.algorithm.__name__} on handwritten digits, federated by langevax and Flower"
        values |= {"settings": _settings(chosen), "algorithm": _algorithm(chosen)}
    else:
        module, task_name = parts_of(task)
        needs, template = (), "task_own"
        description = (
            f"The task {task_name} of {module}, federated by langevax and Flower"
        )
        settings = f"# Add here what {task} reads from its config, with defaults, such as:\n# step-size = 0.1\n"
        values |= {"settings": settings, "module": module, "name": task_name}
    values["description"] = description
    values["dependencies"] = ", ".join(
        f'"{need}"' for need in ("langevax[flower]", *needs)
    )
    values["extra"] = "".join(f" {need.partition('>')[0]}" for need in needs)

    def filled(template: str) -> str:
        return Template(
            (TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
        ).substitute(values)

    return {
        "README.md": filled("README.md"),
        ".gitignore": filled("gitignore"),
        "pyproject.toml": filled("pyproject.toml"),
        f"{package}/__init__.py": "",
        f"{package}/task.py": filled(f"{template}.py"),
        f"{package}/client_app.py": filled("client_app.py"),
        f"{package}/server_app.py": filled("server_app.py"),
    }


def package_of(name: str) -> str:
    """The app's package, from its folder's name.

    Example:
        >>> package_of("My app-2")
        'my_app_2'
    """
    package = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    if not package or not package[0].isalpha():
        raise ValueError(
            f"the folder is named {name!r}, which cannot be an app's name; begin it with a letter."
        )
    if keyword.iskeyword(package) or package in {
        *sys.stdlib_module_names,
        *PACKAGES_OF_APPS,
    }:
        raise ValueError(
            f"the folder is named {name!r}, but an app's package cannot be {package!r}, a word or a package of Python; "
            "name it otherwise."
        )
    return package


def parts_of(task: str) -> tuple[str, str]:
    """Module and name of "module:name"."""
    module, _, name = task.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ValueError(
            f"task must be MODULE:NAME, as in mypackage.federated:task, got {task!r}."
        )
    return module, name


def settings_of(method: MethodDefaults) -> dict[str, tuple[str, str, str]]:
    """By argument of the method: its default, its conversion from the run config, and its meaning."""
    with_optimizers = ", ".join(
        f"{size:g} with {name}" for name, size in SERVER_STEP_SIZES.items()
    )
    settings = {
        "step_size": (str(method.step_size), "float({})", ""),
        "num_local_steps": (
            str(NUM_LOCAL_STEPS),
            "int({})",
            "K, of a client in a round",
        ),
        "batch_size": (str(BATCH_SIZE), "int({})", "b, rows of a step"),
        "clients_per_round": ("0", "int({}) or None", "p; 0: all"),
        "num_local_epochs": ("1", "int({})", "passes over a client's rows in a round"),
        "server_step_size": (
            "1.0",
            "float({})",
            with_optimizers if method.has("server_optimizer") else "",
        ),
        "server_optimizer": (
            '""',
            "{} or None",
            'momentum, adam, yogi, adagrad; "": none',
        ),
    }
    if method is METHODS["bvr-l-psgd"]:
        settings["radius"] = (
            str(RADIUS),
            "float({})",
            "of the noise in each local step",
        )
    return {
        argument: setting
        for argument, setting in settings.items()
        if method.has(argument)
    }


def _settings(method: MethodDefaults) -> str:
    """Lines of TOML."""
    lines = []
    for argument, (default, _, meaning) in settings_of(method).items():
        text = f"{argument.replace('_', '-')} = {default}"
        lines.append(f"{text:<24}# {meaning}\n" if meaning else f"{text}\n")
    return "".join(lines)


def _algorithm(method: MethodDefaults) -> str:
    """The call, indented."""
    lines = [f"    return lx.federated.{method.algorithm.__name__}("]
    for argument, (_, conversion, _) in settings_of(method).items():
        value = 'config["' + argument.replace("_", "-") + '"]'
        lines.append(f"        {argument}={conversion.format(value)},")
    return "\n".join([*lines, "    )"])
