"""The figure of the study "dimension-free": points are chains, lines exact laws."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

SCHEMES = {
    "explicit Euler": theme.METHODS["LD"],
    "semi-implicit": (theme.OKABE_ITO[0], "o"),
    "exponential": (theme.OKABE_ITO[2], "D"),
}
METHODS = {
    "pCN": (theme.OKABE_ITO[5], "o"),
    "pCNL": (theme.OKABE_ITO[0], "s"),
    "MALA": theme.METHODS["MALA"],
    "random walk": (theme.OKABE_ITO[3], "^"),
}
CASES = ((theme.OKABE_ITO[0], "o"), (theme.OKABE_ITO[1], "s"), (theme.OKABE_ITO[3], "^"), SCHEMES["exponential"])
MARKERS = "os^D"


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Eight panels: what N costs above, what is left of errors and of mixing below."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(17.0, 8.0))
        panels = (_limits, _steps, _variances, _acceptance, _bias, _tail, _correlations, _losses)
        for axes, panel in zip(figure.subplots(2, 4).ravel(), panels, strict=True):
            panel(axes, dataset)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr]
    return figure


def _say(axes: Any, text: str, x: float, y: float, colour: str, **options: Any) -> None:
    """A label next to what it names, in units of the data."""
    place: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "color": colour}
    axes.annotate(text, (x, y), **(place | options))


def _points(axes: Any, x: Any, y: Any, error: Any, look: tuple[str, str], **options: Any) -> None:
    colour, marker = look
    axes.errorbar(x, y, error, fmt=marker, color=colour, capsize=2, **options)


def _modes_axis(axes: Any, **options: Any) -> None:
    axes.set_xscale("log", base=10)
    axes.set(xlabel="modes $N$", **options)


def _limits(axes: Any, dataset: "xarray.Dataset") -> None:
    n, checked = dataset.modes.values, dataset.stability_modes.values
    for name in ("explicit Euler", "semi-implicit"):  # the exponential scheme's is within one percent of the latter's
        row, look = dataset.sel(scheme=name), SCHEMES[name]
        axes.loglog(n, row.limit, color=look[0], label=name)
        axes.plot(checked, row.limit.sel(modes=checked), linestyle="none", marker=look[1], color=look[0])
    _say(
        axes, "semi-implicit, exponential", n[-1], float(dataset.limit[1, -1]), SCHEMES["semi-implicit"][0], ha="right"
    )
    _say(
        axes,
        "explicit Euler\nslope $-2$",
        n[4],
        float(dataset.limit[0, 4]),
        SCHEMES["explicit Euler"][0],
        xytext=(8, 6),
    )
    axes.text(0.04, 0.05, "points: chains settle at 0.95 of it\nand grow at 1.05",
              transform=axes.transAxes, color=theme.LIGHT["soft"])  # fmt: skip
    _modes_axis(axes, ylabel="largest stable step (time)", title="Euler's step shrinks, the others' does not",
                ylim=(1e-9, 20))  # fmt: skip


def _steps(axes: Any, dataset: "xarray.Dataset") -> None:
    n = dataset.modes.values
    for name, look in SCHEMES.items():
        row = dataset.sel(scheme=name)
        axes.loglog(n, row.steps, color=look[0], label=f"{name}, exact")
        _points(axes, n, row.chain_steps, row.chain_steps_error, look, label=f"{name}, chains")
    ends = dataset.steps.isel(modes=-1)
    _say(axes, "semi-implicit", n[-1], float(ends[1]), SCHEMES["semi-implicit"][0], ha="right")
    _say(axes, "exponential", n[-1], float(ends[2]), SCHEMES["exponential"][0], ha="right", xytext=(0, -15))
    _say(axes, "explicit Euler\nslope 2", n[4], float(dataset.steps[0, 4]), SCHEMES["explicit Euler"][0], ha="right",
         xytext=(-8, 4))  # fmt: skip
    _modes_axis(axes, ylabel="steps to $W_2$ = 0.06, low 50 modes", title="so Euler needs more steps with every mode",
                ylim=(1, 1e10))  # fmt: skip


def _variances(axes: Any, dataset: "xarray.Dataset") -> None:
    k = dataset.mode.values + 1
    shown = np.unique(np.geomspace(1, len(k), 16).round().astype(int)) - 1
    for name in ("semi-implicit", "exponential"):
        row, look = dataset.sel(scheme=name), SCHEMES[name]
        axes.plot(k, row.variance_exact, color=look[0], label=f"{name}, exact")
        _points(axes, k[shown], row.variance[shown], row.variance_error[shown], look, label=f"{name}, chains")
    middle = len(k) // 4
    _say(axes, "exponential", k[-1], 1.0, SCHEMES["exponential"][0], ha="right", xytext=(0, 26))
    _say(axes, "semi-implicit\n$1/(1 + h(a_k - q_k)/2)$", k[middle], float(dataset.variance_exact[1, middle]),
         SCHEMES["semi-implicit"][0], xytext=(-14, 4), ha="right", va="top")  # fmt: skip
    axes.set(xscale="log", ylim=(0, 1.3), xlabel="mode $k + 1$", ylabel="variance / target's",
             title="Stiff modes are colder, as computed")  # fmt: skip


def _acceptance(axes: Any, dataset: "xarray.Dataset") -> None:
    n = dataset.proposal_modes.values
    for name, look in METHODS.items():
        row = dataset.sel(proposal=name)
        axes.plot(dataset.proposal_line_modes, row.acceptance_line, color=look[0])
        _points(axes, n, row.acceptance, row.acceptance_error, look, label=name)
    for name, shift in (("pCN", 8), ("pCNL", -17)):
        _say(axes, name, n[-1], float(dataset.acceptance_exact.sel(proposal=name)[-1]), METHODS[name][0], ha="right",
             xytext=(0, shift))  # fmt: skip
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[2:], labels[2:], loc="center right", bbox_to_anchor=(1.0, 0.32), handletextpad=0.2)
    _modes_axis(axes, ylabel="acceptance of one proposal", title="Proposals made for functions stay good",
                ylim=(-0.02, 0.8))  # fmt: skip


def _bias(axes: Any, dataset: "xarray.Dataset") -> None:
    h = dataset.line_step.values
    words = ("$p$ = 2: slope 1/2", "$p$ = 3: 2/3", "$p$ = 5: 4/5", "exponential, $p$ = 2, a loss: 1")
    for case, look, text in zip(dataset.case.values, CASES, words, strict=True):
        row = dataset.sel(case=case)
        axes.loglog(h, row.bias_line, color=look[0])
        _points(axes, dataset.step, row.bias, row.bias_error, look, label=text)
    axes.legend(loc="lower right", handletextpad=0.2)
    axes.set(xlabel="step size $h$ (time)", ylabel="bias of $E|x|^2$",
             title="Order $(p-1)/p$ in the step, $\\mu_k = k^{-p}$")  # fmt: skip


def _tail(axes: Any, dataset: "xarray.Dataset") -> None:
    look = SCHEMES["exponential"]
    n = np.concatenate([dataset.cut.values, dataset.modes.values])
    line = np.concatenate([dataset.left_out_exact.values, dataset.left_out_line.values])
    order = np.argsort(n)
    axes.loglog(n[order], line[order], color=look[0], label="exact")
    _points(axes, dataset.cut, dataset.left_out, dataset.left_out_error, look, label="chains")
    _say(axes, "slope $-1$", float(dataset.modes[3]), float(dataset.left_out_line[3]), look[0], xytext=(8, 4))
    _modes_axis(axes, ylabel="left out of $E|x|^2$", title="and a cut-off leaves $1/N$, $p$ = 2")


def _correlations(axes: Any, dataset: "xarray.Dataset") -> None:
    import matplotlib

    counts = dataset.mixing_modes.values
    shades = matplotlib.colormaps[theme.SEQUENTIAL](np.linspace(0, 0.85, len(counts)))
    for k, (count, shade, marker) in enumerate(zip(counts, shades, MARKERS, strict=False)):
        row = dataset.sel(mixing_modes=count)
        apart = 1.07 ** (k - (len(counts) - 1) / 2)  # so that none hides another
        _points(
            axes, dataset.lag * apart, row.correlation, row.correlation_error, (shade, marker), label=f"N = {count}"
        )
    axes.legend(loc="upper right", handletextpad=0.2)
    axes.set_xscale("log")
    axes.set_xticks(dataset.lag.values, [str(lag) for lag in dataset.lag.values])
    axes.minorticks_off()
    axes.set(xlabel="lag (steps)", ylabel="autocorrelation of the loss", ylim=(0, 1.02),
             title="No convexity: mixing does not know $N$")  # fmt: skip


def _losses(axes: Any, dataset: "xarray.Dataset") -> None:
    import matplotlib

    counts, value, error = dataset.mixing_modes.values, dataset.loss.values, dataset.loss_error.values
    shades = matplotlib.colormaps[theme.SEQUENTIAL](np.linspace(0, 0.85, len(counts)))
    for count, v, e, shade, marker in zip(counts, value, error, shades, MARKERS, strict=False):
        _points(axes, count, v, e, (shade, marker), label=f"N = {count}")
    mean = float((value / error**2).sum() / (1 / error**2).sum())
    axes.axhline(mean, color=theme.GREY, linewidth=0.9)
    axes.text(0.03, 0.05, "grey: mean over all $N$", transform=axes.transAxes, color=theme.GREY)
    reach = 5 * error.max()
    _modes_axis(axes, ylabel="mean loss", title="nor does the mean loss", ylim=(mean - reach, mean + reach))
    axes.set_xlim(counts[0] / 2, counts[-1] * 2)
