"""The figure of the study of a mixture, from its dataset alone."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures.theme import INK, LIGHT, METHODS, style
from langevax.studies.mixture.verdict import spread

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


def draw(data: "xarray.Dataset") -> "Figure":
    """Chains on the exact density, mode by mode; the spread index along the run; where chains ended by their start."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(10.5, 6.2))
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.25), height_ratios=(1.55, 1))
        cells = grid[:, 0].subgridspec(2, 1)  # one for both: layouts of two would overlap
        for mode in range(2):
            _draw_mode(figure.add_subplot(cells[mode]), data, mode)
        _draw_index(figure.add_subplot(grid[0, 1]), data)
        _draw_share(figure.add_subplot(grid[1, 1]), data)
    return figure


def _draw_mode(axes: Any, data: "xarray.Dataset", mode: int) -> None:
    theta, density = data["theta"].values[mode], data["density"].values[mode]
    for name in ("SGLD", "SVRG-LD"):
        mine = data["end"].sel(sampler=name).values[data["mode_of"].sel(sampler=name)[:, -1] == mode]
        looks = {"color": METHODS[name][0], "markersize": 3, "alpha": 0.6, "markeredgewidth": 0}
        axes.plot(*mine.T, METHODS[name][1], label=name, **looks)
    axes.contour(theta[..., 0], theta[..., 1], density, np.exp([-4.5, -2.0, -0.5]), colors=INK, linewidths=1.0)
    (a, b), weight = data["exact_mean"].values[mode], float(data["exact_weight"][mode])
    da, db = 4.6 * np.sqrt(np.diag(data["exact_covariance"].values[mode]))
    axes.locator_params(axis="x", nbins=5)
    axes.set(xlim=(a - da, a + da), ylim=(b - db, b + db), xlabel="$\\theta_1$, first location")
    axes.set(ylabel="$\\theta_2$, shift of the second", title=f"Mode {mode + 1}, exact weight {weight:.3f}")
    if mode == 0:
        for k, (name, mark) in enumerate({"SGLD": "▲", "SVRG-LD": "●"}.items()):
            right = {"transform": axes.transAxes, "ha": "right", "va": "top"}
            axes.text(0.98, 0.95 - 0.11 * k, f"{mark} {name}", color=METHODS[name][0], **right)
        axes.text(0.02, 0.04, "lines: exact, 1, 2, 3 sd", transform=axes.transAxes)


def _draw_index(axes: Any, data: "xarray.Dataset") -> None:
    labels = {"SVRG-LD": -9, "SARAH-LD": 9}
    for name in data["sampler"].values:
        colour, marker = METHODS[str(name)]
        x = data["gradients"].sel(sampler=name).values / 1e6
        index, error, _ = zip(*(spread(data, name, slice(k, k + 1)) for k in range(len(x))), strict=True)
        faces, looks = (colour, LIGHT["paper"]), {"color": colour, "fmt": marker + ":", "linewidth": 0.9}
        for shift, face, y, bars in zip((0.988, 1.012), faces, np.transpose(index), np.transpose(error), strict=True):
            label = f"{name}, mode {1 if face == colour else 2}"
            axes.errorbar(x * shift, y, bars, markerfacecolor=face, label=label, **looks)
        place = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(name, (x[-1], index[-1].mean()), (12, labels.get(str(name), 0)), color=colour, **place)
    axes.axhline(1, color=INK)
    axes.set(yscale="log", ylim=(0.6, None), ylabel="spread index, chain / exact")
    axes.set_xlim(0, 1.25 * float(data["gradients"].max()) / 1e6)  # with room for the names
    title = "Spread in mode 1 (filled) and 2 (hollow), standard errors"
    axes.set(xlabel="component gradients per chain (millions)", title=title)


def _draw_share(axes: Any, data: "xarray.Dataset") -> None:
    exact_weight = float(data["exact_weight"][0])
    for row, start in enumerate(data["start"].values):
        for name, shift in (("SVRG-LD", -0.13), ("MALA", 0.13)):
            p = float(data["share"].sel(compared=name, start=start))
            colour, marker = METHODS[name]
            error = np.sqrt(p * (1 - p) / data.attrs["chains"])
            axes.errorbar(p, row + shift, xerr=error, fmt=marker, color=colour)
            axes.annotate(name, (p + error, row + shift), (5, 0), textcoords="offset points", color=colour, va="center")
    axes.axvline(exact_weight, color=INK)
    axes.annotate(f"exact {exact_weight:.3f}", (exact_weight, 0.5), (5, 0), textcoords="offset points", va="center")
    axes.set(yticks=range(data.sizes["start"]), yticklabels=[f"from {s}" for s in data["start"].values])
    axes.set(ylim=(1.5, -0.5), xlim=(0.4, 1.0), xlabel="share of chains that end in mode 1")
    axes.set(ylabel="start", title="No chain crosses: the start decides the share, for MALA too")
