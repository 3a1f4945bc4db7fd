"""What the examples share: a command line of two options, and a picture in the look of the project."""

import argparse
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from langevax.figures import theme

OUT = Path("out")


def command(main: Callable[..., Any]) -> None:
    """Run `main(quick=, out=)` by what is typed: --quick for a few seconds of it, --out FOLDER for its picture."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="less of everything, as the tests run it")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of the picture (default: out)")
    main(**vars(parser.parse_args()))


@contextmanager
def picture(file: Path, panels: int = 2, **subplots: Any) -> Iterator[Any]:
    """The axes of a figure, which is saved as `file` in the end."""
    with plt.rc_context(theme.style()):
        figure, axes = plt.subplots(1, panels, **subplots)
        yield axes
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file)
        plt.close(figure)
    print(f"figure: {file}")
