"""Capabilities of a plain installation, and the messages where an extra is missing."""

import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import indent

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.sentences import tells
from tools.costs import PLAIN, PROGRAMS

pytestmark = pytest.mark.mostly_compiling

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
IMPORTED_AS = {"scikit-learn": "sklearn", "orbax-checkpoint": "orbax"}

BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
{program}
"""


def packages_of_extras():
    """Names under which the packages of all extras are imported, and of what they need alone."""
    requirements = [
        text for extra in PROJECT["optional-dependencies"].values() for text in extra
    ]
    names = {text.split(">")[0].split("[")[0] for text in requirements} - {"langevax"}
    return {IMPORTED_AS.get(name, name) for name in names} | {
        "pandas",
        "torch",
        "threadpoolctl",
        "pydantic",
    }


def run_without(packages, program):
    code = BLOCKED.format(names=packages, program=program)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
    )


ATTEMPTS = {
    "from langevax.sklearn import MeanFieldRegressor": "sklearn",
    "lx.data.convert_table('a', 'b', target='c')": "tables",
    "import langevax.numpyro": "numpyro",
    "import langevax.flower": "flower",
    PROGRAMS["checkpoint"]: "checkpoint",
    "draws.to_datatree()": "xarray",
    "from langevax.figures.charts import new_axes; new_axes(None)": "plot",
}
"""What needs an extra, and which."""


@pytest.mark.slow
def test_a_plain_installation_runs_the_algorithms_and_names_the_line_that_installs_an_extra():
    attempt = "\ntry:\n{}\nexcept ImportError as error:\n    print(error)"
    attempts = (attempt.format(indent(code.strip(), "    ")) for code in ATTEMPTS)
    program = PLAIN + "print(draws.summary())" + "".join(attempts)
    result = run_without(packages_of_extras(), program)
    assert result.returncode == 0, result.stderr
    header, *_, last_row = result.stdout.splitlines()[: -len(ATTEMPTS)]
    assert header.split() == [
        "mean",
        "sd",
        "mcse_mean",
        "ess_bulk",
        "ess_tail",
        "r_hat",
        "pareto_k",
    ]
    assert last_row.startswith("position[1]")
    for extra, message in zip(
        ATTEMPTS.values(), result.stdout.splitlines()[-len(ATTEMPTS) :], strict=True
    ):
        tells(message)
        assert message.endswith(
            f", which is not installed; run: pip install 'langevax[{extra}]'"
        )


SLOW = "sklearn", "numpyro"


@pytest.mark.parametrize(
    "extra",
    [
        "tables",
        "plot",
        "checkpoint",
        *(pytest.param(extra, marks=pytest.mark.slow) for extra in SLOW),
    ],
)
def test_the_program_of_an_extra_fits_the_library(extra):
    """`make costs` runs it, and that of Flower, in an environment with that extra alone."""
    result = run_without((), PROGRAMS[extra])
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("package", ["typer", "polars"])
def test_the_command_line_without_its_packages_says_what_to_install(package, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "1,2\n" * 40)
    words = (
        ["langevax", "--help"]
        if package == "typer"
        else ["langevax", "fit", str(table), "--target", "b"]
    )
    program = f"sys.argv = {[*words, *(['--out', str(tmp_path / 'out')] if len(words) > 2 else [])]!r}\n"
    result = run_without(
        {package}, program + "from langevax.__main__ import main\nmain()"
    )
    assert result.returncode == 1
    assert result.stderr.strip().splitlines() == [
        f"The command langevax needs the package {package}, which is not installed; run: pip install 'langevax[cli]'"
    ]


def test_the_lock_is_that_of_the_project():
    """Its requirements, extras and groups are those of pyproject.toml; `uv lock` writes it again."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    (locked,) = (
        package["metadata"] for package in packages if package["name"] == "langevax"
    )
    text = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    def names(requirements):
        return {
            Requirement(text).name for text in requirements if isinstance(text, str)
        }

    extras = PROJECT["optional-dependencies"]
    assert set(locked["provides-extras"]) == extras.keys()
    texts = [
        *PROJECT["dependencies"],
        *(text for extra in extras.values() for text in extra),
    ]
    required = [text for text in texts if Requirement(text).name != "langevax"]
    assert {package["name"] for package in locked["requires-dist"]} == names(required)
    specifiers = {
        (p["name"], str(SpecifierSet(p.get("specifier", ""))))
        for p in locked["requires-dist"]
    }
    assert specifiers == {
        (r.name, str(r.specifier)) for r in map(Requirement, required)
    }
    for group, packages in locked["requires-dev"].items():
        assert names(text["dependency-groups"][group]) <= {
            package["name"] for package in packages
        }, group
    assert locked["requires-dev"].keys() == text["dependency-groups"].keys()
