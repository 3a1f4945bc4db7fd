"""The house keeps its rules: who imports whom, how long a file is, what `import langevax` loads."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "langevax"
FILES = sorted(SOURCE.rglob("*.py"))

FLOORS = {
    -1: {"keys"},  # trees draw with them
    0: {"_version", "checks", "trees"},  # the ground that problems stand on
    1: {"problems", "data", "spaces"},
    2: {"gradients", "integrators", "algorithm"},
    3: {"run", "langevin", "underdamped", "metropolis", "pcn", "perturbed", "reflected"},
    4: {"meanfield", "federated", "teacher_student", "figures"},
    5: {"sklearn", "sampling", "optimize", "optax", "numpyro", "flower"},
    6: {"studies", "report"},
    7: {"cli"},
    8: {"__init__"},
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
THEORY, FIRST_DOOR = "theory", 5

LONGEST = 500
LONGER_FOR_A_REASON: dict[str, str] = {}


def room_of(path):
    """The folder or file right under `langevax` that a file belongs to."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported_rooms(text):
    """Rooms of langevax that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *parts = name.split(".")
            if package == "langevax":
                yield node.lineno, parts[0] if parts else "__init__"


def breaches(room, text):
    """What a file of `room` imports and may not, one sentence each."""
    for line, other in imported_rooms(text):
        if other == room:
            continue
        if room == THEORY:
            yield f"line {line}: theory imports {other}, but nothing outside theory"
        elif other == THEORY:
            if FLOOR[room] < FIRST_DOOR:
                yield f"line {line}: {room} imports theory, which only doors, studies and tests may"
        elif FLOOR[other] >= FLOOR[room]:
            yield f"line {line}: {room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]})"


def test_every_room_has_its_floor():
    unknown = {room_of(path) for path in FILES} - FLOOR.keys() - {THEORY}
    assert not unknown, f"give these a floor in tests/test_house.py: {sorted(unknown)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_floors_below(path):
    assert list(breaches(room_of(path), path.read_text())) == []


@pytest.mark.parametrize(
    ("room", "text", "allowed"),
    [
        ("run", "from langevax.problems.problem import Problem", True),
        ("run", "from langevax.run import program", True),
        ("metropolis", "from langevax.langevin import at_step", False),
        ("problems", "def f():\n    from langevax import checks, gradients", False),
        ("checks", "import langevax.trees", False),
        ("gradients", "import langevax", False),
        ("gradients", "from langevax.theory import gaussian", False),
        ("studies", "from langevax.theory import gaussian", True),
        ("theory", "from langevax import trees", False),
        ("theory", "from langevax.theory.gaussian import x", True),
        ("run", "import jax, numpy", True),
    ],
)
def test_the_rule_itself_sees_a_breach(room, text, allowed):
    assert (not list(breaches(room, text))) == allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_is_longer_than_a_newcomer_reads(path):
    name = str(path.relative_to(SOURCE))
    assert len(path.read_text().splitlines()) <= LONGEST or name in LONGER_FOR_A_REASON


@pytest.fixture(scope="module")
def fresh_import():
    """What there is after `import langevax` in a new process."""
    code = """
import json, sys, langevax, jax
print(json.dumps({"modules": sorted(sys.modules), "cache_dir": jax.config.jax_compilation_cache_dir,
                  "x64": jax.config.jax_enable_x64, "promotion": jax.config.jax_numpy_dtype_promotion}))
"""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}  # `make test` sets some
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=plain
    )
    return json.loads(done.stdout)


def test_import_loads_only_what_every_run_needs(fresh_import):
    heavy = {
        "scipy",
        "orbax",
        "xarray",
        "h5py",
        "h5netcdf",
        "optax",
        "tqdm",
        "IPython",
        "pandas",
        "matplotlib",
        "plotly",
    }
    heavy |= {"sklearn", "flwr", "arviz", "skfda", "networkx", "typer", "rich", "polars", "safetensors", "tensorstore"}
    assert heavy & set(fresh_import["modules"]) == set()


def test_import_changes_no_setting_of_jax(fresh_import):
    assert fresh_import["cache_dir"] is None  # the persistent cache is for the command line and `make test`
    assert fresh_import["x64"] is False
    assert fresh_import["promotion"] == "standard"
