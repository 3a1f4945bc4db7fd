"""The figure of the study of dual methods, from its dataset alone."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme
from langevax.figures.theme import OKABE_ITO

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

LOOKS = {
    "MFLD": (*theme.METHODS["MFLD"], True),
    "SVRG-MFLD": (*theme.METHODS["SVRG-LD"], True),
    "PDA, 10 inner": (OKABE_ITO[1], "s", True),
    "PDA, 1 inner": (OKABE_ITO[1], "s", False),
    "online PDA, 10 inner": (OKABE_ITO[5], "P", True),
    "online PDA, 1 inner": (OKABE_ITO[5], "P", False),
    "P-SDCA": (OKABE_ITO[3], "^", True),
    "fictitious play": (OKABE_ITO[4], "v", True),
}
"""Colour, marker, and whether it is filled."""


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Rates against outer iterations, then gaps against gradients in the plane and elsewhere."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(13.0, 8.0))
        axes = figure.subplots(2, 3).ravel()
        _averaging(axes[0], dataset)
        _ascent(axes[1], dataset)
        for each, loss in zip(axes[2:4], dataset.loss.values, strict=True):
            _plane(each, dataset, str(loss))
        problems = dataset.problem.values
        for k, each in enumerate(axes[4:]):
            if k < len(problems):
                _certified(each, dataset, str(problems[k]))
            else:
                each.set_axis_off()
        handles, labels = axes[2].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def points(axes: Any, name: str, x: Any, y: Any, error: Any, **options: Any) -> None:
    """Means with errors, as the method looks."""
    colour, marker, filled = LOOKS[name]
    looks: dict[str, Any] = {"color": colour, "markerfacecolor": colour if filled else "white", "fmt": marker + ":"}
    axes.errorbar(x, y, error, **({"linewidth": 0.9, "elinewidth": 0.9, "label": name} | looks | options))


def mean_and_error(gaps: Any) -> tuple[np.ndarray, np.ndarray]:
    """Over runs, axis 0; a bar ends where a logarithmic axis would lose it."""
    mean = gaps.mean(axis=0)
    return mean, np.minimum(gaps.std(axis=0, ddof=1) / np.sqrt(len(gaps)), 0.8 * mean)


def _averaging(axes: Any, dataset: Any) -> None:
    here = dataset.isel(loss=0)
    for name in ("online PDA, 10 inner", "online PDA, 1 inner", "PDA, 10 inner", "PDA, 1 inner"):
        of = here.sel(learner=name)
        x = of.iterations.values
        chosen = x >= 2
        mean, error = mean_and_error(of.gap.values)
        points(axes, name, x[chosen], mean[chosen], error[chosen], fmt=LOOKS[name][1])
        if name.endswith("10 inner"):
            # its law has no inner steps: with all rows that of the longer run is the same
            law = of if name.startswith("online") else here.sel(learner="PDA, 1 inner")
            axes.plot(law.iterations.values[1:], law.gap_exact.values.mean(axis=0)[1:], color=LOOKS[name][0])
    t = np.array([128.0, 1024.0])
    high = here.gap.sel(learner="online PDA, 10 inner").values.mean(axis=0)[-6:].max()
    axes.plot(t, 3 * high * t[0] / t, color=theme.INK, linewidth=0.9)
    axes.annotate("$1/T$", (t[0] * 2.8, 3 * high / 2.8), (4, 3), textcoords="offset points")
    axes.set(xscale="log", yscale="log", ylim=(1e-7, None), xlabel="outer iterations $T$",
             ylabel="$D^* - D$ (units of $D$)", title="PDA in the plane, squared loss")  # fmt: skip
    axes.annotate("lines: exact inner loops", (0.04, 0.05), xycoords="axes fraction")


def _ascent(axes: Any, dataset: Any) -> None:
    for k, loss in enumerate(dataset.loss.values):
        of = dataset.sel(loss=loss, learner="P-SDCA")
        t = of.iterations.values
        mean, error = mean_and_error(of.gap_last.values)
        colour = LOOKS["P-SDCA"][0]
        face = colour if k == 0 else "white"
        points(axes, "P-SDCA", t, mean, error, fmt="^", markerfacecolor=face, label=f"P-SDCA, {loss} loss")
        law = of.gap_exact.values.mean(axis=0)
        shown = law > 1e-7
        axes.plot(t[shown], law[shown], color=colour)
        bound = float(of.gap_start) * (1 - 1 / dataset.attrs[f"condition_{loss}"]) ** t
        axes.plot(t, bound, color=theme.INK, linestyle="--", linewidth=1)
        axes.fill_between(t, bound, 10, color=theme.INK, alpha=0.04, linewidth=0)
    axes.annotate(
        "filled: squared, hollow: logistic\nlines: exact inner loops\ndashed: promised, steeper for logistic",
        (0.02, 0.03),
        xycoords="axes fraction",
    )
    axes.set(yscale="log", ylim=(1e-9, 1), xlabel="steps $t$, one row each", ylabel="$D^* - D$ (units of $D$)",
             title="P-SDCA in the plane, last dual")  # fmt: skip


def _plane(axes: Any, dataset: Any, loss: str) -> None:
    for name in LOOKS:
        of = dataset.sel(loss=loss, learner=name)
        mean, error = mean_and_error(of.gap.values)
        chosen = np.arange(5 if name != "P-SDCA" else 1, len(mean), 3 if name != "P-SDCA" else 2)
        points(axes, name, of.evaluations.values[chosen], mean[chosen], error[chosen])
    axes.set(xscale="log", yscale="log", xlabel="component gradients", ylabel="$D^* - D$ (units of $D$)",
             title=f"In the plane, {loss} loss")  # fmt: skip


def _certified(axes: Any, dataset: Any, problem: str) -> None:
    here = dataset.sel(problem=problem)
    for name in here.certified_learner.values:
        of = here.sel(certified_learner=name)
        gap, error = of.certified.values, np.minimum(of.certified_error.values, 0.8 * of.certified.values)
        points(axes, str(name), of.certified_evaluations.values, gap, error)
    axes.set(xscale="log", yscale="log", xlabel="component gradients", ylabel="certified gap (units of $P$)",
             title=problem[0].upper() + problem[1:] + " loss: certified")  # fmt: skip
    axes.xaxis.set_minor_formatter("")
    used = here.certified_evaluations.values
    if used.max() < 10 * used.min():  # less than a decade has no other label
        ticks = used[0].round()
        axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
