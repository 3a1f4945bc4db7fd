"""Fresh environments of the oldest and the newest packages: `python -m tools.environments [--only NAME ...] [--list]`.

Each environment is made in a temporary folder by uv or by pip, gets the wheel of this checkout with all extras, and has
to run the parts of `SMOKE`, each in a process of its own, away from the checkout. "oldest" pins every package that
pyproject.toml names to its lower bound; what these need in turn is as new as they allow. "newest" pins nothing.
The environments marked `here=False` are those of continuous integration alone; `--only` runs them wherever it is.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import which
from typing import NamedTuple

from packaging.requirements import Requirement

from tools.costs import FIT, FLOWER, NUMPYRO, PLAIN

ROOT = Path(__file__).parents[1]
SHOWN = ("jax", "scikit-learn", "numpyro", "flwr")
"""Packages whose versions the table shows."""
LONGEST = 3600
"""Seconds of a part, on a busy machine too."""


class Environment(NamedTuple):
    """A version of Python, an end of the window of versions, and what installs them."""

    python: str
    end: str
    installer: str
    here: bool = True

    @property
    def name(self) -> str:
        """The name that `--only` takes, such as 3.11-oldest-uv."""
        return "-".join(self[:3])


ENVIRONMENTS = (
    Environment("3.11", "oldest", "uv"),
    Environment("3.11", "newest", "pip"),
    Environment("3.13", "oldest", "pip"),
    Environment("3.13", "newest", "uv"),
    Environment("3.11", "oldest", "pip", here=False),
    Environment("3.11", "newest", "uv", here=False),
    Environment("3.12", "oldest", "uv", here=False),
    Environment("3.12", "newest", "pip", here=False),
    Environment("3.13", "oldest", "uv", here=False),
    Environment("3.13", "newest", "pip", here=False),
)

COMMAND = """
import json, pathlib, random, subprocess, sys
random.seed(0)
rows = [(random.random(), random.choice("ab")) for _ in range(60)]
table = "\\n".join(["size,kind,price", *(f"{size},{kind},{2 * size + (kind == 'a')}" for size, kind in rows)])
pathlib.Path("table.csv").write_text(table)
command = str(pathlib.Path(sys.executable).parent / "langevax")
subprocess.run([command, "fit", "table.csv", "--target", "price", "--out", "fitted"], check=True)
subprocess.run([command, "predict", "fitted", "table.csv", "--out", "predicted.csv"], check=True)
assert len(pathlib.Path("predicted.csv").read_text().splitlines()) == 61
"""
FEDERATED = """
import jax, jax.numpy as jnp, langevax as lx
rows = jax.random.normal(jax.random.key(0), (4, 20))
clients = lx.Federation(lambda x, row: (x - row) ** 2 / 2, rows)
method = lx.federated.BVRLSGD(step_size=0.1, num_local_steps=4, batch_size=5)
end = lx.simulate(method, clients, jnp.array(1.0), key=jax.random.key(1), num_steps=20)
assert abs(end.position - rows.mean()) < 0.01, end.position
"""
SMOKE = {
    "import": "import langevax, pathlib; assert 'site-packages' in langevax.__file__; langevax.__version__",
    "sample": PLAIN,
    "estimator": FIT,
    "command": COMMAND,
    "NumPyro": NUMPYRO,
    "federated": FEDERATED,
    "Flower": FLOWER,
}
"""Programs that an environment has to run."""


def lower_bounds(project: dict) -> list[str]:
    """Return `name==version` for each package of a [project] table, extras included, at its lower bound."""
    texts = [
        *project["dependencies"],
        *(
            text
            for extra in project["optional-dependencies"].values()
            for text in extra
        ),
    ]
    bounds = {}
    for requirement in map(Requirement, texts):
        if requirement.name != project["name"]:
            (bounds[requirement.name],) = {
                part.version for part in requirement.specifier if part.operator == ">="
            }
    return [f"{name}=={version}" for name, version in sorted(bounds.items())]


def interpreter(version: str) -> str:
    """Return the path of an installed Python of this version."""
    for name in (f"python{version}", "python3", "/usr/bin/python3"):
        if path := which(name):
            code = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"
            done = subprocess.run([path, "-c", code], capture_output=True, text=True)
            executable, _, installed = done.stdout.strip().rpartition(" ")
            if done.returncode == 0 and installed == version:
                return executable
    raise FileNotFoundError(
        f"python{version} is not installed; install it, or leave it out by --only."
    )


def program_path(name: str) -> str:
    """Return the path of a program, also where it is in this Python's environment alone."""
    if path := which(name) or which(name, path=str(Path(sys.executable).parent)):
        return path
    raise FileNotFoundError(
        f"{name} is not installed; run: pip install --group release"
    )


def checked(command: Sequence[str | Path], **options: object) -> str:
    """Run a command and return what it prints; an error has the end of what it printed."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **options
    )  # pyright: ignore
    if done.returncode:
        raise RuntimeError(
            f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
    return done.stdout


def plain_environment(folder: Path) -> dict[str, str]:
    """Return this process's variables without those that would lead to the checkout or to its compiled programs."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "PYTHON"))
    }
    return variables | {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs")}


def create(environment: Environment, wheel: Path, folder: Path) -> Path:
    """Install a wheel with all extras into a new environment below `folder`, and return its Python."""
    python, pins = folder / "venv" / "bin" / "python", folder / "pins.txt"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    pins.write_text(
        "\n".join(lower_bounds(project) if environment.end == "oldest" else []),
        encoding="utf-8",
    )
    what = [f"{wheel}[all]", "--constraint", pins]
    if environment.installer == "uv":
        uv = program_path("uv")
        checked(
            [
                uv,
                "venv",
                "--quiet",
                "--python",
                interpreter(environment.python),
                folder / "venv",
            ]
        )
        checked([uv, "pip", "install", "--quiet", "--python", python, *what])
    else:
        checked([interpreter(environment.python), "-m", "venv", folder / "venv"])
        checked([python, "-m", "pip", "install", "--quiet", *what])
    return python


def smoke(python: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Run each part of `SMOKE`, and yield its name and the end of what it printed where it failed."""
    for part, code in SMOKE.items():
        place = folder / part
        place.mkdir()
        command = [str(python), "-W", "ignore", "-c", code]
        environment = plain_environment(folder)
        try:
            done = subprocess.run(
                command,
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired:
            yield part, f"not done after {LONGEST} s"
        else:
            yield part, (done.stdout + done.stderr)[-3000:] if done.returncode else ""


def versions(python: Path) -> list[str]:
    """Return the installed versions of the packages of `SHOWN`."""
    code = f"from importlib.metadata import version\nprint(*map(version, {SHOWN!r}))"
    return checked([python, "-c", code], env=plain_environment(python.parent)).split()


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout."""
    checked([sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT])
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(environment: Environment, wheel: Path) -> tuple[list[str], dict[str, str]]:
    """Return a row of the table, and what was printed by each part that failed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = create(environment, wheel, Path(folder))
        except RuntimeError as error:
            return [environment.name, *["-"] * len(SHOWN), *["not run"] * len(SMOKE)], {
                "installation": str(error)
            }
        outcomes = dict(smoke(python, Path(folder)))
        marks = ["failed" if message else "passed" for message in outcomes.values()]
        return [environment.name, *versions(python), *marks], {
            part: text for part, text in outcomes.items() if text
        }


def main() -> int:
    """Print the table, and what failed; return 1 where anything did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [environment.name for environment in ENVIRONMENTS]
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=names, help="environments to run"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the environments and run none"
    )
    options = parser.parse_args()
    if options.list:
        for environment in ENVIRONMENTS:
            print(
                f"{environment.name:16} {'' if environment.here else 'in continuous integration alone'}".strip()
            )
        return 0
    chosen = [
        each
        for each in ENVIRONMENTS
        if (each.name in options.only if options.only else each.here)
    ]
    failures = {}
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        print(
            f"{wheel.name} with all extras\n\n| environment | {' | '.join([*SHOWN, *SMOKE])} |"
        )
        print("|---" * (1 + len(SHOWN) + len(SMOKE)) + "|", flush=True)
        for environment in chosen:
            row, failed = run(environment, wheel)
            print(f"| {' | '.join(row)} |", flush=True)
            failures |= {
                f"{environment.name}: {part}": message
                for part, message in failed.items()
            }
    for place, message in failures.items():
        print(f"\n{place}\n{message}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
