"""N particles approximate infinitely many with an error of C / N in mean square, at all times at once.

Claim: The outputs f of N particles of MFLD differ from those of infinitely many by C / N in mean square, with one C for
all times t; the free energy L^N of N particles lies above the optimum L* by at most half the neurons' variance under
the optimal law q*, over N.

Formula:
    sup_t E |f_t^N - f_t|^2 <= C / N,      min L^N / N - L* <= Var_{q*}(h) / (2 N)

Source: Suzuki, Nitanda, Wu (ICLR 2023), uniform in time; Nitanda (NeurIPS 2024), the bound; the exact limit and
formulas at finite N are ours

Figure: N times the error falls to a level and stays there, the same for every N, far below independent draws (grey).

tanh particles (`line_network`), squared loss, from the prior: the error is E (1/n) sum_i (z_i^N(t) - z_i(t))^2, z(t)
that of the exact law of the same steps on a grid; lines are the exact limit of N times it. Particles interact through
the loss, which damps random fluctuations: N independent draws of q* have a much larger error.

linear particles: with the squared loss the law of N is Gaussian: their mean has variance T / (N (s + 2 ridge)) along an
eigenvector of X'X / n with eigenvalue s, and particles spread about it by T / (2 ridge) (at the step of the chain). The
free energy L^N follows from two covariances, measured or exact. That it is bounded is tested on linear neurons only.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from matplotlib.axes import Axes

from claims import Check, Claim, Findings, Size, dataset, sweep, variables
from drawing import panels, points
from estimates import critical_value, jackknife, mean_and_error, weighted_exponent
from langevax.figures.theme import GREY, INK, OKABE_ITO
from langevax.meanfield import MFLD
from langevax.problems import losses, neurons
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import simulate
from langevax.theory.gaussian import stationary_variance
from langevax.theory.mean_field import finite_particle_gap_bound, linear_optimum
from line_network import LineNetwork, chain_laws

RIDGE, TEMPERATURE = 0.1, 0.1
TANH = LineNetwork(
    scale=1.5,
    ridge=RIDGE,
    temperature=TEMPERATURE,
    loss="squared",
    start_mean=0.0,
    start_deviation=(TEMPERATURE / (2 * RIDGE)) ** 0.5,
)
STEP_SIZE, GRID = 0.05, np.linspace(-4.5, 4.5, 161)
RECORD = 0.25  # time between two records
EVERY = round(RECORD / STEP_SIZE)


# numbers of particles, particles of all runs of one number, horizon, times judged; numbers of linear particles, runs
SIZES: dict[
    Size, tuple[tuple[int, ...], int, float, tuple[float, ...], tuple[int, ...], int]
] = {
    "full": (
        (32, 64, 128, 256, 512, 1024),
        2**18,
        16.0,
        (0.25, 1.0, 4.0, 16.0),
        (2, 8, 32, 128),
        8000,
    ),
    "small": ((32, 64, 256), 2**16, 8.0, (0.25, 1.0, 8.0), (2, 32), 2000),
}
ROWS, DIMENSION = 8, 3  # of the linear network
LINEAR_STEP_SIZE, LINEAR_STEPS, LINEAR_RECORD = 0.1, 200, 40
GROUPS, PARTS = 20, 10  # of runs, for errors; of a group, for the jackknife
QUANTITIES = ("output variance", "spread within the cloud", "free energy")


def regression(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(ROWS, DIMENSION))
    return inputs, inputs @ random.normal(size=DIMENSION) + 0.3 * random.normal(
        size=ROWS
    )


class CloudVariance(NamedTuple):
    """Stationary spread of N particles: of their mean over time, (d, d), and of one particle around that mean."""

    of_mean: np.ndarray
    within: float


def linear_cloud_variance(
    inputs: np.ndarray,
    ridge: float,
    temperature: float,
    num_particles: int,
    step_size: float,
    integrator: str = "explicit",
) -> CloudVariance:
    """Stationary variances of N interacting linear particles under mean-field Langevin steps (derived)."""
    curvatures, modes = np.linalg.eigh(inputs.T @ inputs / len(inputs))
    curvatures = np.maximum(curvatures, 0)  # rounding
    of_mean = stationary_variance(
        integrator, step_size, 2 * ridge, curvatures, temperature / num_particles
    )
    alone = stationary_variance(integrator, step_size, 2 * ridge, 0.0, temperature)
    if not (np.isfinite(of_mean).all() and np.isfinite(alone)):
        raise ValueError(
            f"step_size is {step_size}, for which the cloud does not settle; pass a smaller one."
        )
    return CloudVariance(
        modes * of_mean @ modes.T, float((1 - 1 / num_particles) * alone)
    )


def finite_particle_gap(
    inputs: np.ndarray, ridge: float, temperature: float, num_particles: int
) -> float:
    """Optimal free energy per particle of N linear particles, minus the mean-field optimum (derived).

    (1/N) inf L^N - L* = sum over eigenvalues s of X^T X / n of temperature / (2 N) log(1 + s / (2 ridge)).
    """
    curvatures = np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
    return float(
        temperature / (2 * num_particles) * np.log1p(curvatures / (2 * ridge)).sum()
    )


def free_energy(
    covariance: np.ndarray, within: float, inputs: np.ndarray, num_particles: int
) -> float:
    """(1/N) L^N - L* of a Gaussian law of N particles, from the covariance of their mean and the spread about it."""
    d, prior = inputs.shape[1], TEMPERATURE / (2 * RIDGE)
    risk = np.trace(inputs.T @ inputs / len(inputs) @ covariance) / 2
    ridge = RIDGE * (np.trace(covariance) + d * (within - prior))
    mean, others = (
        num_particles * covariance / prior,
        within / (1 - 1 / num_particles) / prior,
    )
    entropy = np.linalg.slogdet(mean)[1] + d * (num_particles - 1) * np.log(others)
    return float(risk + ridge - TEMPERATURE / (2 * num_particles) * entropy)


def mean_over_groups(
    function: Callable[..., float], *samples: np.ndarray
) -> tuple[float, float]:
    """Mean over groups of `function` less its jackknife bias, and its standard error over groups.

    A free energy is flat about its optimum, where a jackknife's own error bar is not reliable.
    """
    groups = zip(*(np.array_split(sample, GROUPS) for sample in samples), strict=True)
    return mean_and_error(
        [jackknife(function, *group, groups=PARTS)[0] for group in groups]
    )


def linear_point(
    num_particles: int, num_runs: int, seed: int, key: jax.Array
) -> np.ndarray:
    """Return (quantity, (measured, error, exact)) of linear particles at rest."""
    inputs, targets = regression(seed)
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)
    rows, labels = jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)
    risk = MeanFieldRisk(
        neurons.Linear(), losses.squared, rows, labels, precision=2 * RIDGE
    )
    centre = jnp.asarray(optimum.mean, jnp.float32)

    def start(
        key: jax.Array,
    ) -> (
        jax.Array
    ):  # independent draws of q*; what interaction changes relaxes at rate s
        return centre + risk.prior(TEMPERATURE, num_particles)(key)

    chains = {
        "key": key,
        "num_steps": LINEAR_STEPS,
        "num_chains": num_runs,
        "record_every": LINEAR_RECORD,
    }
    moments = lambda _, state: (
        state.position.mean(axis=0),
        state.position.var(axis=0).mean(),
    )
    result = simulate(
        MFLD(LINEAR_STEP_SIZE, TEMPERATURE), risk, start, record=moments, **chains
    )
    means, within = (
        np.asarray(a, float)[:, 1:] for a in result.positions
    )  # without the first record
    away = means - optimum.mean
    law = linear_cloud_variance(
        inputs, RIDGE, TEMPERATURE, num_particles, LINEAR_STEP_SIZE, "exponential"
    )
    exact = (
        np.einsum("ij,jk,ik->i", inputs, law.of_mean, inputs).mean(),
        law.within,
        free_energy(law.of_mean, law.within, inputs, num_particles),
    )
    estimates = (
        lambda a, w: float(((a @ inputs.T) ** 2).mean()),
        lambda a, w: float(w.mean()),
        lambda a, w: free_energy(
            np.einsum("cri,crj->ij", a, a) / a[..., 0].size,
            w.mean(),
            inputs,
            num_particles,
        ),
    )
    return np.array(
        [
            (*mean_over_groups(f, away, within), e)
            for f, e in zip(estimates, exact, strict=True)
        ]
    )


def tanh_errors(
    num_particles: int, num_runs: int, horizon: float, exact: np.ndarray, key: jax.Array
) -> np.ndarray:
    """Return (run, record): mean squared distance of the outputs to those of infinitely many particles."""
    chains = {
        "key": key,
        "num_steps": round(horizon / STEP_SIZE),
        "num_chains": num_runs,
        "record_every": EVERY,
    }
    outputs = lambda problem, state: problem.outputs(state.position)
    start = TANH.start(num_particles)
    result = simulate(
        MFLD(STEP_SIZE, TEMPERATURE), TANH.risk(), start, record=outputs, **chains
    )
    return ((np.asarray(result.positions, float) - exact[EVERY::EVERY]) ** 2).mean(
        axis=-1
    )


def measure(size: Size, seed: int) -> xarray.Dataset:
    counts, particles, horizon, shown, linear_counts, linear_runs = SIZES[size]
    keys = jax.random.split(jax.random.key(seed), len(counts) + len(linear_counts))
    laws = chain_laws(
        TANH, GRID, STEP_SIZE, round(horizon / STEP_SIZE), fluctuations=True
    )
    risk, inputs = TANH.grid_risk(GRID), regression(seed)[0]
    independent = np.diag(risk.covariance(risk.gibbs(risk.optimal_dual()))).mean()
    times = RECORD * np.arange(1, round(horizon / RECORD) + 1)
    late = times > horizon / 2
    ramp = times[late] - times[late].mean()

    def tanh(k: int) -> dict[str, np.ndarray]:
        errors = tanh_errors(
            counts[k], particles // counts[k], horizon, laws.outputs, keys[k]
        )
        drift = errors[:, late] @ ramp / (ramp @ ramp)
        numbers = {}
        for name, of_run in {
            "error": errors,
            "drift": drift,
            "rest": errors[:, late].mean(axis=1),
        }.items():
            numbers[name], numbers[f"{name}_error"] = mean_and_error(
                of_run
            )  # records are not independent
        return numbers

    def linear(k: int) -> dict[str, np.ndarray]:
        measured = linear_point(
            linear_counts[k], linear_runs, seed, keys[len(counts) + k]
        )
        return dict(
            zip(("linear", "linear_error", "linear_exact"), measured.T, strict=True)
        )

    tanh_points, linear_points = (
        sweep(tanh, range(len(counts))),
        sweep(linear, range(len(linear_counts))),
    )
    errors = {name: tanh_points.pop(name) for name in ("error", "error_error")}
    variances = TEMPERATURE / (2 * RIDGE) * (inputs**2).sum(axis=1)
    return dataset(
        {
            "quantity": list(QUANTITIES),
            "num_particles": (counts, "particles"),
            "time": (times, "time"),
        }
        | {"linear_particles": (linear_counts, "particles")},
        variables("num_particles time", "1 (output squared)", **errors),
        variables(
            "time",
            "1 (output squared)",
            limit=laws.fluctuation.mean(axis=1)[EVERY::EVERY],
        ),
        variables("", "1 (output squared)", independent=independent),
        variables(
            "num_particles", "1 (output squared), of the drift / time", **tanh_points
        ),
        variables(
            "linear_particles quantity", "those of the quantity", **linear_points
        ),
        variables(
            "linear_particles",
            "1 (of the loss)",
            energy_formula=[
                finite_particle_gap(inputs, RIDGE, TEMPERATURE, count)
                for count in linear_counts
            ],
            energy_bound=[
                finite_particle_gap_bound(variances, 1.0, count)
                for count in linear_counts
            ],
        ),
        particles=particles,
        shown=list(shown),
    )


def slope(row: xarray.Dataset) -> tuple[float, float]:
    """Exponent of the error in N at one time, and its standard error."""
    return weighted_exponent(
        row.num_particles.values, row.error.values, row.error_error.values
    )


def draw_times(axes: Axes, data: xarray.Dataset) -> None:
    counts, time = data.num_particles.values, data.time.values
    axes.semilogy(time, data.limit, color=INK, label="exact, $N \\to \\infty$")
    every = max(1, len(time) // 16)
    for k, (n, marker, colour) in enumerate(
        zip(counts[[0, len(counts) // 2, -1]], "osD", OKABE_ITO, strict=False)
    ):
        row = data.sel(num_particles=n).isel(time=slice(k * every // 3, None, every))
        points(
            axes,
            row.time,
            (n * row.error, n * row.error_error),
            (colour, marker),
            f"N = {n}",
        )
    axes.axhline(
        float(data.independent),
        color=GREY,
        linewidth=1.2,
        label="independent draws of $q^*$",
    )
    axes.legend(loc="center right", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="time (steps x step size)", ylabel="$N$ x mean squared error")
    axes.set(
        title="$N$ times the error does not grow",
        ylim=(0.6 * data.limit.min(), 1.4 * data.independent),
    )


def judge(data: xarray.Dataset) -> Findings:
    uniform, times = "Suzuki et al. (ICLR 2023)", data.attrs["shown"]
    shown, energy = data.sel(time=list(times)), data.sel(quantity="free energy")
    limit = (shown.error * shown.num_particles - shown.limit) / (
        shown.error_error * shown.num_particles
    )
    linear, growth = (
        (data.linear - data.linear_exact) / data.linear_error,
        data.drift / data.drift_error,
    )
    scaled, scaled_error = (
        data.rest * data.num_particles,
        data.rest_error * data.num_particles,
    )
    for time in times:
        value, error = slope(data.sel(time=time))
        statement, tolerance = (
            f"power of N in the squared error at time {time:g}",
            critical_value(len(times)) * error,
        )
        yield Check.equals(
            statement, f"{uniform}: 1 / N", (value, error), -1.0, tolerance
        )
    statement = "N times the squared error, all points: the farthest from its line"
    yield Check.all_within(
        statement, "exact limit of many particles", limit, critical_value(limit.size)
    )
    statement, unit = (
        "growth of the squared error in time, the fastest of all N",
        "standard errors",
    )
    allowed = critical_value(growth.size)
    yield Check.at_most(
        statement, f"{uniform}: uniform in time", growth.max(), 0.0, allowed, unit
    )
    statement = "squared error at rest over that of independent draws, with its errors"
    upper = (scaled + critical_value(len(scaled)) * scaled_error) / data.independent
    yield Check.at_most(statement, "the loss damps chance", upper.max(), 1.0)
    statement = (
        f"linear clouds, {linear.size} quantities: the farthest from closed forms"
    )
    allowed = critical_value(linear.size, GROUPS)
    yield Check.all_within(statement, "closed forms at every N", linear, allowed)
    statement = "free energy of N particles over its bound, with its errors, the most"
    high = (
        energy.linear + critical_value(energy.linear.size, GROUPS) * energy.linear_error
    )
    yield Check.at_most(
        statement, "Nitanda (NeurIPS 2024)", (high / energy.energy_bound).max(), 1.0
    )

    weight = 1 / scaled_error**2
    rest, rest_error = (
        float((weight * scaled).sum() / weight.sum()),
        float(weight.sum() ** -0.5),
    )
    ratio = data.independent / rest
    yield "N x error at rest", (rest, rest_error)
    yield "its exact limit", data.limit[-1]
    yield "independent / interacting", (ratio, ratio / rest * rest_error)
    yield "smallest bound / free energy", (energy.energy_bound / energy.linear).min()
    step_effect = abs(energy.linear_exact / energy.energy_formula - 1).max()
    yield "share by which the step moves the free energy", step_effect


CLAIM = Claim(__file__, __doc__, measure, panels((6.0, 4.4), 1, draw_times), judge)

if __name__ == "__main__":
    CLAIM.main()
