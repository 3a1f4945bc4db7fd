"""Types and constraints, in scikit-learn's terms, of parameters that several estimators share."""

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

Auto = Literal["auto"]
Progress = bool | Auto
RandomState = int | np.random.RandomState | None


class Number(Interval):
    """An interval of numbers, to which booleans do not belong."""

    def is_satisfied_by(self, val: Any) -> bool:
        return not isinstance(val, bool | np.bool_) and bool(
            super().is_satisfied_by(val)
        )


def positive(*words: str) -> list[Any]:
    """Constraint of a finite number > 0, or one of the words."""
    return [Number(Real, 0, np.inf, closed="neither"), *one_of(*words)]


def non_negative(*words: str) -> list[Any]:
    """Constraint of a finite number >= 0, or one of the words."""
    return [Number(Real, 0, np.inf, closed="left"), *one_of(*words)]


def count(minimum: int, *words: str) -> list[Any]:
    """Constraint of an integer that is at least `minimum`, or one of the words."""
    return [Number(Integral, minimum, None, closed="left"), *one_of(*words)]


def one_of(*words: str) -> list[Any]:
    """Constraint of a word."""
    return [StrOptions(set(words))] if words else []


FLAG: list[Any] = ["boolean"]
SHARED: dict[str, list[Any]] = {
    "progress": [bool, *one_of("auto")],
    "random_state": ["random_state"],
}
