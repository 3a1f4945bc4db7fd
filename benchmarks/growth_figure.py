"""The picture of `growth`: a panel for each size, measured seconds as points, the expected power as a line."""

from pathlib import Path

import numpy as np

from benchmarks.exponents import Grown
from langevax.figures.theme import GREY, METHODS, OKABE_ITO, style

OTHERS = {
    "MFLD, one row": (OKABE_ITO[5], "d"),
    "P-SDCA, a coordinate": (OKABE_ITO[3], "^"),
    "P-SDCA, a refresh": (OKABE_ITO[4], "p"),
    "functions": (OKABE_ITO[5], "P"),
    "FLEDGE": (OKABE_ITO[4], "X"),
}
CLOUDS, REST = "particles N, M", "modes K, chains, clients P, local steps"
PANELS = {"rows n": "rows n", "columns d": "columns d", "particles N": CLOUDS, "particles M": CLOUDS}


def draw(found: list[Grown], *files: Path) -> None:
    """Log-log panels; every line says its method, its exponent with the standard error, and the expected one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels: dict[str, list[Grown]] = {name: [] for name in ("rows n", "columns d", CLOUDS, REST)}
    for grown in found:
        panels[PANELS.get(grown.size, REST)].append(grown)
    with matplotlib.rc_context(style()):
        figure, axes = plt.subplots(2, 2, figsize=(10.5, 8.4))
        for axis, (title, inside) in zip(axes.flat, panels.items(), strict=True):
            for grown in inside:
                one(axis, grown, alone=title != REST)
            axis.set(xscale="log", yscale="log", title=title, xlabel="size", ylabel="seconds a step, one core")
            low, high = axis.get_ylim()
            axis.set_ylim(low, high * (high / low) ** 0.45)  # room for the names
            axis.legend(loc="upper left", fontsize=8.5, handlelength=1.2, labelspacing=0.3)
        for file in files:
            figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
        plt.close(figure)


def one(axis, grown: Grown, alone: bool) -> None:
    """Points with the standard error of their repeats, and the expected power through those of the last decade."""
    colour, marker = OTHERS.get(grown.method) or METHODS.get(grown.method, (GREY, "."))
    x, y = np.asarray(grown.sizes, float), np.asarray(grown.medians)
    spread = np.std(grown.seconds, axis=1, ddof=1) / np.sqrt(len(grown.seconds[0]))
    filled = colour if grown.size != "local steps" else "none"
    name = grown.method if alone else f"{grown.method}, {grown.size}"
    label = f"{name}: {grown.exponent:.2f} ± {grown.error:.2f}, expected {grown.expected:g}"
    axis.errorbar(x, y, spread, fmt=marker, color=colour, markerfacecolor=filled, label=label, elinewidth=0.8)
    last = x >= x[-1] / 10.001
    middle = np.exp(np.mean(np.log(y[last]) - grown.expected * np.log(x[last])))
    ends = np.array([x[last][0], x[-1]])
    axis.plot(ends, middle * ends**grown.expected, color=colour)
