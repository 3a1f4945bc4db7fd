"""How costs grow: seconds of a step over three decades of each size, and the exponent that they have at the large end.

Small sizes cost what a step costs at all, so that exponents are fitted to the last decade. Each row says what the
algorithm should cost. Written to out/growth.json too.

    python -m benchmarks growth
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.driver import logistic
from benchmarks.timing import median
from langevax.problems.function import Function

REPEATS, LEAST = 3, 0.25  # runs, and seconds that each takes at least
Run = Callable[[int], Any]
"""run(steps): the algorithm for that many steps."""


@dataclass
class Growth:
    """One size over its decades."""

    method: str
    size: str
    sizes: list[int]
    seconds: list[float]
    expected: float

    @property
    def exponent(self) -> float:
        """Of the last decade."""
        x, y = np.log(self.sizes), np.log(self.seconds)
        last = x >= x[-1] - np.log(10) - 1e-9
        return float(np.polyfit(x[last], y[last], 1)[0])


def of_a_step(run: Run) -> float:
    """Seconds of a step, without what a run costs at all."""

    def took(steps: int) -> float:
        began = time.perf_counter()
        jax.block_until_ready(run(steps).position)
        return time.perf_counter() - began

    took(1)
    steps = 4
    while took(steps) < LEAST and steps < 10**6:
        steps *= 4
    return median([(took(2 * steps) - took(steps)) / steps for _ in range(REPEATS)])


def rows_of(size: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((size, columns), np.float32) / np.float32(columns**0.5)


def mfld(size: int = 200, columns: int = 10, particles: int = 200) -> Run:
    inputs = rows_of(size, columns)
    risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, np.tanh(3 * inputs[:, 0]), precision=0.01)
    algorithm = lx.meanfield.MFLD(step_size=0.1, temperature=0.01)
    return simulated(algorithm, risk, risk.prior(0.01, particles))


def psdca(size: int = 200, particles: int = 1_000) -> Run:
    inputs = rows_of(size, 10)
    risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, np.tanh(3 * inputs[:, 0]), precision=0.01)
    return simulated(lx.meanfield.PSDCA(temperature=0.01), risk, risk.prior(0.01, particles))


def svrg(size: int = 10_000, columns: int = 20) -> Run:
    inputs, batch = rows_of(size, columns), round(size**0.5)
    problem = lx.FiniteSum(logistic, (inputs, np.sign(inputs[:, 0]) + np.float32(0)), precision=1 / size)
    algorithm = lx.Langevin(0.05, 1 / size, lx.gradients.SVRG(batch_size=batch, period=batch))
    return simulated(algorithm, problem, jnp.zeros(columns))


def modes(count: int) -> Run:
    prior = lx.spaces.GaussianPrior(lx.spaces.Cosine(count), lx.spaces.spectra.power(count))
    problem = Function(lambda x: jnp.mean(prior.basis.synthesize(x) ** 2) / 2, prior.precision(0.01))
    algorithm = lx.Langevin(0.1, 1.0, integrator=lx.integrators.Exponential())
    return simulated(algorithm, problem, jnp.zeros(count))


def chains(count: int) -> Run:
    problem = lx.FiniteSum(lambda x, row: ((x - row) ** 2).sum() / 2, rows_of(100, 10))
    return simulated(lx.Langevin(0.1, 0.5), problem, jnp.zeros(10), num_chains=count)


def clients(count: int, columns: int = 100) -> Run:
    inputs = rows_of(count * 4, columns).reshape(count, 4, columns)
    federation = lx.Federation(lambda x, row: (row[0] @ x - row[1]) ** 2 / 2, (inputs, inputs[..., 0] + np.float32(1)))
    asked = max(1, round(count**0.5))
    method = lx.federated.FLEDGE(step_size=0.05, local_steps=4, batch_size=1, clients_per_round=asked)
    return simulated(method, federation, jnp.zeros(columns))


def simulated(algorithm: Any, problem: Any, start: Any, **options: Any) -> Run:
    return lambda steps: lx.simulate(
        algorithm, problem, start, key=jax.random.key(0), num_steps=steps, progress=False, **options
    )


CASES = (
    ("MFLD", "rows n", (100, 1_000, 10_000, 31_623, 100_000), lambda n: mfld(size=n), 1.0),
    ("MFLD", "particles N", (100, 1_000, 10_000, 31_623, 100_000), lambda n: mfld(particles=n), 1.0),
    ("MFLD", "columns d", (4, 40, 400, 1_265, 4_000), lambda n: mfld(columns=n), 1.0),
    ("P-SDCA, a row", "particles M", (100, 1_000, 10_000, 31_623, 100_000), lambda n: psdca(particles=n), 1.0),
    ("P-SDCA, a row", "rows n", (100, 1_000, 10_000, 31_623, 100_000), lambda n: psdca(size=n), 0.0),
    ("SVRG-LD, B = m = √n", "rows n", (1_000, 10_000, 100_000, 316_228, 1_000_000), lambda n: svrg(size=n), 0.5),
    ("SVRG-LD, B = m = √n", "columns d", (2, 20, 200, 632, 2_000), lambda n: svrg(columns=n), 1.0),
    ("functions, exponential", "modes K", (1_000, 10_000, 100_000, 316_228, 1_000_000), modes, 1.0),
    ("chains of LD", "chains", (1, 10, 100, 316, 1_000, 3_162, 10_000), chains, 1.0),
    ("FLEDGE, √P asked", "clients P", (4, 40, 400, 1_265, 4_000), clients, 0.5),
)


def main() -> None:
    """Print seconds a step at each size, the exponent of the last decade, and the one to expect."""
    found = []
    print(f"{'method':<24} {'size':<13} {'from':>6} {'to':>10} {'us a step':>22} {'exponent':>9} {'expected':>9}")
    for method, size, sizes, make, expected in CASES:
        grown = Growth(method, size, list(sizes), [of_a_step(make(each)) for each in sizes], expected)
        found.append(asdict(grown) | {"exponent": grown.exponent})
        ends = f"{1e6 * grown.seconds[0]:.1f} ... {1e6 * grown.seconds[-1]:,.0f}"
        exponents = f"{grown.exponent:>9.2f} {expected:>9.1f}"
        print(f"{method:<24} {size:<13} {sizes[0]:>6,} {sizes[-1]:>10,} {ends:>22} {exponents}", flush=True)
    file = Path("out/growth.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
