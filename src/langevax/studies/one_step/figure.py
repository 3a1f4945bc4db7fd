"""The figure of the study "one-step": points simulated, lines predicted."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme
from langevax.studies.one_step.runs import GAIN_RATIO, GAIN_RIDGE, LONG_RATIO, SPECTRUM_STEP
from langevax.theory.feature_learning import bulk_density

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN = theme.OKABE_ITO[0], theme.OKABE_ITO[1], theme.OKABE_ITO[2]
RISK_TICKS = (0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 1.0)
LOOKS = {
    "none": (theme.GREY, "o", "no step"),
    "1": (ORANGE, "s", r"step $1$"),
    "sqrt(N)": (BLUE, "^", r"step $\sqrt{N}$"),
}


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Risk against samples and gain against neurons above; powers of the step and the spectrum below."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(10.5, 8.0))
        axes = figure.subplots(2, 2).ravel()
        for each, panel in zip(axes, (_samples, _gains, _powers, _spectrum), strict=True):
            panel(each, dataset)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr]
    return figure


def _points(axes: Any, x: Any, values: Any, colour: str, marker: str, label: str) -> None:
    error = values.std("run", ddof=1) / np.sqrt(values.sizes["run"])
    axes.errorbar(x, values.mean("run"), error, fmt=marker, color=colour, capsize=2, label=label, zorder=3)


def _samples(axes: Any, dataset: "xarray.Dataset") -> None:
    for step, (colour, marker, label) in LOOKS.items():
        row = dataset.sel(step=step)
        axes.plot(dataset.fine_ratio, row.line, color=colour, label=f"{label}, predicted")
        _points(axes, dataset.ratio, row.risk, colour, marker, label)
    axes.set(xscale="log", yscale="log", xlabel="samples per dimension $n/d$", ylabel="risk")
    axes.set_title(f"Only the large step passes the floor (N/d = {dataset.attrs['neurons_per_dim']:g})")
    _plain(axes.xaxis, dataset.ratio.values)
    _floor(axes, dataset, float(dataset.ratio.values[0]))
    last = float(dataset.fine_ratio[-1])
    guide = np.array([last / 2.5, last])
    height = float(dataset.line.sel(step="sqrt(N)")[-1]) / 1.5
    axes.plot(guide, height * last / guide, color=theme.INK, linewidth=0.9)
    axes.text(guide[1], height, "$d/n$ ", ha="right", va="top")
    axes.legend(handles=axes.containers, loc="upper right")
    low, high = axes.get_ylim()
    _plain(axes.yaxis, np.array([tick for tick in RISK_TICKS if low < tick < high]))


def _gains(axes: Any, dataset: "xarray.Dataset") -> None:
    for step, colour, marker in zip(dataset.gain_step.values, (ORANGE, GREEN), ("s", "D"), strict=True):
        row = dataset.sel(gain_step=step)
        axes.plot(dataset.fine_width, row.gain_line, color=colour, label=f"step ${step:g}$, predicted")
        _points(axes, dataset.width, row.gain, colour, marker, f"step ${step:g}$")
    axes.axhline(0, color=theme.INK, linewidth=0.8)
    axes.set(xlabel="neurons per dimension $N/d$", ylabel="risk without the step less risk with it")
    axes.set_title(f"What a small step gains (n/d = {GAIN_RATIO:g}, ridge {GAIN_RIDGE:g})")
    axes.legend(handles=axes.containers, loc="upper right")


def _powers(axes: Any, dataset: "xarray.Dataset") -> None:
    axes.plot(dataset.fine_power, dataset.power_gaussian_line, color=theme.GREY, linestyle=":", label="Gaussian form")
    axes.plot(dataset.fine_power, dataset.power_line, color=BLUE, label="unified form")
    _points(axes, dataset.power, dataset.power_risk, BLUE, "^", "simulated")
    _floor(axes, dataset, 0.0)
    axes.set_ylim(0, None)
    axes.set(xlabel=r"$\alpha$, for a step of size $N^\alpha$", ylabel="risk")
    axes.set_title(f"From small to large steps (n/d = {LONG_RATIO:g})")
    axes.legend(loc="lower left")


def _spectrum(axes: Any, dataset: "xarray.Dataset") -> None:
    values, width = dataset.singular_values.values, float(dataset.attrs["neurons_per_dim"])
    low, high = dataset.edges.values
    axes.hist(values[1:], bins=30, density=True, color=theme.faint(BLUE), label="bulk, one network")
    grid = np.linspace(low, high, 400)
    axes.plot(grid, bulk_density(grid, width), color=BLUE, label="Marchenko-Pastur")
    top = axes.get_ylim()[1]
    outlier = float(dataset.outlier_predicted)
    axes.plot(dataset.outlier, np.full(dataset.sizes["run"], 0.04 * top), "^", color=ORANGE, label="outlier, simulated")
    if np.isfinite(outlier):
        axes.axvline(outlier, ymax=0.48, color=ORANGE, linestyle="--", label="outlier, predicted")
    told = f"squared cosine\nwith the teacher\n{float(dataset.alignment.mean()):.3f}, predicted "
    told += f"{float(dataset.alignment_predicted):.3f}"
    axes.text(0.98, 0.5, told, transform=axes.transAxes, ha="right", va="bottom", color=ORANGE)
    axes.set(xlabel="singular values of the first layer", ylabel="density")
    axes.set_title(f"One direction leaves the bulk (step {SPECTRUM_STEP:g})")
    axes.legend(loc="upper right")


def _floor(axes: Any, dataset: "xarray.Dataset", x: float) -> None:
    floor = float(dataset.floor)
    axes.axhline(floor, color=theme.INK, linestyle="--", linewidth=0.9)
    axes.annotate(
        "floor of kernels and small steps", (x, floor), (0, 3), textcoords="offset points", ha="left", va="bottom"
    )


def _plain(axis: Any, ticks: np.ndarray) -> None:
    from matplotlib.ticker import NullFormatter

    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_formatter(NullFormatter())
