"""What the kernel Langevin estimators share: their parameters, the fit, and the functions drawn from the posterior."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from langevax.problems.likelihoods import Likelihood
from langevax.sklearn.kernel_langevin import parameters
from langevax.sklearn.kernel_langevin.evidence import some_rows
from langevax.sklearn.kernel_langevin.sampling import Draws, sample
from langevax.sklearn.kernel_langevin.space import FunctionSpace, PriorSpace, kernel_space
from langevax.sklearn.table import Rows, Standardiser, Table, distinct_rows

VALUES_AT_ONCE = 2**23  # numbers of a block of drawn values, 64 MB
INSPECTED = 64  # training rows whose drawn values tell how well the chains mix


class Task(NamedTuple):
    """What one kind of estimator makes of its targets."""

    likelihood: Likelihood
    targets: np.ndarray
    """As the likelihood wants them."""
    num_outputs: int | None
    """Functions; None for one."""


class KernelLangevinEstimator(BaseEstimator):
    """A function with a Gaussian prior, its posterior sampled by Langevin dynamics; see regressor and classifier."""

    # of the parameters that both have
    kernel: Any
    prior: Any
    num_modes: Any
    random_state: Any
    kernel_: Any

    def fit(self, X: Table, y: Any, sample_weight: Any = None) -> Self:
        """Choose the kernel, find the eigenbasis, sample.

        Args:
            X: (n, d) numbers, at least two rows; NumPy, pandas or polars.
            y: (n,).
            sample_weight: (n,) >= 0; a row of weight 2 counts as two rows.

        Raises:
            ValueError, TypeError: no numbers, NaN or infinity, fewer than two rows, a parameter out of range.
            DivergenceError: the step size is too large.
        """
        given = self.get_params(deep=False)
        parameters.check(given)
        X, y = self._validated(X, y)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        rows = sorted_rows(distinct_rows(X, self._encode(y, weights), weights))
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        standardiser = None
        if self.prior is None and isinstance(self.kernel, str):
            standardiser = Standardiser.fit(rows.inputs, rows.weights, "columns")
        self._choose(rows, rows.inputs if standardiser is None else standardiser(rows.inputs).astype(np.float64))
        space = self._space(rows, standardiser, self.num_modes)
        draws = self._sampled(space, rows, seed)
        self.space_, self.rows_, self.seed_ = space, rows, seed
        self.eigenvalues_ = space.eigenvalues
        self.inspected_ = rows.inputs[some_rows(len(rows.inputs), INSPECTED)]
        self._keep(draws)
        return self

    def sample_functions(self, X: Table, num_samples: int = 10, random_state: Any = None) -> np.ndarray:
        """Functions drawn from the posterior, jointly at all rows of X: (num_samples, n), or (num_samples, n, C).

        Costs O(n^3) where the basis leaves something out. In the units of `predict`, or log odds, or unnormalised log
        probabilities.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        rng = check_random_state(random_state)
        drawn = self._flat()
        chosen = rng.choice(len(drawn), num_samples, replace=num_samples > len(drawn))
        features = self.space_.features(X)
        values = np.tensordot(drawn[chosen], features, (1, 1))  # (samples, n) or (samples, C, n)
        variances, directions = np.linalg.eigh(self.space_.leftover_covariance(X, features))
        root = directions * np.sqrt(np.maximum(variances, 0.0))
        values = values + rng.normal(size=values.shape) @ root.T
        return self._in_units(values if values.ndim == 2 else np.moveaxis(values, 1, 2))

    def _space(self, rows: Rows, standardiser: Standardiser | None, num_modes: Any) -> FunctionSpace:
        if self.kernel_ is None:
            return PriorSpace(self.prior)
        bound = float(np.max(np.asarray(self._task(rows).likelihood.curvature)))
        precision = bound * float(rows.weights.sum())
        return kernel_space(self.kernel_, standardiser, rows.inputs, rows.weights, num_modes, precision)

    def _sampled(self, space: FunctionSpace, rows: Rows, seed: int) -> Draws:
        settings, task = parameters.settings(self.get_params(deep=False)), self._task(rows)
        features = space.features(rows.inputs)
        likelihood = jax.tree.map(lambda number: jnp.asarray(number, jnp.float32), task.likelihood)  # traced
        return sample(
            features, task.targets, rows.weights, space.eigenvalues, likelihood, task.num_outputs, settings, seed
        )

    def _keep(self, draws: Draws) -> None:
        self.coefficients_, self.step_size_, self.n_iter_ = draws.coefficients, draws.step_size, draws.steps
        names = ("informed", "curvature", "relaxation", "warmup", "thinning", "evaluations", "seconds")
        self.history_ = {name: getattr(draws, name) for name in names} | {"gradient": repr(draws.gradient)}

    def _flat(self) -> np.ndarray:
        """(draws of all chains, N) or (draws, N, C) float64."""
        return self.coefficients_.reshape(-1, *self.coefficients_.shape[2:]).astype(np.float64)

    def _blocks(self, X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(drawn values (rows, draws) or (rows, draws, C); variance (rows,) of what the basis leaves out)."""
        drawn = self._flat()
        size = max(1, VALUES_AT_ONCE // (drawn.size // drawn.shape[1]))
        for begin in range(0, len(X), size):
            part = X[begin : begin + size]
            features = self.space_.features(part)
            yield np.tensordot(features, drawn, (1, 1)), self.space_.leftover(part, features)

    def _moments(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of the function, (n,) or (n, C)."""
        means, deviations = [], []
        for values, left in self._blocks(X):
            means.append(values.mean(axis=1))
            variance = values.var(axis=1)
            deviations.append(np.sqrt(variance + left.reshape(-1, *[1] * (variance.ndim - 1))))
        return np.concatenate(means), np.concatenate(deviations)

    @abstractmethod
    def _validated(self, X: Table, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Checked by scikit-learn, X float64."""

    @abstractmethod
    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """Targets as numbers, one row each, before equal rows are merged."""

    @abstractmethod
    def _choose(self, rows: Rows, inputs: np.ndarray) -> None:
        """Set `kernel_` (None where there is a prior) and what targets need; `inputs` are as the kernel sees them."""

    @abstractmethod
    def _task(self, rows: Rows) -> Task:
        """Likelihood and targets as chosen."""

    @abstractmethod
    def _in_units(self, values: np.ndarray) -> np.ndarray:
        """Values of functions in the units of `predict`."""


def sorted_rows(rows: Rows) -> Rows:
    """By their inputs, so that the units of the targets change no sign of an eigenfunction."""
    order = np.lexsort((rows.targets, *rows.inputs.T))
    place = np.append(np.argsort(order), -1)
    return Rows(rows.inputs[order], rows.targets[order], rows.weights[order], place[rows.places])
