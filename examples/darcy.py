"""Groundwater: the permeability of a layer, given its pressure at 25 wells, by its logarithm as an unknown function.

    -(exp(u) p')' = 1 on (0, 1),   p(0) = 0, p(1) = 0,      data: p at the wells, with noise

The pressure is not linear in u. On a line it is two integrals, so that no finite elements are needed; JAX finds the
gradient. Langevin dynamics and pCNL are held against a long run of pCN, which is exact.

Run it: `python examples/darcy.py`. It prints errors and costs and writes out/darcy.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import OUT, command, picture
from arviz_stats.base.array import array_stats

import langevax as lx
from langevax.figures import theme

CELLS, WELLS, NOISE, NUM_MODES = 256, np.linspace(0.03, 0.97, 25), 2e-3, 64


def pressure(u):
    """At the cells' right ends, from the log-permeability in the cells: p' = (flux - x) / exp(u), p(1) = 0."""
    n = u.shape[-1]
    x = (jnp.arange(n, dtype=u.dtype) + 0.5) / n
    resistance = jnp.exp(-u)
    flux = jnp.sum(x * resistance) / jnp.sum(resistance)
    return jnp.cumsum((flux - x) * resistance) / n


def at_wells(u):
    """The pressure at the wells, linear between cells."""
    n = u.shape[-1]
    return jnp.interp(
        jnp.asarray(WELLS, u.dtype), (jnp.arange(n, dtype=u.dtype) + 1) / n, pressure(u)
    )


def true_log_permeability(x):
    """A tight layer within a pervious one."""
    return 0.8 * np.sin(2 * np.pi * x) - 1.5 * np.exp(-(((x - 0.62) / 0.06) ** 2))


def problem(num_modes):
    """The posterior of u, and the truth in the cells."""
    cells = (np.arange(4096) + 0.5) / 4096
    clean = np.asarray(at_wells(jnp.asarray(true_log_permeability(cells), jnp.float32)))
    data = clean + NOISE * np.random.default_rng(3).normal(size=len(WELLS))
    basis = lx.spaces.Cosine(num_modes, num_points=CELLS)
    prior = lx.spaces.GaussianPrior(
        basis, lx.spaces.spectra.matern(basis, 1.5, length_scale=0.15)
    )
    return lx.inverse_problem(at_wells, data, NOISE, prior), data


ALGORITHMS = {
    "langevin": lx.Langevin(integrator=lx.integrators.Exponential()),
    "pcn": lx.PCN(),
    "pcnl": lx.PCNL(),
}


def run(target, dynamics, num_samples, **options):
    """Draws of u in the cells, and what they cost."""
    draws = lx.sample(
        target,
        key=jax.random.key(1),
        algorithm=ALGORITHMS[dynamics],
        num_samples=num_samples,
        **options,
    )
    functions = np.asarray(target.functions(draws.positions))
    ess = np.asarray(array_stats.ess(functions[..., ::16], chain_axis=0, draw_axis=1))
    line = f"{dynamics:>10}: step {draws.step_size:.3g}, {draws.result.steps:>6} steps of 4 chains, {draws.seconds:5.1f} s"
    print(
        f"{line}; effective draws of u at a place: {ess.min():.0f}, "
        f"per 1,000 solves {1000 * ess.min() / draws.evaluations:.1f}"
    )
    return functions


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Langevin dynamics and pCNL against a long run of pCN."""
    target, data = problem(16 if quick else NUM_MODES)
    less = 10 if quick else 1
    reference = run(target, "pcn", 2000 // less, thinning=100)
    mean, deviation = reference.mean((0, 1)), reference.std((0, 1))
    draws, off = (
        {
            name: run(target, name, 1000 // less)
            for name in (("langevin",) if quick else ("langevin", "pcnl"))
        },
        {},
    )
    for name, functions in draws.items():
        error, ratio = (
            np.abs(functions.mean((0, 1)) - mean) / deviation,
            functions.std((0, 1)) / deviation,
        )
        off |= {f"{name}: off": error.mean(), f"{name}: sd": ratio.mean()}
        print(
            f"{name} against pcn: mean off by at most {error.max():.2f} sd, sd {ratio.min():.2f} to {ratio.max():.2f}"
        )
    low, high = np.quantile(draws["langevin"], [0.05, 0.95], axis=(0, 1))
    truth = true_log_permeability(target.prior.basis.grid)
    inside = np.mean((low < truth) & (truth < high))
    print(f"the 90 % band holds the true log-permeability at {inside:.0%} of places")
    if not quick:
        refined = run(problem(2 * NUM_MODES)[0], "langevin", 1000 // less)
        change = np.max(
            np.abs(refined.mean((0, 1)) - draws["langevin"].mean((0, 1))) / deviation
        )
        print(
            f"{NUM_MODES} to {2 * NUM_MODES} modes move the mean by at most {change:.2f} sd"
        )

    x = target.prior.basis.grid
    pressures = np.asarray(
        jax.jit(jax.vmap(pressure))(draws["langevin"][:, ::10].reshape(-1, CELLS))
    )
    with picture(out / "darcy.png", card=0, figsize=(10, 4)) as (left, right):
        colour = theme.OKABE_ITO[0]
        left.fill_between(x, low, high, color=colour, alpha=0.15)
        left.plot(x, draws["langevin"].mean((0, 1)), color=colour)
        left.plot(x, true_log_permeability(x), color=theme.INK, linewidth=1.0)
        left.plot(x[::12], mean[::12], color=theme.GREY, marker="x", linestyle="none")
        left.annotate("true", (0.66, -1.95), color=theme.INK)
        left.annotate(
            "Langevin: mean, 90 % band;\ncrosses: mean by pCN",
            (0.5, 0.95),
            color=colour,
        )
        left.set(
            xlabel="place",
            ylabel="log-permeability $u$",
            title="The log-permeability, from 25 pressures",
        )
        right.fill_between(
            (np.arange(CELLS) + 1) / CELLS,
            *np.quantile(pressures, [0.05, 0.95], axis=0),
            color=colour,
            alpha=0.15,
        )
        right.plot((np.arange(CELLS) + 1) / CELLS, pressures.mean(0), color=colour)
        right.errorbar(WELLS, data, NOISE, color=theme.INK, fmt=".", capsize=2)
        right.set(
            xlabel="place",
            ylabel="pressure $p$",
            title="What the wells say, and what is predicted",
        )
    return {name: float(value) for name, value in off.items()} | {
        "inside": float(inside)
    }


if __name__ == "__main__":
    command(main)
