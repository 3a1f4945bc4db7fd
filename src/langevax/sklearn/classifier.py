"""Classification by a mean-field network: logistic loss for two classes, softmax for more."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from langevax.problems import losses
from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.inspection import Inspection
from langevax.sklearn.table import Table
from langevax.sklearn.training import Task


class MeanFieldClassifier(ClassifierMixin, Inspection, MeanFieldEstimator):
    """Classification by a two-layer network in the mean-field limit, without early stopping or tuning.

    Minimises over laws q of neurons theta, by Langevin dynamics on `num_particles` of them
    (Nitanda, Wu, Suzuki, AISTATS 2022),

        1/n sum_i loss(E_q h(theta, x_i), y_i) + T KL(q || N(0, prior_variance I)),    h = R tanh(a) tanh(<w, x> + b)

    with the logistic loss for two classes and softmax, one weight `a` per class, for more. The parameters and
    attributes are those of `MeanFieldRegressor`; step_size="auto" is 16 for two classes and 32 for more, since these
    losses are far from their curvature bound, and two thirds of it with batches. In addition:

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.

    Raises:
        ValueError: one class only.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = MeanFieldClassifier(num_particles=100, num_steps=100, random_state=0).fit(X[:400], y[:400])
        >>> model.score(X[400:], y[400:]) > 0.95
        True
    """

    def decision_function(self, X: Table) -> np.ndarray:
        """The network's outputs: (n,), positive for `classes_[1]`, or (n, C)."""
        return self.outputs(X)

    def predict_proba(self, X: Table) -> np.ndarray:
        """(n, C), rows summing to one."""
        return probabilities(self.outputs(X))

    def predict(self, X: Table) -> np.ndarray:
        """(n,) labels."""
        return self._labels(self.outputs(X))

    def staged_predict_proba(self, X: Table) -> Iterator[np.ndarray]:
        """Probabilities of the cloud at each step of `history_["steps"]`."""
        return map(probabilities, self.staged_outputs(X))

    def staged_predict(self, X: Table) -> Iterator[np.ndarray]:
        """Labels of the cloud at each step of `history_["steps"]`."""
        return map(self._labels, self.staged_outputs(X))

    def _labels(self, z: np.ndarray) -> np.ndarray:
        return self.classes_[(z > 0).astype(int) if z.ndim == 1 else z.argmax(1)]

    def _validated(self, X: Table, y: Any) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        return X, y

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        self.classes_ = np.unique(y if weights is None else y[weights > 0])
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class only, {self.classes_[0]!r} (rows of weight 0 left out); pass at least two classes."
            )
        return np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)

    def _task(self, targets: np.ndarray, weights: np.ndarray) -> Task:
        labels = targets.astype(np.int32)
        if len(self.classes_) == 2:
            signs = 2.0 * labels - 1
            return Task(self._make_neuron(None), losses.logistic, signs.astype(np.float32), signs[:, None], labels)
        one_hot = np.eye(len(self.classes_))[labels]
        centred = one_hot - np.average(one_hot, axis=0, weights=weights)
        return Task(self._make_neuron(len(self.classes_)), losses.softmax, labels, centred, labels)

    def _target_header(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str}

    def _restore_targets(self, header: dict[str, Any]) -> None:
        dtype = np.dtype(header["dtype"])
        self.classes_ = np.array(header["classes"], dtype)


def probabilities(z: np.ndarray) -> np.ndarray:
    """(n, C) of the outputs (n,) of two classes, or (n, C) of more."""
    if z.ndim == 1:
        return np.column_stack([expit(-z), expit(z)])
    return softmax(z, axis=1)
