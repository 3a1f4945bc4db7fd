"""From a saved file back to the estimator that wrote it."""

import os
from typing import Any

from langevax.sklearn import persistence
from langevax.sklearn.classifier import MeanFieldClassifier
from langevax.sklearn.encoded import (
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    GraphMeanFieldClassifier,
    GraphMeanFieldRegressor,
)
from langevax.sklearn.kernel_langevin import KernelLangevinClassifier, KernelLangevinRegressor
from langevax.sklearn.regressor import MeanFieldRegressor
from langevax.sklearn.two_phase import TwoPhaseReLURegressor

ESTIMATORS = (
    MeanFieldRegressor,
    MeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    FunctionalMeanFieldClassifier,
    GraphMeanFieldRegressor,
    GraphMeanFieldClassifier,
    KernelLangevinRegressor,
    KernelLangevinClassifier,
    TwoPhaseReLURegressor,
)
Estimator = (
    MeanFieldRegressor
    | MeanFieldClassifier
    | KernelLangevinRegressor
    | KernelLangevinClassifier
    | TwoPhaseReLURegressor
)


def load(file: str | os.PathLike) -> Estimator:
    """The estimator that `save` wrote, ready to predict.

    Raises:
        ModelError: no such file, a truncated one, or one of another version.

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
    header, arrays = persistence.read(file)
    known: dict[str, Any] = {kind.__name__: kind for kind in ESTIMATORS}
    if header.get("class") not in known:
        raise persistence.ModelError(f"{str(file)!r} holds a {header.get('class')!r}; known are {', '.join(known)}.")
    model = known[header["class"]](**header["parameters"])
    model._restore(header, arrays)
    return model
