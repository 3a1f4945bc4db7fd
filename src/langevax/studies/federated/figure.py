"""The figure of the study "federated": what it takes to arrive, why, and handwritten digits."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

LOOKS = {
    "FLEDGE": (theme.OKABE_ITO[0], "o"),
    "BVR-L-SGD": (theme.OKABE_ITO[1], "s"),
    "MimeSGD": (theme.OKABE_ITO[2], "D"),
    "SCAFFOLD": (theme.OKABE_ITO[3], "v"),
    "FedAvg": (theme.OKABE_ITO[4], "^"),
    "minibatch SARAH": (theme.OKABE_ITO[5], "P"),
    "minibatch SGD": (theme.GREY, "x"),
}
"""Colour and marker of each method, in all panels and on the command line."""
ESTIMATORS = {"SLEDGE": 0, "SAGA": 2, "STORM": 4, "SARAH": 5}
RADIUS_LINES = {0.0: ":", 1e-6: "--", 1e-3: "-"}
MARKS = 8  # on a line


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Three panels of what it takes, three of why, and one for each split of the digits."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(14.0, 12.0))
        rows: Any = figure.subfigures(3, 1)
        above, middle, below = rows
        for each, panel in zip(above.subplots(1, 3), (_exchanges, _vectors, _participants), strict=True):
            panel(each, dataset)
        for each, panel in zip(middle.subplots(1, 3), (_decay, _saddle, _errors), strict=True):
            panel(each, dataset)
        panels = np.atleast_1d(below.subplots(1, dataset.sizes["concentration"], sharey=True))
        for each, concentration in zip(panels, dataset.concentration.values, strict=True):
            _digits(each, dataset, float(concentration))
        panels[0].set_ylabel("accuracy on rows held out")
        handles, labels = above.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), handletextpad=0.3)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr]
    return figure


def _against_zeta(axes: Any, dataset: "xarray.Dataset", quantity: str, lost: float) -> None:
    """Means and spreads over seeds; hollow along the top where a seed did not arrive."""
    places = np.arange(dataset.sizes["zeta"])[::-1]
    names = [name for name in LOOKS if name in dataset.algorithm.values]
    for k, name in enumerate(names):
        colour, marker = LOOKS[name]
        row = dataset[quantity].sel(algorithm=name).transpose("zeta", ...).values
        there, apart = np.isfinite(row).all(axis=1), (k - len(names) / 2) * 0.06
        values, spread = row[there].mean(axis=1), row[there].std(axis=1, ddof=1)
        axes.errorbar(places[there] + apart, values, spread, fmt=marker, color=colour, capsize=2, label=name)
        axes.plot(places[there] + apart, values, color=colour, linewidth=0.8, alpha=0.6)
        axes.plot(places[~there] + apart, np.full((~there).sum(), lost), marker, color=colour, markerfacecolor="none")
    axes.axhline(lost, color=theme.GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_yscale("log")
    axes.set_xticks(places, [f"{z:g}" for z in dataset.zeta.values])
    axes.set_xlabel(r"Hessian heterogeneity $\zeta$")


def _exchanges(axes: Any, dataset: "xarray.Dataset") -> None:
    lost = float(dataset.attrs["most_exchanges"])
    _against_zeta(axes, dataset, "exchanges", lost)
    axes.text(0.02, lost * 1.08, "not within these", transform=axes.get_yaxis_transform(), color=theme.GREY)
    axes.set_ylim(10, lost * 1.5)
    axes.set(ylabel="exchanges to the tolerance", title=f"Exchanges to |grad f| ≤ {dataset.attrs['tolerance']:g}")


def _vectors(axes: Any, dataset: "xarray.Dataset") -> None:
    _against_zeta(axes, dataset, "vectors", 6e4)
    axes.set(ylabel="vectors to the tolerance", title="What they carried, both ways")


def _participants(axes: Any, dataset: "xarray.Dataset") -> None:
    counts = dataset["count"].values
    for quantity, colour, marker, label in (
        ("vectors_of_count", theme.OKABE_ITO[0], "o", "vectors"),
        ("exchanges_of_count", theme.GREY, "s", "exchanges"),
    ):
        values = dataset[quantity]
        mean, spread = values.mean("seed").values, values.std("seed", ddof=1).values
        axes.errorbar(counts, mean, spread, fmt=marker, linestyle="-", color=colour, capsize=2, label=label)
        axes.annotate(label, (counts[0], mean[0]), xytext=(8, 3), textcoords="offset points", color=colour)
    root = dataset.attrs["clients"] ** 0.5
    axes.axvline(root, color=theme.INK, linewidth=0.9)
    axes.text(root * 1.05, 0.96, r"$\sqrt{P}$", transform=axes.get_xaxis_transform(), va="top")
    axes.set(xscale="log", yscale="log", xlabel="clients an anchor $p$", ylabel="to the tolerance")
    axes.set_xticks(counts, [str(c) for c in counts])
    axes.minorticks_off()
    axes.set_title(r"FLEDGE at $\zeta$ = 1: how many to ask")


def _decay(axes: Any, dataset: "xarray.Dataset") -> None:
    for name in dataset.reduced.values:
        colour, _ = LOOKS[name]
        row = dataset.sel(reduced=name)
        for seed in range(dataset.sizes["seed"]):
            axes.plot(
                row.exchanges_of_round, row.excess[seed], color=colour, linewidth=0.9, label=f"{name}, seed {seed}"
            )
        axes.annotate(
            name, (float(row.exchanges_of_round[-1]), float(row.excess[:, -10:].max())), xytext=(-4, 10),
            textcoords="offset points", ha="right", color=colour,
        )  # fmt: skip
    axes.set(yscale="log", xlabel="exchanges", ylabel=r"$f - \min f$", title="Exponential convergence under PL")


def _saddle(axes: Any, dataset: "xarray.Dataset") -> None:
    for name, look in zip(dataset.noisy.values, ("FLEDGE", "BVR-L-SGD"), strict=False):
        for radius in dataset.radius.values[dataset.radius.values > 0]:
            row = dataset.sel(noisy=name, radius=radius)
            for seed in range(dataset.sizes["seed"]):
                label = f"{name}, r = {radius:.0e}" if seed == 0 else None
                axes.plot(
                    row.exchanges_at_saddle, row.distance[seed], color=LOOKS[look][0], linewidth=0.9,
                    linestyle=RADIUS_LINES.get(float(radius), "-."), label=label,
                )  # fmt: skip
    rate, start = dataset.attrs["growth_per_round"] / 2, 10.0
    x = np.array([start, start + 100])
    axes.plot(x, 3e-6 * np.exp(rate * (x - start)), color=theme.INK, linewidth=2, label="rate as predicted")
    axes.text(0.97, 0.1, "r = 0: exactly 0 throughout", transform=axes.transAxes, ha="right")
    axes.set(yscale="log", ylim=(1e-8, 2), xlabel="exchanges", ylabel="distance from the saddle $|x_0|$")
    axes.set_xlim(0, 300)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.15), fontsize=8)
    axes.set_title("Leaving a saddle point")


def _errors(axes: Any, dataset: "xarray.Dataset") -> None:
    parts = dataset.sizes["part"]
    x = (np.arange(parts) + 0.5) * dataset.attrs["walk_steps"] / parts
    for name in dataset.estimator.values:
        colour, row = ESTIMATORS[name], dataset.error.sel(estimator=name)
        mean, error = row.mean("walk").values, row.std("walk", ddof=1).values / np.sqrt(row.sizes["walk"])
        marker = "os^vDP"[colour]
        axes.errorbar(x, mean, error, fmt=marker, linestyle="-", color=theme.OKABE_ITO[colour], linewidth=0.8,
                      label=name)  # fmt: skip
        axes.annotate(name, (x[-1], mean[-1]), xytext=(0, 7), textcoords="offset points", ha="right",
                      color=theme.OKABE_ITO[colour])  # fmt: skip
    axes.axhline(1, color=theme.INK, linewidth=1.2)
    axes.text(0.02, 1.06, r"$\zeta^2\, step^2\, n / 2b^2$", transform=axes.get_yaxis_transform(), va="bottom")
    axes.set(yscale="log", xlabel="steps without a full gradient", ylabel="squared error over the prediction")
    axes.set_title("What estimators do when never refreshed")


def _digits(axes: Any, dataset: "xarray.Dataset", concentration: float) -> None:
    for name in dataset.learner.values:
        colour, marker = LOOKS[name]
        row = dataset.digits_accuracy.sel(learner=name, concentration=concentration).mean("digits_seed")
        every = max(1, row.sizes["spent"] // MARKS)
        axes.plot(dataset.spent, row, color=colour, marker=marker, markevery=every, linewidth=1.0, markersize=4,
                  label=name)  # fmt: skip
    axes.set(xlabel="exchanges", ylim=(0, 1.02), ylabel=" ", title=f"Digits, q = {concentration:g}")
