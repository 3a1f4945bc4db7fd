"""Evaluation of fitted estimators on held-out rows, and the estimators they are compared with."""

from typing import Literal

import numpy as np

Task = Literal["regression", "classification"]


def called_classes(outputs: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Return the likeliest class of each row; of two classes, the second from `threshold` on.

    Example:
        >>> called_classes(np.array([[0.9, 0.1], [0.7, 0.3]]), threshold=0.2)
        array([0, 1])
    """
    if outputs.shape[1] == 2 and threshold != 0.5:
        return (outputs[:, 1] > threshold).astype(int)
    return outputs.argmax(1)
