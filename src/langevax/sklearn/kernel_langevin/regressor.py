"""Bayesian regression on a function in a reproducing kernel Hilbert space."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from langevax.problems.likelihoods import Gaussian, Huber, Residual, StudentT
from langevax.sklearn.kernel_langevin.base import KernelLangevinEstimator, Task
from langevax.sklearn.kernel_langevin.evidence import fit_numbers, fit_robust, robust_moments
from langevax.sklearn.kernel_langevin.inspection import Inspection
from langevax.sklearn.kernel_langevin.persistence import Persistence
from langevax.sklearn.kernel_langevin.space import PriorSpace
from langevax.sklearn.table import Rows, Table, weighted_moments

LIKELIHOODS: dict[str, type[Residual]] = {"squared": Gaussian, "huber": Huber, "student": StudentT}


class KernelLangevinRegressor(RegressorMixin, Inspection, Persistence, KernelLangevinEstimator):
    """Regression with bands, the unknown function in an RKHS, by Langevin dynamics in infinitely many dimensions.

    The function is a sum over the kernel's eigenfunctions on the rows, its coefficients a priori normal, and their
    posterior is sampled (Muzellec, Sato, Massias, Suzuki, COLT 2022):

        f = sum_k x_k f_k,      x_k ~ N(0, mu_k),      y_i = f(x_i) + noise
        potential = 1/n sum_i -log p(y_i | f(x_i)) + 1/2 sum_k x_k^2 / (n mu_k),      temperature = 1/n

    With loss="squared" that is Gaussian process regression, which scikit-learn solves in closed form; the chains earn
    their keep with outliers ("huber", "student") and with more rows than O(n^3) allows.

    Args:
        kernel: "rbf", "matern" (smoothness 1.5), one length scale for all standardised columns, chosen with amplitude
            and noise by marginal likelihood on at most 400 rows; "auto" takes the better of the two. Or a kernel of
            `sklearn.gaussian_process.kernels`, taken as it is, on the columns as they are, its variance in units of
            the targets' where `normalize_y`.
        prior: a `langevax.spaces.GaussianPrior` instead of a kernel; the columns of X are its points.
        loss: "squared"; "huber" for exponential tails of the noise; "student" for 4 degrees of freedom, which ignores
            gross outliers.
        noise: s, in the units of y: the standard deviation, or of the robust losses that of the bulk.
        normalize_y: targets are centred and scaled first, by median and median distance for the robust losses. False
            leaves them: then a kernel's variance is in the units of y, squared.
        num_modes: N; "auto" takes those that the data inform, n mu_k / s^2 > 0.01, at most 512. What is left out keeps
            its prior variance. `resolution()` says whether N was enough.
        num_chains, num_samples: draws are num_chains times num_samples.
        warmup: steps before the first draw; "auto" is ten relaxation times.
        thinning: steps between draws; "auto" is the relaxation time, at most 50.
        step_size: times the inverse curvature of the likelihood; "auto" is 0.1: variances are at most 5 % too large,
            by the factor 1 / (1 - step_size q / 2) for a mode of curvature q relative to the largest.
        integrator: "exponential", exact for the prior; "semi-implicit" as in the paper, too cold in rough modes;
            "crank-nicolson".
        gradient: "full"; "svrg" with a batch that heats the chains by five percent at most; "auto" is "svrg" above 4096
            distinct rows where it saves anything; or one of `langevax.gradients`.
        steps: "uniform", one step for all modes, as in the paper; "informed" turns to the directions in which prior and
            mean curvature of the likelihood are both diagonal, and gives each the step of its own curvature; "auto" is
            "uniform" unless its slowest direction forgets slowly.
        progress: show a progress line; None shows it on a terminal after a second.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        coefficients_: (chain, draw, N) float32, of the scaled targets.
        eigenvalues_, kernel_, noise_: mu, the kernel and s as chosen, s in the units of y.
        step_size_, n_iter_: as used, relative to each direction's curvature with informed steps; steps of each chain.
        history_: "informed", "curvature", "relaxation" (steps), "warmup", "thinning", "evaluations", "seconds",
            "gradient".
        warnings_: what speaks against the draws, in words; empty where nothing does.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = KernelLangevinRegressor(num_samples=100, random_state=0).fit(X[:300], y[:300])
        >>> 0.4 < model.score(X[300:], y[300:]) < 0.6
        True
        >>> low, high = model.interval(X[300:], coverage=0.9, noise=True).T
        >>> 0.85 < float(((low < y[300:]) & (y[300:] < high)).mean()) < 0.95
        True
    """

    def __init__(
        self,
        kernel: Any = "auto",
        *,
        prior: Any = None,
        loss: Literal["squared", "huber", "student"] = "squared",
        noise: float | Literal["auto"] = "auto",
        normalize_y: bool = True,
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
        self.loss = loss
        self.noise = noise
        self.normalize_y = normalize_y
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

    def predict(self, X: Table, return_std: bool = False) -> Any:
        """(n,) posterior mean of the function; with `return_std` also (n,) its standard deviation, without noise."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if not return_std:
            return self._in_units(self.space_.features(X) @ self._flat().mean(axis=0))
        mean, deviation = self._moments(X)
        return self._in_units(mean), self.target_scale_ * deviation

    def interval(self, X: Table, coverage: float = 0.9, noise: bool = False) -> np.ndarray:
        """(n, 2): between the two the function lies with that probability; with `noise`, a new observation does.

        Quantiles over the draws, the same at every call.
        """
        check_is_fitted(self)
        check_coverage(coverage)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        tail, parts = (1 - coverage) / 2, []
        for number, (values, left) in enumerate(self._blocks(X)):
            rng = np.random.default_rng([self.seed_, number])
            values += np.sqrt(left)[:, None] * rng.normal(size=values.shape)
            if noise:
                values += self.noise_ / self.target_scale_ * _noises(self.loss, rng, values.shape)
            parts.append(np.quantile(values, [tail, 1 - tail], axis=1).T)
        return self._in_units(np.concatenate(parts))

    def _in_units(self, values: np.ndarray) -> np.ndarray:
        return self.target_mean_ + self.target_scale_ * values

    def _validated(self, X: Table, y: Any) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        return X, np.asarray(y, np.float64)

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return y

    def _choose(self, rows: Rows, inputs: np.ndarray) -> None:
        mean, deviation = weighted_moments(rows.targets, rows.weights)
        constant, robust = not deviation > 0, self.loss != "squared"
        if constant and isinstance(self.noise, str):
            raise ValueError(
                f"y is constant ({rows.targets[0]}), so noise='auto' has nothing to learn the noise from; pass noise, "
                "a number > 0 in the units of y."
            )
        if robust and not constant:
            mean, deviation = robust_moments(rows.targets, rows.weights)
        mean, scale = (float(mean), 1.0 if constant else float(deviation)) if self.normalize_y else (0.0, 1.0)
        noise = None if isinstance(self.noise, str) else float(self.noise) / scale
        kernel = None if self.prior is not None else self.kernel
        if kernel is not None or noise is None:
            covariance = kernel if self.prior is None else PriorSpace(self.prior).covariance
            best = fit_robust if robust else fit_numbers
            found = best(covariance, inputs, (rows.targets - mean) / scale, rows.weights, noise)
            kernel, noise = None if kernel is None else found.kernel, found.noise
        self.kernel_, self.target_mean_, self.target_scale_, self.noise_ = kernel, mean, scale, scale * noise

    def _task(self, rows: Rows) -> Task:
        likelihood = LIKELIHOODS[self.loss](jnp.float32(self.noise_ / self.target_scale_))
        targets = (rows.targets - self.target_mean_) / self.target_scale_
        return Task(likelihood, targets.astype(np.float32), None)


def check_coverage(coverage: Any) -> None:
    """Raise unless it is a probability strictly between 0 and 1."""
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, got {coverage}; 0.9 is usual.")


def _noises(loss: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draws of the noise of that loss, s = 1."""
    match loss:
        case "squared":
            return rng.normal(size=shape)
        case "student":
            return rng.standard_t(StudentT(1.0).degrees, size=shape)
    k = Huber(1.0).threshold
    # density e^{-r^2/2} within k and e^{k^2/2 - k|r|} beyond: normal draws kept within, exponential ones beyond
    from scipy.stats import norm, truncnorm

    inside = np.sqrt(2 * np.pi) * (1 - 2 * norm.sf(k))
    beyond = 2 * np.exp(-(k**2) / 2) / k
    tails = (k + rng.exponential(1 / k, size=shape)) * rng.choice([-1.0, 1.0], size=shape)
    core = truncnorm.ppf(rng.uniform(size=shape), -k, k)
    return np.where(rng.uniform(size=shape) < beyond / (inside + beyond), tails, core)
