"""The kernel Langevin regressor and classifier: parameters, fit, and functions drawn from the posterior."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Literal, Self, overload

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from langevax.platforms import not_forked
from langevax.problems.likelihoods import (
    Gaussian,
    Huber,
    Residual,
    StudentT,
)
from langevax.problems.losses import Logistic, Softmax, logistic, softmax
from langevax.run.options import Run
from langevax.sampling.samples import MAX_RHAT, MIN_ESS
from langevax.sampling.summary_table import statistics
from langevax.sklearn.column_maps import (
    Standardiser,
    Table,
    row_blocks,
    weighted_moments,
)
from langevax.sklearn.intervals import COVERAGE, check_coverage
from langevax.sklearn.kernel_langevin.evidence import (
    fit_labels,
    fit_numbers,
    fit_robust,
    robust_moments,
)
from langevax.sklearn.kernel_langevin.sampling import (
    ChainOptions,
    Draws,
    FunctionTask,
    draw,
)
from langevax.sklearn.kernel_langevin.space import (
    KernelSpace,
    check_kernel,
    kernel_space,
)
from langevax.sklearn.parameters import (
    FLAG,
    SHARED,
    Auto,
    RandomState,
    count,
    one_of,
    positive,
    unsaved_run,
)
from langevax.sklearn.saved import saved_class
from langevax.sklearn.table import (
    DistinctRows,
    LabelTargets,
    NumberTargets,
    RowEstimator,
    subsample,
)
from langevax.sklearn.training import keep_few_programs

LOSSES: dict[str, type[Residual]] = {
    "squared": saved_class(Gaussian),
    "huber": saved_class(Huber),
    "student": saved_class(StudentT),
}
"""Likelihoods that may be passed by name or as an object, and are saved: another one is another line."""


@dataclass(eq=False, repr=False)
class KernelLangevinEstimator(RowEstimator):
    """A function with a Gaussian prior, its posterior sampled by Langevin dynamics; see regressor and classifier."""

    kernel: Literal["auto", "rbf", "matern"] | Kernel = "auto"
    _: KW_ONLY
    num_modes: int | Auto = "auto"
    num_chains: int = 4
    num_samples: int = 500
    tolerance: float | None = None
    num_warmup: int | Auto = "auto"
    thinning: int | Auto = "auto"
    run: Run | None = None
    random_state: RandomState = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "kernel": [*one_of("auto", "matern", "rbf"), Kernel],
        "num_modes": count(1, "auto"),
        "num_chains": count(2),
        "num_samples": count(4),
        "tolerance": [*positive(), None],
        "num_warmup": count(1, "auto"),
        "thinning": count(1, "auto"),
        "loss": [*one_of(*LOSSES), *LOSSES.values()],
        "noise": positive("auto"),
        "normalize_y": FLAG,
        **SHARED,
    }

    def fit(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose the kernel, compute the eigenbasis, and sample.

        Args:
            X: (n, d) numbers, at least two rows; NumPy, pandas or polars.
            y: (n,).
            sample_weight: (n,) >= 0; a row of weight 2 counts as two rows.

        Raises:
            ValueError, TypeError: not numbers, NaN or infinity, fewer than two rows, a parameter out of range.
            DivergenceError: the step size is too large.
            ToleranceError: the tolerance was not reached.
        """
        not_forked()
        self._validate_params()
        unsaved_run(self)  # before anything is computed
        check_kernel(self.kernel)
        rows = _sorted(self._training_rows(X, y, sample_weight))
        self.seed_: int = self._seed()
        standardiser = None
        inputs = rows.inputs
        if isinstance(self.kernel, str):
            standardiser = Standardiser.fit(rows.inputs, rows.weights, "columns")
            inputs = standardiser(rows.inputs).astype(np.float64)
        self.kernel_: Kernel = self._choose(rows, inputs)
        self.space_: KernelSpace = self._space(rows, standardiser)
        self.eigenvalues_: np.ndarray = self.space_.eigenvalues
        self.inspected_: np.ndarray = rows.inputs[subsample(len(rows.inputs), 64)]
        draws = self._sampled(rows)
        self.coefficients_: np.ndarray = draws.coefficients
        self.step_size_: float = draws.step_size
        self.n_iter_: int = draws.steps
        self.history_: dict[str, Any] = draws.history
        return self

    def sample_functions(
        self,
        X: Table,
        num_samples: int = 10,
        random_state: RandomState = None,
    ) -> np.ndarray:
        """Return functions drawn from the posterior, jointly at all rows: (num_samples, n), or (num_samples, n, C).

        Costs O(n^3) where the basis is truncated. In the units of `predict`, or log odds, or unnormalised log
        probabilities.
        """
        X = self._columns(X)
        rng = check_random_state(random_state)
        draws = self._pooled_draws()
        chosen = rng.choice(len(draws), num_samples, replace=num_samples > len(draws))
        features = self.space_.features(X)
        values = np.tensordot(
            draws[chosen], features, (1, 1)
        )  # (samples, n) or (samples, C, n)
        variances, directions = np.linalg.eigh(
            self.space_.leftover_covariance(X, features)
        )
        root = directions * np.sqrt(np.maximum(variances, 0.0))
        values = values + rng.normal(size=values.shape) @ root.T
        return self._in_units(values if values.ndim == 2 else np.moveaxis(values, 1, 2))

    def summary(self) -> dict[str, np.ndarray]:
        """Summarise the function at `inspected_`, 64 training rows or fewer: mean, sd, mcse_mean, ess_bulk, r_hat.

        Each is (k,) or (k, C), in the units of the scaled targets, or log odds; so is ess_tail. They are the numbers of
        `Samples.summary`.
        """
        check_is_fitted(self)
        features = self.space_.features(self.inspected_)
        coefficients = self.coefficients_.astype(np.float64)
        values = np.einsum("kn,cdn...->cdk...", features, coefficients, optimize=True)
        flat = values.reshape(*values.shape[:2], -1)
        table = statistics([str(place) for place in range(flat.shape[2])], flat)
        return {
            name: numbers.reshape(values.shape[2:])
            for name, numbers in table.columns.items()
        }

    @property
    def warnings_(self) -> list[str]:
        """Signs of poor convergence, in sentences; empty where there are none."""
        table = self.summary()
        warnings = list(self.history_.get("doubts", []))
        worst = float(np.max(table["r_hat"]))
        fewest = float(np.min(table["ess_bulk"]))
        if not worst <= MAX_RHAT:
            warnings.append(
                "chains disagree: R-hat of the function at a training row is "
                f"{worst:.3f} > {MAX_RHAT}; raise thinning or num_warmup, or look for "
                "several modes of the posterior."
            )
        if not fewest >= MIN_ESS:
            warnings.append(
                f"the function at a training row has {fewest:.0f} effective draws; "
                "raise num_samples or thinning."
            )
        return warnings

    def _space(
        self, rows: DistinctRows, standardiser: Standardiser | None
    ) -> KernelSpace:
        likelihood = self._task(rows).likelihood
        curvature = float(np.max(np.asarray(likelihood.curvature)))
        return kernel_space(
            self.kernel_,
            standardiser,
            rows.inputs,
            rows.weights,
            self.num_modes,
            precision=curvature * float(rows.weights.sum()),
            most_modes=1024 if isinstance(likelihood, Gaussian) else 512,
        )

    def _sampled(self, rows: DistinctRows) -> Draws:
        task = self._task(rows)
        features = self.space_.features(rows.inputs)
        keep_few_programs(
            "functions", features.shape, task.num_outputs, self.num_chains
        )
        options = self._chain_options()
        return draw(task, features, self.space_.eigenvalues, options, self.seed_)

    def _chain_options(self) -> ChainOptions:
        values: list[Any] = [getattr(self, name) for name in ChainOptions._fields]
        # numbers of NumPy as those of Python, whose integers do not overflow
        values = [v.item() if hasattr(v, "item") else v for v in values]
        return ChainOptions(*values)._replace(run=unsaved_run(self))

    def _pooled_draws(self) -> np.ndarray:
        """Return the draws of all chains, (draws, N) or (draws, N, C) float64."""
        return self.coefficients_.reshape(-1, *self.coefficients_.shape[2:]).astype(
            np.float64
        )

    def _blocks(
        self, X: np.ndarray, values_at_once: int = 2**23
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (drawn values (rows, draws) or (rows, draws, C); variance (rows,) of what the basis leaves out)."""
        draws = self._pooled_draws()
        for block in row_blocks(
            len(X), values_at_once // (draws.size // draws.shape[1])
        ):
            rows = X[block]
            features = self.space_.features(rows)
            yield (
                np.tensordot(features, draws, (1, 1)),
                self.space_.leftover(rows, features),
            )

    def _moments(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return posterior mean and standard deviation of the function, (n,) or (n, C)."""
        means = []
        deviations = []
        for values, leftover in self._blocks(X):
            means.append(values.mean(axis=1))
            variance = values.var(axis=1)
            deviations.append(np.sqrt(variance + along_rows(leftover, variance)))
        return np.concatenate(means), np.concatenate(deviations)

    def _quantiles(
        self,
        X: Table,
        coverage: float,
        observe: Callable[..., np.ndarray],
    ) -> np.ndarray:
        """Return the ends (n, ..., 2) of central intervals of `observe(values, rng)`, the same at every call."""
        X = self._columns(X)
        check_coverage(coverage)
        tail = (1 - coverage) / 2
        intervals = []
        for number, (values, leftover) in enumerate(self._blocks(X)):
            rng = np.random.default_rng([self.seed_, number])
            values = values + np.sqrt(along_rows(leftover, values)) * rng.normal(
                size=values.shape
            )
            intervals.append(
                np.moveaxis(
                    np.quantile(observe(values, rng), [tail, 1 - tail], axis=1), 0, -1
                )
            )
        return np.concatenate(intervals)

    @abstractmethod
    def _choose(self, rows: DistinctRows, inputs: np.ndarray) -> Kernel:
        """Return the kernel, and set what targets need; `inputs` are those of the kernel."""

    @abstractmethod
    def _task(self, rows: DistinctRows) -> FunctionTask:
        """Return likelihood and targets as chosen."""

    @abstractmethod
    def _in_units(self, values: np.ndarray) -> np.ndarray:
        """Return values of functions in the units of `predict`."""


@dataclass(eq=False, repr=False)
class KernelLangevinRegressor(NumberTargets, KernelLangevinEstimator):
    """Regression with bands, the unknown function in an RKHS, by Langevin dynamics in infinitely many dimensions.

    The function is a sum over the kernel's eigenfunctions on the rows, its coefficients a priori normal, and their
    posterior is sampled (Muzellec, Sato, Massias, Suzuki, COLT 2022):

        f = sum_k x_k f_k,      x_k ~ N(0, mu_k),      y_i = f(x_i) + noise
        potential = 1/n sum_i -log p(y_i | f(x_i)) + 1/2 sum_k x_k^2 / (n mu_k),      temperature = 1/n

    With loss="squared" that is Gaussian process regression: draws are independent, at O(n N^2) where scikit-learn's
    closed form takes O(n^3). Other losses are sampled by pCNL, which is exact, and more
    than 4,096 rows by Langevin dynamics with batches.

    Args:
        kernel: "rbf", "matern" (smoothness 1.5), one length scale for all standardised columns, chosen with amplitude
            and noise by marginal likelihood on at most 400 rows; "auto" uses the better of the two. Or a kernel of
            `sklearn.gaussian_process.kernels`, used unchanged, on the columns as they are, its variance in units of
            the targets' where `normalize_y`: with a length scale for each column, one that
            `GaussianProcessRegressor` has fitted.
        loss: "squared"; "huber" for exponential tails of the noise; "student" for 4 degrees of freedom, which ignores
            gross outliers; or one of `langevax.likelihoods`, for another threshold or other degrees, its noise
            replaced by `noise`.
        noise: s, in the units of y: the standard deviation, of the robust losses that of the bulk;
            "auto" estimates it.
        normalize_y: targets are centred and scaled first, by median and median distance for the robust losses. False
            leaves them: then a kernel's variance is in the units of y, squared.
        num_modes: N; "auto" uses those that the data inform, n mu_k / s^2 > 0.01, at most 512, or 1,024 where draws
            are independent. Modes that are left out have their prior variance.
        num_chains, num_samples: draws are num_chains times num_samples; at least 2 chains.
        tolerance: draw more until every mean and standard deviation of a coefficient is known this well, as
            in `langevax.sample`, or raise its ToleranceError; None draws `num_samples`.
        num_warmup, thinning: steps before the first draw and between draws; "auto" as in `langevax.sample`. Independent
            draws need neither.
        run: a `langevax.Run`, which says whether a progress line is shown; it saves nothing. None is `Run()`.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        coefficients_: (chain, draw, N) float32, of the scaled targets.
        eigenvalues_, kernel_, noise_: mu, the kernel and s as chosen, s in the units of y.
        step_size_: as used; relative to the curvature of each coordinate where preconditioned.
        n_iter_: steps of each chain after the warm-up.
        history_: "method" and "reason" as in `langevax.sample`, "thinning", "evaluations", "seconds", and "doubts",
            those of its warnings that more draws do not cure.
        warnings_: signs of poor convergence, in sentences; empty where there are none.

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

    _: KW_ONLY
    loss: Literal["squared", "huber", "student"] | Residual = "squared"
    noise: float | Auto = "auto"
    normalize_y: bool = True

    @overload
    def predict(self, X: Table, return_std: Literal[False] = False) -> np.ndarray: ...
    @overload
    def predict(
        self, X: Table, return_std: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def predict(
        self, X: Table, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return (n,) posterior mean of the function; with `return_std` also (n,) its standard deviation, without noise."""
        X = self._columns(X)
        if not return_std:
            return self._in_units(
                self.space_.features(X) @ self._pooled_draws().mean(axis=0)
            )
        mean, deviation = self._moments(X)
        return self._in_units(mean), self.target_scale_ * deviation

    def interval(
        self,
        X: Table,
        coverage: float = COVERAGE,
        noise: bool = False,
    ) -> np.ndarray:
        """Return (n, 2): the ends of intervals that hold the function with that probability, or a new observation.

        Quantiles over the draws, the same at every call.

        Args:
            coverage: the probability.
            noise: intervals are of new observations, that is with noise.
        """

        likelihood = self._likelihood(self.noise_ / self.target_scale_)
        observe = likelihood.draw if noise else lambda values, _rng: values
        return self._in_units(self._quantiles(X, coverage, observe))

    def _likelihood(self, noise: float | jax.Array) -> Residual:
        """Return the loss with this noise."""
        if isinstance(self.loss, str):
            return LOSSES[self.loss](noise)
        return replace(self.loss, noise=noise)

    def _in_units(self, values: np.ndarray) -> np.ndarray:
        return self.target_mean_ + self.target_scale_ * values

    def _choose(self, rows: DistinctRows, inputs: np.ndarray) -> Kernel:
        mean, deviation = weighted_moments(rows.targets, rows.weights)
        likelihood = self._likelihood(1.0)
        constant = not deviation > 0
        robust = not isinstance(likelihood, Gaussian)
        if constant and isinstance(self.noise, str):
            raise ValueError(
                f"y is constant ({rows.targets[0]}), so that noise='auto' cannot "
                "estimate the noise; pass noise, a number > 0 in the units of y."
            )
        if robust and not constant:
            mean, deviation = robust_moments(rows.targets, rows.weights)
        mean = float(mean)
        scale = 1.0 if constant else float(deviation)
        if not self.normalize_y:
            mean = 0.0
            scale = 1.0
        noise = None if isinstance(self.noise, str) else float(self.noise) / scale
        targets = (rows.targets - mean) / scale
        fit = fit_robust if robust else fit_numbers
        best = fit(self.kernel, inputs, targets, rows.weights, noise)
        self.target_mean_: float = mean
        self.target_scale_: float = scale
        self.noise_: float = scale * best.noise
        return best.kernel

    def _task(self, rows: DistinctRows) -> FunctionTask:
        likelihood = self._likelihood(jnp.float32(self.noise_ / self.target_scale_))
        targets = (rows.targets - self.target_mean_) / self.target_scale_
        return FunctionTask(likelihood, targets.astype(np.float32), rows.weights, None)


class KernelLangevinClassifier(LabelTargets, KernelLangevinEstimator):
    """Classification with calibrated probabilities, by Langevin dynamics in infinitely many dimensions.

    Two classes have one function as log odds, more have one each as unnormalised log probabilities; each has the prior
    of `KernelLangevinRegressor`, and their posterior is sampled as there (Muzellec, Sato, Massias, Suzuki, COLT 2022).
    The posterior is not approximated by a normal law, as it is by `GaussianProcessClassifier`.

    Args:
        kernel: as in `KernelLangevinRegressor`; length scale and amplitude of a named kernel are chosen by scikit-learn's
            approximation of the marginal likelihood, Laplace's, on at most 200 rows, with more than two classes of one
            against the rest. A kernel's variance is that of log odds.
        num_modes, num_chains, num_samples, tolerance, num_warmup, thinning, run, random_state: documented
            in `KernelLangevinRegressor`.

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.
        coefficients_: (chain, draw, N), or (chain, draw, N, C) of mean 0 over classes, float32.
        eigenvalues_, kernel_, step_size_, n_iter_, history_, warnings_: documented in `KernelLangevinRegressor`.

    Raises:
        ValueError: one class only.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = KernelLangevinClassifier(num_samples=100, random_state=0).fit(X[:400], y[:400])
        >>> model.score(X[400:], y[400:]) > 0.95
        True
    """

    def predict_proba(self, X: Table) -> np.ndarray:
        """Return (n, C), rows summing to one: averages over the draws.

        The mean of sigmoid(z + sqrt(v) xi), v the variance that the basis leaves out, is taken for
        sigmoid(z / sqrt(1 + pi v / 8)) (MacKay, Neural Computation 1992).
        """
        probabilities = []
        for values, leftover in self._blocks(self._columns(X)):
            shrunk = values / np.sqrt(1 + np.pi / 8 * along_rows(leftover, values))
            probabilities.append(self._loss.probabilities(shrunk).mean(axis=1))
        return np.concatenate(probabilities)

    def interval(self, X: Table, coverage: float = COVERAGE) -> np.ndarray:
        """Return (n, C, 2): the ends of intervals that hold the probabilities of the classes, with that coverage."""
        return self._quantiles(
            X, coverage, lambda values, _rng: self._loss.probabilities(values)
        )

    @property
    def _loss(self) -> Logistic | Softmax:
        """The loss of the classes: two have one function, more have one each."""
        return logistic if len(self.classes_) == 2 else softmax

    def _in_units(self, values: np.ndarray) -> np.ndarray:
        return values

    def _choose(self, rows: DistinctRows, inputs: np.ndarray) -> Kernel:
        return fit_labels(self.kernel, inputs, rows.targets, rows.weights)

    def _task(self, rows: DistinctRows) -> FunctionTask:
        if len(self.classes_) == 2:
            signs = (2.0 * rows.targets - 1).astype(np.float32)
            return FunctionTask(self._loss, signs, rows.weights, None)
        labels = rows.targets.astype(np.int32)
        return FunctionTask(self._loss, labels, rows.weights, len(self.classes_))


def along_rows(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (n,) numbers with as many axes as `values` (n, ...)."""
    return numbers.reshape(-1, *[1] * (values.ndim - 1))


def _sorted(rows: DistinctRows) -> DistinctRows:
    """Order rows by their inputs, so that the units of the targets change the sign of no eigenfunction."""
    order = np.lexsort((rows.targets, *rows.inputs.T))
    place = np.append(np.argsort(order), -1)
    return DistinctRows(
        rows.inputs[order], rows.targets[order], rows.weights[order], place[rows.places]
    )
