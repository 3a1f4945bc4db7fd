"""The figure of the study of propagation of chaos, from its dataset alone."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme
from langevax.studies.linear_clouds import QUANTITIES
from langevax.studies.propagation_of_chaos.verdict import shown_times, slope

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

MARKERS, TICKS = "osD^", (0.1, 0.2, 0.5, 1.0)


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Errors against N, scaled errors against time, and what is exact at every N."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(13.0, 4.4))
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
        _draw_errors(left, dataset)
        _draw_times(middle, dataset)
        _draw_linear(right, dataset)
    return figure


def _draw_errors(axes: Any, dataset: "xarray.Dataset") -> None:
    import matplotlib

    shown, count = shown_times(dataset), dataset.num_particles.values
    shades = matplotlib.colormaps[theme.SEQUENTIAL](np.linspace(0, 0.85, shown.sizes["time"]))
    axes.loglog(count, float(dataset.independent) / count, color=theme.GREY, linewidth=1.2)
    axes.text(
        0.97, 0.97, "grey: independent draws of $q^*$", transform=axes.transAxes, color=theme.GREY, ha="right", va="top"
    )
    for i, (shade, marker) in enumerate(zip(shades, MARKERS, strict=False)):
        row = shown.isel(time=i)
        axes.loglog(count, float(row.limit) / count, color=shade)
        axes.errorbar(count, row.error, row.error_error, fmt=marker, color=shade, capsize=2,
                      label=f"t = {float(row.time):g}: slope {slope(row)[0]:.3f} ± {slope(row)[1]:.3f}")  # fmt: skip
    axes.legend(loc="lower left", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="particles $N$", ylabel="mean squared error of outputs", title="tanh: slope $-1$ at every time")
    axes.set_xticks(count, [str(n) for n in count])
    axes.set_ylim(0.12 * float(shown.limit.min()) / count[-1], None)
    axes.minorticks_off()


def _draw_times(axes: Any, dataset: "xarray.Dataset") -> None:
    counts = dataset.num_particles.values
    chosen = counts[[0, len(counts) // 2, -1]]
    time, limit = dataset.time.values, dataset.limit.values
    axes.semilogy(time, limit, color=theme.INK)
    every = max(1, len(time) // 16)
    for k, (n, marker, colour) in enumerate(zip(chosen, MARKERS, theme.OKABE_ITO, strict=False)):
        row = dataset.sel(num_particles=n).isel(time=slice(k * every // 3, None, every))
        axes.errorbar(row.time, n * row.error, n * row.error_error, fmt=marker, color=colour, capsize=2,
                      label=f"N = {n}")  # fmt: skip
    axes.axhline(float(dataset.independent), color=theme.GREY, linewidth=1.2)
    axes.annotate("independent draws of $q^*$", (time[-1], float(dataset.independent)), xytext=(0, -14), ha="right",
                  textcoords="offset points", color=theme.GREY)  # fmt: skip
    axes.annotate("line: exact, $N \\to \\infty$", (time[-1], limit[-1]), xytext=(0, -28), ha="right",
                  textcoords="offset points", color=theme.INK)  # fmt: skip
    axes.legend(loc="center right", fontsize=9, handletextpad=0.4)
    axes.set(
        xlabel="time (steps x step size)", ylabel="$N$ x mean squared error", title="$N$ times the error does not grow"
    )
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.set_ylim(0.6 * limit.min(), 1.4 * float(dataset.independent))


def _draw_linear(axes: Any, dataset: "xarray.Dataset") -> None:
    counts = dataset.linear_particles.values
    for quantity, shift, marker, colour in zip(QUANTITIES, (0.85, 1.0, 1.18), MARKERS, theme.OKABE_ITO, strict=False):
        row = dataset.sel(quantity=quantity)
        axes.errorbar(counts * shift, row.linear / row.linear_exact, row.linear_error / row.linear_exact, fmt=marker,
                      color=colour, capsize=2, label=quantity)  # fmt: skip
    axes.axhline(1, color=theme.INK)
    bound = float((dataset.energy_bound / dataset.linear_exact.sel(quantity="free energy")).mean())
    axes.text(0.03, 0.95, f"Nitanda's bound of the free energy:\n{bound:.2f}, above this picture", va="top",
              transform=axes.transAxes, color=theme.OKABE_ITO[2])  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    reach = 1.6 * float(
        (abs(dataset.linear / dataset.linear_exact - 1) + dataset.linear_error / dataset.linear_exact).max()
    )
    axes.set_ylim(1 - 1.6 * reach, 1 + 1.3 * reach)
    axes.legend(loc="lower right", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="particles $N$", ylabel="measured / exact", title="linear: closed forms at every $N$")
