"""The warning of inputs that the training ones say nothing about."""

import warnings

import numpy as np


class UnlikeTrainingWarning(UserWarning):
    """A prediction is asked for at curves or graphs unlike those of the training."""


def warn_unlike(places: np.ndarray, number: int, why: str) -> None:
    """Warn of inputs at these places among `number`.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_unlike(np.array([3]), 10, "its label 'Xe' is new")
    >>> print(caught[0].message)
    1 of 10 inputs is unlike all of training, the first at place 3: its label 'Xe' is new. Nothing supports a prediction \
there.
    """
    if len(places):
        verb = "is" if len(places) == 1 else "are"
        warnings.warn(
            f"{len(places)} of {number} inputs {verb} unlike all of training, the "
            f"first at place {places[0]}: {why}. Nothing supports a prediction there.",
            UnlikeTrainingWarning,
            stacklevel=3,
        )
