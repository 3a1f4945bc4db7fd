"""N particles approximate infinitely many with an error of C / N in mean square, at all times at once.

Claim: The outputs f of N particles of MFLD differ from those of infinitely many by C / N in mean square, with one C for
all times t; the free energy L^N of N particles lies above the optimum L* by at most half the neurons' variance under
the optimal law q*, over N.

Formula:
    sup_t E |f_t^N - f_t|^2 <= C / N,      min L^N / N - L* <= Var_{q*}(h) / (2 N)

Source: Suzuki, Nitanda, Wu (ICLR 2023), uniform in time; Nitanda (NeurIPS 2024), the bound; the exact limit and
formulas at finite N are ours

Figure: Left: points lie on lines of slope -1 at every time, far below independent draws (grey). Middle: N times the
error falls to a level and stays there, the same for every N. Right: linear particles at their closed forms.

tanh (`line_network`), squared loss, from the prior: the error is E (1/n) sum_i (z_i^N(t) - z_i(t))^2, z(t) that of the
exact law of the same steps on a grid, so that it does not contain the error of the step; lines are the exact limit of N
times it. Particles interact through the loss, which damps random fluctuations: N independent draws of q*
have a much larger error.

linear: with the squared loss the law of N particles is Gaussian: their mean has variance T / (N (s + 2 ridge)) along an
eigenvector of X'X / n with eigenvalue s, and particles spread about it by T / (2 ridge) (`linear_clouds`, at the
step of the chain). The free energy L^N follows from two covariances, measured or exact. Its formula in N is that of the
flow; the step of 0.1 moves it by a thousandth, and chains are compared with the free energy of their own law.

Limits of error bars are those of normal or Student laws, shared over the comparisons of a kind. The exact line is one
of large N: no correction of relative order 1/N is allowed for; from N = 32 on none was seen, within 1 %. That half the
neurons' variance bounds the free energy is tested on linear neurons only.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from claims import Check, Claim, Size, Verdict, critical_value
from langevax.algorithm import State
from langevax.figures.theme import GREY, INK, OKABE_ITO, SEQUENTIAL
from langevax.meanfield import MFLD
from langevax.problems import losses, neurons
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import simulate
from langevax.theory.mean_field import (
    finite_particle_gap_bound,
    linear_optimum,
)
from line_network import LineNetwork, chain_laws
from linear_clouds import finite_particle_gap, linear_cloud_variance, linear_output_variance

RIDGE, TEMPERATURE = 0.1, 0.1
TANH = LineNetwork(
    slopes=(2.0, 1.5, -1.0, -2.0, 1.0, -1.5),
    shifts=(-1.0, 0.8, -1.2, 0.5, 0.2, 1.0),
    targets=(1.0, 1.0, -1.0, 1.0, -1.0, -1.0),
    scale=1.5,
    ridge=RIDGE,
    temperature=TEMPERATURE,
    loss="squared",
    start_mean=0.0,
    start_deviation=(TEMPERATURE / (2 * RIDGE)) ** 0.5,
)
STEP_SIZE, GRID = 0.05, np.linspace(-4.5, 4.5, 161)
NUM_PARTICLES = {"full": (32, 64, 128, 256, 512, 1024), "small": (32, 64, 256)}
PARTICLES = {"full": 2**18, "small": 2**16}  # in all runs of one N together
HORIZON = {"full": 16.0, "small": 8.0}
RECORD = 0.25  # time between two records
SHOWN = {"full": (0.25, 1.0, 4.0, 16.0), "small": (0.25, 1.0, 8.0)}

LINEAR_PARTICLES = {"full": (2, 8, 32, 128), "small": (2, 32)}
LINEAR_RUNS = {"full": 8000, "small": 2000}


# ---- linear particles

ROWS, DIMENSION = 8, 3
LINEAR_STEP_SIZE, LINEAR_STEPS, LINEAR_RECORD = 0.1, 200, 40
GROUPS, PARTS = 20, 10  # of runs, for errors; of a group, for the jackknife
QUANTITIES = ("output variance", "spread within the cloud", "free energy")


def regression(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw inputs and targets of the linear network."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(ROWS, DIMENSION))
    return inputs, inputs @ random.normal(size=DIMENSION) + 0.3 * random.normal(size=ROWS)


def moments_of(problem: MeanFieldRisk, state: State) -> tuple[jax.Array, jax.Array]:
    """Return the mean of the particles, and the mean square of one coordinate about it."""
    mean = state.position.mean(axis=0)
    return mean, jnp.mean((state.position - mean) ** 2)


def free_energy(covariance: np.ndarray, within: float, inputs: np.ndarray, num_particles: int) -> float:
    """(1/N) L^N - L* of a Gaussian law of N particles, from the covariance of their mean and the spread about it."""
    d, prior = inputs.shape[1], TEMPERATURE / (2 * RIDGE)
    risk = np.trace(inputs.T @ inputs / len(inputs) @ covariance) / 2
    ridge = RIDGE * (np.trace(covariance) + d * (within - prior))
    mean, others = num_particles * covariance / prior, within / (1 - 1 / num_particles) / prior
    entropy = np.linalg.slogdet(mean)[1] + d * (num_particles - 1) * np.log(others)
    return float(risk + ridge - TEMPERATURE / (2 * num_particles) * entropy)


def mean_over_groups(function: Callable[..., float], *samples: np.ndarray) -> tuple[float, float]:
    """Mean over groups of `function` less its jackknife bias, and its standard error over groups.

    A free energy is flat about its optimum, where a jackknife's own error bar is not reliable.
    """
    values = []
    for group in np.array_split(np.arange(len(samples[0])), GROUPS):
        parts = np.array_split(group, PARTS)
        left_out = [function(*(s[np.setdiff1d(group, part)] for s in samples)) for part in parts]
        values.append(PARTS * function(*(s[group] for s in samples)) - (PARTS - 1) * np.mean(left_out))
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(GROUPS))


def linear_point(num_particles: int, num_runs: int, seed: int, key: jax.Array) -> np.ndarray:
    """Return (quantity, (measured, error, exact)) of linear particles at rest."""
    inputs, targets = regression(seed)
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)
    rows, labels = jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)
    risk = MeanFieldRisk(neurons.Linear(), losses.squared, rows, labels, precision=2 * RIDGE)
    centre = jnp.asarray(optimum.mean, jnp.float32)

    def start(key: jax.Array) -> jax.Array:  # independent draws of q*; what interaction changes relaxes at rate s
        return centre + risk.prior(TEMPERATURE, num_particles)(key)

    result = simulate(
        MFLD(step_size=LINEAR_STEP_SIZE, temperature=TEMPERATURE),
        risk,
        start,
        key=key,
        num_steps=LINEAR_STEPS,
        num_chains=num_runs,
        record=moments_of,
        record_every=LINEAR_RECORD,
    )
    means, within = (np.asarray(a, float)[:, 1:] for a in result.positions)  # without the first record
    away = means - optimum.mean
    arguments = inputs, RIDGE, TEMPERATURE, num_particles, LINEAR_STEP_SIZE, "exponential"
    law = linear_cloud_variance(*arguments)
    exact = (
        linear_output_variance(*arguments).mean(),
        law.within,
        free_energy(law.of_mean, law.within, inputs, num_particles),
    )
    estimates = (
        lambda a, w: float(((a @ inputs.T) ** 2).mean()),
        lambda a, w: float(w.mean()),
        lambda a, w: free_energy(np.einsum("cri,crj->ij", a, a) / a[..., 0].size, w.mean(), inputs, num_particles),
    )
    return np.array([(*mean_over_groups(f, away, within), e) for f, e in zip(estimates, exact, strict=True)])


# ---- measure


def outputs_of(problem: MeanFieldRisk, state: State) -> jax.Array:
    """Return the outputs of the particles."""
    return problem.outputs(state.position)


def tanh_errors(num_particles: int, num_runs: int, horizon: float, exact: np.ndarray, key: jax.Array) -> np.ndarray:
    """Return (run, record): mean squared distance of the outputs to those of infinitely many particles."""
    every = round(RECORD / STEP_SIZE)
    result = simulate(
        MFLD(step_size=STEP_SIZE, temperature=TEMPERATURE),
        TANH.risk(),
        TANH.start(num_particles),
        key=key,
        num_steps=round(horizon / STEP_SIZE),
        num_chains=num_runs,
        record=outputs_of,
        record_every=every,
    )
    return ((np.asarray(result.positions, float) - exact[every::every]) ** 2).mean(axis=-1)


def measure(size: Size, seed: int) -> xarray.Dataset:
    """The exact limit, runs of tanh particles and of linear particles."""
    counts, linear_counts, horizon = NUM_PARTICLES[size], LINEAR_PARTICLES[size], HORIZON[size]
    keys = jax.random.split(jax.random.key(seed), len(counts) + len(linear_counts))
    bar = tqdm(total=len(keys) + 1, desc="propagation-of-chaos", disable=None)
    laws = chain_laws(TANH, GRID, STEP_SIZE, round(horizon / STEP_SIZE), fluctuations=True)
    risk = TANH.grid_risk(GRID)
    independent = np.diag(risk.covariance(risk.gibbs(risk.optimal_dual()))).mean()
    bar.update()
    error, error_error, drift, rest = [], [], [], []
    times = RECORD * np.arange(1, round(horizon / RECORD) + 1)
    late = times > horizon / 2
    ramp = (times[late] - times[late].mean()) / ((times[late] - times[late].mean()) ** 2).sum()
    for count, key in zip(counts, keys, strict=False):
        errors = tanh_errors(count, PARTICLES[size] // count, horizon, laws.outputs, key)
        error.append(errors.mean(axis=0))
        error_error.append(errors.std(axis=0, ddof=1) / np.sqrt(len(errors)))
        slopes = errors[:, late] @ ramp  # of one run: its records are not independent, runs are
        drift.append((slopes.mean(), slopes.std(ddof=1) / np.sqrt(len(errors))))
        rest.append((errors[:, late].mean(), errors[:, late].mean(axis=1).std(ddof=1) / np.sqrt(len(errors))))
        bar.update()
    linear = []
    for count, key in zip(linear_counts, keys[len(counts) :], strict=True):
        linear.append(linear_point(count, LINEAR_RUNS[size], seed, key))
        bar.update()
    bar.close()
    limit = laws.fluctuation.mean(axis=1)
    inputs = regression(seed)[0]
    variances = TEMPERATURE / (2 * RIDGE) * (inputs**2).sum(axis=1)
    bounds = [finite_particle_gap_bound(variances, 1.0, count) for count in linear_counts]
    formula = [finite_particle_gap(inputs, RIDGE, TEMPERATURE, count) for count in linear_counts]
    points, squared = ("num_particles", "time"), {"units": "1 (output squared)"}
    mixed, rate = {"units": "those of the quantity"}, {"units": "1 (output squared) / time"}
    columns = np.array(linear)
    variables = {
        "error": (points, np.array(error), squared),
        "error_error": (points, np.array(error_error), squared),
        "limit": ("time", limit[round(RECORD / STEP_SIZE) :: round(RECORD / STEP_SIZE)], squared),
        "independent": ((), independent, squared),
        "drift": ("num_particles", np.array(drift)[:, 0], rate),
        "drift_error": ("num_particles", np.array(drift)[:, 1], rate),
        "rest": ("num_particles", np.array(rest)[:, 0], squared),
        "rest_error": ("num_particles", np.array(rest)[:, 1], squared),
        "linear": (("linear_particles", "quantity"), columns[..., 0], mixed),
        "linear_error": (("linear_particles", "quantity"), columns[..., 1], mixed),
        "linear_exact": (("linear_particles", "quantity"), columns[..., 2], mixed),
        "energy_formula": ("linear_particles", np.array(formula), {"units": "1 (of the loss)"}),
        "energy_bound": ("linear_particles", np.array(bounds), {"units": "1 (of the loss)"}),
    }
    coordinates = {
        "num_particles": ("num_particles", list(counts), {"units": "particles"}),
        "linear_particles": ("linear_particles", list(linear_counts), {"units": "particles"}),
        "time": ("time", times, {"units": "time"}),
        "quantity": list(QUANTITIES),
    }
    return xarray.Dataset(variables, coordinates, {"particles": PARTICLES[size], "seed": seed, "shown": SHOWN[size]})


# ---- judge

UNIFORM = "Suzuki et al. (ICLR 2023)"


def slope(row: xarray.Dataset) -> tuple[float, float]:
    """Exponent of the error in N at one time, by weighted least squares, and its standard error."""
    x, y = np.log(row.num_particles.values), np.log(row.error.values)
    weight = (row.error / row.error_error).values ** 2
    x = x - weight @ x / weight.sum()
    return float((weight * x) @ y / (weight @ x**2)), float(1 / np.sqrt(weight @ x**2))


def shown_times(data: xarray.Dataset) -> xarray.Dataset:
    """The data at the times that are drawn and judged."""
    return data.sel(time=list(data.attrs["shown"]))


def judge(data: xarray.Dataset) -> Verdict:
    """Slopes of -1, points on the exact limit, no growth, linear clouds at their closed forms, less than iid draws."""
    shown = shown_times(data)
    slopes = [slope(shown.isel(time=i)) for i in range(shown.sizes["time"])]
    limit = (shown.error * shown.num_particles - shown.limit) / (shown.error_error * shown.num_particles)
    linear = (data.linear - data.linear_exact) / data.linear_error
    growth = (data.drift / data.drift_error).values
    scaled, scaled_error = data.rest * data.num_particles, data.rest_error * data.num_particles
    independent, energy = float(data.independent), data.sel(quantity="free energy")
    upper = scaled + critical_value(len(scaled)) * scaled_error
    high = energy.linear + critical_value(energy.linear.size, GROUPS) * energy.linear_error
    checks = tuple(
        Check(
            f"power of N in the squared error at time {time:g}",
            f"{UNIFORM}: 1 / N",
            value,
            -1.0,
            critical_value(len(slopes)) * error,
            error=error,
        )
        for (value, error), time in zip(slopes, shown.time.values, strict=True)
    )
    checks += (
        Check(
            "N times the squared error, all points: the farthest from its line",
            "exact limit of many particles",
            _largest(limit),
            0.0,
            critical_value(limit.size),
            "at most",
            unit="standard errors",
        ),
        Check(
            "growth of the squared error in time, the fastest of all N",
            f"{UNIFORM}: uniform in time",
            float(growth.max()),
            0.0,
            critical_value(growth.size),
            "at most",
            unit="standard errors",
        ),
        Check(
            "squared error at rest over that of independent draws, with its errors",
            "the loss damps chance",
            float((upper / independent).max()),
            1.0,
            0.0,
            "at most",
        ),
        Check(
            f"linear clouds, {linear.size} quantities: the farthest from closed forms",
            "closed forms at every N",
            _largest(linear),
            0.0,
            critical_value(linear.size, GROUPS),
            "at most",
            unit="standard errors",
        ),
        Check(
            "free energy of N particles over its bound, with its errors, the most",
            "Nitanda (NeurIPS 2024)",
            float((high / energy.energy_bound).max()),
            1.0,
            0.0,
            "at most",
        ),
    )
    weight = (1 / scaled_error**2).values
    rest, rest_error = float(weight @ scaled.values / weight.sum()), float(weight.sum() ** -0.5)
    change = (data.drift * data.num_particles).values @ weight / weight.sum() / rest
    change_error = float(np.sqrt((((data.drift_error * data.num_particles).values * weight) ** 2).sum()))
    change_error /= weight.sum() * rest
    ratio, ratio_error = independent / rest, independent / rest**2 * rest_error
    numbers = {"growth per time, of the error at rest": float(change), "growth, error": change_error}
    numbers |= {"N x error at rest": rest, "N x error at rest, error": rest_error}
    numbers |= {"N x error of independent draws": independent}
    numbers |= {"independent / interacting": ratio, "independent / interacting, error": ratio_error}
    bound = float((energy.energy_bound / energy.linear).min())
    step_effect = float(abs(energy.linear_exact / energy.energy_formula - 1).max())
    numbers |= {"smallest bound / free energy": bound, "the step moves the free energy by": step_effect}
    few, many = data.num_particles.values[[0, -1]]
    exponents = ", ".join(f"{value:.3f} ± {error:.3f}" for value, error in slopes)
    summary = (
        f"From N = {few} to {many} the squared error falls with exponents {exponents} at times "
        f"{', '.join(f'{t:g}' for t in shown.time.values)}, and N times it stays: {rest:.4f} ± {rest_error:.4f} at "
        f"rest, exact limit {float(data.limit[-1]):.4f}, no point further than {_largest(limit):.1f} "
        f"standard errors from it; it changes by {100 * change:.2f} ± {100 * change_error:.2f} % per "
        f"unit of time. N independent draws of q* would have {ratio:.2f} ± {ratio_error:.2f} times as much. "
        f"Linear clouds: all {linear.size} ratios within {_largest(linear):.1f} standard errors of "
        f"exact; Nitanda's bound is {bound:.2f} times the free energy it bounds."
    )
    return Verdict(checks, summary, numbers)


def _largest(z: xarray.DataArray) -> float:
    return float(np.abs(z.values).max())


# ---- draw

MARKERS, TICKS = "osD^", (0.1, 0.2, 0.5, 1.0)


def draw(data: xarray.Dataset) -> Figure:
    """Errors against N, scaled errors against time, and what is exact at every N."""
    figure = Figure(figsize=(13.0, 4.4))
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
    draw_errors(left, data)
    draw_times(middle, data)
    draw_linear(right, data)
    return figure


def draw_errors(axes: Axes, data: xarray.Dataset) -> None:

    shown, count = shown_times(data), data.num_particles.values
    shades = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.85, shown.sizes["time"]))
    axes.loglog(count, float(data.independent) / count, color=GREY, linewidth=1.2)
    axes.text(
        0.97, 0.97, "grey: independent draws of $q^*$", transform=axes.transAxes, color=GREY, ha="right", va="top"
    )
    for i, (shade, marker) in enumerate(zip(shades, MARKERS, strict=False)):
        row = shown.isel(time=i)
        axes.loglog(count, float(row.limit) / count, color=shade)
        axes.errorbar(
            count,
            row.error,
            row.error_error,
            fmt=marker,
            color=shade,
            capsize=2,
            label=f"t = {float(row.time):g}: slope {slope(row)[0]:.3f} ± {slope(row)[1]:.3f}",
        )
    axes.legend(loc="lower left", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="particles $N$", ylabel="mean squared error of outputs", title="tanh: slope $-1$ at every time")
    axes.set_xticks(count, [str(n) for n in count])
    axes.set_ylim(0.12 * float(shown.limit.min()) / count[-1], None)
    axes.minorticks_off()


def draw_times(axes: Axes, data: xarray.Dataset) -> None:
    counts = data.num_particles.values
    chosen = counts[[0, len(counts) // 2, -1]]
    time, limit = data.time.values, data.limit.values
    axes.semilogy(time, limit, color=INK)
    every = max(1, len(time) // 16)
    for k, (n, marker, colour) in enumerate(zip(chosen, MARKERS, OKABE_ITO, strict=False)):
        row = data.sel(num_particles=n).isel(time=slice(k * every // 3, None, every))
        axes.errorbar(
            row.time, n * row.error, n * row.error_error, fmt=marker, color=colour, capsize=2, label=f"N = {n}"
        )
    axes.axhline(float(data.independent), color=GREY, linewidth=1.2)
    axes.annotate(
        "independent draws of $q^*$",
        (time[-1], float(data.independent)),
        xytext=(0, -14),
        ha="right",
        textcoords="offset points",
        color=GREY,
    )
    axes.annotate(
        "line: exact, $N \\to \\infty$",
        (time[-1], limit[-1]),
        xytext=(0, -28),
        ha="right",
        textcoords="offset points",
        color=INK,
    )
    axes.legend(loc="center right", fontsize=9, handletextpad=0.4)
    axes.set(
        xlabel="time (steps x step size)", ylabel="$N$ x mean squared error", title="$N$ times the error does not grow"
    )
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.set_ylim(0.6 * limit.min(), 1.4 * float(data.independent))


def draw_linear(axes: Axes, data: xarray.Dataset) -> None:
    counts = data.linear_particles.values
    for quantity, shift, marker, colour in zip(QUANTITIES, (0.85, 1.0, 1.18), MARKERS, OKABE_ITO, strict=False):
        row = data.sel(quantity=quantity)
        axes.errorbar(
            counts * shift,
            row.linear / row.linear_exact,
            row.linear_error / row.linear_exact,
            fmt=marker,
            color=colour,
            capsize=2,
            label=quantity,
        )
    axes.axhline(1, color=INK)
    bound = float((data.energy_bound / data.linear_exact.sel(quantity="free energy")).mean())
    axes.text(
        0.03,
        0.95,
        f"Nitanda's bound of the free energy:\n{bound:.2f}, above this picture",
        va="top",
        transform=axes.transAxes,
        color=OKABE_ITO[2],
    )
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    reach = 1.6 * float((abs(data.linear / data.linear_exact - 1) + data.linear_error / data.linear_exact).max())
    axes.set_ylim(1 - 1.6 * reach, 1 + 1.3 * reach)
    axes.legend(loc="lower right", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="particles $N$", ylabel="measured / exact", title="linear: closed forms at every $N$")


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
