"""Models from files: networks on tables predict in NumPy, and become estimators when more is asked of them.

JAX and scikit-learn take seconds to import, and JAX cannot run in a forked process.
"""

import os
from importlib import import_module
from typing import Any

import numpy as np

from langevax import storage
from langevax.sklearn.intervals import ClassSets, Intervals, NetworkPredictions
from langevax.sklearn.network_outputs import OutputNeuron
from langevax.sklearn.saved import SAVED_CLASSES, decode, named, read


class SavedNetwork(NetworkPredictions):
    """A saved network, which predicts; whatever else is asked of it makes it the estimator in its place."""

    n_features_in_: int
    feature_names_in_: np.ndarray | None = None

    def __init__(self, file: str, stored: storage.StoredArrays):
        fitted = stored.header["fitted"]
        needed = {
            name
            for part in type(self).__mro__
            for name in getattr(part, "__annotations__", ())
        }
        SAVED_CLASSES.setdefault("TanhTanh", OutputNeuron)  # unless JAX is there
        vars(self).update(
            {name: decode(fitted[name], stored.arrays) for name in needed & {*fitted}},
            _stored=(file, stored),
        )

    def _estimator(self) -> Any:
        """Return this object, which is the saved estimator from now on."""
        if "_stored" in vars(self):
            from langevax.sklearn.persistence import restored

            model = restored(*vars(self)["_stored"])
            vars(self).update(vars(model))
            object.__dict__["__class__"].__set__(self, type(model))
            vars(self).pop("_stored", None)
        return self

    def _columns(self, X: Any) -> np.ndarray:
        is_plain = (
            type(X) is np.ndarray
            and X.dtype.kind in "fiu"
            and len(X)
            and X.shape[1:] == (self.n_features_in_,)
            and self.feature_names_in_ is None
        )
        if is_plain and np.isfinite(columns := X.astype(np.float64)).all():
            return columns
        return self._estimator()._columns(X)  # which converts, or says what is wrong

    def __getattr__(self, name: str) -> Any:
        return getattr(self._estimator(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._estimator(), name, value)

    def __repr__(self) -> str:
        return repr(self._estimator())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._estimator().__reduce_ex__(protocol)

    @property
    def __class__(self) -> Any:  # for isinstance  # pyright: ignore[reportIncompatibleMethodOverride]
        package = import_module("langevax.sklearn")
        return getattr(package, vars(self)["_stored"][1].header["class"])


NETWORKS: dict[str, type[SavedNetwork]] = {
    f"MeanField{kind}": type(f"Saved{kind}", (SavedNetwork, predictions), {})
    for kind, predictions in (("Regressor", Intervals), ("Classifier", ClassSets))
}


def load(file: str | os.PathLike[str]) -> Any:
    """Return the estimator that `save` wrote, ready to predict, with its model card as `card_`.

    A `MeanFieldRegressor` or `MeanFieldClassifier` predicts without JAX, also in a process that was forked after JAX
    had started; JAX is imported when something else than a prediction at an array is asked of it. Other estimators
    import it here.

    Raises:
        ModelError: no such file, one that is truncated, altered or not a model, or one of another version.

    Example:
        >>> import tempfile, numpy as np
        >>> from langevax.sklearn import MeanFieldRegressor, load
        >>> X = np.linspace(-1, 1, 40)[:, None]
        >>> model = MeanFieldRegressor(num_particles=50, num_steps=50, random_state=0).fit(X, X[:, 0] ** 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.safetensors")
        ...     bool(np.all(load(f"{folder}/model.safetensors").predict(X) == model.predict(X)))
        True
    """
    stored = read(file)
    kind = NETWORKS.get(str(stored.header["class"]))
    if kind is not None:
        with named(file):
            return kind(os.fspath(file), stored)
    from langevax.sklearn.persistence import restored

    return restored(file, stored)
