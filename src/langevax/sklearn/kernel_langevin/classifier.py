"""Bayesian classification with functions in a reproducing kernel Hilbert space as log odds."""

from typing import Any, Literal

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from langevax.problems.likelihoods import Bernoulli, Categorical
from langevax.sklearn.kernel_langevin.base import KernelLangevinEstimator, Task
from langevax.sklearn.kernel_langevin.evidence import fit_labels
from langevax.sklearn.kernel_langevin.inspection import Inspection
from langevax.sklearn.kernel_langevin.persistence import Persistence
from langevax.sklearn.kernel_langevin.regressor import check_coverage
from langevax.sklearn.table import Rows, Table


class KernelLangevinClassifier(ClassifierMixin, Inspection, Persistence, KernelLangevinEstimator):
    """Classification with honest probabilities, by Langevin dynamics in infinitely many dimensions.

    Two classes have one function as log odds, more have one each as unnormalised log probabilities; each has the prior
    of `KernelLangevinRegressor`, and their posterior is sampled as there (Muzellec, Sato, Massias, Suzuki, COLT 2022).
    No approximation of the posterior by a normal law is made, as `GaussianProcessClassifier` does.

    Args:
        kernel: as in `KernelLangevinRegressor`; length scale and amplitude of a word are chosen by Laplace's
            approximation of the marginal likelihood on at most 200 rows, with more than two classes of one against the
            rest. A kernel's variance is that of log odds.
        step_size: as there, but "auto" is 0.2.
        prior, num_modes, num_chains, num_samples, warmup, thinning, integrator, gradient, steps, progress,
            random_state: as there.

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.
        coefficients_: (chain, draw, N), or (chain, draw, N, C) of mean 0 over classes, float32.
        eigenvalues_, kernel_, step_size_, n_iter_, history_, warnings_: as there.

    Raises:
        ValueError: one class only.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = KernelLangevinClassifier(num_samples=100, random_state=0).fit(X[:400], y[:400])
        >>> model.score(X[400:], y[400:]) > 0.95
        True
    """

    def __init__(
        self,
        kernel: Any = "auto",
        *,
        prior: Any = None,
        num_modes: int | Literal["auto"] = "auto",
        num_chains: int = 4,
        num_samples: int = 500,
        warmup: int | Literal["auto"] = "auto",
        thinning: int | Literal["auto"] = "auto",
        step_size: float | Literal["auto"] = "auto",
        integrator: str = "exponential",
        gradient: Any = "auto",
        steps: Literal["auto", "uniform", "informed"] = "auto",
        progress: bool | None = None,
        random_state: Any = None,
    ):
        self.kernel = kernel
        self.prior = prior
        self.num_modes = num_modes
        self.num_chains = num_chains
        self.num_samples = num_samples
        self.warmup = warmup
        self.thinning = thinning
        self.step_size = step_size
        self.integrator = integrator
        self.gradient = gradient
        self.steps = steps
        self.progress = progress
        self.random_state = random_state

    def predict_proba(self, X: Table) -> np.ndarray:
        """(n, C), rows summing to one: averages over the draws."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.concatenate([_probabilities(values, left).mean(axis=1) for values, left in self._blocks(X)])

    def predict(self, X: Table) -> np.ndarray:
        """(n,) labels: the most probable."""
        probabilities = self.predict_proba(X)  # first, since it says so where there was no fit
        return self.classes_[probabilities.argmax(1)]

    def interval(self, X: Table, coverage: float = 0.9) -> np.ndarray:
        """(n, C, 2): between the two the probability of a class lies with that probability; quantiles over draws."""
        check_is_fitted(self)
        check_coverage(coverage)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        tail, parts = (1 - coverage) / 2, []
        for number, (values, left) in enumerate(self._blocks(X)):
            rng = np.random.default_rng([self.seed_, number])
            spread = np.sqrt(left).reshape(-1, *[1] * (values.ndim - 1))
            drawn = _probabilities(values + spread * rng.normal(size=values.shape), np.zeros_like(left))
            parts.append(np.moveaxis(np.quantile(drawn, [tail, 1 - tail], axis=1), 0, -1))
        return np.concatenate(parts)

    def _in_units(self, values: np.ndarray) -> np.ndarray:
        return values

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

    def _choose(self, rows: Rows, inputs: np.ndarray) -> None:
        self.kernel_ = None
        if self.prior is None:
            self.kernel_ = fit_labels(self.kernel, inputs, rows.targets, rows.weights)

    def _task(self, rows: Rows) -> Task:
        if len(self.classes_) == 2:
            return Task(Bernoulli(), (2.0 * rows.targets - 1).astype(np.float32), None)
        return Task(Categorical(), rows.targets.astype(np.int32), len(self.classes_))


def _probabilities(values: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(n, draws, C) of function values (n, draws) or (n, draws, C), and the variance (n,) of what is left out of them.

    The mean of sigmoid(z + sqrt(v) xi) is about sigmoid(z / sqrt(1 + pi v / 8)) (MacKay, Neural Computation 1992).
    """
    shrunk = values / np.sqrt(1 + np.pi / 8 * left).reshape(-1, *[1] * (values.ndim - 1))
    if values.ndim == 2:
        return np.stack([expit(-shrunk), expit(shrunk)], axis=-1)
    return softmax(shrunk, axis=-1)
