"""The figure of the study of a classification risk, from its dataset alone."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures.theme import INK, METHODS, style
from langevax.studies.classification.verdict import arrival, mean_and_error

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


def draw(data: "xarray.Dataset") -> "Figure":
    """Test accuracy and excess risk at one step, and the gradients to arrival at every step."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(11.5, 4.2))
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
        _draw_curves(left, data, data["accuracy"], logs=False)
        least = np.abs(data["least"])
        _draw_curves(middle, data, data["excess"] / least, logs=True)
        within, floor = data.attrs["within"], data.attrs["gibbs_excess"] / float(least.mean())
        at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        middle.axhline(within, color=INK, linestyle="--")
        middle.annotate("1 %", (0, within), (4, -4), va="top", **at)
        middle.axhline(floor, color=INK)
        middle.annotate("Gibbs law, $d/2\\gamma$", (0, floor), (4, -4), va="top", **at)
        middle.set(yscale="log", ylim=(floor / 2, None), ylabel="excess risk, (F − min F) / |min F|")
        middle.axhspan(within, middle.get_ylim()[1], color=INK, alpha=0.04, linewidth=0)
        left.set(ylabel="test accuracy, share of rows", ylim=(None, 1))
        left.legend(loc="lower right", handletextpad=0.3)
        left.set_title("Test accuracy: mean of the splits, one sd")
        middle.set_title(f"Risk at step {data.attrs['shown']:g}: geometric mean, sd")
        _draw_arrivals(right, data)
    return figure


def _draw_curves(axes: Any, data: "xarray.Dataset", values: Any, logs: bool) -> None:
    at_step = values.sel(step_size=data.attrs["shown"])
    for k, name in enumerate(data["sampler"].values):
        colour, marker = METHODS[str(name)]
        used, runs = data["gradients"].sel(sampler=name).values, at_step.sel(sampler=name)
        known = np.flatnonzero(np.isfinite(used) & (used > 0))
        wanted = np.geomspace(used[known[0]], used[known[-1]], 10) * 1.6 ** ((k - 1.5) / 4)  # side by side
        chosen = np.unique([known[np.abs(np.log(used[known] / w)).argmin()] for w in wanted])
        runs = runs.transpose("record", "repetition").values[chosen]
        if logs:
            runs = np.log(np.maximum(runs, 1e-9))
        mean, deviation = runs.mean(1), runs.std(1, ddof=1)
        bars: Any = deviation
        if logs:
            mean, bars = np.exp(mean), np.exp(mean) * np.stack([1 - np.exp(-deviation), np.expm1(deviation)])
        axes.errorbar(used[chosen], mean, bars, fmt=marker + ":", color=colour, linewidth=0.9, label=name)
    axes.set(xscale="log", xlabel="component gradients")


def _draw_arrivals(axes: Any, data: "xarray.Dataset") -> None:
    first, steps = arrival(data), data["step_size"].values
    for i, name in enumerate(data["sampler"].values):
        colour, marker = METHODS[str(name)]
        x = steps * 1.08 ** (i - 1.5)
        there = np.isfinite(first[i]).all(-1)
        found = np.array([mean_and_error(f) if ok else (np.nan, np.nan) for f, ok in zip(first[i], there, strict=True)])
        axes.errorbar(x, found[:, 0], found[:, 1], fmt=marker + ":", color=colour, linewidth=0.9)
        k = int(np.flatnonzero(there)[-1 if name == "SVRG-LD" else 0]) if there.any() else 0
        away = (-28, 9) if name == "SVRG-LD" else (8, 5)
        axes.annotate(name, (x[k], found[k, 0]), away, textcoords="offset points", color=colour)
        for k in np.flatnonzero(~there):
            axes.plot(x[k], 0.94, marker, color=colour, markerfacecolor="none", transform=axes.get_xaxis_transform())
    axes.set(xscale="log", yscale="log", xlabel="step size", ylabel="component gradients to within 1 %")
    axes.set_xticks(steps, [f"{s:g}" for s in steps])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    axes.set(ylim=(low, high * (high / low) ** 0.18), title="Hollow, at the top: not in all splits")
