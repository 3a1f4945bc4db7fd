"""Variance-reduced chains spread exactly in each mode of a posterior, where SGLD is too wide; none crosses.

Claim: Where SGLD is several times too wide, SVRG-LD and SARAH-LD sample each mode of a mixture's posterior with its
exact spread after 60 epochs, at the same step: mu_k and Sigma_k are a mode's mean and covariance, and the spread is 1
for exact draws. None of these methods moves chains between the modes.

Formula:
    E[(theta - mu_k)' Sigma_k^-1 (theta - mu_k)] / 2 = 1   in mode k = 1, 2

Source: Kinoshita and Suzuki (NeurIPS 2022), the experiment on the mixture of Welling and Teh (ICML 2011); the reference
by quadrature and the count of crossings are ours.

Figure: Left: ends of chains on the exact density of either mode; SGLD's lie far outside. Right: the spread index falls
to 1 for SVRG-LD and SARAH-LD and stays above 2 for SGLD.

The share of chains that end in mode 1 depends on the start. SVRG-LD and MALA from one start agree, so that MALA as a
reference, as in the paper, hides the error: here it is the posterior itself, by quadrature, one mode at a time.

    theta1 ~ N(0, 10),  theta2 ~ N(0, 1),  x_i ~ N(theta1, 2) / 2 + N(theta1 + theta2, 2) / 2      (variances second)

with n = 10^4 observations at theta = (0, 1). The paper samples exp(-sum_i ...) at eta = 1e-5. Here the potential is a
mean and the temperature 1/n, and the same chain has step_size = eta n = 0.1.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import minimize

from claims import Check, Claim, Size, Verdict, dataset, variables
from drawing import level, panels, points
from estimates import mean_and_error
from langevax import gradients
from langevax.figures.theme import INK, LIGHT, METHODS
from langevax.problems.finite_sum import posterior
from langevax.run import Result, simulate
from langevax.samplers import MALA, Langevin

TRUTH = np.array([0.0, 1.0])
PRIOR_VARIANCES, VARIANCE = np.array([10.0, 1.0]), 2.0
GRID, REACH = 81, 7.0  # of the quadrature: points a side, and standard deviations to either side

ROWS, BATCH, PERIOD = 10_000, 100, 100  # at n = 1000 the barrier is low, and chains cross
STEP_SIZE = 0.1  # eta n, with the paper's eta = 1e-5 at its n = 10^4
MALA_STEP_SIZE = 1.0  # eta n, with the paper's 1e-4
SIZES: dict[Size, tuple[int, int, int]] = {"full": (512, 60, 300), "small": (64, 36, 48)}  # chains, epochs, MALA steps
RECORDS = 12
STARTS = {"N(0, I)": (0.0, 0.0), "N((0, 1), I)": (0.0, 1.0)}  # the paper's, and one that leans to a mode

TOLERANCE, SIGMAS = 0.1, 3.0  # an index is 1 within both together: discretisation at this step is 0.015 of it
BETWEEN, WIDE = 0.05, 1.5  # share of chains that may be in neither mode; an index that is far from 1
REDUCED = ("SVRG-LD", "SARAH-LD")
LATE, INSIDE = 3, 40.0  # records that are judged; half the squared distance within a mode: 9 sd (the ridge: 90)


# ---- the posterior


def log_likelihood(theta: jax.Array, x: jax.Array) -> jax.Array:
    """Of one observation, up to a constant."""
    return jnp.logaddexp(-((x - theta[0]) ** 2) / (2 * VARIANCE), -((x - theta[0] - theta[1]) ** 2) / (2 * VARIANCE))


def observations(n: int, seed: int) -> np.ndarray:
    """Draw n observations at the truth."""
    random = np.random.default_rng(seed)
    return TRUTH[0] + TRUTH[1] * (random.random(n) < 0.5) + np.sqrt(VARIANCE) * random.normal(size=n)


def log_posterior(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """At each of `theta` (..., 2), in float64 and up to a constant."""
    flat = theta.reshape(-1, 2)
    values = -(flat**2 / (2 * PRIOR_VARIANCES)).sum(-1)
    for i, (a, b) in enumerate(flat):
        first, second = (x - a) ** 2 / (2 * VARIANCE), (x - a - b) ** 2 / (2 * VARIANCE)
        low = np.minimum(first, second)
        values[i] += (np.log1p(np.exp(-np.abs(first - second))) - low).sum()
    return values.reshape(theta.shape[:-1])


class Modes(NamedTuple):
    """The exact law, by quadrature; the mode with theta2 > 0 comes first."""

    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    density: np.ndarray  # on the grid, in units of the mode's highest
    theta: np.ndarray  # the grid, (mode, u, v, coordinate)


def exact_modes(x: np.ndarray) -> Modes:
    """By the trapezium rule on a grid that follows the Hessian at the mode's top, exact to rounding.

    theta2 = 0 parts the modes: it is the axis of the likelihood's symmetry.
    """
    ticks = np.linspace(-REACH, REACH, GRID)
    whitened = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1)
    grids, logs, cells = [], [], []
    for start in (TRUTH, np.array([TRUTH.sum(), -TRUTH[1]])):
        top = minimize(lambda t: -log_posterior(t, x) / len(x), start, method="Nelder-Mead", options={"xatol": 1e-8})
        step = 3e-3
        moves = step * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [1, 0], [-1, 0], [0, 1], [0, -1], [0, 0]])
        pp, pm, mp, mm, right, left, up, down, middle = log_posterior(top.x + moves, x)
        cross = (pp - pm - mp + mm) / 4
        hessian = -np.array([[right + left - 2 * middle, cross], [cross, up + down - 2 * middle]]) / step**2
        root = np.linalg.cholesky(np.linalg.inv(hessian))
        grids.append(top.x + whitened @ root.T)
        logs.append(log_posterior(grids[-1], x))
        cells.append(np.linalg.det(root))
    theta, height = np.stack(grids), np.stack(logs)
    density = np.exp(height - height.max())
    own_side = np.sign(theta[..., 1]) == np.array([1, -1])[:, None, None]
    mass = density * own_side * np.array(cells)[:, None, None]
    weight = mass.sum((1, 2))
    share = mass / weight[:, None, None]
    mean = np.einsum("muv,muvi->mi", share, theta)
    centred = theta - mean[:, None, None]
    covariance = np.einsum("muv,muvi,muvj->mij", share, centred, centred)
    return Modes(weight / weight.sum(), mean, covariance, density / density.max((1, 2), keepdims=True), theta)


def distances(positions: np.ndarray, law: Modes) -> tuple[np.ndarray, np.ndarray]:
    """The mode of each position, and half its squared distance from that mode's mean in units of its covariance."""
    mode = (positions[..., 1] < 0).astype(int)
    away = positions - law.mean[mode]
    return mode, np.einsum("...i,...ij,...j->...", away, np.linalg.inv(law.covariance)[mode], away) / 2


# ---- measure


def measure(size: Size, seed: int) -> xarray.Dataset:
    """Four methods at one step size and budget of component gradients, from N(0, I); SVRG-LD and MALA also leaning."""
    chains, epochs, mala_steps = SIZES[size]
    x = observations(ROWS, seed)
    law = exact_modes(x)
    rows, precision = jnp.asarray(x, jnp.float32), jnp.asarray(1 / PRIOR_VARIANCES, jnp.float32)
    problem, temperature = posterior(None, log_likelihood, rows, prior_precision=precision)
    cost = ROWS + 2 * BATCH * (PERIOD - 1)  # of an epoch
    methods = {
        "LD": (gradients.Full(), epochs * cost // ROWS),
        "SGLD": (gradients.Minibatch(batch_size=BATCH), epochs * cost // BATCH),
        "SVRG-LD": (gradients.SVRG(batch_size=BATCH, period=PERIOD), epochs * PERIOD),
        "SARAH-LD": (gradients.SARAH(batch_size=BATCH, period=PERIOD), epochs * PERIOD),
    }
    langevin = {name: Langevin(STEP_SIZE, temperature, gradient) for name, (gradient, _) in methods.items()}
    mala = MALA(MALA_STEP_SIZE, temperature)

    def simulated(algorithm: Langevin | MALA, start: tuple[float, float], steps: int, stream: int) -> Result:
        every, centre = steps // RECORDS, jnp.asarray(start, jnp.float32)
        return simulate(
            algorithm,
            problem,
            lambda key: centre + jax.random.normal(key, (2,), jnp.float32),
            key=jax.random.fold_in(jax.random.key(seed), stream),
            num_steps=every * RECORDS,
            record_every=every,
            num_chains=chains,
        )

    centred, leaning = STARTS.values()
    runs = {name: simulated(langevin[name], centred, steps, i) for i, (name, (_, steps)) in enumerate(methods.items())}
    used = np.stack([np.asarray(run.trace.info["evaluations"])[0] for run in runs.values() if run.trace])
    positions = np.stack([np.asarray(run.positions, np.float64) for run in runs.values()])
    mode, ratio = distances(positions, law)
    ends = [
        [runs["SVRG-LD"], simulated(langevin["SVRG-LD"], leaning, epochs * PERIOD // 3, 5)],
        [simulated(mala, centred, mala_steps, 4), simulated(mala, leaning, mala_steps, 6)],
    ]
    first = np.array([[np.asarray(run.position)[:, 1] > 0 for run in of_method] for of_method in ends])
    return dataset(
        {"sampler": list(runs), "compared": ["SVRG-LD", "MALA"], "start": list(STARTS)},
        variables("sampler record", "component gradients per chain", gradients=used.astype(float)),
        variables("sampler chain record", "1", ratio=ratio, mode_of=mode),
        variables("sampler chain coordinate", "1 (location)", end=positions[:, :, -1]),
        variables("compared start", "1", share=first.mean(axis=-1)),
        variables("mode", "1", exact_weight=law.weight),
        variables("mode coordinate", "1 (location)", exact_mean=law.mean),
        variables("mode coordinate other", "1 (location squared)", exact_covariance=law.covariance),
        variables("mode u v", "1 (of the mode's top)", density=law.density),
        variables("mode u v coordinate", "1 (location)", theta=law.theta),
        chains=chains,
        seed=seed,
    )


def spread(data: xarray.Dataset, name: str, records: slice) -> tuple[np.ndarray, np.ndarray, int]:
    """Per mode the spread index over these records, its standard error over chains, and the chains left out.

    The index is tr(exact covariance^-1 second moment about the exact mean) / 2: 1 for exact draws. A few chains are
    still on the ridge between the modes when a run ends; they are in neither and are left out, unless they are many.
    """
    ratio, mode = data["ratio"].sel(sampler=name).values, data["mode_of"].sel(sampler=name).values[:, -1]
    arrived = np.all(ratio[:, -LATE:] < INSIDE, axis=1)
    if arrived.mean() < 0.9:
        arrived = np.ones(len(ratio), bool)
    index, error = zip(*(mean_and_error(ratio[arrived & (mode == m), records].mean(1)) for m in range(2)), strict=True)
    return np.array(index), np.array(error), int((~arrived).sum())


# ---- draw


def draw(data: xarray.Dataset) -> Figure:
    return panels(data, (14.0, 4.2), 1, partial(draw_mode, mode=0), partial(draw_mode, mode=1), draw_index)


def draw_mode(axes: Axes, data: xarray.Dataset, mode: int) -> None:
    theta, density = data["theta"].values[mode], data["density"].values[mode]
    for name in ("SGLD", "SVRG-LD"):
        ends = data["end"].sel(sampler=name).values[data["mode_of"].sel(sampler=name)[:, -1] == mode]
        colour, marker = METHODS[name]
        axes.plot(*ends.T, marker, label=name, color=colour, markersize=3, alpha=0.6, markeredgewidth=0)
    axes.contour(theta[..., 0], theta[..., 1], density, np.exp([-4.5, -2.0, -0.5]), colors=INK, linewidths=1.0)
    axes.legend(loc="upper right", title="lines: exact, 1, 2, 3 sd")
    (a, b), weight = data["exact_mean"].values[mode], float(data["exact_weight"][mode])
    da, db = 4.6 * np.sqrt(np.diag(data["exact_covariance"].values[mode]))
    axes.set(xlim=(a - da, a + da), ylim=(b - db, b + db), xlabel="$\\theta_1$, first location")
    axes.set(ylabel="$\\theta_2$, shift of the second", title=f"Mode {mode + 1}, exact weight {weight:.3f}")


def draw_index(axes: Axes, data: xarray.Dataset) -> None:
    for name in map(str, data["sampler"].values):
        (colour, marker), x = METHODS[name], data["gradients"].sel(sampler=name).values / 1e6
        index, error, _ = zip(*(spread(data, name, slice(k, k + 1)) for k in range(len(x))), strict=True)
        for mode, (apart, face) in enumerate(((0.988, colour), (1.012, LIGHT["paper"]))):
            measured, label = (np.array(index)[:, mode], np.array(error)[:, mode]), "" if mode else name
            points(axes, x * apart, measured, (colour, marker + ":"), label, markerfacecolor=face, linewidth=0.9)
    level(axes, 1)
    axes.legend(loc="upper right", ncols=2)
    axes.set(yscale="log", ylim=(0.6, None), ylabel="spread index, chain / exact")
    title = "Spread in mode 1 (filled) and 2 (hollow), standard errors"
    axes.set(xlabel="component gradients per chain (millions)", title=title)


# ---- judge


def judge(data: xarray.Dataset) -> Verdict:
    """SVRG-LD and SARAH-LD at 1 in both modes, SGLD far above it, and no chain that crossed."""
    spreads = {name: spread(data, name, slice(-LATE, None)) for name in map(str, data["sampler"].values)}
    checks = []
    for name in REDUCED:
        for mode, (index, error) in enumerate(zip(*spreads[name][:2], strict=True)):
            statement = f"spread of {name}'s chains in mode {mode + 1}, over the exact one"
            tolerance = TOLERANCE + SIGMAS * error
            checks.append(Check.equals(statement, "exact law, by quadrature", (index, error), 1.0, tolerance))
    statement = "share of chains still between the modes, SVRG-LD's or SARAH-LD's"
    between = max(spreads[name][2] for name in REDUCED) / data.attrs["chains"]
    checks.append(Check.at_most(statement, "our aim", between, 0.0, BETWEEN))
    statement, source = "spread of SGLD's chains over the exact one, less three errors", "our aim: too wide by half"
    index, error, _ = spreads["SGLD"]
    wide = index.mean() - SIGMAS * np.linalg.norm(error) / 2
    checks.append(Check.at_least(statement, f"{source} at least", wide, WIDE))
    statement = "chains of all methods that crossed between the modes"
    inside, mode = data["ratio"].values < INSIDE, data["mode_of"].values
    crossed = (inside & inside[..., -1:] & (mode != mode[..., -1:])).any(-1).sum()
    checks.append(Check.at_most(statement, "the barrier between them", crossed, 0.0, unit="chains"))
    statement = "share in mode 1 from a leaning start, less three errors: above its weight"
    share = data["share"].values
    error = np.sqrt(share * (1 - share) / data.attrs["chains"])
    leaning = (share - SIGMAS * error)[:, 1].min()
    checks.append(Check.at_least(statement, "no chain crosses", leaning, data["exact_weight"][0]))

    numbers = {}
    for name in ("LD", "SGLD"):
        for mode, measured in enumerate(zip(*spreads[name][:2], strict=True)):
            numbers[f"spread of {name}'s chains in mode {mode + 1}"] = measured
    for i, j in np.ndindex(share.shape):
        which = f"{data['compared'].values[i]} from {data['start'].values[j]}"
        numbers[f"share in mode 1, {which}"] = share[i, j], error[i, j]
    return Verdict(checks, numbers)


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
