"""Types and constraints, in scikit-learn's terms, of parameters that several estimators share."""

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from langevax.run.options import Run, check_unsaved

Auto = Literal["auto"]
RandomState = int | np.random.RandomState | None


def seed_of(random_state: RandomState) -> int:
    """Return a seed drawn from what the user passed."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def run_of(run: Run | None) -> Run:
    """Return an estimator's parameter `run`, whose default is None, as scikit-learn allows no object there."""
    return Run() if run is None else run


def unsaved_run(estimator: Any) -> Run:
    """Return the parameter `run` of an estimator that saves nothing; raise where there is a checkpoint."""
    run = run_of(estimator.run)
    check_unsaved(run, type(estimator).__name__)
    return run


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
    "run": [Run, None],
    "random_state": ["random_state"],
}
