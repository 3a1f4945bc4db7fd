"""One large gradient step on the first layer passes the floor of linear learning, which no small step does.

Claim: One gradient step on the first layer of N neurons, from n rows of d inputs, improves the features: a small step
(size 1) by a predictable amount that never passes the floor of linear learning, a large one (size sqrt(N)) below that
floor, like d / n.

Formula:
    W_1 = W_0 + eta sqrt(N) G:    R >= ||f*_{>1}||^2  for eta = Theta(1),    R = O(d / n)  for eta = Theta(sqrt(N))

Source: Ba, Erdogdu, Suzuki, Wang, Wu, Yang (NeurIPS 2022), Theorems 3, 5, 7, Corollary 8 and Figure 3; lines by the
closed and the unified form of langevax.theory.feature_learning.

Figure: Points on their lines. Left above: only the large step crosses the dashed floor, and then falls like d / n.
Right above: what a small step gains fades as networks widen. Left below: the Gaussian form (dotted) misses large
steps, which the unified form (solid) meets. Right below: one singular value left the bulk.

R is the risk of ridge regression on the trained features. Points are means of independent networks, trained by
`langevax.teacher_student.simulate_one_step`; lines have nothing fitted. Gains are of networks of the same draws.
"""

from typing import NamedTuple

import jax
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from claims import Check, Claim, Size, Variables, Verdict, dataset, sweep, variables
from drawing import level, note, panels, points, ticks
from estimates import critical_value, mean_and_error
from langevax.figures import theme
from langevax.teacher_student import simulate_one_step
from langevax.teacher_student.one_step import OneStepRuns
from langevax.theory import feature_learning as theory

STUDENT = TEACHER = "erf"  # functions of mean 0 under N(0, 1): theory has no others
NEURONS_PER_DIM = 2.0  # of all panels but the second
RIDGE, NOISE = 1e-3, 0.1  # penalty of w^2 beside the mean square; standard deviation of labels
GAIN_STEPS, GAIN_RATIO, GAIN_RIDGE = (1.0, 3.0), 5.0, 1e-2  # of the second panel
SPECTRUM_STEP = 6.0
LONG_RATIO = 8.0  # n / d of the last two panels

# Lines are for d to infinity. Risks after the large step with 10 d rows are below theirs by 16.0 +- 1.2 % at d = 48,
# 9.4 +- 1.2 % at d = 96 and 4.1 +- 1.7 % at d = 192: by FINITE / d.
FINITE = 8.0
MEAN, MOST = 0.03, 0.07  # relative deviations from theory at a d where FINITE / d is less: their mean, and the largest
SPECTRUM = 0.03  # relative, beyond two standard errors
PAPER, RISK = "Ba et al.", "of the teacher's variance where it is 1"

BLUE, ORANGE, GREEN = theme.OKABE_ITO[:3]
STYLES = {
    "none": ((theme.GREY, "o"), "no step"),
    "1": ((ORANGE, "s"), r"step $1$"),
    "sqrt(N)": ((BLUE, "^"), r"step $\sqrt{N}$"),
}


class Settings(NamedTuple):
    """Settings of a size."""

    samples_per_dim: tuple[float, ...]
    widths: tuple[float, ...]  # N / d of the second panel
    powers: tuple[float, ...]
    dim: int
    num_runs: int  # networks a point
    fine: int  # points of a line
    num_test: int

    def simulate(self, key: jax.Array, *, step_size: float, samples_per_dim: float, **changes: float) -> OneStepRuns:
        """Networks of one point, at NEURONS_PER_DIM and RIDGE but for changes."""
        student, teacher = theory.activation(STUDENT).traced, theory.activation(TEACHER).traced
        size = {"dim": self.dim, "num_runs": self.num_runs, "num_test": self.num_test}
        options = {"neurons_per_dim": NEURONS_PER_DIM, "ridge": RIDGE, "spectra": False} | size | changes
        point = {"step_size": step_size, "samples_per_dim": samples_per_dim, "noise": NOISE}
        return simulate_one_step(key=key, student=student, teacher=teacher, **point, **options)  # type: ignore[arg-type]

    @property
    def num_neurons(self) -> int:
        """N of all panels but the second."""
        return round(NEURONS_PER_DIM * self.dim)

    def predict(self, samples_per_dim: float | np.ndarray, step_size: float | np.ndarray, finite: bool) -> np.ndarray:
        """The risk by theory; where `finite` by the unified form at the number of neurons that is simulated."""
        law = NEURONS_PER_DIM, RIDGE, step_size, STUDENT, TEACHER, NOISE
        neurons = self.num_neurons if finite else None
        return np.asarray(theory.risk_one_step(samples_per_dim, *law, num_neurons=neurons))


SIZES: dict[Size, Settings] = {
    "full": Settings(
        (0.5, 1.0, 3.0, 4.0, 6.0, 8.0, 10.0),
        (0.5, 1.0, 1.5, 2.0, 3.0),
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        512,
        12,
        48,
        4096,
    ),
    "small": Settings((1.0, 10.0), (0.5, 2.0), (0.0, 0.5), dim=96, num_runs=6, fine=8, num_test=2048),
}


# ---- measure


def measure(size: Size, seed: int) -> xarray.Dataset:
    """All four panels."""
    settings, parts = SIZES[size], (measure_samples, measure_gains, measure_powers, measure_spectrum)
    keys = jax.random.split(jax.random.key(seed), len(parts))
    measured = [part(settings, key) for part, key in zip(parts, keys, strict=True)]
    return dataset({"step": list(STYLES)}, *measured, dim=settings.dim, num_runs=settings.num_runs, seed=seed)


def measure_samples(settings: Settings, key: jax.Array) -> Variables:
    """Risk against n / d for three steps; draws are the same for all of them."""
    ratios, steps = np.array(settings.samples_per_dim), np.array([0.0, 1.0, settings.num_neurons**0.5])

    def risk_against_samples(step: float, j: int) -> dict[str, np.ndarray]:
        stream = jax.random.fold_in(key, j)
        return {"risk": settings.simulate(stream, step_size=step, samples_per_dim=ratios[j]).risk}

    fine = np.geomspace(ratios.min(), ratios.max(), settings.fine)
    predicted, line = ([settings.predict(at, step, bool(step > 1)) for step in steps] for at in (ratios, fine))
    return {
        **variables("step ratio run", RISK, **sweep(risk_against_samples, steps, range(len(ratios)))),
        **variables("step ratio", RISK, predicted=predicted),
        **variables("step fine_ratio", RISK, line=line),
        **variables("", RISK, floor=theory.kernel_floor(TEACHER)),
        **variables("ratio", "n / d", ratio=ratios),
        **variables("fine_ratio", "n / d", fine_ratio=fine),
    }


def measure_gains(settings: Settings, key: jax.Array) -> Variables:
    """Risk without a small step less the risk with it, by networks of the same draws."""
    widths, steps = np.array(settings.widths), np.array(GAIN_STEPS)

    def gain_against_neurons(j: int) -> dict[str, np.ndarray]:
        point = {"samples_per_dim": GAIN_RATIO, "neurons_per_dim": settings.widths[j], "ridge": GAIN_RIDGE}
        stream = jax.random.fold_in(key, j)
        without, *trained = (settings.simulate(stream, step_size=step, **point).risk for step in (0.0, *GAIN_STEPS))
        return {"gain": without - np.array(trained)}

    fine = np.geomspace(widths.min(), widths.max(), settings.fine)
    predicted, line = (
        theory.improvement(GAIN_RATIO, at[:, None], GAIN_RIDGE, steps, STUDENT, TEACHER, NOISE) for at in (widths, fine)
    )
    return {
        **variables("width gain_step run", RISK, **sweep(gain_against_neurons, range(len(widths)))),
        **variables("width gain_step", RISK, gain_predicted=predicted),
        **variables("fine_width gain_step", RISK, gain_line=line),
        **variables("gain_step", "step size", gain_step=steps),
        **variables("width", "N / d", width=widths),
        **variables("fine_width", "N / d", fine_width=fine),
    }


def measure_powers(settings: Settings, key: jax.Array) -> Variables:
    """Risk against alpha, step size N^alpha, with both theories."""
    neurons, powers = settings.num_neurons, np.array(settings.powers)
    runs = [settings.simulate(key, step_size=neurons**power, samples_per_dim=LONG_RATIO) for power in settings.powers]
    fine = np.linspace(powers.min(), powers.max(), settings.fine)
    (unified, line), (gaussian, gaussian_line) = (
        [settings.predict(LONG_RATIO, neurons**at, finite) for at in (powers, fine)] for finite in (True, False)
    )
    return {
        **variables("power run", RISK, power_risk=[run.risk for run in runs]),
        **variables("power", RISK, power_predicted=unified, power_gaussian=gaussian),
        **variables("fine_power", RISK, power_line=line, power_gaussian_line=gaussian_line),
        **variables("power", "1", power=powers),
        **variables("fine_power", "1", fine_power=fine),
    }


def measure_spectrum(settings: Settings, key: jax.Array) -> Variables:
    """Singular values of one trained first layer; the outlier and its direction of all."""
    runs = settings.simulate(key, step_size=SPECTRUM_STEP, samples_per_dim=LONG_RATIO, spectra=True)
    assert runs.singular_values is not None
    assert runs.leading is not None
    spectrum = theory.spectrum_one_step(NEURONS_PER_DIM, SPECTRUM_STEP, STUDENT, TEACHER, NOISE, LONG_RATIO)
    return {
        **variables("value", "1", singular_values=runs.singular_values[0]),
        **variables("run", "1", outlier=runs.singular_values[:, 0]),
        **variables("run", "squared cosine", alignment=runs.leading[:, 0] ** 2),
        **variables("", "1", outlier_predicted=spectrum.outlier),
        **variables("", "squared cosine", alignment_predicted=spectrum.alignment),
        **variables("edge", "1", edges=[spectrum.lower_edge, spectrum.upper_edge]),
    }


# ---- draw


def draw(data: xarray.Dataset) -> Figure:
    return panels(data, (10.5, 8.0), 2, draw_samples, draw_gains, draw_powers, draw_spectrum)


def draw_samples(axes: Axes, data: xarray.Dataset) -> None:
    for step, (style, label) in STYLES.items():
        row = data.sel(step=step)
        axes.plot(data.fine_ratio, row.line, color=style[0])
        points(axes, data.ratio, mean_and_error(row.risk, "run"), style, label)
    level(axes, data.floor, "floor of kernels and small steps", linestyle="--", linewidth=0.9)
    last = float(data.fine_ratio[-1])
    guide, height = np.array([last / 2.5, last]), float(data.line.sel(step="sqrt(N)")[-1]) / 1.5
    axes.plot(guide, height * last / guide, color=theme.INK, linewidth=0.9, label="$d/n$")
    ticks(axes, data.ratio)
    axes.set(yscale="log", xlabel="samples per dimension $n/d$", ylabel="risk")
    axes.set_title(f"Only the large step passes the floor (N/d = {NEURONS_PER_DIM:g})")
    axes.legend(loc="upper right")


def draw_gains(axes: Axes, data: xarray.Dataset) -> None:
    for step, style in zip(data.gain_step.values, ((ORANGE, "s"), (GREEN, "D")), strict=True):
        row = data.sel(gain_step=step)
        axes.plot(data.fine_width, row.gain_line, color=style[0])
        points(axes, data.width, mean_and_error(row.gain, "run"), style, f"step ${step:g}$")
    axes.axhline(0, color=theme.INK, linewidth=0.8)
    axes.set(xlabel="neurons per dimension $N/d$", ylabel="risk without the step less risk with it")
    axes.set_title(f"What a small step gains (n/d = {GAIN_RATIO:g}, ridge {GAIN_RIDGE:g})")
    axes.legend(loc="upper right")


def draw_powers(axes: Axes, data: xarray.Dataset) -> None:
    axes.plot(data.fine_power, data.power_gaussian_line, color=theme.GREY, linestyle=":", label="Gaussian form")
    axes.plot(data.fine_power, data.power_line, color=BLUE, label="unified form")
    points(axes, data.power, mean_and_error(data.power_risk, "run"), (BLUE, "^"), "simulated")
    level(axes, data.floor, "floor of kernels and small steps", linestyle="--", linewidth=0.9)
    axes.set(ylim=(0, None), xlabel=r"$\alpha$, for a step of size $N^\alpha$", ylabel="risk")
    axes.set_title(f"From small to large steps (n/d = {LONG_RATIO:g})")
    axes.legend(loc="lower left")


def draw_spectrum(axes: Axes, data: xarray.Dataset) -> None:
    axes.hist(data.singular_values[1:], bins=30, density=True, color=theme.faint(BLUE), label="bulk, one network")
    low, high = data.edges.values
    grid = np.linspace(low, high, 400)
    axes.plot(grid, theory.bulk_density(grid, NEURONS_PER_DIM), color=BLUE, label="Marchenko-Pastur")
    height, outlier = 0.04 * axes.get_ylim()[1], float(data.outlier_predicted)
    axes.plot(data.outlier, np.full(data.sizes["run"], height), "^", color=ORANGE, label="outlier, simulated")
    if np.isfinite(outlier):
        axes.axvline(outlier, ymax=0.48, color=ORANGE, linestyle="--", label="outlier, predicted")
    cosine, predicted = float(data.alignment.mean()), float(data.alignment_predicted)
    text = f"squared cosine\nwith the teacher\n{cosine:.3f}, predicted {predicted:.3f}"
    note(axes, text, 0.98, 0.5, ORANGE, va="bottom")
    axes.set(xlabel="singular values of the first layer", ylabel="density")
    axes.set_title(f"One direction leaves the bulk (step {SPECTRUM_STEP:g})")
    axes.legend(loc="upper right")


# ---- judge


def least(risk: xarray.DataArray) -> tuple[float, float]:
    """The least mean of all points, and its standard error."""
    mean, error = (np.ravel(part) for part in mean_and_error(risk, "run"))
    return mean[np.argmin(mean)], error[np.argmin(mean)]


def deviations(risk: xarray.DataArray, predicted: xarray.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs relative to its prediction, less 1, and its standard error."""
    mean, error = mean_and_error(risk, "run")
    return mean / predicted.values - 1, error / predicted.values


def judge(data: xarray.Dataset) -> Verdict:
    """Points beside their lines, who is below the floor, and the outlier."""
    deviation, error = deviations(data.risk, data.predicted)
    power_deviation, power_error = deviations(data.power_risk, data.power_predicted)
    closed, unified = deviation[:2].ravel(), np.concatenate([deviation[2], power_deviation])
    noise = max(error.mean(), power_error.mean())  # of the measurement itself
    distance, errors = np.abs([*closed, *unified]), np.array([*error.ravel(), *power_error])
    far, most, forms = int(np.argmax(distance)), MOST + 2 * noise, "closed and unified form"

    last = data.sel(step="sqrt(N)").isel(ratio=-1)
    statement = f"risk after the large step with {float(last.ratio):g} d rows"
    measured, tolerance = mean_and_error(last.risk, "run"), most * last.predicted
    checks = [Check.equals(statement, "unified form", measured, last.predicted, tolerance)]
    statement = "relative distance of mean risks from their lines, the worse form"
    worse, tolerance = max(np.abs(closed).mean(), np.abs(unified).mean()), max(MEAN, FINITE / data.attrs["dim"]) + noise
    checks.append(Check.at_most(statement, forms, worse, 0, tolerance))
    statement = "relative distance of the point farthest from its line"
    checks.append(Check.at_most(statement, forms, (distance[far], errors[far]), 0, most))
    statement, source = "what a small step gains: the point farthest from its line", f"{PAPER}, Theorem 5"
    gain, error = mean_and_error(data.gain, "run")
    z = (gain - data.gain_predicted.values) / error
    checks.append(Check.all_within(statement, source, z, critical_value(z.size, data.sizes["run"])))
    statement, source = "least risk without a step or with a small one: above the floor", "Proposition 1 and Fact 4"
    small, large = least(data.risk.sel(step=["none", "1"])), least(data.risk.sel(step=["sqrt(N)"]))
    checks.append(Check.at_least(statement, f"{PAPER}, {source}", small, data.floor))
    statement, source = "least risk after the large step: below the floor", "Theorem 7 and Corollary 8"
    checks.append(Check.at_most(statement, f"{PAPER}, {source}", large, data.floor))
    last = data.isel(power=-1)  # the Gaussian form is proved for small steps: its miss of the longest is predicted too
    statement = "risk after the longest step, as a share of the Gaussian form's"
    (value, error), form = mean_and_error(last.power_risk, "run"), float(last.power_gaussian)
    share, predicted = (value / form, error / form), last.power_predicted / form
    checks.append(Check.equals(statement, "unified form", share, predicted, most * predicted))
    for name, statement in (
        ("outlier", f"singular value that leaves the bulk, step {SPECTRUM_STEP:g}"),
        ("alignment", "squared cosine of its direction with the teacher's"),
    ):
        (value, error), predicted = mean_and_error(data[name]), data[f"{name}_predicted"]
        tolerance, source = SPECTRUM * predicted + 2 * error, f"{PAPER}, Proposition 2"
        checks.append(Check.equals(statement, source, (value, error), predicted, tolerance))

    numbers = {
        f"{form}, mean relative distance": np.abs(off).mean()
        for form, off in (("closed form", closed), ("unified form", unified))
    }
    gaussian, _ = deviations(data.power_risk, data.power_gaussian)
    numbers |= {"Gaussian form, largest relative distance from steps N^alpha": np.abs(gaussian).max()}
    return Verdict(checks, numbers | {"standard error of a point, relative, mean": noise})


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
