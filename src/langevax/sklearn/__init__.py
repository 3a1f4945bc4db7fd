"""scikit-learn estimators: networks trained to a certified global optimum, by `fit` and `predict`."""

from langevax.sklearn.classifier import MeanFieldClassifier
from langevax.sklearn.persistence import ModelError, load
from langevax.sklearn.regressor import MeanFieldRegressor

__all__ = ["MeanFieldClassifier", "MeanFieldRegressor", "ModelError", "load"]
