"""Shared parts of the examples: a command line of two options, and a picture in the project's style."""

import argparse
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from langevax.figures import theme

OUT = Path("out")
CARD = (5.0, 3.4)
"""Inches of a figure that is still read where a page shows it 320 pixels wide."""


def command(main: Callable[..., Any]) -> None:
    """Run `main(quick=, out=)` by what is typed: --quick for a few seconds of it, --out FOLDER for its picture."""
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(inspect.getmodule(main))
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--quick", action="store_true", help="less of everything, as the tests run it"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="the folder of the picture (default: out)"
    )
    main(**vars(parser.parse_args()))


def draw_interval(axes: Any, certificate: Any) -> None:
    """Draw how the interval that holds the optimum closed as the search went on."""
    work, lower, upper = np.array(certificate.history).T
    colour = theme.METHODS["MFLD"][0]
    axes.fill_between(work, lower, upper, step="post", color=theme.faint(colour))
    axes.step(work, upper, where="post", color=colour, label="upper end, proved")
    axes.step(work, lower, "--", where="post", color=colour, label="lower, by search")
    axes.set(xscale="log", xlabel="work, neuron gradients")
    axes.set(ylabel="training objective", title="The optimum lies in the band")
    axes.legend(loc="best")


@contextmanager
def picture(
    file: Path,
    panels: int | tuple[int, int] = 2,
    card: int | None = None,
    **subplots: Any,
) -> Iterator[Any]:
    """The axes of a figure of so many panels, or (rows, columns), which is saved as `file` in the end.

    The gallery's card shows the whole picture, or panel `card` alone: its edges in pixels stand in the file as "panel".
    """
    with plt.rc_context(theme.style()):
        figure, axes = plt.subplots(
            *((1, panels) if isinstance(panels, int) else panels), **subplots
        )
        yield axes
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(
            file,
            metadata=None
            if card is None
            else {"panel": edges(figure, axes.flat[card])},
        )
        plt.close(figure)
    print(f"figure: {file}")


def edges(figure: plt.Figure, axes: plt.Axes) -> str:
    """Left, top, right and bottom of a panel in the pixels of the saved figure."""
    figure.draw_without_rendering()
    scale = plt.rcParams["savefig.dpi"] / figure.dpi
    left, bottom, right, top = (scale * edge for edge in axes.get_tightbbox().extents)
    (width, height), margin = figure.get_size_inches() * plt.rcParams["savefig.dpi"], 8
    shown = (
        max(left - margin, 0),
        max(height - top - margin, 0),
        right + margin,
        height - bottom + margin,
    )
    shown = *shown[:2], min(shown[2], width), min(shown[3], height)
    return " ".join(f"{edge:.0f}" for edge in shown)


def label(
    axes: plt.Axes,
    text: str,
    place: tuple[float, float],
    offset: tuple[float, float],
    **style: Any,
) -> None:
    """Write words beside a point, at an offset in points."""
    axes.annotate(text, place, offset, textcoords="offset points", **style)
