"""The figure of the study of the entropy sandwich, from its dataset alone."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

RATES = {  # a label, and a marker: of what is measured, exact, or promised
    "late": ("late", "o"),
    "linearised": ("linearised at $q^*$", "|"),
    "slowest": ("slowest of all times", "o"),
    "poincare": ("$2T$ x Poincaré of $q^*$", "|"),
    "path": ("$2\\alpha T$ of this path", "<"),
    "oscillation": ("$2\\alpha T$, its oscillation", "<"),
    "bounds": ("$2\\alpha T$, oscillation $2CB$", "<"),
    "printed": ("$2\\alpha T$ as printed, $4CB$", "<"),
}


def draw(dataset: "xarray.Dataset") -> "Figure":
    """The fall, the sandwich relative to it, all rates, and clouds on the flow."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(11.0, 8.6))
        grid = figure.add_gridspec(3, 2, height_ratios=(3, 1.9, 1.5))
        _draw_fall(figure.add_subplot(grid[0, 0]), dataset)
        _draw_sandwich(figure.add_subplot(grid[0, 1]), dataset)
        _draw_rates(figure.add_subplot(grid[1:, 0]), dataset)
        _draw_clouds(figure.add_subplot(grid[1, 1]), figure.add_subplot(grid[2, 1]), dataset)
    return figure


def _draw_fall(axes: Any, dataset: "xarray.Dataset") -> None:
    time, gap = dataset.time.values, dataset.gap.values
    names = {"path": "this path", "oscillation": "its oscillation", "printed": "as printed"}
    for name, label in names.items():
        bound = gap[0] * np.exp(-float(dataset.rate.sel(kind=name)) * time)
        axes.semilogy(time, bound, color=theme.OKABE_ITO[1], linestyle="--", linewidth=1.2, label=f"promised, {label}")
        axes.annotate(label, (time[-1], bound[-1]), xytext=(5, -8 if name == "oscillation" else 3), va="center",
                      textcoords="offset points", color=theme.OKABE_ITO[1], annotation_clip=False)  # fmt: skip
        if name == "path":
            axes.fill_between(time, bound, 3 * gap[0], color=theme.OKABE_ITO[1], alpha=0.1, linewidth=0)
    axes.semilogy(time, gap, color=theme.INK, label="flow")
    axes.annotate("flow", (time[-1], gap[-1]), xytext=(5, 0), textcoords="offset points", va="center",
                  annotation_clip=False)  # fmt: skip
    colour = theme.METHODS["MFLD"][0]
    axes.semilogy(
        dataset.chain_time, dataset.chain_gap, color=colour, linestyle=":", linewidth=2.2, label="law of MFLD"
    )
    axes.text(0.04, 0.06, f"dotted: the law of MFLD at step {dataset.attrs['step_size']:g}", color=colour,
              transform=axes.transAxes)  # fmt: skip
    axes.set(xlabel="time", ylabel="$L - L^*$ (units of the loss)", title="The objective falls; dashed: bounds",
             xlim=(0, time[-1]), ylim=(0.1 * gap[-1], 3 * gap[0]))  # fmt: skip


def _draw_sandwich(axes: Any, dataset: "xarray.Dataset") -> None:
    time, gap = dataset.time.values, dataset.gap.values
    lower, upper = dataset.lower.values / gap, dataset.upper.values / gap
    edge = (0.8 * lower.min(), 1.15 * upper.max())
    for line, limit, label, side in (
        (upper, edge[1], "$T\\,$KL$(q\\,||\\,p_q)$", 10),
        (lower, edge[0], "$T\\,$KL$(q\\,||\\,q^*)$", -10),
    ):
        axes.plot(time, line, color=theme.OKABE_ITO[0], linestyle="--")
        axes.fill_between(time, line, limit, color=theme.OKABE_ITO[0], alpha=0.1, linewidth=0)
        axes.annotate(label, (time[-1] / 2, line[len(line) // 2]), xytext=(0, side), textcoords="offset points",
                      color=theme.OKABE_ITO[0], ha="center", va="center")  # fmt: skip
    axes.axhline(1, color=theme.INK)
    axes.annotate("$L - L^*$", (time[-1] / 2, 1), xytext=(0, 8), textcoords="offset points", ha="center", va="center")
    axes.set(xlabel="time", ylabel="relative to $L - L^*$", title="It lies between two entropies",
             xlim=(0, time[-1]), ylim=edge)  # fmt: skip


def _draw_rates(axes: Any, dataset: "xarray.Dataset") -> None:
    colours = {"o": theme.INK, "|": theme.INK, "<": theme.OKABE_ITO[1]}
    for row, (name, (_, marker)) in enumerate(RATES.items()):
        value = float(dataset.rate.sel(kind=name))
        axes.plot(value, row, marker, color=colours[marker], markersize=9 if marker == "|" else 6, markeredgewidth=1.8)
        axes.annotate(f"{value:.3g}", (value, row), xytext=(10, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(RATES)), [label for label, _ in RATES.values()])
    axes.set(xscale="log", ylim=(len(RATES) - 0.5, -0.5), xlabel="rate of $L - L^*$ (1 / time)",
             xlim=(0.2 * float(dataset.rate.min()), 60), title="Rates: ● measured,  | exact,  ◀ promised")  # fmt: skip


def _draw_clouds(above: Any, below: Any, dataset: "xarray.Dataset") -> None:
    chosen = ("z2", "z4", "z1", "z3", "risk")
    for name, colour, mark in zip(chosen, theme.OKABE_ITO, "s^oDv", strict=False):
        row = dataset.sel(quantity=name)
        time, look = dataset.time.values[1:], dataset.look.values
        above.plot(time, row.flow.values[1:], color=colour, label=f"{name} of the flow")
        dots: dict[str, Any] = {"fmt": mark, "color": colour, "capsize": 2, "label": f"{name} of clouds"}
        above.errorbar(look, row.measured, row.measured_error, **dots)
        label = "risk" if name == "risk" else f"${name[0]}_{name[1]}$"
        above.annotate(label, (time[-1], row.flow.values[-1]), xytext=(5, 0), textcoords="offset points", va="center",
                       color=colour, annotation_clip=False)  # fmt: skip
        shift = 1.04 ** (chosen.index(name) - 2)
        below.errorbar(look * shift, 1e3 * (row.measured - row.flow_at_looks), 1e3 * row.measured_error, **dots)
    below.axhline(0, color=theme.INK)
    above.set(
        ylabel="outputs, risk", title="{num_clouds} clouds of {num_particles} MFLD particles".format(**dataset.attrs)
    )
    below.set(ylabel="off flow, $10^{-3}$", title="Clouds less the flow")
    for axes in (above, below):
        axes.set(xscale="log", xlim=(dataset.look.values[0] / 1.5, dataset.time.values[-1]), xlabel="time")
        axes.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
        axes.minorticks_off()
