"""A Flower app for a langevax task: three small files, a pyproject.toml and a README, ready for `flwr run`.

The example task is softmax regression on handwritten digits, written in JAX, PyTorch or NumPy.
"""

import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from langevax.federated.defaults import (
    FEDERATED_METHODS,
    LOCAL_BATCH_SIZE,
    NUM_LOCAL_STEPS,
    MethodDefaults,
)

FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "jax": (),
    "torch": ("torch>=2.9",),
    "numpy": (),
}
"""By framework: what an app needs beside langevax and scikit-learn."""


def write_app(
    folder: str | Path,
    *,
    framework: str = "jax",
    method: str = "fledge",
    force: bool = False,
) -> list[Path]:
    """Write an app and return its files.

    Args:
        folder: created if needed; its last part names the app.
        framework: of the example task: "jax", "torch" or "numpy".
        method: of the example task: one of `FEDERATED_METHODS`.
        force: overwrite existing files.

    Raises:
        ValueError: an unknown framework or method; a folder whose name cannot be an app's, or that has one of these
            files.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from langevax.flower.app_template import write_app
        >>> folder = Path(tempfile.mkdtemp()) / "digits-app"
        >>> [str(path.relative_to(folder)) for path in write_app(folder, framework="numpy")][3:5]
        ['digits_app/__init__.py', 'digits_app/task.py']
    """
    folder = Path(folder)
    content = app_files(folder.absolute().name, framework, method)
    paths = [folder / name for name in content]
    package = package_of(folder.absolute().name)
    spec = find_spec(package)
    if not force and spec is not None and spec.origin is not None:
        raise ValueError(
            f"folder {str(folder)!r} has a package {package!r}, but one of that name "
            "is installed; name it otherwise."
        )
    if not force and (existing := [str(path) for path in paths if path.exists()]):
        raise ValueError(
            f"folder {str(folder)!r} has {existing[0]!r} already; pass force=True to "
            "write over it."
        )
    for path, text in zip(paths, content.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return paths


def app_files(
    name: str, framework: str = "jax", method: str = "fledge"
) -> dict[str, str]:
    """The app's files, by their paths in its folder."""
    for argument, value, known in (
        ("framework", framework, FRAMEWORKS),
        ("method", method, FEDERATED_METHODS),
    ):
        if value not in known:
            raise ValueError(
                f"{argument} must be one of {', '.join(known)}, got {value!r}."
            )
    package = package_of(name)
    chosen = FEDERATED_METHODS[method]
    needs = ("scikit-learn>=1.9", *FRAMEWORKS[framework])
    values = {
        "project": package.replace("_", "-"),
        "package": package,
        "folder": name,
        "settings": _settings(chosen),
        "algorithm": _algorithm(chosen),
        "description": (
            f"{chosen.algorithm.__name__} on handwritten digits, federated by langevax "
            "and Flower"
        ),
        "dependencies": ", ".join(f'"{need}"' for need in ("langevax[flower]", *needs)),
        "extra": "".join(f" {need.partition('>')[0]}" for need in needs),
    }

    def filled(template: str) -> str:
        file = files("langevax.flower") / "templates" / f"{template}.template"
        return Template(file.read_text(encoding="utf-8")).substitute(values)

    return {
        "README.md": filled("README.md"),
        ".gitignore": filled("gitignore"),
        "pyproject.toml": filled("pyproject.toml"),
        f"{package}/__init__.py": "",
        f"{package}/task.py": filled(f"task_{framework}.py"),
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
            f"the folder is named {name!r}, which cannot be an app's name; begin it "
            "with a letter."
        )
    if keyword.iskeyword(package):
        raise ValueError(
            f"the folder is named {name!r}, but a package cannot be named {package!r}, "
            "a word of Python; name it otherwise."
        )
    return package


def settings_of(method: MethodDefaults) -> dict[str, tuple[str, str, str]]:
    """By argument of the method: its default, its conversion from the run config, and its meaning."""
    settings = {
        "step_size": (str(method.step_size), "float({})", ""),
        "num_local_steps": (
            str(NUM_LOCAL_STEPS),
            "int({})",
            "K, of a client in a round",
        ),
        "batch_size": (str(LOCAL_BATCH_SIZE), "int({})", "b, rows of a step"),
        "clients_per_round": ("0", "int({}) or None", "p; 0: all"),
        "num_local_epochs": ("1", "int({})", "passes over a client's rows in a round"),
        "server_step_size": ("1.0", "float({})", ""),
        "server_optimizer": (
            '""',
            "{} or None",
            'momentum, adam, yogi, adagrad; "": none',
        ),
    }
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
