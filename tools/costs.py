"""Costs of installing and testing: `make costs`, or `python -m tools.costs [EXTRA ...] [--suites]`.

Each set of packages is installed into a new environment, by `uv` where it is installed and by pip elsewhere, and has to
pass a short program. Compiled Python files, which pip writes and uv does not, are not counted; seconds depend on what
is in the cache of pip or uv. With `--suites`, `make test`, `make test-all` and `make test-long` run as well, each from
an empty cache of compiled programs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import which

ROOT = Path(__file__).parents[1]

PLAIN = """
import jax, jax.numpy as jnp, langevax as lx
rows = jax.random.normal(jax.random.key(0), (100, 3))
model = lx.posterior(None, lambda w, x: -0.5 * (x[0] - x[1:] @ w) ** 2, rows, prior_precision=1.0)
draws = lx.sample(model, jnp.zeros(2), key=jax.random.key(1), num_samples=500)
draws.warnings, draws.summary()
assert lx.minimize(lambda x: jnp.sum((x - 1) ** 2), [0.0, 0.0], key=jax.random.key(2)).success
risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, rows[:, 1:], rows[:, 0], precision=0.1)
start = risk.prior(0.1, num_particles=20)
end = lx.simulate(lx.meanfield.MFLD(step_size=0.1, temperature=0.1), risk, start, key=jax.random.key(3), num_steps=50)
lx.meanfield.certify(risk, 0.1, key=jax.random.key(4), effort=1e8, clouds=[end.position]).verdict
"""
FIT = """
import numpy as np
from langevax.sklearn import MeanFieldRegressor
X = np.random.default_rng(0).normal(size=(50, 2))
MeanFieldRegressor(num_steps=20, num_particles=20).fit(X, X[:, 0])
"""
CHECKPOINT = """
import tempfile
from langevax.run.checkpoint import Checkpoint
from langevax.run.identity import of
Checkpoint(tempfile.mkdtemp(), of({}), False).close()
"""
TABLE = """
import pathlib, tempfile
from langevax.data import convert_table, open_rows
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "shop.csv").write_text("price,bought" + "\\n1.5,2\\n2.5,3" * 20)
convert_table(folder / "shop.csv", folder / "shop.rows", target="bought")
assert open_rows(folder / "shop.rows")["inputs"].shape == (40, 1)
"""
PLOT = """
import matplotlib
matplotlib.use("Agg")
from langevax.figures import charts, interactive
charts.particles(charts.new_axes(None), [0.0, 1.0], [1.0, 0.0], [0.5, -0.5], outer_label="outer weight")
assert interactive.rows_of_dots(["MFLD", "ridge"], [0.49, 0.48], [0, 0.1], "R2", texts=["0.49", "0.48"]).to_json()
"""
NUMPYRO = """
import jax, numpy as np, numpyro, langevax as lx, langevax.numpyro
def model(y):
    mean = numpyro.sample("mean", numpyro.distributions.Normal(0, 1))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", numpyro.distributions.Normal(mean, 1), obs=y)
adapted = lx.numpyro.posterior(model, np.ones(20, np.float32))
draws = lx.sample(adapted, key=jax.random.key(0), num_samples=500)
assert draws.positions["mean"].shape == (4, 500)
"""
# In a new environment every client compiles what it imports, which takes minutes where processors are shared.
FLOWER = """
import jax.numpy as jnp, langevax as lx, langevax.flower
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from langevax.flower.server import serve
problem = lambda context: lx.FiniteSum(lambda x, row: (x - row) ** 2, jnp.arange(4.0))
task = lx.flower.Task(lx.federated.FedAvg(0.1, 2), jnp.array(0.0), problem)
server = ServerApp()
@server.main()
def main(grid, context):
    strategy, _ = serve(task, grid, {"rounds": 1, "join-seconds": 1800.0, "deadline": 1800.0})
    assert strategy.loop.step == 1
run_simulation(server, lx.flower.client_app(task), 2)
"""
PROGRAMS = {
    "": PLAIN,
    "sklearn": FIT,
    "tables": TABLE,
    "plot": PLOT,
    "xarray": PLAIN + "draws.to_datatree()",
    "checkpoint": CHECKPOINT,
    "numpyro": NUMPYRO,
    "cli": "import subprocess, sys; subprocess.run([sys.executable, '-m', 'langevax', 'fit', '--help'], check=True)",
    "flower": FLOWER,
    "all": FLOWER + NUMPYRO + FIT + TABLE + PLOT,
}
"""What has to run with each extra, and none beside it."""


def install(extra: str, folder: Path) -> tuple[int, float, float]:
    """Install an extra into a new environment, run its program, and return its packages, MB and seconds."""
    start, requirement = time.perf_counter(), f"{ROOT}[{extra}]" if extra else str(ROOT)
    python = folder / "bin" / "python"
    if uv := which("uv") or which(
        "uv", path=str(Path(sys.executable).parent)
    ):  # also where the group dev has it
        subprocess.run(
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True
        )
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", str(python), requirement],
            check=True,
        )
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", requirement], check=True
        )
    seconds = time.perf_counter() - start
    (packages,) = folder.glob("lib/python*/site-packages")
    tools = (
        "pip",
        "setuptools",
        "_distutils_hack",
        "pkg_resources",
    )  # of the environment itself
    names = {
        path.name.partition("-")[0] for path in packages.glob("*.dist-info")
    }.difference(tools)
    files = [
        path for path in packages.rglob("*") if path.suffix != ".pyc" and path.is_file()
    ]
    size = sum(
        path.stat().st_size
        for path in files
        if not path.relative_to(packages).parts[0].startswith(tools)
    )
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }
    subprocess.run(
        [str(python), "-W", "ignore", "-c", PROGRAMS[extra]],
        check=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return len(names), size / 1e6, seconds


def installations(selected: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of the table of installations, of the plain one and all extras or of selected extras."""
    yield "| install | packages | MB | seconds |"
    yield "|---|---|---|---|"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]["optional-dependencies"]
    for extra in selected or ["", *extras]:
        with tempfile.TemporaryDirectory() as folder:
            packages, size, seconds = install(extra, Path(folder))
        line = f"pip install 'langevax[{extra}]'" if extra else "pip install langevax"
        yield f"| `{line}` | {packages} | {size:,.0f} | {seconds:.0f} |"


def suites() -> Iterator[str]:
    """Yield the lines of the table of test suites."""
    subprocess.run(
        ["make", ".venv/.gate", "browser"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    yield "| suite | minutes | outcome |"
    yield "|---|---|---|"
    for target in ("test", "test-all", "test-long"):
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
            done = subprocess.run(
                ["make", target],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
            )
        minutes, lines = (time.perf_counter() - start) / 60, done.stdout.splitlines()
        summary = next(
            (line for line in reversed(lines) if " passed" in line), "no summary"
        )
        yield f"| `make {target}` | {minutes:.1f} | {summary.strip(' =')} |"
        for line in lines:
            if line.startswith(("FAILED", "ERROR")):
                print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "extras", nargs="*", metavar="EXTRA", help="by default none, and then each"
    )
    parser.add_argument(
        "--suites",
        action="store_true",
        help="also run the suites, which takes two hours on two cores",
    )
    options = parser.parse_args()
    if unknown := set(options.extras) - PROGRAMS.keys():
        parser.error(
            f"{min(unknown)} is not an extra; pass some of {', '.join(filter(None, PROGRAMS))}"
        )
    for line in installations(options.extras):
        print(line, flush=True)
    if options.suites:
        print()
        for line in suites():
            print(line, flush=True)
