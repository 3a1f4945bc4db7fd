"""What else improves the predictions of a wrong model: finite mixtures, stacking, and the right larger model.

The mixture has up to four components of the same regression, as many as five folds choose, fitted by EM. The stack has
posteriors, in normal approximation, of all rows and of eight parts of them; weights maximise the leave-one-out score.
The larger model is the negative binomial for counts and Student's t with a log scale linear in the columns for
numbers, at the highest density of its posterior; classes have none.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.special import gammaln
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.special import gammaln as log_gamma

from benchmarks.predictive.cases import LIKELIHOODS, Case, Kind, log_prior, start_of
from langevax._typing import PyTree

COMPONENTS, FOLDS, EM_STEPS, RESTARTS = (1, 2, 3, 4), 5, 150, 2
SPREAD = 0.5  # of the coefficients from which EM starts, about those of one component
LEAST_SCALE = 0.05
PARTS, DRAWS, STACK_STEPS = 8, 256, 200
Rows = tuple[np.ndarray, np.ndarray]


def _component_logs(
    kind: Kind, rows: Rows, beta: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Return the log likelihood of every row under every component, (row, component)."""
    eta, y = rows[0] @ beta.T, rows[1][:, None]
    if kind == "count":
        return y * eta - np.exp(np.minimum(eta, 20)) - log_gamma(y + 1)
    if kind == "class":
        return y * eta - np.logaddexp(0, eta)
    return -(((y - eta) / scale) ** 2) / 2 - np.log(scale) - np.log(2 * np.pi) / 2


def _mixture(
    kind: Kind, rows: Rows, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Return coefficients, scales and log masses of the best of a few runs of EM, each M step one of Newton's."""
    (X, y), best, fitted = rows, -np.inf, ()
    ridge = 0.1 * np.eye(X.shape[1])
    for _ in range(RESTARTS if size > 1 else 1):
        beta = np.zeros((size, X.shape[1])) + SPREAD * rng.normal(
            size=(size, X.shape[1])
        ) * (size > 1)
        beta[:, 0] += np.log(y.mean() + 0.1) if kind == "count" else 0.0
        scale, masses = np.ones(size), np.full(size, 1 / size)
        for _ in range(EM_STEPS):
            logs = _component_logs(kind, rows, beta, scale) + np.log(masses)
            shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
            masses = (shares.sum(0) + 1) / (len(y) + size)
            for k in range(size):
                mean, curvature = _moments(kind, X @ beta[k])
                hessian = (X * (shares[:, k] * curvature)[:, None]).T @ X + ridge
                step = np.linalg.solve(
                    hessian, X.T @ (shares[:, k] * (y - mean)) - ridge @ beta[k]
                )
                beta[k] += step / max(1.0, float(np.abs(step).max()))
                if kind == "number":
                    square = shares[:, k] @ (y - X @ beta[k]) ** 2 + LEAST_SCALE**2
                    scale[k] = max(
                        LEAST_SCALE, np.sqrt(square / (shares[:, k].sum() + 1))
                    )
        fit = logsumexp(
            _component_logs(kind, rows, beta, scale) + np.log(masses), axis=1
        ).mean()
        if fit > best:
            best, fitted = fit, (beta, scale, np.log(masses))
    return fitted


def _moments(kind: Kind, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if kind == "count":
        return (np.exp(np.clip(eta, -20, 20)),) * 2
    if kind == "class":
        return expit(eta), expit(eta) * expit(-eta)
    return eta, np.ones(len(eta))


def mixture_scores(kind: Kind, train: Rows, test: Rows, size: int) -> np.ndarray:
    """Return the log scores of test rows by a mixture of `size` components."""
    beta, scale, masses = _mixture(kind, train, size, np.random.default_rng(0))
    return logsumexp(_component_logs(kind, test, beta, scale) + masses, axis=1)


def cross_validated(kind: Kind, rows: Rows) -> int:
    """Return the number of components with the best score on folds."""
    X, y = rows
    folds = np.arange(len(y)) % FOLDS

    def score(size: int, fold: int) -> float:
        train, test = (
            (X[folds != fold], y[folds != fold]),
            (X[folds == fold], y[folds == fold]),
        )
        return float(mixture_scores(kind, train, test, size).mean())

    scores = [
        np.mean([score(size, fold) for fold in range(FOLDS)]) for size in COMPONENTS
    ]
    return COMPONENTS[int(np.argmax(scores))]


def negative_binomial(theta: PyTree, row: PyTree) -> jax.Array:
    """Log likelihood of a count with mean exp(eta) and variance mean + mean^2 / size."""
    eta, log_size = row[0] @ theta["beta"], theta["log_size"]
    size = jnp.exp(log_size)
    total = jnp.logaddexp(eta, log_size)
    binomial = gammaln(row[1] + size) - gammaln(size) - gammaln(row[1] + 1)
    return binomial + size * (log_size - total) + row[1] * (eta - total)


def student(theta: PyTree, row: PyTree) -> jax.Array:
    """Log likelihood of a number with heavy tails, whose log scale is linear in the columns."""
    degrees, log_scale = 1 + jnp.exp(theta["log_degrees"]), row[0] @ theta["log_scale"]
    residual = (row[1] - row[0] @ theta["beta"]) * jnp.exp(-log_scale)
    constant = (
        gammaln((degrees + 1) / 2)
        - gammaln(degrees / 2)
        - jnp.log(degrees * jnp.pi) / 2
    )
    return constant - log_scale - (degrees + 1) / 2 * jnp.log1p(residual**2 / degrees)


class Regression:
    """The posterior density of one model on rows with weights, compiled once for all weights."""

    def __init__(self, likelihood: Callable, rows: Rows, start: PyTree) -> None:
        flat, self.unravel = ravel_pytree(start)
        self.start = np.asarray(flat, float)

        def logs(point: jax.Array, X: jax.Array, y: jax.Array) -> jax.Array:
            return jax.vmap(likelihood, (None, 0))(self.unravel(point), (X, y))

        def negative(point: jax.Array, weights: jax.Array) -> jax.Array:
            return -log_prior(self.unravel(point)) - jnp.sum(
                weights * logs(point, *map(jnp.asarray, rows))
            )

        self._slope = jax.jit(jax.value_and_grad(negative))
        self._hessian = jax.jit(jax.hessian(negative))
        self._logs = jax.jit(jax.vmap(logs, (0, None, None)))

    def highest(self, weights: np.ndarray) -> np.ndarray:
        """Return the parameters of highest posterior density, flat."""

        def slope(point: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self._slope(jnp.asarray(point), jnp.asarray(weights))
            return float(value), np.asarray(gradient)

        return minimize(slope, self.start, jac=True, method="L-BFGS-B").x

    def draws(self, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return draws of the normal approximation."""
        point = self.highest(weights)
        precision = np.asarray(self._hessian(jnp.asarray(point), jnp.asarray(weights)))
        factor = np.linalg.inv(np.linalg.cholesky(precision))
        return point + rng.normal(size=(DRAWS, len(point))) @ factor

    def logs(self, points: np.ndarray, rows: Rows) -> np.ndarray:
        """Return the log likelihood of rows at points, (point, row)."""
        return np.asarray(self._logs(jnp.asarray(points), *map(jnp.asarray, rows)))


def larger_scores(case: Case, train: Rows, test: Rows) -> np.ndarray | None:
    """Return the log scores of test rows by the larger model; None where there is none."""
    if case.kind == "class":
        return None
    num_columns = train[0].shape[1]
    start: PyTree = {"beta": jnp.zeros(num_columns)}
    if case.kind == "count":
        start["log_size"], likelihood = jnp.zeros(()), negative_binomial
    else:
        start["log_scale"], start["log_degrees"] = jnp.zeros(num_columns), jnp.ones(())
        likelihood = student
    with jax.enable_x64():
        regression = Regression(
            likelihood, train, jax.tree.map(lambda leaf: leaf.astype(float), start)
        )
        return regression.logs(regression.highest(np.ones(len(train[1])))[None], test)[
            0
        ]


def stacked_scores(case: Case, train: Rows, test: Rows) -> np.ndarray:
    """Return the log scores of test rows by a stack of posteriors of all rows and of parts of them."""
    size, rng = len(train[1]), np.random.default_rng(0)
    parts = np.arange(size) % PARTS
    of_train, of_test = np.empty((PARTS + 1, size)), np.empty((PARTS + 1, len(test[1])))
    with jax.enable_x64():
        start = jax.tree.map(
            lambda leaf: leaf.astype(float), start_of(case, train[0].shape[1])
        )
        regression = Regression(LIKELIHOODS[case.kind], train, start)
        for part in range(PARTS + 1):
            used = parts == part if part < PARTS else np.ones(size, bool)
            draws = regression.draws(used.astype(float), rng)
            logs = regression.logs(draws, train)
            left_out = np.log(DRAWS) - logsumexp(
                -logs, axis=0
            )  # importance sampling without the row
            of_train[part] = np.where(
                used, left_out, logsumexp(logs, axis=0) - np.log(DRAWS)
            )
            of_test[part] = logsumexp(regression.logs(draws, test), axis=0) - np.log(
                DRAWS
            )
    log_weights = np.full(PARTS + 1, -np.log(PARTS + 1))
    for _ in range(STACK_STEPS):  # EM for weights of fixed densities
        logs = of_train + log_weights[:, None]
        log_weights = logsumexp(logs - logsumexp(logs, axis=0), axis=1) - np.log(size)
    return logsumexp(of_test + log_weights[:, None], axis=0)
