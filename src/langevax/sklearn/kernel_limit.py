"""Random features of untrained neurons: the kernel of the prior as a scikit-learn transformer."""

from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import validate_data

from langevax.meanfield.kernel_limit import prior_features
from langevax.problems.neurons import Neuron
from langevax.sklearn.table import Standardiser, Table, bucket, padded
from langevax.sklearn.training import root_key


class NeuronFeatures(TransformerMixin, BaseEstimator):
    """`h(theta_r, x) / sqrt(num_neurons)` of neurons from the prior: inner products tend to E[h(x) h(x')]."""

    def __init__(
        self, neuron: Neuron, standardiser: Standardiser, prior_variance: float, num_neurons: int, random_state: int
    ):
        self.neuron = neuron
        self.standardiser = standardiser
        self.prior_variance = prior_variance
        self.num_neurons = num_neurons
        self.random_state = random_state

    def fit(self, X: Table, y: Any = None) -> Self:
        """Nothing is learned; the columns are counted."""
        validate_data(self, X, dtype=np.float64)
        return self

    def transform(self, X: Table) -> np.ndarray:
        """(n, num_neurons) float32."""
        X = validate_data(self, X, dtype=np.float64, reset=False)
        inputs = jnp.asarray(padded(self.standardiser(X), bucket(len(X))))
        key = root_key(self.random_state)
        features = prior_features(self.neuron, inputs, self.prior_variance, self.num_neurons, key=key)
        return np.asarray(features).T[: len(X)] / np.float32(np.sqrt(self.num_neurons))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")
