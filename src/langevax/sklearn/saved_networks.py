"""Saved networks on tables that predict in NumPy, without their estimators, JAX and scikit-learn."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from langevax.sklearn.intervals import ClassSets, Intervals, NetworkPredictions
from langevax.sklearn.network_outputs import OutputNeuron
from langevax.sklearn.saved import SAVED_CLASSES, decode, named, read


class SavedNetwork(NetworkPredictions):
    """The fitted attributes of a saved network, without the estimator."""

    def __init__(self, fitted: Mapping[str, Any]):
        vars(self).update(fitted)

    def _columns(self, X: Any) -> np.ndarray:
        """Return the columns (n, d) float64 of a table with which to predict."""
        columns = np.asarray(X, np.float64)
        if not np.isfinite(columns).all():
            raise ValueError("X holds NaN or infinity; pass finite numbers.")
        return columns


class SavedRegressor(SavedNetwork, Intervals):
    """A saved `MeanFieldRegressor`, which only predicts."""


class SavedClassifier(SavedNetwork, ClassSets):
    """A saved `MeanFieldClassifier`, which only predicts."""


NETWORKS: dict[str, type[SavedNetwork]] = {
    "MeanFieldRegressor": SavedRegressor,
    "MeanFieldClassifier": SavedClassifier,
}


def saved_network(file: str | os.PathLike[str]) -> SavedNetwork | None:
    """Return the network in a file, to predict with; None where another model is in it.

    Raises:
        ModelError: as `langevax.sklearn.load` does.
    """
    header, arrays = read(file)
    kind = NETWORKS.get(header["class"])
    if kind is None:
        return None
    SAVED_CLASSES.setdefault("TanhTanh", OutputNeuron)  # unless JAX is there
    needed = {
        name for part in kind.__mro__ for name in getattr(part, "__annotations__", ())
    }
    with named(file):
        fitted = header["fitted"]
        return kind(
            {name: decode(fitted[name], arrays) for name in needed & fitted.keys()}
        )
