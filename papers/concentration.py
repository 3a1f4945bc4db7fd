"""Colder laws concentrate on the global minimum; crossing a barrier takes exponentially long.

Claim: As beta grows the law exp(-beta F) concentrates on the global minimum, E F - min F = d / (2 beta); a chain in
another well reaches it only after a time like exp(beta barrier).

Formula:
    E F - min F -> d / (2 beta),      spectral gap ~ exp(-beta barrier)

Source: Kinoshita and Suzuki (NeurIPS 2022), Theorem 3 and Corollaries 3.1 and 3.2; Raginsky et al. (COLT 2017)

Figure: Left: points on the exact curve, which approaches d / (2 beta). Middle: each beta waits longer than the last.
Right: a straight line on a logarithmic axis, with the barrier as its slope.

(i) E F - min F falls like d / (2 beta) where the minimum is not degenerate: Raginsky, Rakhlin, Telgarsky (COLT 2017);
Kinoshita and Suzuki (NeurIPS 2022), Theorem 3, whose gamma is beta = 1 / temperature. (ii) Where F has a second well
the dynamics forget it only at a rate like exp(-beta barrier), so no polynomial time is promised: their Corollary 3.1
against 3.2, and Kramers' law. Lines are quadrature: integrals for (i), the spectral gap of the generator and the
density of the chain itself, step by step, for (ii). Points are chains of `simulate`.

Unimodal: F(x) = sum_l x_l^2 / 2 + x_l^4 / 8 in 2 coordinates. Double well: F(x) = x^4 / 4 - x^2 / 2 + x / 10.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray
from jaxtyping import Array
from matplotlib.figure import Figure
from tqdm import tqdm

from claims import Check, Claim, Size, Verdict
from grid_laws import langevin_kernel_on_grid, poincare_on_grid
from langevax.figures.theme import GREY, INK, METHODS, SEQUENTIAL
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


def recorded_steps(beta: float) -> np.ndarray:
    """Steps at which chains are recorded."""
    return MULTIPLES * max(1, round(0.05 / (spectral_gap(beta) * STEP_SIZE)))


def unimodal_chains(beta: float, num_chains: int, key: Array) -> tuple[float, float]:
    """Mean of F - min F over chains at their ends, and its standard error."""
    import jax.numpy as jnp

    chain = Langevin(step_size=UNIMODAL_STEP_SIZE, temperature=1 / beta)
    end = simulate(
        chain,
        Function(unimodal),
        jnp.zeros(DIM),
        key=key,
        num_steps=UNIMODAL_STEPS,
        num_chains=num_chains,
    ).position
    values = np.asarray(jax.vmap(unimodal)(end), float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(num_chains))


def escaping_chains(beta: float, num_chains: int, key: Array) -> np.ndarray:
    """Return (chain, record): whether a chain from the bottom of the wrong well is there."""
    chain, problem = Langevin(step_size=STEP_SIZE, temperature=1 / beta), Function(double_well)
    steps = recorded_steps(beta)
    every = int(steps[0])
    result = simulate(
        chain,
        problem,
        jnp.float32(WRONG),
        key=key,
        num_steps=int(steps[-1]),
        num_chains=num_chains,
        record_every=every,
    )
    return np.asarray(result.positions)[:, steps // every - 1] > TOP


def escape_rate(there: np.ndarray, stationary: float) -> tuple[float, float]:
    """log of the decay of the excess mass between two records, and its standard error (by the delta method)."""
    first, last = there[:, FIRST_RECORD].astype(float), there[:, LAST_RECORD].astype(float)
    above = first.mean() - stationary, last.mean() - stationary
    influence = (first - first.mean()) / above[0] - (last - last.mean()) / above[1]
    return float(np.log(above[0] / above[1])), float(influence.std(ddof=1) / np.sqrt(len(there)))


def measure(size: Size, seed: int) -> xarray.Dataset:
    """Gibbs gaps, spectral gaps, and chains that leave the wrong well."""
    betas, num_chains = np.array(CHAIN_BETAS[size]), NUM_CHAINS[size]
    keys = jax.random.split(jax.random.key(seed), len(UNIMODAL_BETAS) + len(betas))
    bar = tqdm(total=len(keys), desc="concentration", disable=None)
    gibbs = []
    for beta, key in zip(UNIMODAL_BETAS, keys, strict=False):
        gibbs.append(unimodal_chains(float(beta), num_chains, key))
        bar.update()
    masses, curves, rates, units = [], [], [], []
    for beta, key in zip(betas, keys[len(UNIMODAL_BETAS) :], strict=True):
        there, steps = escaping_chains(float(beta), num_chains, key), recorded_steps(float(beta))
        masses.append(np.stack([there.mean(axis=0), there.std(axis=0) / np.sqrt(num_chains)]))
        curves.append(wrong_mass_of_chain(float(beta), int(steps[0]), MULTIPLES[-1]))
        span = STEP_SIZE * (steps[LAST_RECORD] - steps[FIRST_RECORD])
        rates.append(np.array(escape_rate(there, wrong_mass(float(beta)))) / span)
        units.append(STEP_SIZE * steps[0])
        bar.update()
    bar.close()
    value, rate, mass = {"units": "units of F"}, {"units": "1 / time"}, {"units": "probability"}
    records, curve = ("chain_beta", "look"), ("chain_beta", "point")
    variables = {
        "gap": ("unimodal_beta", [g[0] for g in gibbs], value),
        "gap_error": ("unimodal_beta", [g[1] for g in gibbs], value),
        "gap_exact": ("unimodal_beta", [exact_unimodal_gap(float(b)) for b in UNIMODAL_BETAS], value),
        "spectral_gap": ("beta", [spectral_gap(float(b)) for b in GAP_BETAS], rate),
        "rate": ("chain_beta", [r[0] for r in rates], rate),
        "rate_error": ("chain_beta", [r[1] for r in rates], rate),
        "rate_exact": ("chain_beta", [spectral_gap(float(b)) for b in betas], rate),
        "time": (records, np.outer(units, MULTIPLES), {"units": "time"}),
        "curve_time": (curve, np.outer(units, np.arange(1, MULTIPLES[-1] + 1)), {"units": "time"}),
        "curve": (curve, np.array(curves), mass),
        "wrong_mass": (records, np.array([m[0] for m in masses]), mass),
        "wrong_mass_error": (records, np.array([m[1] for m in masses]), mass),
        "wrong_mass_exact": (records, np.array(curves)[:, MULTIPLES - 1], mass),
    }
    inverse = {"units": "1 / units of F"}
    coordinates = {
        "unimodal_beta": ("unimodal_beta", UNIMODAL_BETAS, inverse),
        "beta": ("beta", GAP_BETAS, inverse),
        "chain_beta": ("chain_beta", betas, inverse),
    }
    return xarray.Dataset(
        variables, coordinates, {"barrier": BARRIER, "dim": DIM, "num_chains": num_chains, "seed": seed}
    )


def fitted_exponent(data: xarray.Dataset) -> float:
    """-d log(spectral gap) / d beta where beta is large."""
    far = data.sel(beta=slice(FITTED_FROM, None))
    return -float(np.polyfit(far.beta, np.log(far.spectral_gap), 1)[0])


def draw(data: xarray.Dataset) -> Figure:
    """The gap of the law, the mass that chains leave in the wrong well, and the rate at which they do."""
    colour, marker = METHODS["LD"]
    dots = {"fmt": marker, "color": colour, "capsize": 2}
    figure = Figure(figsize=(12.5, 4.0))
    left, middle, right = figure.subplots(1, 3)
    beta = data.unimodal_beta.values
    left.loglog(beta, data.gap_exact, color=colour)
    left.loglog(beta, data.attrs["dim"] / (2 * beta), color=GREY, linewidth=0.9)
    left.errorbar(beta, data.gap, data.gap_error, **dots)
    left.annotate(
        r"$d / (2\beta)$",
        (beta[1], data.attrs["dim"] / (2 * beta[1])),
        xytext=(8, 8),
        textcoords="offset points",
        color=GREY,
    )
    left.set(
        xlabel=r"inverse temperature $\beta$",
        ylabel=r"$E\,F - \min F$ (units of $F$)",
        title="One well: the law closes in",
    )
    shades = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.8, data.sizes["chain_beta"]))
    for i, shade in enumerate(shades):
        row = data.isel(chain_beta=i)
        label = (r"$\beta$ = " if i == 0 else "") + f"{float(row.chain_beta):g}"
        middle.plot(row.curve_time, row.curve, color=shade)
        middle.errorbar(row.time, row.wrong_mass, row.wrong_mass_error, fmt=marker, color=shade, capsize=2)
        middle.annotate(
            label,
            (row.time[-1], row.wrong_mass_exact[-1]),
            xytext=(0, -13),
            textcoords="offset points",
            ha="center",
            color=shade,
        )
    middle.set(
        xscale="log",
        ylim=(0, 1),
        xlabel="time (steps x step size)",
        ylabel="mass of the wrong well",
        title=r"Two wells: chains wait",
    )
    right.semilogy(data.beta, data.spectral_gap, color=colour)
    right.errorbar(data.chain_beta, data.rate, data.rate_error, **dots)
    right.annotate(
        f"slope -{data.attrs['barrier']:.4f}, the barrier;\nfitted -{fitted_exponent(data):.4f}",
        (0.42, 0.75),
        xycoords="axes fraction",
        color=INK,
    )
    right.set(
        xlabel=r"inverse temperature $\beta$",
        ylabel="spectral gap (1 / time)",
        title=r"and wait like exp($\beta$ barrier)",
    )
    return figure


def judge(data: xarray.Dataset) -> Verdict:
    """Chains on the quadrature's lines, d / (2 beta) reached, the exponent equal to the barrier."""
    barrier, slope = data.attrs["barrier"], fitted_exponent(data)
    off = {
        "E F - min F of chains, at every beta": (data.gap - data.gap_exact) / data.gap_error,
        "rates at which chains leave the wrong well": (data.rate - data.rate_exact) / data.rate_error,
        "mass of the wrong well, at every look": (data.wrong_mass - data.wrong_mass_exact) / data.wrong_mass_error,
    }
    far = {about: float(abs(z).max()) for about, z in off.items()}
    limit = float((data.gap_exact * 2 * data.unimodal_beta / data.attrs["dim"])[-1])
    rates = data.chain_beta.values, np.log(data.rate.values)
    measured, covariance = np.polyfit(*rates, 1, w=(data.rate / data.rate_error).values, cov="unscaled")
    theorem, corollary = "Kinoshita and Suzuki, Theorem 3", "Kinoshita and Suzuki, Corollary 3.2; Kramers' law"
    checks = (
        Check(f"2 beta (E F - min F) / d at beta = {UNIMODAL_BETAS[-1]:g}, one well", theorem, limit, 1.0, 0.02),
        Check("exponent of the spectral gap against the barrier, two wells", corollary, slope, barrier, 0.02 * barrier),
        *(
            Check(
                f"{about}: the farthest from quadrature", "exact laws", z, 0.0, 4.0, "at most", unit="standard errors"
            )
            for about, z in far.items()
        ),
    )
    numbers = {"exponent of chains": -float(measured[0]), "exponent of chains error": float(covariance[0, 0] ** 0.5)}
    last = data.isel(chain_beta=-1)
    summary = (
        f"With one well 2 beta (E F - min F) / d is {limit:.3f} at beta = {data.unimodal_beta.values[-1]:g}. With "
        f"two the spectral gap falls like exp(-{slope:.4f} beta), barrier {barrier:.4f}; chains leave the wrong "
        f"well at {float(last.rate):.3g} ± {float(last.rate_error):.2g} per unit of time "
        f"at beta = {float(last.chain_beta):g}, "
        f"exact {float(last.rate_exact):.3g}. All points lie within {max(far.values()):.1f} standard errors."
    )
    return Verdict(checks, summary, numbers)


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
