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

from typing import Any

import jax
import numpy as np
import xarray
from matplotlib.axes import Axes

from claims import Check, Claim, Findings, Size, dataset, variables
from drawing import level, note, panels, points, ticks
from estimates import critical_value, mean_and_error
from langevax.figures import theme
from langevax.teacher_student import simulate_one_step
from langevax.teacher_student.one_step import OneStepRuns
from langevax.theory import feature_learning as theory

STUDENT = TEACHER = "erf"  # functions of mean 0 under N(0, 1): theory has no others
NEURONS_PER_DIM = 2.0  # of all panels but the second
RIDGE, NOISE = (
    1e-3,
    0.1,
)  # penalty of w^2 beside the mean square; standard deviation of labels
GAIN_STEPS, GAIN_RATIO, GAIN_RIDGE = (1.0, 3.0), 5.0, 1e-2  # of the second panel
SPECTRUM_STEP = 6.0
LONG_RATIO = 8.0  # n / d of the last two panels

# Lines are for d to infinity. Risks after the large step with 10 d rows are below theirs by 16.0 +- 1.2 % at d = 48,
# 9.4 +- 1.2 % at d = 96 and 4.1 +- 1.7 % at d = 192: by FINITE / d.
FINITE = 8.0
MEAN, MOST = (
    0.03,
    0.07,
)  # relative deviations from theory at a d where FINITE / d is less: their mean, and the largest
SPECTRUM = 0.03  # relative, beyond two standard errors
PAPER, RISK = "Ba et al.", "of the teacher's variance where it is 1"

BLUE, ORANGE, GREEN = theme.OKABE_ITO[:3]
STYLES = {
    "none": ((theme.GREY, "o"), "no step"),
    "1": ((ORANGE, "s"), r"step $1$"),
    "sqrt(N)": ((BLUE, "^"), r"step $\sqrt{N}$"),
}

SIZES: dict[Size, dict[str, int]] = {
    "full": {"dim": 512, "num_runs": 12, "num_test": 4096},  # networks a point
    "small": {"dim": 96, "num_runs": 6, "num_test": 2048},
}
AXES: dict[
    Size, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], int]
] = {
    # n / d, N / d of the second panel, alpha, and points of a line
    "full": (
        (0.5, 1.0, 3.0, 4.0, 6.0, 8.0, 10.0),
        (0.5, 1.0, 1.5, 2.0, 3.0),
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        48,
    ),
    "small": ((1.0, 10.0), (0.5, 2.0), (0.0, 0.5), 8),
}


def predict(
    samples_per_dim: float | np.ndarray,
    step_size: float | np.ndarray,
    num_neurons: int | None,
) -> np.ndarray:
    """The risk by theory: by the unified form at a number of neurons, by the Gaussian form without one."""
    law = NEURONS_PER_DIM, RIDGE, step_size, STUDENT, TEACHER, NOISE
    return np.asarray(
        theory.errors_one_step(samples_per_dim, *law, num_neurons=num_neurons).risk
    )


def measure(size: Size, seed: int) -> xarray.Dataset:
    """Points and lines of all four panels; draws of a panel are the same for all of its steps."""
    keys, neurons = (
        jax.random.split(jax.random.key(seed), 4),
        round(NEURONS_PER_DIM * SIZES[size]["dim"]),
    )
    *axes, count = AXES[size]
    ratios, widths, powers = map(np.array, axes)
    fine = {
        "fine_ratio": (np.geomspace(ratios.min(), ratios.max(), count), "n / d"),
        "fine_width": (np.geomspace(widths.min(), widths.max(), count), "N / d"),
        "fine_power": (np.linspace(powers.min(), powers.max(), count), "1"),
    }
    options: dict[str, Any] = {
        "neurons_per_dim": NEURONS_PER_DIM,
        "ridge": RIDGE,
        "noise": NOISE,
    } | SIZES[size]
    options |= {
        "student": theory.activation(STUDENT).traced,
        "teacher": theory.activation(TEACHER).traced,
    }

    def networks(
        key: jax.Array, step_size: float, samples_per_dim: float, **changes: Any
    ) -> OneStepRuns:
        point: dict[str, Any] = {
            "step_size": step_size,
            "samples_per_dim": samples_per_dim,
        }
        return simulate_one_step(key=key, **options | point | changes)

    steps = {
        0.0: None,
        1.0: None,
        neurons**0.5: neurons,
    }  # and the number of neurons where the form is the unified one
    streams = [jax.random.fold_in(keys[0], j) for j in range(len(ratios))]
    risk = [
        [
            networks(k, step, n).risk
            for k, n in zip(streams, ratios.tolist(), strict=True)
        ]
        for step in steps
    ]
    predicted, line = (
        [predict(at, *step) for step in steps.items()]
        for at in (ratios, fine["fine_ratio"][0])
    )

    gains = []
    for j, width in enumerate(widths.tolist()):
        stream, changes = (
            jax.random.fold_in(keys[1], j),
            {"neurons_per_dim": width, "ridge": GAIN_RIDGE},
        )
        without, *trained = (
            networks(stream, step, GAIN_RATIO, **changes).risk
            for step in (0.0, *GAIN_STEPS)
        )
        gains.append(without - np.array(trained))
    small = np.array(GAIN_STEPS), STUDENT, TEACHER, NOISE
    gain_predicted, gain_line = (
        theory.improvement(GAIN_RATIO, at[:, None], GAIN_RIDGE, *small)
        for at in (widths, fine["fine_width"][0])
    )

    power_risk = [
        networks(keys[2], neurons**power, LONG_RATIO).risk for power in powers.tolist()
    ]
    (unified, power_line), (gaussian, gaussian_line) = (
        [
            predict(LONG_RATIO, neurons**at, form)
            for at in (powers, fine["fine_power"][0])
        ]
        for form in (neurons, None)
    )

    runs = networks(keys[3], SPECTRUM_STEP, LONG_RATIO)
    first = np.array([np.linalg.svd(layer)[0][0, 0] for layer in runs.weights])
    spectrum = theory.spectrum_one_step(
        NEURONS_PER_DIM, SPECTRUM_STEP, STUDENT, TEACHER, NOISE, LONG_RATIO
    )
    return dataset(
        {"step": list(STYLES), "gain_step": (GAIN_STEPS, "step size")}
        | {
            "ratio": (ratios, "n / d"),
            "width": (widths, "N / d"),
            "power": (powers, "1"),
            **fine,
        },
        variables("step ratio run", RISK, risk=risk),
        variables("step ratio", RISK, predicted=predicted),
        variables("step fine_ratio", RISK, line=line),
        variables("", RISK, floor=theory.kernel_floor(TEACHER)),
        variables("width gain_step run", RISK, gain=gains),
        variables("width gain_step", RISK, gain_predicted=gain_predicted),
        variables("fine_width gain_step", RISK, gain_line=gain_line),
        variables("power run", RISK, power_risk=power_risk),
        variables("power", RISK, power_predicted=unified, power_gaussian=gaussian),
        variables(
            "fine_power", RISK, power_line=power_line, power_gaussian_line=gaussian_line
        ),
        variables("value", "1", singular_values=runs.singular_values[0]),
        variables("run", "1", outlier=runs.singular_values[:, 0]),
        variables("run", "squared cosine", alignment=first**2),
        variables("", "1", outlier_predicted=spectrum.outlier),
        variables("", "squared cosine", alignment_predicted=spectrum.alignment),
        variables("edge", "1", edges=[spectrum.lower_edge, spectrum.upper_edge]),
        dim=SIZES[size]["dim"],
    )


def draw_samples(axes: Axes, data: xarray.Dataset) -> None:
    for step, (style, label) in STYLES.items():
        row = data.sel(step=step)
        axes.plot(data.fine_ratio, row.line, color=style[0])
        points(axes, data.ratio, mean_and_error(row.risk, "run"), style, label)
    level(
        axes,
        data.floor,
        "floor of kernels and small steps",
        linestyle="--",
        linewidth=0.9,
    )
    last, height = float(data.fine_ratio[-1]), float(data.line[-1, -1]) / 1.5
    axes.plot(
        [last / 2.5, last],
        [2.5 * height, height],
        color=theme.INK,
        linewidth=0.9,
        label="$d/n$",
    )
    ticks(axes, data.ratio)
    axes.set(yscale="log", xlabel="samples per dimension $n/d$", ylabel="risk")
    axes.set_title(f"Only the large step passes the floor (N/d = {NEURONS_PER_DIM:g})")
    axes.legend(loc="upper right")


def draw_gains(axes: Axes, data: xarray.Dataset) -> None:
    for step, style in zip(
        data.gain_step.values, ((ORANGE, "s"), (GREEN, "D")), strict=True
    ):
        row = data.sel(gain_step=step)
        axes.plot(data.fine_width, row.gain_line, color=style[0])
        points(
            axes, data.width, mean_and_error(row.gain, "run"), style, f"step ${step:g}$"
        )
    axes.axhline(0, color=theme.INK, linewidth=0.8)
    axes.set(
        xlabel="neurons per dimension $N/d$",
        ylabel="risk without the step less risk with it",
    )
    axes.set_title(
        f"What a small step gains (n/d = {GAIN_RATIO:g}, ridge {GAIN_RIDGE:g})"
    )
    axes.legend(loc="upper right")


def draw_powers(axes: Axes, data: xarray.Dataset) -> None:
    axes.plot(
        data.fine_power,
        data.power_gaussian_line,
        color=theme.GREY,
        linestyle=":",
        label="Gaussian form",
    )
    axes.plot(data.fine_power, data.power_line, color=BLUE, label="unified form")
    points(
        axes,
        data.power,
        mean_and_error(data.power_risk, "run"),
        (BLUE, "^"),
        "simulated",
    )
    level(
        axes,
        data.floor,
        "floor of kernels and small steps",
        linestyle="--",
        linewidth=0.9,
    )
    axes.set(
        ylim=(0, None), xlabel=r"$\alpha$, for a step of size $N^\alpha$", ylabel="risk"
    )
    axes.set_title(f"From small to large steps (n/d = {LONG_RATIO:g})")
    axes.legend(loc="lower left")


def draw_spectrum(axes: Axes, data: xarray.Dataset) -> None:
    axes.hist(
        data.singular_values[1:],
        bins=30,
        density=True,
        color=theme.faint(BLUE),
        label="bulk, one network",
    )
    low, high = data.edges.values
    grid = np.linspace(low, high, 400)
    axes.plot(
        grid,
        theory.bulk_density(grid, NEURONS_PER_DIM),
        color=BLUE,
        label="Marchenko-Pastur",
    )
    height, outlier = 0.04 * axes.get_ylim()[1], float(data.outlier_predicted)
    axes.plot(
        data.outlier,
        np.full(data.sizes["run"], height),
        "^",
        color=ORANGE,
        label="outlier, simulated",
    )
    if np.isfinite(outlier):
        axes.axvline(
            outlier, ymax=0.48, color=ORANGE, linestyle="--", label="outlier, predicted"
        )
    cosine, predicted = float(data.alignment.mean()), float(data.alignment_predicted)
    text = f"squared cosine\nwith the teacher\n{cosine:.3f}, predicted {predicted:.3f}"
    note(axes, text, 0.98, 0.5, ORANGE, va="bottom")
    axes.set(xlabel="singular values of the first layer", ylabel="density")
    axes.set_title(f"One direction leaves the bulk (step {SPECTRUM_STEP:g})")
    axes.legend(loc="upper right")


def least(risk: xarray.DataArray) -> tuple[float, float]:
    """The least mean of all points, and its standard error."""
    return min(
        zip(*(np.ravel(part) for part in mean_and_error(risk, "run")), strict=True)
    )


def deviations(
    risk: xarray.DataArray, predicted: xarray.DataArray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs relative to its prediction, less 1, and its standard error."""
    mean, error = mean_and_error(risk, "run")
    return mean / predicted.values - 1, error / predicted.values


def judge(data: xarray.Dataset) -> Findings:
    deviation, error = deviations(data.risk, data.predicted)
    power_deviation, power_error = deviations(data.power_risk, data.power_predicted)
    closed, unified = (
        deviation[:2].ravel(),
        np.concatenate([deviation[2], power_deviation]),
    )
    noise = max(error.mean(), power_error.mean())  # of the measurement itself
    distance, errors = (
        np.abs([*closed, *unified]),
        np.array([*error.ravel(), *power_error]),
    )
    far, forms = int(np.argmax(distance)), "closed and unified form"

    statement = "relative distance of mean risks from their lines, the worse form"
    worse, tolerance = (
        max(np.abs(closed).mean(), np.abs(unified).mean()),
        max(MEAN, FINITE / data.attrs["dim"]) + noise,
    )
    yield Check.at_most(statement, forms, worse, 0, tolerance)
    statement = "relative distance of the point farthest from its line"
    yield Check.at_most(
        statement, forms, (distance[far], errors[far]), 0, MOST + 2 * noise
    )
    statement, source = (
        "what a small step gains: the point farthest from its line",
        f"{PAPER}, Theorem 5",
    )
    gain, error = mean_and_error(data.gain, "run")
    z = (gain - data.gain_predicted.values) / error
    yield Check.all_within(
        statement, source, z, critical_value(z.size, data.sizes["run"])
    )
    statement, source = (
        "least risk without a step or with a small one: above the floor",
        "Proposition 1 and Fact 4",
    )
    small, large = (
        least(data.risk.sel(step=["none", "1"])),
        least(data.risk.sel(step=["sqrt(N)"])),
    )
    yield Check.at_least(statement, f"{PAPER}, {source}", small, data.floor)
    statement, source = (
        "least risk after the large step: below the floor",
        "Theorem 7 and Corollary 8",
    )
    yield Check.at_most(statement, f"{PAPER}, {source}", large, data.floor)
    for name, statement in (
        ("outlier", f"singular value that leaves the bulk, step {SPECTRUM_STEP:g}"),
        ("alignment", "squared cosine of its direction with the teacher's"),
    ):
        (value, error), predicted = (
            mean_and_error(data[name]),
            data[f"{name}_predicted"],
        )
        tolerance, source = SPECTRUM * predicted + 2 * error, f"{PAPER}, Proposition 2"
        yield Check.equals(statement, source, (value, error), predicted, tolerance)

    gaussian, _ = deviations(data.power_risk, data.power_gaussian)
    yield "closed form, mean relative distance", np.abs(closed).mean()
    yield "unified form, mean relative distance", np.abs(unified).mean()
    yield (
        "Gaussian form, largest relative distance from steps N^alpha",
        np.abs(gaussian).max(),
    )
    yield "standard error of a point, relative, mean", noise


draw = panels((10.5, 8.0), 2, draw_samples, draw_gains, draw_powers, draw_spectrum)
CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
