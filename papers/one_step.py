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
`langevax.teacher_student.simulate_one_step`; lines have nothing fitted. Four panels:

samples    risk against n / d without a step, with a small one (step size 1) and a large one (sqrt(N)), beside the floor
           that kernels and small steps cannot go below
neurons    what a small step gains against N / d: networks with and without it, of the same draws
powers     risk against alpha, step size N^alpha: from small to large steps
spectrum   singular values of the trained first layer: the bulk of the start, and one outlier that points to the teacher
"""

from typing import NamedTuple

import jax
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from tqdm import tqdm

from claims import Check, Claim, Size, Verdict
from langevax.figures import theme
from langevax.teacher_student import simulate_one_step
from langevax.teacher_student.one_step import OneStepRuns
from langevax.theory.feature_learning import (
    activation,
    bulk_density,
    improvement,
    kernel_floor,
    risk_one_step,
    spectrum_one_step,
)

STUDENT = TEACHER = "erf"  # functions of mean 0 under N(0, 1): theory has no others
NEURONS_PER_DIM = 2.0  # of all panels but the second
RIDGE, NOISE = 1e-3, 0.1  # penalty of w^2 beside the mean square; standard deviation of labels
STEPS = ("none", "1", "sqrt(N)")
GAIN_STEPS, GAIN_RATIO, GAIN_RIDGE = (1.0, 3.0), 5.0, 1e-2  # of the second panel
SPECTRUM_STEP = 6.0
LONG_RATIO = 8.0  # n / d of the last two panels

MEAN, MOST = 0.03, 0.07  # relative deviations from theory: their mean, and the largest
ERRORS = 3.5  # standard errors that a paired gain may be off
SPECTRUM = 0.03  # relative, beyond two standard errors
PAPER = "Ba et al."

BLUE, ORANGE, GREEN = theme.OKABE_ITO[:3]
RISK_TICKS = (0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 1.0)
STYLES = {
    "none": (theme.GREY, "o", "no step"),
    "1": (ORANGE, "s", r"step $1$"),
    "sqrt(N)": (BLUE, "^", r"step $\sqrt{N}$"),
}


class Settings(NamedTuple):
    """What a size decides."""

    samples_per_dim: tuple[float, ...]
    widths: tuple[float, ...]
    """N / d of the second panel."""
    powers: tuple[float, ...]
    dim: int
    num_runs: int
    """Networks a point."""
    fine: int
    """Points of a line."""
    num_test: int

    def simulate(self, key: jax.Array, *, step_size: float, samples_per_dim: float, **changes: float) -> OneStepRuns:
        """Networks of one point, at NEURONS_PER_DIM and RIDGE but for changes."""
        student, teacher = activation(STUDENT).traced, activation(TEACHER).traced
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
        neurons = self.num_neurons if finite else None
        law = NEURONS_PER_DIM, RIDGE, step_size, STUDENT, TEACHER, NOISE
        return np.asarray(risk_one_step(samples_per_dim, *law, num_neurons=neurons))


SIZES: dict[Size, Settings] = {
    "full": Settings(
        samples_per_dim=(0.5, 1.0, 3.0, 4.0, 6.0, 8.0, 10.0),
        widths=(0.5, 1.0, 1.5, 2.0, 3.0),
        powers=tuple(float(power) for power in np.linspace(0, 0.5, 6)),
        dim=512,
        num_runs=12,
        fine=48,
        num_test=4096,
    ),
    "small": Settings((1.0, 10.0), (0.5, 2.0), (0.0, 0.5), dim=96, num_runs=6, fine=8, num_test=2048),
}


# ---- measure


def measure(size: Size, seed: int) -> xarray.Dataset:
    """All four panels."""
    settings, panels = SIZES[size], (measure_samples, measure_gains, measure_powers, measure_spectrum)
    keys = jax.random.split(jax.random.key(seed), len(panels))
    bar = tqdm(zip(panels, keys, strict=True), desc="one_step", total=len(panels), disable=None)
    dataset = xarray.merge([panel(settings, key) for panel, key in bar])
    attributes = settings._asdict() | {"student": STUDENT, "teacher": TEACHER, "neurons_per_dim": NEURONS_PER_DIM}
    attributes |= {"ridge": RIDGE, "noise": NOISE, "seed": seed, "size": size}
    return dataset.assign_attrs({k: np.asarray(v) if isinstance(v, tuple) else v for k, v in attributes.items()})


RISK = {"units": "of the teacher's variance where it is 1"}


def measure_samples(settings: Settings, key: jax.Array) -> xarray.Dataset:
    """Risk against n / d for three steps; draws are the same for all of them."""
    ratios = np.array(settings.samples_per_dim)
    steps = np.array([0.0, 1.0, settings.num_neurons**0.5])
    fine = np.geomspace(ratios.min(), ratios.max(), settings.fine)
    risk = np.empty((len(steps), len(ratios), settings.num_runs))
    for i, j in np.ndindex(len(steps), len(ratios)):
        point = {"step_size": float(steps[i]), "samples_per_dim": float(ratios[j])}
        risk[i, j] = settings.simulate(jax.random.fold_in(key, j), **point).risk
    points, lines = ([settings.predict(at, step, bool(step > 1)) for step in steps] for at in (ratios, fine))
    variables = {
        "risk": (("step", "ratio", "run"), risk, RISK),
        "predicted": (("step", "ratio"), points, RISK),
        "line": (("step", "fine_ratio"), lines, RISK),
        "step_size": ("step", steps, {"units": "1"}),
        "floor": ((), kernel_floor(TEACHER), RISK),
    }
    return xarray.Dataset(variables, {"step": list(STEPS), "ratio": ratios, "fine_ratio": fine})


def measure_gains(settings: Settings, key: jax.Array) -> xarray.Dataset:
    """Risk without a small step less the risk with it, by networks of the same draws."""
    widths, steps = np.array(settings.widths), np.array(GAIN_STEPS)
    fine = np.geomspace(widths.min(), widths.max(), settings.fine)
    gain = np.empty((len(steps), len(widths), settings.num_runs))
    for j, width in enumerate(widths):
        point = {"samples_per_dim": GAIN_RATIO, "neurons_per_dim": float(width), "ridge": GAIN_RIDGE}
        stream = jax.random.fold_in(key, j)
        without, *trained = (settings.simulate(stream, step_size=float(step), **point).risk for step in (0.0, *steps))
        gain[:, j] = without - np.array(trained)
    points, lines = (
        improvement(GAIN_RATIO, at, GAIN_RIDGE, steps[:, None], STUDENT, TEACHER, NOISE) for at in (widths, fine)
    )
    variables = {
        "gain": (("gain_step", "width", "run"), gain, RISK),
        "gain_predicted": (("gain_step", "width"), points, RISK),
        "gain_line": (("gain_step", "fine_width"), lines, RISK),
    }
    return xarray.Dataset(variables, {"gain_step": steps, "width": widths, "fine_width": fine})


def measure_powers(settings: Settings, key: jax.Array) -> xarray.Dataset:
    """Risk against alpha, step size N^alpha, with both theories."""
    neurons, powers = settings.num_neurons, settings.powers
    runs = (settings.simulate(key, step_size=float(neurons**power), samples_per_dim=LONG_RATIO) for power in powers)
    risk = np.array([run.risk for run in runs])
    fine = np.linspace(min(powers), max(powers), settings.fine)
    dataset = xarray.Dataset(
        {"power_risk": (("power", "run"), risk, RISK)}, {"power": list(powers), "fine_power": fine}
    )
    for form, finite in (("", True), ("_gaussian", False)):
        points, line = (settings.predict(LONG_RATIO, neurons ** np.asarray(at), finite) for at in (powers, fine))
        dataset[f"power{form or '_predicted'}"] = ("power", points, RISK)
        dataset[f"power{form}_line"] = ("fine_power", line, RISK)
    return dataset


def measure_spectrum(settings: Settings, key: jax.Array) -> xarray.Dataset:
    """Singular values of one trained first layer; the outlier and its direction of all."""
    runs = settings.simulate(key, step_size=SPECTRUM_STEP, samples_per_dim=LONG_RATIO, spectra=True)
    assert runs.singular_values is not None
    assert runs.leading is not None
    theory = spectrum_one_step(NEURONS_PER_DIM, SPECTRUM_STEP, STUDENT, TEACHER, NOISE, LONG_RATIO)
    one, cosine = {"units": "1"}, {"units": "squared cosine"}
    variables = {
        "singular_values": ("value", runs.singular_values[0], one),
        "outlier": ("run", runs.singular_values[:, 0], one),
        "second": ("run", runs.singular_values[:, 1], one),
        "alignment": ("run", runs.leading[:, 0] ** 2, cosine),
        "outlier_predicted": ((), theory.outlier, one),
        "alignment_predicted": ((), theory.alignment, cosine),
        "edges": ("edge", [theory.lower_edge, theory.upper_edge], one),
    }
    return xarray.Dataset(variables, {"edge": ["lower", "upper"]})


# ---- draw


def draw(data: xarray.Dataset) -> Figure:
    """Risk against samples and gain against neurons above; powers of the step and the spectrum below."""
    figure = Figure(figsize=(10.5, 8.0))
    panels = (draw_samples, draw_gains, draw_powers, draw_spectrum)
    for axes, panel in zip(figure.subplots(2, 2).ravel(), panels, strict=True):
        panel(axes, data)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr]
    return figure


def draw_points(
    axes: Axes, x: xarray.DataArray, values: xarray.DataArray, colour: str, marker: str, label: str
) -> None:
    """Means of runs with their standard errors."""
    error = values.std("run", ddof=1) / np.sqrt(values.sizes["run"])
    axes.errorbar(x, values.mean("run"), error, fmt=marker, color=colour, capsize=2, label=label, zorder=3)


def draw_samples(axes: Axes, data: xarray.Dataset) -> None:
    for step, (colour, marker, label) in STYLES.items():
        row = data.sel(step=step)
        axes.plot(data.fine_ratio, row.line, color=colour, label=f"{label}, predicted")
        draw_points(axes, data.ratio, row.risk, colour, marker, label)
    axes.set(xscale="log", yscale="log", xlabel="samples per dimension $n/d$", ylabel="risk")
    axes.set_title(f"Only the large step passes the floor (N/d = {NEURONS_PER_DIM:g})")
    draw_floor(axes, data, float(data.ratio[0]))
    last = float(data.fine_ratio[-1])
    guide, height = np.array([last / 2.5, last]), float(data.line.sel(step="sqrt(N)")[-1]) / 1.5
    axes.plot(guide, height * last / guide, color=theme.INK, linewidth=0.9)
    axes.text(guide[1], height, "$d/n$ ", ha="right", va="top")
    axes.legend(handles=axes.containers, loc="upper right")
    set_ticks(axes.xaxis, data.ratio.values)
    low, high = axes.get_ylim()
    set_ticks(axes.yaxis, np.array([tick for tick in RISK_TICKS if low < tick < high]))


def set_ticks(axis: Axis, ticks: np.ndarray) -> None:
    """With plain numbers, and none between them."""
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_formatter(NullFormatter())


def draw_floor(axes: Axes, data: xarray.Dataset, x: float) -> None:
    axes.axhline(float(data.floor), color=theme.INK, linestyle="--", linewidth=0.9)
    text = "floor of kernels and small steps"
    axes.annotate(text, (x, float(data.floor)), (0, 3), textcoords="offset points", ha="left", va="bottom")


def draw_gains(axes: Axes, data: xarray.Dataset) -> None:
    for step, colour, marker in zip(data.gain_step.values, (ORANGE, GREEN), ("s", "D"), strict=True):
        row = data.sel(gain_step=step)
        axes.plot(data.fine_width, row.gain_line, color=colour, label=f"step ${step:g}$, predicted")
        draw_points(axes, data.width, row.gain, colour, marker, f"step ${step:g}$")
    axes.axhline(0, color=theme.INK, linewidth=0.8)
    axes.set(xlabel="neurons per dimension $N/d$", ylabel="risk without the step less risk with it")
    axes.set_title(f"What a small step gains (n/d = {GAIN_RATIO:g}, ridge {GAIN_RIDGE:g})")
    axes.legend(handles=axes.containers, loc="upper right")


def draw_powers(axes: Axes, data: xarray.Dataset) -> None:
    axes.plot(data.fine_power, data.power_gaussian_line, color=theme.GREY, linestyle=":", label="Gaussian form")
    axes.plot(data.fine_power, data.power_line, color=BLUE, label="unified form")
    draw_points(axes, data.power, data.power_risk, BLUE, "^", "simulated")
    draw_floor(axes, data, 0.0)
    axes.set(ylim=(0, None), xlabel=r"$\alpha$, for a step of size $N^\alpha$", ylabel="risk")
    axes.set_title(f"From small to large steps (n/d = {LONG_RATIO:g})")
    axes.legend(loc="lower left")


def draw_spectrum(axes: Axes, data: xarray.Dataset) -> None:
    low, high = data.edges.values
    axes.hist(data.singular_values[1:], bins=30, density=True, color=theme.faint(BLUE), label="bulk, one network")
    grid = np.linspace(low, high, 400)
    axes.plot(grid, bulk_density(grid, NEURONS_PER_DIM), color=BLUE, label="Marchenko-Pastur")
    height, outlier = 0.04 * axes.get_ylim()[1], float(data.outlier_predicted)
    axes.plot(data.outlier, np.full(data.sizes["run"], height), "^", color=ORANGE, label="outlier, simulated")
    if np.isfinite(outlier):
        axes.axvline(outlier, ymax=0.48, color=ORANGE, linestyle="--", label="outlier, predicted")
    cosine, predicted = float(data.alignment.mean()), float(data.alignment_predicted)
    text = f"squared cosine\nwith the teacher\n{cosine:.3f}, predicted {predicted:.3f}"
    axes.text(0.98, 0.5, text, transform=axes.transAxes, ha="right", va="bottom", color=ORANGE)
    axes.set(xlabel="singular values of the first layer", ylabel="density")
    axes.set_title(f"One direction leaves the bulk (step {SPECTRUM_STEP:g})")
    axes.legend(loc="upper right")


# ---- judge


def mean_with_error(values: xarray.DataArray) -> tuple[float, float]:
    """Over runs."""
    return float(values.mean("run")), float(values.std("run", ddof=1)) / np.sqrt(values.sizes["run"])


def least(risk: xarray.DataArray) -> tuple[float, float]:
    """The least mean of all points, and its standard error."""
    points = risk.stack(point=("step", "ratio"))
    return mean_with_error(points.isel(point=int(np.argmin(points.mean("run").values))))


def deviations(risk: xarray.DataArray, predicted: xarray.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs relative to its prediction, less 1, and its standard error."""
    mean, error = risk.mean("run"), risk.std("run", ddof=1) / np.sqrt(risk.sizes["run"])
    return (mean / predicted - 1).values, (error / predicted).values


def judge(data: xarray.Dataset) -> Verdict:
    """Points beside their lines, who is below the floor, and the outlier."""
    deviation, error = deviations(data.risk, data.predicted)
    power_deviation, power_error = deviations(data.power_risk, data.power_predicted)
    closed, unified = deviation[:2].ravel(), np.concatenate([deviation[2], power_deviation])
    noise = max(float(error.mean()), float(power_error.mean()))  # of the measurement itself
    means = float(np.abs(closed).mean()), float(np.abs(unified).mean())
    points, errors = np.concatenate([closed, unified]), np.concatenate([error.ravel(), power_error])
    far, most, forms = int(np.argmax(np.abs(points))), MOST + 2 * noise, "closed and unified form"
    gain = data.gain.mean("run") - data.gain_predicted
    gain_off = float(np.abs(gain / data.gain.std("run", ddof=1)).max()) * np.sqrt(data.sizes["run"])

    last = data.sel(step="sqrt(N)").isel(ratio=-1)
    (value, value_error), predicted = mean_with_error(last.risk), float(last.predicted)
    statement = f"risk after the large step with {float(last.ratio):g} d rows"
    checks = [Check(statement, "unified form", value, predicted, most * predicted, error=value_error)]
    statement = "relative distance of mean risks from their lines, the worse form"
    checks.append(Check(statement, forms, max(means), 0.0, MEAN + noise, "at most"))
    statement, value = "relative distance of the point farthest from its line", float(np.abs(points[far]))
    checks.append(Check(statement, forms, value, 0.0, most, "at most", float(errors[far])))
    statement, unit = "what a small step gains: the point farthest from its line", "standard errors"
    checks.append(Check(statement, f"{PAPER}, Theorem 5", gain_off, 0.0, ERRORS, "at most", unit=unit))
    checks.extend(check_floor(data))
    last = data.isel(power=-1)  # the Gaussian form is proved for small steps: its miss of the longest is predicted too
    form, (value, value_error) = float(last.power_gaussian), mean_with_error(last.power_risk)
    statement, predicted = "risk after the longest step, as a share of the Gaussian form's", float(last.power_predicted)
    share, predicted = value / form, predicted / form
    checks.append(Check(statement, "unified form", share, predicted, most * predicted, error=value_error / form))
    for name, statement in (
        ("outlier", f"singular value that leaves the bulk, step {SPECTRUM_STEP:g}"),
        ("alignment", "squared cosine of its direction with the teacher's"),
    ):
        (value, value_error), predicted = mean_with_error(data[name]), float(data[f"{name}_predicted"])
        tolerance, source = SPECTRUM * predicted + 2 * value_error, f"{PAPER}, Proposition 2"
        checks.append(Check(statement, source, value, predicted, tolerance, error=value_error))

    numbers = {"closed, mean deviation": means[0], "closed, largest": float(np.abs(closed).max())}
    numbers |= {"unified, mean deviation": means[1], "unified, largest": float(np.abs(unified).max())}
    numbers |= {"standard error of a point, mean": noise}
    return Verdict(tuple(checks), summary(data, numbers, gain_off), numbers)


def check_floor(data: xarray.Dataset) -> list[Check]:
    """Not every teacher's floor is passed: where prediction and measurement do not pass it, large steps have no check.

    A prediction passes it that is below by more than predictions may be off.
    """
    floor = float(data.floor)
    lazy, large = least(data.risk.sel(step=["none", "1"])), least(data.risk.sel(step=["sqrt(N)"]))
    statement, source = "least risk without a step or with a small one: above the floor", "Proposition 1 and Fact 4"
    checks = [Check(statement, f"{PAPER}, {source}", lazy[0], floor, 0.0, "at least", lazy[1])]
    if float(data.predicted.sel(step="sqrt(N)").min()) < (1 - MOST) * floor or large[0] < floor:
        statement, source = "least risk after the large step: below the floor", "Theorem 7 and Corollary 8"
        checks.append(Check(statement, f"{PAPER}, {source}", large[0], floor, 0.0, "at most", large[1]))
    return checks


def summary(data: xarray.Dataset, numbers: dict[str, float], gain_off: float) -> str:
    floor, large_risk = float(data.floor), data.risk.sel(step="sqrt(N)").mean("run")
    lazy = float(data.risk.sel(step=["none", "1"]).mean("run").min())
    crossed = large_risk.ratio.values[large_risk.values < floor]
    where = f"from n/d = {crossed.min():g} on" if len(crossed) else "nowhere"
    gaussian_deviation, _ = deviations(data.power_risk, data.power_gaussian)
    outlier, aligned = (float(data[n].mean() / data[f"{n}_predicted"]) - 1 for n in ("outlier", "alignment"))
    return (
        f"Points are off their lines by {numbers['closed, mean deviation']:.1%} on average and "
        f"{numbers['closed, largest']:.1%} at most without a step and with step 1 (closed form), by "
        f"{numbers['unified, mean deviation']:.1%} and {numbers['unified, largest']:.1%} for larger ones (unified "
        f"form), where their own standard error is {numbers['standard error of a point, mean']:.1%}; at n/d = "
        f"{LONG_RATIO:g} the Gaussian form is off by up to {np.abs(gaussian_deviation).max():.0%}. Gains of a small "
        f"step are within {gain_off:.1f} standard errors. The floor is {floor:.4f}: small steps stay above "
        f"({lazy:.4f} at best), the step sqrt(N) is below it {where} ({float(large_risk.min()):.4f} at best). The "
        f"outlier is off by {outlier:+.1%}, its squared cosine with the teacher by {aligned:+.1%}."
    )


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
