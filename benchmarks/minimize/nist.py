"""NIST's nonlinear regression problems with their certified values, from both starts.

The data, starts and certified values in `nist.json` are those of the NIST/ITL Statistical Reference Datasets
(https://www.itl.nist.gov/div898/strd/), a work of the United States government, as in the source distribution of lmfit
1.3.4. A run is solved where its sum of squares exceeds the certified one by at most a millionth of it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

DIGITS = 1e-6
EXACT = 1e-20
"""Part of the sum of squared responses that counts as zero: Lanczos1 is exact to the digits of its data."""


class Regression(NamedTuple):
    """One problem."""

    name: str
    starts: list[list[float]]
    certified: list[float]
    sum_of_squares: float
    predictors: np.ndarray
    responses: np.ndarray

    def __call__(self, b: Any) -> Any:
        """Return the sum of squared residuals."""
        xp = np if isinstance(b, np.ndarray) else jnp
        responses = xp.log(self.responses) if self.name == "Nelson" else self.responses
        return xp.sum((responses - MODELS[self.name](xp, self.predictors, *b)) ** 2)

    def solved(self, value: float) -> bool:
        """Return whether a sum of squares is the certified one."""
        return value <= self.sum_of_squares * (1 + DIGITS) + EXACT * float(
            np.sum(self.responses**2)
        )


def _gauss(xp: Any, x: Any, *b: Any) -> Any:
    peaks = b[2] * xp.exp(-((x - b[3]) ** 2) / b[4] ** 2) + b[5] * xp.exp(
        -((x - b[6]) ** 2) / b[7] ** 2
    )
    return b[0] * xp.exp(-b[1] * x) + peaks


def _enso(xp: Any, x: Any, *b: Any) -> Any:
    def wave(cosine: Any, sine: Any, period: Any) -> Any:
        return cosine * xp.cos(2 * np.pi * x / period) + sine * xp.sin(
            2 * np.pi * x / period
        )

    return b[0] + wave(b[1], b[2], 12) + wave(b[4], b[5], b[3]) + wave(b[7], b[8], b[6])


def _cubics(xp: Any, x: Any, *b: Any) -> Any:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (
        1 + b[4] * x + b[5] * x**2 + b[6] * x**3
    )


def _lanczos(xp: Any, x: Any, *b: Any) -> Any:
    return (
        b[0] * xp.exp(-b[1] * x) + b[2] * xp.exp(-b[3] * x) + b[4] * xp.exp(-b[5] * x)
    )


def _chwirut(xp: Any, x: Any, *b: Any) -> Any:
    return xp.exp(-b[0] * x) / (b[1] + b[2] * x)


def _misra1a(xp: Any, x: Any, *b: Any) -> Any:
    return b[0] * (1 - xp.exp(-b[1] * x))


MODELS: dict[str, Callable[..., Any]] = {
    "Bennett5": lambda xp, x, *b: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": _misra1a,
    "Chwirut1": _chwirut,
    "Chwirut2": _chwirut,
    "DanWood": lambda xp, x, *b: b[0] * x ** b[1],
    "ENSO": _enso,
    "Eckerle4": lambda xp, x, *b: b[0] / b[1] * xp.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _cubics,
    "Kirby2": lambda xp, x, *b: (
        (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2)
    ),
    "Lanczos1": _lanczos,
    "Lanczos2": _lanczos,
    "Lanczos3": _lanczos,
    "MGH09": lambda xp, x, *b: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda xp, x, *b: b[0] * xp.exp(b[1] / (x + b[2])),
    "MGH17": lambda xp, x, *b: (
        b[0] + b[1] * xp.exp(-x * b[3]) + b[2] * xp.exp(-x * b[4])
    ),
    "Misra1a": _misra1a,
    "Misra1b": lambda xp, x, *b: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda xp, x, *b: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda xp, x, *b: b[0] * b[1] * x / (1 + b[1] * x),
    "Nelson": lambda xp, x, *b: b[0] - b[1] * x[:, 0] * xp.exp(-b[2] * x[:, 1]),
    "Rat42": lambda xp, x, *b: b[0] / (1 + xp.exp(b[1] - b[2] * x)),
    "Rat43": lambda xp, x, *b: b[0] / (1 + xp.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda xp, x, *b: (
        b[0] - b[1] * x - xp.arctan(b[2] / (x - b[3])) / np.pi
    ),
    "Thurber": _cubics,
}


def regressions() -> list[Regression]:
    """Return all of them, in the order of their names."""
    table = json.loads(
        (Path(__file__).parent / "nist.json").read_text(encoding="utf-8")
    )
    problems = []
    for name, entry in table.items():
        rows = np.array(entry["rows"])
        predictors = rows[:, 1] if rows.shape[1] == 2 else rows[:, 1:]
        problems.append(
            Regression(
                name,
                entry["starts"],
                entry["certified"],
                entry["rss"],
                predictors,
                rows[:, 0],
            )
        )
    return problems
