"""The figure of the study "functional-inputs": what stays the same at any number of modes, and what does not."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme
from langevax.studies.functional_inputs.runs import ASCENT, PROPOSALS
from langevax.studies.functional_inputs.verdict import common_value

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

LOOKS = {
    ASCENT: (theme.OKABE_ITO[0], "o", True),
    "MFLD, exponential": (*theme.METHODS["MFLD"], True),
    "MFLD, semi-implicit": (*theme.METHODS["MFLD"], False),
    "PDA, exponential": (theme.OKABE_ITO[1], "s", True),
    "PDA, semi-implicit": (theme.OKABE_ITO[1], "s", False),
    "PDA, pCNL": (theme.OKABE_ITO[4], "^", True),
}
"""Colour, marker, and whether it is filled."""
PROPOSAL_LOOKS = dict(
    zip(PROPOSALS, ((theme.OKABE_ITO[0], "o"), (theme.GREY, "x"), (theme.OKABE_ITO[3], "v")), strict=True)
)
SPACING = 1.13  # between methods at the same number of modes, so that none hides another


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Six panels: values, gaps and cut-off above; proposals, steps and seconds below."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(14.0, 8.0))
        axes = figure.subplots(2, 3).ravel()
        panels = (_values, _gaps, _cut_off, _acceptance, _steps, _seconds)
        for each, panel in zip(axes, panels, strict=True):
            panel(each, dataset)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), handletextpad=0.3)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr]
    return figure


def _modes_axis(axes: Any, dataset: "xarray.Dataset", **options: Any) -> None:
    modes = dataset.modes.values
    axes.set_xscale("log", base=2)
    axes.set_xticks(modes, [str(n) for n in modes])
    axes.minorticks_off()
    axes.set_xlim(modes[0] / 1.7, modes[-1] * 1.7)
    axes.set(xlabel="modes $K$", **options)


def _methods(axes: Any, dataset: "xarray.Dataset", quantity: str, scale: float) -> None:
    """Every method's points, side by side."""
    for place, (name, (colour, marker, filled)) in zip((0, -2, -1, 1, 2, 3), LOOKS.items(), strict=True):
        row, apart = dataset.sel(learner=name), SPACING**place
        axes.errorbar(
            dataset.modes * apart, scale * row[quantity], scale * row[f"{quantity}_error"], fmt=marker, color=colour,
            markerfacecolor=colour if filled else theme.LIGHT["paper"], capsize=2, label=name, zorder=3,
        )  # fmt: skip


def _values(axes: Any, dataset: "xarray.Dataset") -> None:
    mean, _, error = common_value(dataset)
    axes.axhspan(mean - error, mean + error, color=theme.faint(theme.OKABE_ITO[0]), linewidth=0)
    axes.axhline(mean, color=theme.OKABE_ITO[0], linewidth=0.9)
    _methods(axes, dataset, "dual_value", 1.0)
    axes.text(0.03, 0.04, f"band: P-SDCA's mean, {mean:.5f} ± {error:.5f}", transform=axes.transAxes,
              color=theme.OKABE_ITO[0])  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.15 * (high - low), high)
    _modes_axis(axes, dataset, ylabel="dual value $D$ (units of the loss)", title="One optimum at any number of modes")


def _gaps(axes: Any, dataset: "xarray.Dataset") -> None:
    _methods(axes, dataset, "gap", 1e4)
    axes.axhline(0, color=theme.INK, linewidth=0.8)
    left = float(dataset.attrs["untrained"]) - common_value(dataset)[0]
    axes.text(0.97, 0.95, f"untrained: {1e4 * left:,.0f}, above this picture", transform=axes.transAxes, ha="right",
              va="top", color=theme.GREY)  # fmt: skip
    axes.set_ylim(None, 1.25 * axes.get_ylim()[1])
    _modes_axis(axes, dataset, ylabel="certified gap, $10^{-4}$", title="Certified close to it by every method")


def _cut_off(axes: Any, dataset: "xarray.Dataset") -> None:
    most = np.abs(dataset.cut_off.values) + 2 * dataset.cut_off_error.values
    axes.plot(dataset.fewer_modes, most, "v", color=theme.OKABE_ITO[0], label="change at most")
    error = common_value(dataset)[1]
    axes.axhline(error, color=theme.GREY, linewidth=1.2)
    axes.annotate("error of one measured $D$", (dataset.modes[0], error), xytext=(0, -13), color=theme.GREY,
                  textcoords="offset points")  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(None, 20 * error)
    name = f"$|D_K - D_{{{int(dataset.modes[-1])}}}|$"
    axes.text(0.97, 0.95, "two standard errors added", transform=axes.transAxes, ha="right", va="top",
              color=theme.OKABE_ITO[0])  # fmt: skip
    _modes_axis(axes, dataset, ylabel=f"{name} at most, by common draws", title="Curves lose nothing by the cut-off")


def _acceptance(axes: Any, dataset: "xarray.Dataset") -> None:
    for name, (colour, marker) in PROPOSAL_LOOKS.items():
        row = dataset.sel(proposal=name)
        axes.errorbar(dataset.modes, row.acceptance, row.acceptance_error, fmt=f"{marker}:", color=colour, capsize=2,
                      linewidth=0.9, label=name)  # fmt: skip
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.6), handletextpad=0.4)
    _modes_axis(axes, dataset, ylabel="acceptance of one proposal", ylim=(-0.03, 1.0),
                title="pCNL moves at any of them, MALA stops")  # fmt: skip


def _steps(axes: Any, dataset: "xarray.Dataset") -> None:
    colour, marker = theme.METHODS["LD"]
    n, limit = dataset.modes.values, dataset.euler_limit.values
    axes.loglog(n, limit, color=colour)
    axes.fill_between(n, limit, 1e3, color=theme.faint(colour), linewidth=0)
    tried, at = dataset.euler_modes.values, dataset.euler_limit_tried.values
    for settles, face, share, text in (
        (dataset.settles_below.values, colour, 0.95, "0.95 of it: settles"),
        (~dataset.settles_above.values, theme.LIGHT["paper"], 1.05, "1.05 of it: grows"),
    ):
        shift = 1.0 if share < 1 else 1.14  # five percent could not be seen
        axes.plot(tried[settles] * shift, share * at[settles], linestyle="none", marker=marker, color=colour,
                  markerfacecolor=face, label=text)  # fmt: skip
    step = float(dataset.attrs["step_size"])
    known = dataset.modes.values[np.isfinite(dataset.dual_value.sel(learner="MFLD, exponential").values)]
    ours, ours_marker = theme.METHODS["MFLD"]
    axes.plot(n, np.full(len(n), step), color=ours)
    axes.plot(known, np.full(len(known), step), linestyle="none", marker=ours_marker, color=ours)
    axes.annotate("exponential, semi-implicit: as run", (n[-1], step), xytext=(0, 7), ha="right", color=ours,
                  textcoords="offset points")  # fmt: skip
    axes.text(0.04, 0.16, "line: explicit Euler's longest, slope $-2$", transform=axes.transAxes, color=theme.INK)
    axes.legend(loc="lower left", handletextpad=0.2, ncols=2, columnspacing=0.8)
    axes.set_ylim(0.02 * limit[-1], 20 * max(step, limit[0]))
    _modes_axis(axes, dataset, ylabel="step size $h$", title="Euler's step falls, that of functions stays")


def _seconds(axes: Any, dataset: "xarray.Dataset") -> None:
    from matplotlib.ticker import LogLocator

    n, seconds = dataset.modes.values, 1e6 * dataset.seconds.values
    axes.loglog(n, seconds[-1] * n / n[-1], color=theme.INK, linewidth=0.9, label="slope 1")
    axes.loglog(n, seconds, linestyle="none", marker="o", color=theme.OKABE_ITO[0], label="measured")
    axes.text(0.04, 0.94, "line: slope 1", transform=axes.transAxes, va="top")
    passes = dataset.evaluations.sel(learner=ASCENT).values
    axes.text(0.97, 0.06, f"P-SDCA: {passes.min():,.0f} to {passes.max():,.0f} curves\nseen by the cloud at any $K$",
              transform=axes.transAxes, ha="right", color=theme.OKABE_ITO[0])  # fmt: skip
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    _modes_axis(axes, dataset, ylabel="microseconds of one particle's move",
                title="Cost grows in proportion")  # fmt: skip
