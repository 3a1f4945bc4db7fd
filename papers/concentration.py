"""Colder laws concentrate on the global minimum; crossing a barrier takes exponentially long.

Claim: As beta grows the law exp(-beta F) concentrates on the global minimum, E F - min F = d / (2 beta); a chain in
another well reaches it only after a time like exp(beta barrier).

Formula:
    E F - min F -> d / (2 beta),      spectral gap ~ exp(-beta barrier)

Source: Kinoshita and Suzuki (NeurIPS 2022), Theorem 3 and Corollaries 3.1 and 3.2; Raginsky et al. (COLT 2017)

Figure: Left: points on the exact curve, which approaches d / (2 beta). Middle: each beta waits longer than the last.
Right: a straight line on a logarithmic axis, with the barrier as its slope.

One well: F(x) = sum_l x_l^2 / 2 + x_l^4 / 8 in 2 coordinates. Two: F(x) = x^4 / 4 - x^2 / 2 + x / 10, whose dynamics
forget the well at the rate exp(-beta barrier). beta = 1 / temperature is the paper's gamma. Lines are quadrature:
integrals, the spectral gap of the generator, and the density of the chain itself. Points are chains of `simulate`.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from claims import Check, Claim, Size, Verdict, dataset, sweep, variables
from drawing import annotate, note, panels, points, shades
from estimates import mean_and_error
from grid_laws import langevin_kernel_on_grid, poincare_on_grid
from langevax.figures.theme import GREY, METHODS
from langevax.problems.problem import Function
from langevax.run import simulate
from langevax.samplers import Langevin

Value = TypeVar("Value", float, np.ndarray, Array)

DIM = 2
UNIMODAL_BETAS = 2.0 ** np.arange(8)
UNIMODAL_STEP_SIZE, UNIMODAL_STEPS = 0.01, 800  # the step heats by 0.5 % in theory; 8 units of time forget the start
STEP_SIZE = 0.02
WRONG, TOP, RIGHT = np.sort(np.roots([1.0, 0.0, -1.0, 0.1]).real)[::-1]  # the well at 0.95 is the higher one
GRID = np.linspace(-2.2, 2.2, 2001)
COARSE = np.linspace(-2.2, 2.2, 441)  # finer than the noise of one step up to beta = 400
GAP_BETAS = np.arange(4.0, 101.0, 4.0)
FITTED_FROM = 40.0  # where the exponent is asymptotic
CHAIN_BETAS = {"full": (8.0, 14.0, 20.0, 26.0, 32.0), "small": (8.0, 11.0, 14.0)}
NUM_CHAINS = {"full": 8000, "small": 2000}
MULTIPLES = np.array([1, 3, 8, 16, 24, 32])  # records of chains, in units of about 0.05 / gap; the rate is from two
FIRST_RECORD, LAST_RECORD = 1, 4


def unimodal(x: Array) -> Array:
    """Minimum 0 at 0."""
    return (x**2 / 2 + x**4 / 8).sum()


def double_well(x: Value) -> Value:
    """The well near -1.05 is the global one."""
    return x**4 / 4 - x**2 / 2 + x / 10


BARRIER = float(double_well(TOP) - double_well(WRONG))
"""From the bottom of the wrong well to the top between the two."""


def exact_unimodal_gap(beta: float) -> float:
    """E F - min F by quadrature, a product of equal coordinates."""
    x = np.linspace(-8, 8, 4001) / np.sqrt(beta)
    value = x**2 / 2 + x**4 / 8
    density = np.exp(-beta * value)
    return float(DIM * (density @ value) / density.sum())


def wrong_mass(beta: float) -> float:
    """Stationary mass of the wrong well."""
    density = np.exp(-beta * (double_well(GRID) - double_well(RIGHT)))
    return float(density[GRID > TOP].sum() / density.sum())


def spectral_gap(beta: float) -> float:
    """Rate per unit of time at which the slowest part of a start is forgotten."""
    return poincare_on_grid(double_well(GRID), GRID, 1 / beta) / beta


def wrong_mass_of_chain(beta: float, unit: int, count: int) -> np.ndarray:
    """Mass of the wrong well after unit, 2 unit, ... steps from its bottom: the chain's own density, by quadrature."""
    kernel = langevin_kernel_on_grid(COARSE**3 - COARSE + 0.1, COARSE, STEP_SIZE, 1 / beta)
    many = np.linalg.matrix_power(kernel, unit)
    density = np.zeros(len(COARSE))
    density[np.argmin(np.abs(COARSE - WRONG))] = 1.0  # a point mass, which one step makes smooth
    masses = []
    for _ in range(count):
        density = many @ density
        masses.append(density[COARSE > TOP].sum() / density.sum())
    return np.array(masses)


def escape_rate(there: np.ndarray, stationary: float) -> np.ndarray:
    """log of the decay of the excess mass between two records, and its standard error (by the delta method)."""
    first, last = there[:, FIRST_RECORD].astype(float), there[:, LAST_RECORD].astype(float)
    above = first.mean() - stationary, last.mean() - stationary
    influence = (first - first.mean()) / above[0] - (last - last.mean()) / above[1]
    return np.array([np.log(above[0] / above[1]), influence.std(ddof=1) / np.sqrt(len(there))])


def measure(size: Size, seed: int) -> xarray.Dataset:
    """E F - min F with one well, spectral gaps with two, and chains that leave the wrong one."""
    betas, num_chains = CHAIN_BETAS[size], NUM_CHAINS[size]
    keys = jax.random.split(jax.random.key(seed), len(UNIMODAL_BETAS) + len(betas))

    def one_well(i: int) -> dict[str, float]:
        beta = float(UNIMODAL_BETAS[i])
        chain, steps = Langevin(step_size=UNIMODAL_STEP_SIZE, temperature=1 / beta), UNIMODAL_STEPS
        problem, start = Function(unimodal), jnp.zeros(DIM)
        result = simulate(chain, problem, start, key=keys[i], num_steps=steps, num_chains=num_chains)
        gap, error = mean_and_error(np.asarray(jax.vmap(unimodal)(result.position), float))
        return {"gap": gap, "gap_error": error, "gap_exact": exact_unimodal_gap(beta)}

    def two_wells(i: int) -> dict[str, np.ndarray | float]:
        beta = betas[i]
        every = max(1, round(0.05 / (spectral_gap(beta) * STEP_SIZE)))
        result = simulate(
            Langevin(step_size=STEP_SIZE, temperature=1 / beta),
            Function(double_well),
            jnp.float32(WRONG),
            key=keys[len(UNIMODAL_BETAS) + i],
            num_steps=int(MULTIPLES[-1]) * every,
            num_chains=num_chains,
            record_every=every,
        )
        there = np.asarray(result.positions)[:, MULTIPLES - 1] > TOP
        curve, unit = wrong_mass_of_chain(beta, every, MULTIPLES[-1]), STEP_SIZE * every
        span = STEP_SIZE * every * (MULTIPLES[LAST_RECORD] - MULTIPLES[FIRST_RECORD])
        rate, rate_error = escape_rate(there, wrong_mass(beta)) / span
        return {
            "rate": rate,
            "rate_error": rate_error,
            "rate_exact": spectral_gap(beta),
            "time": unit * MULTIPLES,
            "wrong_mass": there.mean(axis=0),
            "wrong_mass_error": there.std(axis=0) / np.sqrt(num_chains),
            "wrong_mass_exact": curve[MULTIPLES - 1],
            "curve_time": unit * np.arange(1, MULTIPLES[-1] + 1),
            "curve": curve,
        }

    one, two = sweep(one_well, range(len(UNIMODAL_BETAS))), sweep(two_wells, range(len(betas)))
    return dataset(
        {"unimodal_beta": (UNIMODAL_BETAS, "1 / units of F"), "beta": (GAP_BETAS, "1 / units of F")}
        | {"chain_beta": (betas, "1 / units of F")},
        variables("unimodal_beta", "units of F", **one),
        variables("beta", "1 / time", spectral_gap=[spectral_gap(beta) for beta in GAP_BETAS]),
        variables("chain_beta", "1 / time", **{name: two[name] for name in ("rate", "rate_error", "rate_exact")}),
        variables("chain_beta record", "time", time=two["time"]),
        variables("chain_beta record", "probability", **{name: two[name] for name in two if "wrong_mass" in name}),
        variables("chain_beta point", "time", curve_time=two["curve_time"]),
        variables("chain_beta point", "probability", curve=two["curve"]),
        seed=seed,
    )


def fitted_exponent(data: xarray.Dataset) -> float:
    """-d log(spectral gap) / d beta where beta is large."""
    far = data.sel(beta=slice(FITTED_FROM, None))
    return -float(np.polyfit(far.beta, np.log(far.spectral_gap), 1)[0])


# ---- draw


def draw(data: xarray.Dataset) -> Figure:
    return panels(data, (12.5, 4.0), 1, draw_gap, draw_masses, draw_rates)


def draw_gap(axes: Axes, data: xarray.Dataset) -> None:
    beta, style = data.unimodal_beta.values, METHODS["LD"]
    axes.loglog(beta, data.gap_exact, color=style[0])
    axes.loglog(beta, DIM / (2 * beta), color=GREY, linewidth=0.9)
    points(axes, beta, (data.gap, data.gap_error), style)
    annotate(axes, r"$d / (2\beta)$", beta[1], DIM / (2 * beta[1]), GREY, (8, 8))
    axes.set(xlabel=r"inverse temperature $\beta$", ylabel=r"$E\,F - \min F$ (units of $F$)")
    axes.set(title="One well: the law closes in")


def draw_masses(axes: Axes, data: xarray.Dataset) -> None:
    for i, shade in enumerate(shades(data.sizes["chain_beta"])):
        row = data.isel(chain_beta=i)
        axes.plot(row.curve_time, row.curve, color=shade)
        points(axes, row.time, (row.wrong_mass, row.wrong_mass_error), (shade, METHODS["LD"][1]))
        label = (r"$\beta$ = " if i == 0 else "") + f"{float(row.chain_beta):g}"
        annotate(axes, label, row.time[-1], row.wrong_mass_exact[-1], shade, (0, -6))
    axes.set(xscale="log", ylim=(0, 1), xlabel="time (steps x step size)", ylabel="mass of the wrong well")
    axes.set(title="Two wells: chains wait")


def draw_rates(axes: Axes, data: xarray.Dataset) -> None:
    style = METHODS["LD"]
    axes.semilogy(data.beta, data.spectral_gap, color=style[0])
    points(axes, data.chain_beta, (data.rate, data.rate_error), style)
    note(axes, f"slope -{BARRIER:.4f}, the barrier;\nfitted -{fitted_exponent(data):.4f}", 0.97, 0.9)
    axes.set(xlabel=r"inverse temperature $\beta$", ylabel="spectral gap (1 / time)")
    axes.set(title=r"and wait like exp($\beta$ barrier)")


# ---- judge


def judge(data: xarray.Dataset) -> Verdict:
    """Chains on the quadrature's lines, d / (2 beta) reached, the exponent equal to the barrier."""
    beta, slope = data.unimodal_beta.values, fitted_exponent(data)
    statement, limit = f"2 beta (E F - min F) / d at beta = {beta[-1]:g}, one well", 2 * beta * data.gap_exact / DIM
    checks = [Check.equals(statement, "Kinoshita and Suzuki, Theorem 3", limit[-1], 1.0, 0.02)]
    statement, source = "exponent of the spectral gap against the barrier, two wells", "Corollary 3.2; Kramers' law"
    checks.append(Check.equals(statement, f"Kinoshita and Suzuki, {source}", slope, BARRIER, 0.02 * BARRIER))
    for name, about in {
        "gap": "E F - min F of chains, at every beta",
        "rate": "rates at which chains leave the wrong well",
        "wrong_mass": "mass of the wrong well, at every record",
    }.items():
        z = (data[name] - data[f"{name}_exact"]) / data[f"{name}_error"]
        checks.append(Check.all_within(f"{about}: the farthest from quadrature", "exact laws", z, 4.0))
    log_rate, weight = np.log(data.rate.values), (data.rate / data.rate_error).values
    fit, covariance = np.polyfit(data.chain_beta.values, log_rate, 1, w=weight, cov="unscaled")
    last = data.isel(chain_beta=-1)
    numbers = {
        "exponent of the rates of chains, not asymptotic": (-fit[0], covariance[0, 0] ** 0.5),
        f"rate at which chains leave the wrong well, beta = {float(last.chain_beta):g}": (last.rate, last.rate_error),
        f"the same, exact, beta = {float(last.chain_beta):g}": last.rate_exact,
    }
    return Verdict(checks, numbers)


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
