"""The heat equation backwards: how warm was a rod at first, given what 40 sensors measure later?

The map from then to now damps every wave exponentially, so that most of the first temperature is lost and only a prior
of functions fills it in. The map is linear, and the posterior known exactly, so that `sample` would draw from it
independently: here draws of pCNL are held against it, with 64 modes, with 128 and with 4,096.

Run it: `python examples/heat_equation.py`. It prints the errors and writes out/heat_equation.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import OUT, command, picture

import langevax as lx
from langevax.figures import theme
from langevax.theory.gaussian import gaussian_process

SENSORS, NOISE, TIME = (
    np.linspace(0.02, 0.98, 40),
    0.03,
    2e-3,
)  # the time in units of length^2 / diffusivity
SHOWN = np.linspace(0, 1, 301)


def first_temperature(t):
    """Two blocks, one warmer than the other, on a cold slope."""
    return 1.0 * ((t > 0.15) & (t < 0.4)) + 0.6 * ((t > 0.55) & (t < 0.7)) - 0.3 * t


def decay(basis):
    """Return the remaining share of each wave: exp(-time frequency^2)."""
    return np.exp(-TIME * basis.frequencies**2)


def measure(seed):
    """Return the readings of the sensors: the rod's temperature later, computed with many more waves, and noise."""
    basis = lx.spaces.Cosine(20_000)
    waves = np.asarray(basis.analyze(jnp.asarray(first_temperature(basis.grid))))[
        :2000
    ] * decay(lx.spaces.Cosine(2000))
    clean = np.asarray(lx.spaces.Cosine(2000).evaluate(SENSORS)) @ waves
    return clean + NOISE * np.random.default_rng(seed).normal(size=len(SENSORS))


def problem(data, num_modes):
    """The posterior of the first temperature, a Matern process that is one derivative smooth."""
    basis = lx.spaces.Cosine(num_modes)
    prior = lx.spaces.GaussianPrior(
        basis, lx.spaces.spectra.matern(basis, 1.0, length_scale=0.15, variance=0.5)
    )
    left, at_sensors = jnp.asarray(decay(basis), jnp.float32), basis.evaluate(SENSORS)
    return lx.inverse_problem(
        lambda rod: at_sensors @ (left * basis.analyze(rod)), data, NOISE, prior
    )


def exact(target, data):
    """Mean and deviation of the first temperature at SHOWN: a Gaussian process seen through a linear map."""
    basis, variances = target.prior.basis, np.asarray(target.prior.eigenvalues, float)
    shown = np.asarray(basis.evaluate(SHOWN), float)
    observed = np.asarray(basis.evaluate(SENSORS), float) * decay(basis)
    mean, covariance = gaussian_process(
        observed * variances @ observed.T,
        shown * variances @ observed.T,
        data,
        NOISE,
        shown * variances @ shown.T,
    )
    return mean, np.sqrt(np.diag(covariance))


def solve(data, num_modes, num_samples):
    """Exact and sampled (mean, deviation) of the first temperature at SHOWN."""
    target = problem(data, num_modes)
    mean, deviation = exact(target, data)
    draws = lx.sample(
        target, key=jax.random.key(1), algorithm=lx.PCNL(), num_samples=num_samples
    )
    functions = draws.positions @ np.asarray(target.prior.basis.evaluate(SHOWN)).T
    sampled = functions.mean((0, 1)), functions.std((0, 1))
    error, ratio = np.max(np.abs(sampled[0] - mean) / deviation), sampled[1] / deviation
    print(
        f"{num_modes:>5} modes: {draws.result.steps} steps of 4 chains, {draws.seconds:4.1f} s; mean off by at most "
        f"{error:.2f} posterior sd; sd {ratio.min():.2f} to {ratio.max():.2f} of the exact one"
    )
    return (mean, deviation), sampled


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Draws against the exact posterior, at several numbers of modes."""
    data, sizes = measure(seed=0), (64,) if quick else (64, 128, 4096)
    posteriors = {
        num_modes: solve(data, num_modes, 250 if quick else 1000) for num_modes in sizes
    }
    (mean, deviation), sampled = posteriors[sizes[0] if quick else 128]
    inside = np.mean(np.abs(first_temperature(SHOWN) - sampled[0]) < 1.645 * sampled[1])
    print(f"the 90 % band holds the first temperature at {inside:.0%} of places")
    if not quick:
        change = np.max(np.abs(sampled[0] - posteriors[64][1][0]) / deviation)
        print(f"64 to 128 modes move the mean by {change:.2f} sd")
    with picture(out / "heat_equation.png", card=0, figsize=(10, 4)) as (left, right):
        left.plot(SHOWN, first_temperature(SHOWN), color=theme.INK, linewidth=1.0)
        left.annotate("true", (0.155, 1.02), color=theme.INK, ha="right")
        colour = theme.OKABE_ITO[0]
        left.fill_between(
            SHOWN,
            sampled[0] - 1.645 * sampled[1],
            sampled[0] + 1.645 * sampled[1],
            color=colour,
            alpha=0.15,
        )
        left.plot(SHOWN, sampled[0], color=colour)
        left.plot(SENSORS, data, color=theme.GREY, marker=".", linestyle="none")
        left.annotate("sensors, later", (0.76, 0.1), color=theme.GREY)
        left.annotate("posterior mean\nand 90 % band", (0.62, 0.85), color=colour)
        left.set(
            xlabel="place along the rod",
            ylabel="temperature",
            title="The first temperature, from what is measured later",
        )
        right.plot(SHOWN, deviation, color=theme.INK, label="exact")
        for num_modes, marker, shade in zip(sizes, "os^", (1, 2, 3), strict=False):
            every = slice(3 * shade, None, 15)
            right.plot(
                SHOWN[every],
                posteriors[num_modes][1][1][every],
                marker=marker,
                linestyle="none",
                color=theme.OKABE_ITO[shade],
                label=f"{num_modes:,} modes",
            )
        right.set(
            xlabel="place along the rod",
            ylabel="posterior sd",
            title="Spread, sampled and exact",
            ylim=(0, None),
        )
        right.legend(loc="upper center", ncols=2)
    off, ratio = np.abs(sampled[0] - mean) / deviation, sampled[1] / deviation
    return {
        "off": off.max(),
        "narrowest": ratio.min(),
        "widest": ratio.max(),
        "inside": inside,
    }


if __name__ == "__main__":
    command(main)
