"""The figure of the study "teacher-student": rates, a run, its neurons, phase I taken apart, the paper's setting."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme
from langevax.studies.teacher_student.rates import FEATURES, NEIGHBOURS, NET
from langevax.studies.teacher_student.verdict import slope
from langevax.theory.relu_sphere import linear_rate, parametric_risk

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

OURS, LOSS = theme.OKABE_ITO[0], theme.OKABE_ITO[1]
PALE = "#ABABAB"
LOOKS = {
    NET: (OURS, "o", OURS),
    "ridge, neural tangent": (theme.GREY, "s", theme.GREY),
    "ridge, arc-cosine": (theme.GREY, "D", theme.LIGHT["paper"]),
    "ridge, Gaussian": (theme.GREY, "^", theme.GREY),
    FEATURES: (theme.GREY, "v", theme.LIGHT["paper"]),
    NEIGHBOURS: (theme.GREY, "x", theme.GREY),
}
"""Colour, marker, and its filling."""
SPACING = 1.045  # between linear estimators at the same n, so that none hides another


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Six panels: rates at each dimension and a run above; neurons, ablation and the published setting below."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(14.5, 8.8))
        grid, dims = figure.add_gridspec(2, 6), dataset.dim.values
        width = 4 // len(dims)
        above = [figure.add_subplot(grid[0, width * k : width * (k + 1)]) for k in range(len(dims))]
        for each, dim in zip(above, dims, strict=True):
            _rates(each, dataset, int(dim))
        handles, labels = above[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=len(labels), handletextpad=0.3, columnspacing=1.6
        )
        _along(figure.add_subplot(grid[0, 4:]), dataset)
        for k, panel in enumerate((_neurons, _ablation, _published)):
            panel(figure.add_subplot(grid[1, 2 * k : 2 * k + 2]), dataset)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr]
    return figure


def _rates(axes: Any, dataset: "xarray.Dataset", dim: int) -> None:
    here, of = dataset.sel(dim=dim), dataset.attrs
    n = dataset["rows"].values[np.isfinite(here.mean_excess.sel(estimator=NET).values)]
    here = here.sel(rows=n)
    level = np.array([parametric_risk(of["num_neurons"], dim, of["noise"] ** 2, size) for size in n])
    axes.loglog(n, level, color=theme.INK, linewidth=1.0, zorder=1, label="$m d v^2/n$")
    linear = here.mean_excess.sel(estimator=[name for name in LOOKS if name != NET])
    guide = 0.62 * linear.min("estimator").values[-1] * (n / n[-1]) ** -linear_rate(dim)
    axes.plot(n, guide, color=theme.GREY, linestyle="--", linewidth=1.0, zorder=1, label="linear, worst case")
    _at_the_end(axes, f"slope -{linear_rate(dim):.2f}", n[-1], guide[-1], theme.GREY, va="top")
    for place, (name, (colour, marker, face)) in zip((0, -1.5, -0.5, 0.5, 1.5, 0), LOOKS.items(), strict=True):
        row = here.sel(estimator=name)
        axes.errorbar(
            n * SPACING**place, row.mean_excess, row.mean_excess_error, fmt=marker, color=colour, label=name,
            markerfacecolor=face, capsize=2, zorder=3, elinewidth=0.9,
        )  # fmt: skip
    between = 1.2 * float(np.sqrt(linear.min("estimator")[-1] * linear.max("estimator")[-1]))
    for name, height, side in ((NET, 0.8 * level[-1], "top"), ("ridge, neural tangent", between, "center")):
        value, error = slope(dataset, name, dim)
        _at_the_end(axes, f"slope {value:.2f} ± {error:.2f}", n[-1], height, LOOKS[name][0], va=side)
    axes.set_xticks(n, [f"{size:,}" for size in n])
    axes.minorticks_off()
    axes.set(
        xlabel="rows $n$", ylabel="excess risk $E(f - f^*)^2$", xlim=(n[0] / 1.25, n[-1] * 1.25),
        ylim=(0.35 * level[-1], 2 * float(here.mean_excess.max())),
        title=f"$d$ = {dim}, $m$ = {of['num_neurons']}, noise {of['noise']:g}",
    )  # fmt: skip


def _at_the_end(axes: Any, text: str, x: float, y: float, colour: str, va: str) -> None:
    shift = {"top": (-6, -5), "center": (-6, 0)}[va]
    text = text.replace("-", "\N{MINUS SIGN}")
    axes.annotate(text, (x, y), shift, textcoords="offset points", ha="right", va=va, color=colour, fontsize=9)


def _along(axes: Any, dataset: "xarray.Dataset") -> None:
    step, best = dataset.along_step.values, int(dataset.best)
    for restart in range(dataset.sizes["restart"]):
        first = restart == best
        options = {"linewidth": 1.8 if first else 0.7, "alpha": 1.0 if first else 0.45, "zorder": 3 if first else 2}
        axes.semilogy(
            step, dataset.along_loss[restart], color=LOSS, label=f"training, restart {restart + 1}", **options
        )
        axes.semilogy(
            step, dataset.along_excess[restart] / 2, color=OURS, label=f"test, restart {restart + 1}", **options
        )
    _switch(axes, float(dataset.switch))
    floor = dataset.attrs["noise"] ** 2 / 2
    ends = float(dataset.along_loss[best, -1]), float(dataset.along_excess[best, -1]) / 2
    axes.annotate("training loss", (step[-1], min(ends[0], floor)), (0, -5), textcoords="offset points", ha="right",
                  va="top", color=LOSS)  # fmt: skip
    axes.annotate("test loss $E(f-f^*)^2/2$", (step[-1], ends[1]), (0, 6), textcoords="offset points", ha="right",
                  va="bottom", color=OURS)  # fmt: skip
    axes.set(xlabel="step", ylabel="loss", ylim=(0.4 * ends[1], None),
             title=f"Explore, then converge: $n$ = {dataset.attrs['watched']:,}")  # fmt: skip


def _switch(axes: Any, step: float) -> None:
    axes.axvline(step, color=theme.INK, linewidth=0.9, linestyle=":")
    axes.annotate("switch", (step, 0.985), (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
                  va="top", fontsize=9, color=theme.LIGHT["soft"])  # fmt: skip


def _neurons(axes: Any, dataset: "xarray.Dataset") -> None:
    m, place, sign = dataset.attrs["num_neurons"], dataset.place.values, dataset.sign.values
    first = int(np.sum(dataset.along_step.values <= float(dataset.switch)))
    angles = np.pi / 2 + 2 * np.pi * np.arange(m) / m
    corners = np.stack([np.cos(angles), np.sin(angles)], 1)
    positive = np.arange(m) < -(-m // 2)
    for corner in corners:
        axes.plot([0, corner[0]], [0, corner[1]], color=theme.LIGHT["grid"], linewidth=1.0, zorder=0)
    for j in range(m):
        colour = OURS if sign[-1, j] > 0 else LOSS
        axes.plot(*place[:first, j].T, color=colour, linewidth=0.6, alpha=0.55, zorder=2)
        axes.plot(*place[max(first - 1, 0) :, j].T, color=colour, linewidth=2.2, zorder=3)
        axes.plot(*place[0, j], "o", color=colour, markersize=4, markerfacecolor=theme.LIGHT["paper"], zorder=4)
        axes.plot(*place[-1, j], "^" if sign[-1, j] > 0 else "v", color=colour, markersize=6, zorder=5)
    for corner, plus in zip(corners, positive, strict=True):
        colour = OURS if plus else LOSS
        axes.plot(*corner, "o", markersize=13, markerfacecolor="none", markeredgecolor=theme.INK, zorder=4)
        axes.annotate("+" if plus else "\N{MINUS SIGN}", corner * 1.27, ha="center", va="center", color=colour,
                      fontsize=13)  # fmt: skip
    axes.set_aspect("equal", "datalim")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set(xlabel="picture of $\\mathbb{R}^d$ with the teacher's neurons (rings) on a circle", ylabel="",
             title="Neurons move onto the teacher's")  # fmt: skip
    axes.text(0.5, -0.01, "○ early   thin: phase I   thick: phase II   ▲ ▼ end", transform=axes.transAxes, fontsize=9,
              color=theme.LIGHT["soft"], ha="center", va="bottom")  # fmt: skip


def _ablation(axes: Any, dataset: "xarray.Dataset") -> None:
    rows = np.arange(dataset.sizes["variant"])[::-1]
    for shift, name, colour, marker, face, label in (
        (0.13, "success", OURS, "o", OURS, "succeeded"),
        (-0.13, "signs", theme.OKABE_ITO[2], "s", theme.LIGHT["paper"], "right number of positive neurons"),
    ):
        axes.errorbar(
            dataset[name], rows + shift, xerr=dataset[f"{name}_error"], fmt=marker, color=colour, markerfacecolor=face,
            capsize=2, label=label,
        )  # fmt: skip
    axes.set_yticks(rows, list(dataset.variant.values))
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="upper left", handletextpad=0.2)
    axes.set(
        xlim=(0, 1), ylim=(-0.5, len(rows) + 0.5), xlabel="share of restarts",
        title=f"What phase I is for ({int(dataset.runs)} restarts each)",
    )  # fmt: skip


def _published(axes: Any, dataset: "xarray.Dataset") -> None:
    for k, style in ((0, "-"), (1, "--")):
        step, words = dataset.published_step.values[k], str(dataset.second_phase.values[k])
        look: dict[str, Any] = {"linestyle": style, "linewidth": 1.1}
        for run in range(dataset.sizes["published_draw"]):
            axes.semilogy(step, dataset.published_loss[k, run], color=LOSS, label=f"training, {words}", **look)
            axes.semilogy(step, dataset.published_excess[k, run] / 2, color=OURS, label=f"test, {words}", **look)
    _switch(axes, float(dataset.published_switch))
    zero = float(dataset.published_zero) / 2
    axes.axhline(zero, color=theme.GREY, linewidth=0.9)
    axes.text(0.99, zero, "test loss of $f$ = 0", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
              color=theme.GREY)  # fmt: skip
    axes.set(xlabel="step", ylabel="loss",
             title=f"The paper's setting: $d = m$ = {dataset.attrs['published_dim']}, "
             f"$n$ = {dataset.attrs['published_size']:,}")  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low / (high / low) ** 0.3, high)  # for the words
    for k, (text, colour) in enumerate(
        (("test", OURS), ("training", LOSS), ("dashed: longer steps in phase II", theme.INK))
    ):
        axes.text(0.02, 0.17 - 0.06 * k, text, transform=axes.transAxes, color=colour)
