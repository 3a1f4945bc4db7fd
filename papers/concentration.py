"""Colder laws concentrate on the global minimum; crossing a barrier takes exponentially long.

Claim: As beta grows the law exp(-beta F) concentrates on the global minimum, E F - min F = d / (2 beta); a chain in
another well reaches it only after a time like exp(beta barrier).

Formula:
    E F - min F -> d / (2 beta),      spectral gap ~ exp(-beta barrier)

Source: Kinoshita and Suzuki (NeurIPS 2022), Theorem 3 and Corollaries 3.1 and 3.2; Raginsky et al. (COLT 2017)

Figure: Left: points on the exact curve, which approaches d / (2 beta). Right: the rate at which chains leave the wrong
well on a straight line, on a logarithmic axis, with the barrier as its slope.

One well: F(x) = sum_l x_l^2 / 2 + x_l^4 / 8 in 2 coordinates. Two: F(x) = x^4 / 4 - x^2 / 2 + x / 10, whose dynamics
forget the well at the rate exp(-beta barrier). beta = 1 / temperature is the paper's gamma. Lines are quadrature:
integrals, the spectral gap of the generator, and the density of the chain itself. Points are chains of `simulate`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from matplotlib.axes import Axes

from claims import Check, Claim, Findings, Size, dataset, sweep, variables
from drawing import note, panels, points
from estimates import mean_and_error, weighted_exponent
from grid_laws import langevin_kernel_on_grid, poincare_on_grid
from langevax.figures.theme import GREY, METHODS
from langevax.problems.problem import Function
from langevax.run import simulate
from langevax.samplers import Langevin

DIM = 2
UNIMODAL_BETAS = 2.0 ** np.arange(8)
UNIMODAL_STEP_SIZE, UNIMODAL_STEPS = (
    0.01,
    800,
)  # the step heats by 0.5 % in theory; 8 units of time forget the start
STEP_SIZE = 0.02
WRONG, TOP, RIGHT = np.sort(np.roots([1.0, 0.0, -1.0, 0.1]).real)[
    ::-1
]  # the well at 0.95 is the higher one
GRID = np.linspace(-2.2, 2.2, 2001)
COARSE = GRID[::5]  # finer than the noise of one step up to beta = 330
GAP_BETAS = np.arange(4.0, 101.0, 4.0)
FITTED_FROM = 40.0  # where the exponent is asymptotic
CHAIN_BETAS = {"full": (8.0, 14.0, 20.0, 26.0, 32.0), "small": (8.0, 11.0, 14.0)}
NUM_CHAINS = {"full": 8000, "small": 2000}
MULTIPLES = np.array(
    [1, 3, 8, 16, 24, 32]
)  # records of chains, in units of about 0.05 / gap
FIRST, LAST = 1, 4  # records that a rate is from


def one_coordinate(x: Any) -> Any:
    """Of the potential with one well; minimum 0 at 0."""
    return x**2 / 2 + x**4 / 8


def double_well(x: Any) -> Any:
    """The well near -1.05 is the global one."""
    return x**4 / 4 - x**2 / 2 + x / 10


BARRIER = float(double_well(TOP) - double_well(WRONG))
"""From the bottom of the wrong well to the top between the two."""


def spectral_gap(beta: float) -> float:
    """Rate per unit of time at which the slowest part of a start is forgotten."""
    return poincare_on_grid(double_well(GRID), GRID, 1 / beta) / beta


def wrong_mass_of_chain(beta: float, unit: int) -> list[float]:
    """Mass of the wrong well after MULTIPLES of `unit` steps from its bottom, by the chain's own density."""
    step = langevin_kernel_on_grid(
        COARSE**3 - COARSE + 0.1, COARSE, STEP_SIZE, 1 / beta
    )
    start = np.eye(len(COARSE))[
        np.argmin(np.abs(COARSE - WRONG))
    ]  # a point mass, which one step makes smooth
    densities = [
        np.linalg.matrix_power(step, unit * multiple) @ start for multiple in MULTIPLES
    ]
    return [np.average(COARSE > TOP, weights=density) for density in densities]


def escape_rate(there: np.ndarray, beta: float) -> np.ndarray:
    """log of the decay of the excess mass between two records, and its standard error (by the delta method)."""
    stationary = np.average(
        GRID > TOP, weights=np.exp(-beta * (double_well(GRID) - double_well(RIGHT)))
    )
    first, last = there[:, FIRST] - stationary, there[:, LAST] - stationary
    influence = first / first.mean() - last / last.mean()
    return np.array([np.log(first.mean() / last.mean()), mean_and_error(influence)[1]])


def measure(size: Size, seed: int) -> xarray.Dataset:
    betas, num_chains = CHAIN_BETAS[size], NUM_CHAINS[size]
    keys = jax.random.split(jax.random.key(seed), len(UNIMODAL_BETAS) + len(betas))

    def one_well(i: int) -> dict[str, float]:
        beta = float(UNIMODAL_BETAS[i])
        chain, problem = (
            Langevin(UNIMODAL_STEP_SIZE, 1 / beta),
            Function(lambda x: one_coordinate(x).sum()),
        )
        chains = {"key": keys[i], "num_steps": UNIMODAL_STEPS, "num_chains": num_chains}
        ends = np.asarray(
            simulate(chain, problem, jnp.zeros(DIM), **chains).position, float
        )
        gap, error = mean_and_error(one_coordinate(ends).sum(axis=1))
        value = one_coordinate(
            np.linspace(-8, 8, 4001) / np.sqrt(beta)
        )  # quadrature, for one of equal coordinates
        return {
            "gap": gap,
            "gap_error": error,
            "gap_exact": DIM * np.average(value, weights=np.exp(-beta * value)),
        }

    def two_wells(i: int) -> dict[str, Any]:
        beta = betas[i]
        every = max(1, round(0.05 / (spectral_gap(beta) * STEP_SIZE)))
        chains = {
            "key": keys[len(UNIMODAL_BETAS) + i],
            "num_chains": num_chains,
            "record_every": every,
        }
        chain, num_steps = Langevin(STEP_SIZE, 1 / beta), int(MULTIPLES[-1]) * every
        result = simulate(
            chain,
            Function(double_well),
            jnp.float32(WRONG),
            num_steps=num_steps,
            **chains,
        )
        there = np.asarray(result.positions)[:, MULTIPLES - 1] > TOP
        rate, rate_error = escape_rate(there, beta) / (
            STEP_SIZE * every * (MULTIPLES[LAST] - MULTIPLES[FIRST])
        )
        mass, error = mean_and_error(there)
        masses = {
            "wrong_mass": mass,
            "wrong_mass_error": error,
            "wrong_mass_exact": wrong_mass_of_chain(beta, every),
        }
        return {
            "rate": rate,
            "rate_error": rate_error,
            "rate_exact": spectral_gap(beta),
        } | masses

    one, two = (
        sweep(one_well, range(len(UNIMODAL_BETAS))),
        sweep(two_wells, range(len(betas))),
    )
    return dataset(
        {
            "unimodal_beta": (UNIMODAL_BETAS, "1 / units of F"),
            "beta": (GAP_BETAS, "1 / units of F"),
        }
        | {"chain_beta": (betas, "1 / units of F")},
        variables("unimodal_beta", "units of F", **one),
        variables(
            "beta", "1 / time", spectral_gap=[spectral_gap(beta) for beta in GAP_BETAS]
        ),
        variables(
            "chain_beta",
            "1 / time",
            **{name: two[name] for name in two if "rate" in name},
        ),
        variables(
            "chain_beta record",
            "probability",
            **{name: two[name] for name in two if "wrong_mass" in name},
        ),
    )


def fitted_exponent(data: xarray.Dataset) -> float:
    """-d log(spectral gap) / d beta where beta is large."""
    far = data.sel(beta=slice(FITTED_FROM, None))
    return -float(np.polyfit(far.beta, np.log(far.spectral_gap), 1)[0])


def draw_gap(axes: Axes, data: xarray.Dataset) -> None:
    beta, style = data.unimodal_beta.values, METHODS["LD"]
    axes.loglog(beta, data.gap_exact, color=style[0])
    axes.loglog(
        beta, DIM / (2 * beta), color=GREY, linewidth=0.9, label=r"$d / (2\beta)$"
    )
    points(axes, beta, (data.gap, data.gap_error), style, "chains")
    axes.legend()
    axes.set(
        xlabel=r"inverse temperature $\beta$", ylabel=r"$E\,F - \min F$ (units of $F$)"
    )
    axes.set(title="One well: the law closes in")


def draw_rates(axes: Axes, data: xarray.Dataset) -> None:
    style = METHODS["LD"]
    axes.semilogy(data.beta, data.spectral_gap, color=style[0])
    points(axes, data.chain_beta, (data.rate, data.rate_error), style)
    note(
        axes,
        f"slope -{BARRIER:.4f}, the barrier;\nfitted -{fitted_exponent(data):.4f}",
        0.97,
        0.9,
    )
    axes.set(xlabel=r"inverse temperature $\beta$", ylabel="spectral gap (1 / time)")
    axes.set(title=r"Two wells: chains wait like exp($\beta$ barrier)")


def judge(data: xarray.Dataset) -> Findings:
    beta, slope = data.unimodal_beta.values, fitted_exponent(data)
    statement, limit = (
        f"2 beta (E F - min F) / d at beta = {beta[-1]:g}, one well",
        2 * beta * data.gap_exact / DIM,
    )
    yield Check.equals(
        statement, "Kinoshita and Suzuki, Theorem 3", limit[-1], 1.0, 0.02
    )
    statement, source = (
        "exponent of the spectral gap against the barrier, two wells",
        "Corollary 3.2; Kramers' law",
    )
    yield Check.equals(
        statement, f"Kinoshita and Suzuki, {source}", slope, BARRIER, 0.02 * BARRIER
    )
    for name, about in {
        "gap": "E F - min F of chains, at every beta",
        "rate": "rates at which chains leave the wrong well",
        "wrong_mass": "mass of the wrong well, at every record",
    }.items():
        z = (data[name] - data[f"{name}_exact"]) / data[f"{name}_error"]
        yield Check.all_within(
            f"{about}: the farthest from quadrature", "exact laws", z, 4.0
        )
    power, error = weighted_exponent(
        np.exp(data.chain_beta.values), data.rate.values, data.rate_error.values
    )
    last = data.isel(chain_beta=-1)
    where = f"beta = {float(last.chain_beta):g}"
    yield "exponent of the rates of chains, not asymptotic", (-power, error)
    yield (
        f"rate at which chains leave the wrong well, {where}",
        (last.rate, last.rate_error),
    )
    yield f"the same, exact, {where}", last.rate_exact


CLAIM = Claim(
    __file__, __doc__, measure, panels((9.0, 4.0), 1, draw_gap, draw_rates), judge
)

if __name__ == "__main__":
    CLAIM.main()
