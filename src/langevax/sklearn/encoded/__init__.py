"""Mean-field networks on curves and graphs: an encoder in front of the network, fitted, saved and asked with it."""

from langevax.sklearn.encoded.curves import FunctionalMeanFieldClassifier, FunctionalMeanFieldRegressor
from langevax.sklearn.encoded.graphs import GraphMeanFieldClassifier, GraphMeanFieldRegressor

__all__ = [
    "FunctionalMeanFieldClassifier",
    "FunctionalMeanFieldRegressor",
    "GraphMeanFieldClassifier",
    "GraphMeanFieldRegressor",
]
