"""The rows of langevax: default settings, and what is known of the data."""

from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline

from benchmarks.curves_and_graphs.data import DataSet
from benchmarks.curves_and_graphs.peers import Method, encoder
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor


def doors(data: DataSet) -> dict[str, Method]:
    """The door for such data, and the estimator for tables behind the same encoder."""
    kind = "Functional" if data.kind == "curves" else "Graph"
    name = f"{kind}MeanField{'Classifier' if data.classes else 'Regressor'}"

    def door(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        import langevax.sklearn

        return getattr(langevax.sklearn, name)(**data.known, random_state=seed).fit(X, y).predict(X_test)

    def pipeline(X: Any, y: np.ndarray, X_test: Any, seed: int) -> np.ndarray:
        scaling = "global" if data.kind == "curves" else "columns"
        network = MeanFieldClassifier if data.classes else MeanFieldRegressor
        model = make_pipeline(encoder(data), network(scaling=scaling, random_state=seed))
        return model.fit(X, y).predict(X_test)

    return {
        "mean-field door": Method(door, draws=True, needs=(f"langevax.sklearn.{name}",)),
        "mean-field network behind the encoder": Method(pipeline, draws=True),
    }
