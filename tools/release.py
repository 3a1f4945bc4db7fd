"""Checks of what would be published: `python -m tools.release [--out FOLDER]`.

Wheel and sdist are built twice, from two copies of what git tracks whose files have other dates, and have to be the
same bytes; twine checks them strictly; pyright checks a program of a user against the wheel, installed into a new
environment away from the checkout. Needs git, and the groups `release` and `types`: `pip install --group release`.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tools.environments import checked, plain_environment, program_path

ROOT = Path(__file__).parents[1]
DATES = (1_000_000_000, 1_600_000_000)
"""Seconds since 1970 of the files of either copy."""
USER = """
import jax, jax.numpy as jnp, langevax as lx

rows = jax.random.normal(jax.random.key(0), (100, 3))
problem = lx.FiniteSum(lambda w, row: jnp.sum((w - row) ** 2), rows)
result = lx.simulate(lx.Langevin(0.1, 0.01), problem, jnp.zeros(3), key=jax.random.key(0), num_steps=10)
reveal_type(result)
reveal_type(result.seconds)
lx.Langevin(0.1, 0.01, gradient="none")  # an error, on the line {wrong}
"""
"""A program whose types are known, but for one mistake."""


def copy_of_the_checkout(folder: Path, date: int) -> Path:
    """Copy what git tracks, or would track, into a folder, with files of this date."""
    listed = checked(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
    )
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file() and not source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            os.utime(target, (date, date))
    return folder


def build(source: Path, out: Path) -> None:
    """Build sdist and wheel of a source folder, the wheel from the sdist, as the date of its last commit."""
    date = checked(["git", "log", "-1", "--format=%ct"], cwd=ROOT).strip()
    environment = os.environ | {"SOURCE_DATE_EPOCH": date}
    checked([sys.executable, "-m", "build", "--outdir", out, source], env=environment)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def differing(first: Path, second: Path) -> set[str]:
    """Return the names of the files of two folders that are not the same bytes."""
    one, other = hashes(first), hashes(second)
    return {
        name for name in one.keys() | other.keys() if one.get(name) != other.get(name)
    }


def foreign_files(wheel: Path) -> list[str]:
    """Return the files of a wheel outside the package and its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return [
            name
            for name in archive.namelist()
            if not name.startswith(("langevax/", "langevax-"))
        ]


def type_findings(wheel: Path, folder: Path) -> Iterator[str]:
    """Yield what is wrong with the types that a user of the installed wheel sees."""
    checked([sys.executable, "-m", "venv", folder / "venv"])
    python = folder / "venv" / "bin" / "python"
    checked([python, "-m", "pip", "install", "--quiet", wheel])
    code = "import importlib.util as u; print(u.find_spec('langevax').origin)"
    place = Path(
        checked([python, "-c", code], cwd=folder, env=plain_environment(folder)).strip()
    ).parent
    if not (place / "py.typed").exists():
        yield "the installed package has no py.typed"
    wrong = next(
        number for number, line in enumerate(USER.splitlines(), 1) if "an error" in line
    )
    (folder / "user.py").write_text(
        USER.replace("{wrong}", str(wrong)), encoding="utf-8"
    )
    pyright = program_path("pyright")
    command = [pyright, "--outputjson", "--pythonpath", str(python), "user.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    findings = json.loads(done.stdout)["generalDiagnostics"]
    lines = [
        each["range"]["start"]["line"] + 1
        for each in findings
        if each["severity"] == "error"
    ]
    if lines != [wrong]:
        yield f"pyright reports errors on lines {lines} of a user's program, and not on [{wrong}]"
    types = [each["message"] for each in findings if each["severity"] == "information"]
    if len(types) != 2 or "Result" not in types[0] or "float" not in types[1]:
        yield f"a user's types are not known: {types}"


def main() -> int:
    """Print what was built and checked; return 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "dist",
        help="the folder of wheel and sdist (default: dist)",
    )
    options = parser.parse_args()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, date in enumerate(DATES):
            build(
                copy_of_the_checkout(folder / f"copy{number}" / "source", date),
                folder / f"built{number}",
            )
        faults += [
            f"{name} differs between two builds"
            for name in differing(folder / "built0", folder / "built1")
        ]
        options.out.mkdir(parents=True, exist_ok=True)
        files = [
            shutil.copy(path, options.out)
            for path in sorted((folder / "built0").iterdir())
        ]
        for path, digest in hashes(folder / "built0").items():
            print(f"{digest}  {path}, built twice")
        print(
            checked(
                [sys.executable, "-m", "twine", "check", "--strict", *files]
            ).strip()
        )
        (wheel,) = (folder / "built0").glob("*.whl")
        faults += [f"{name} is in the wheel" for name in foreign_files(wheel)]
        (folder / "user").mkdir()
        findings = list(type_findings(wheel, folder / "user"))
        faults += findings
        if not findings:
            print(
                "py.typed is installed, and pyright knows a user's types from it and reports the one mistake"
            )
    for fault in faults:
        print(f"wrong: {fault}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
