"""How costs grow: seconds of a step on one core over three decades of each size, and the exponent at the large end.

Exponents are those of the last decade, with standard errors from five repeats, beside what the algorithm should cost.
Written to out/growth.json, drawn in out/growth.svg and out/growth.png.

    python -m benchmarks growth
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.driver import logistic
from benchmarks.exponents import Grown, on_one_core, seconds_of_a_step, steps_of
from benchmarks.needs import Parts
from langevax.problems.function import Function

FILE = Path("out/growth.json")
THREE = (100, 1_000, 10_000, 31_623, 100_000)


class Size(NamedTuple):
    """A method, which of its sizes grows, the power expected, and `make(size) -> (parts, steps of a period)`."""

    method: str
    size: str
    beside: str
    sizes: tuple[int, ...]
    expected: float
    make: Callable[[int], tuple[Parts, int]]


def rows_of(size: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((size, columns), np.float32) / np.float32(columns**0.5)


def risk_of(size: int, columns: int, precision: float) -> lx.MeanFieldRisk:
    inputs = rows_of(size, columns)
    return lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, np.tanh(3 * inputs[:, 0]), precision)


def mfld(size: int = 200, columns: int = 20, particles: int = 200) -> tuple[Parts, int]:
    risk = risk_of(size, columns, 0.01)
    return Parts(lx.meanfield.MFLD(step_size=0.1, temperature=0.01), risk, risk.prior(0.01, particles)), 1


def coordinate(size: int = 200, particles: int = 1_000) -> tuple[Parts, int]:
    """Steps between refreshes: none is due, and at this temperature weights stay even."""
    risk = risk_of(size, 20, 1.0)
    return Parts(lx.meanfield.PSDCA(temperature=1.0, period=2**30), risk, risk.prior(1.0, particles)), 1


def refresh(size: int = 200, particles: int = 200) -> tuple[Parts, int]:
    """A refresh at every step but the first: one move, so two passes of each particle over the rows."""
    risk = risk_of(size, 20, 1.0)
    return Parts(lx.meanfield.PSDCA(temperature=1.0, period=1, num_inner_steps=1), risk, risk.prior(1.0, particles)), 1


def regression(gradient: Callable[..., Any], size: int = 10_000, columns: int = 20) -> tuple[Parts, int]:
    inputs, root = rows_of(size, columns), round(size**0.5)
    problem = lx.FiniteSum(logistic, (inputs, np.sign(inputs[:, 0]) + np.float32(0)), precision=1 / size)
    return Parts(lx.Langevin(0.05, 1 / size, gradient(root, root)), problem, jnp.zeros(columns)), root


def modes(count: int) -> tuple[Parts, int]:
    prior = lx.spaces.GaussianPrior(lx.spaces.Cosine(count), lx.spaces.spectra.power(count))
    problem = Function(lambda x: jnp.mean(prior.basis.synthesize(x) ** 2) / 2, prior.precision(0.01))
    algorithm = lx.Langevin(0.1, 1.0, integrator=lx.integrators.Exponential())
    return Parts(algorithm, problem, jnp.zeros(count)), 1


def chains(count: int) -> tuple[Parts, int]:
    problem = lx.FiniteSum(lambda x, row: ((x - row) ** 2).sum() / 2, rows_of(100, 10))
    return Parts(lx.Langevin(0.1, 0.5), problem, jnp.zeros(10), count), 1


def fledge(clients: int = 16, columns: int = 100, local_steps: int = 4) -> tuple[Parts, int]:
    inputs = rows_of(clients * 4, columns).reshape(clients, 4, columns)
    federation = lx.Federation(lambda x, row: (row[0] @ x - row[1]) ** 2 / 2, (inputs, inputs[..., 0] + np.float32(1)))
    few = max(1, round(clients**0.5))
    method = lx.federated.FLEDGE(1e-3, local_steps, batch_size=1, clients_per_round=few)
    return Parts(method, federation, jnp.zeros(columns)), -(-clients // few)  # after which its table is folded


def sizes() -> tuple[Size, ...]:
    svrg, sarah = lx.gradients.SVRG, lx.gradients.SARAH
    million, wide = (1_000, 10_000, 100_000, 316_228, 1_000_000), (4, 40, 400, 1_265, 4_000)
    smooth = (1_000, 10_000, 100_000, 320_000, 1_000_000)  # no large prime factors, for which a transform is slow
    root = "B = m = √n"
    return (
        Size("MFLD", "rows n", "N = 200, d = 20", THREE, 1, lambda k: mfld(size=k)),
        Size("MFLD", "columns d", "n = N = 200", wide, 1, lambda k: mfld(columns=k)),
        Size("MFLD", "particles N", "n = 1,000, d = 20", THREE, 1, lambda k: mfld(1_000, particles=k)),
        Size("MFLD, one row", "particles N", "n = 1, d = 20", THREE, 1, lambda k: mfld(1, particles=k)),
        Size("P-SDCA, a coordinate", "rows n", "M = 1,000, d = 20", THREE, 0, lambda k: coordinate(size=k)),
        Size("P-SDCA, a coordinate", "particles M", "n = 200, d = 20", THREE, 1, lambda k: coordinate(particles=k)),
        Size("P-SDCA, a refresh", "rows n", "M = 200, d = 20", THREE, 1, lambda k: refresh(size=k)),
        Size("P-SDCA, a refresh", "particles M", "n = 200, d = 20", THREE, 1, lambda k: refresh(particles=k)),
        Size("SVRG-LD", "rows n", f"{root}, d = 20", million, 0.5, lambda k: regression(svrg, size=k)),
        Size("SVRG-LD", "columns d", f"{root}, n = 10,000", wide, 1, lambda k: regression(svrg, columns=k)),
        Size("SARAH-LD", "rows n", f"{root}, d = 20", million, 0.5, lambda k: regression(sarah, size=k)),
        Size("functions", "modes K", "as many grid points", smooth, 1, modes),
        Size("LD", "chains", "n = 100, d = 10", (10, 100, 1_000, 3_162, 10_000), 1, chains),
        Size("FLEDGE", "clients P", "d = 100, √P asked", THREE, 0.5, lambda k: fledge(clients=k)),
        Size("FLEDGE", "columns d", "P = 16, 4 asked", THREE, 1, lambda k: fledge(columns=k)),
        Size("FLEDGE", "local steps", "P = 16, d = 100", wide, 1, lambda k: fledge(local_steps=k)),
    )


def measured(size: Size, at: tuple[int, ...] = ()) -> Grown:
    """Seconds of a step at each of the sizes; no refresh may have come where coordinate steps are counted."""
    chosen, seconds = at or size.sizes, []
    for each in chosen:
        parts, unit = size.make(each)
        advanced = steps_of(parts)
        seconds.append(seconds_of_a_step(advanced, unit))
        if size.method == "P-SDCA, a coordinate" and (came := int(advanced(1_000).counts["refreshes"].low)):
            raise RuntimeError(f"{came} refreshes in 1,000 coordinate steps at {size.size} = {each}.")
    return Grown(size.method, size.size, size.beside, list(chosen), seconds, size.expected)


def main() -> None:
    """Print seconds a step at each end, the exponent of the last decade and the one to expect, in Markdown."""
    from benchmarks.growth_figure import draw  # needs matplotlib

    on_one_core()
    print("| method | grows | beside it | from | to | us a step | exponent | expected |\n" + "|---" * 8 + "|")
    found = []
    for size in sizes():
        grown = measured(size)
        found.append(grown)
        first, last = (1e6 * grown.medians[i] for i in (0, -1))
        ends = f"{grown.sizes[0]:,} | {grown.sizes[-1]:,} | {first:,.1f} to {last:,.0f}"
        exponents = f"{grown.exponent:.2f} ± {grown.error:.2f} | {grown.expected:g}"
        print(f"| {grown.method} | {grown.size} | {grown.beside} | {ends} | {exponents} |", flush=True)
    written = [asdict(grown) | {"exponent": grown.exponent, "error": grown.error} for grown in found]
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(written, indent=1) + "\n")
    draw(found, FILE.with_suffix(".svg"), FILE.with_suffix(".png"))


if __name__ == "__main__":
    main()
