"""Inverse problems whose noise level or prior have unknown parameters, sampled together with the function.

    y = G(f) + sigma xi,      f = mean + sum_k x_k f_k,      x_k ~ N(0, mu_k(theta)),      sigma, theta ~ hyperpriors

The density of x and of the logarithms u of all hyperparameters is, up to a constant,

    exp(-|G(f) - y|^2 / (2 sigma^2)) sigma^-m  prod_k N(x_k; 0, mu_k(theta))  p(u)

with m data and p(u) the hyperpriors' densities of the logarithms.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, ArrayLike, Float, Key

from langevax import checks
from langevax._typing import PyTree
from langevax.problems.coordinates import Reparametrised
from langevax.problems.problem import Problem, Scalar
from langevax.sampling.fields import drawn_fields
from langevax.sampling.marginals import Functional, marginals, modes
from langevax.sampling.noise import GaussianNoise
from langevax.spaces import GaussianPrior, MaternPrior
from langevax.spaces.matern_prior import Distribution, Hyperprior

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

    from langevax.sampling.inverse import InverseProblem
    from langevax.sampling.summary_table import SummaryTable

FUNCTION, NOISE = "function", "noise"
INFORMED = 0.05  # relative narrowing of a hyperparameter's logarithm below which data say little
HEAVY_TAIL = 0.7  # Hill's estimate of the tail's index, from which a mean of these draws says little
NUM_PRIOR_DRAWS = (
    1000  # of hyperparameters, for the spread of coefficients under the prior
)
MOVED = 0.25  # and the move of its mean, in deviations of the prior

Logarithms = Float[np.ndarray, " hyperparameters"]


@dataclass(frozen=True, eq=False, repr=False)
class HierarchicalInverseProblem:
    """A target of `sample` whose positions are a dict: coefficients "function" (N,), and a number per hyperparameter.

    Made by `inverse_problem` with distributions for `noise` or the parameters of a `MaternPrior`.
    """

    base: "InverseProblem"
    """The problem at the geometric means of the hyperpriors."""
    prior: MaternPrior | GaussianPrior
    hyperpriors: dict[str, Hyperprior]
    known_noise: GaussianNoise | None
    """None where it is unknown."""
    build: Callable[[GaussianNoise, GaussianPrior], "InverseProblem"] = field(
        repr=False
    )

    def __repr__(self) -> str:
        return f"HierarchicalInverseProblem({self.prior.num_modes} modes; unknown: {', '.join(self.hyperpriors)})"

    def at(self, **values: float) -> "InverseProblem":
        """Return the inverse problem with these values of all hyperparameters, such as their posterior means."""
        if values.keys() != self.hyperpriors.keys():
            raise ValueError(
                f"at takes values of {', '.join(self.hyperpriors)}, got {', '.join(values) or 'none'}."
            )
        for name, value in values.items():
            checks.number(name, value, positive=True)
        prior = self.prior
        if isinstance(prior, MaternPrior):
            prior = prior.at(
                **{name: float(values[name]) for name in prior.hyperpriors}
            )
        return self.build(
            self.known_noise or GaussianNoise(deviation=values[NOISE]), prior
        )

    def functions(self, positions: Mapping[str, Any]) -> Float[Array, "*batch grid"]:
        """Values of the drawn functions on the grid of the basis."""
        return self.base.functions(positions[FUNCTION])

    def fields(
        self,
        positions: Mapping[str, Any],
        *,
        coverage: float = 0.9,
        places: ArrayLike | None = None,
    ) -> "xarray.Dataset":
        """Drawn functions with bands, as of `InverseProblem.fields`."""
        return self.base.fields(positions[FUNCTION], coverage=coverage, places=places)

    def plot(
        self,
        positions: Mapping[str, Any],
        *,
        coverage: float = 0.9,
        places: ArrayLike | None = None,
    ) -> "Figure":
        """Plot the drawn functions, as `InverseProblem.plot` does."""
        return self.base.plot(positions[FUNCTION], coverage=coverage, places=places)

    def marginals(
        self,
        positions: Mapping[str, Any],
        functionals: Mapping[str, Functional],
        *,
        key: Key[Array, ""],
        coverage: float = 0.9,
        num_prior_draws: int = 1000,
    ) -> "pandas.DataFrame | SummaryTable":
        """Return the laws of numbers computed from the function, as `InverseProblem.marginals` does.

        Functions of the prior have hyperparameters of their own priors; where these have heavy tails, `prior_sd` is
        that of the draws alone.
        """
        checks.typed_key(key)
        checks.positive_int("num_prior_draws", num_prior_draws, minimum=2)
        function_key, key = random.split(key)
        scales = np.sqrt(
            [self.variances(u) for u in self._prior_logarithms(num_prior_draws, key)]
        )
        deviates = np.asarray(random.normal(function_key, scales.shape))
        drawn = self.base.functions(
            jnp.asarray(scales * deviates, jnp.result_type(float))[None]
        )
        basis = self.base.prior.basis
        functions, prior = (
            drawn_fields(basis, of, coverage)
            for of in (self.functions(positions), drawn)
        )
        return marginals(functions, prior[0], functionals, coverage)

    def modes(self, positions: Mapping[str, Any]) -> "pandas.DataFrame | SummaryTable":
        """Return the spread of coefficients as `InverseProblem.modes` does, the prior's over its hyperparameters.

        Warns where these have tails so heavy that the prior's variance is that of a few of its draws.
        """
        drawn = self._prior_logarithms(NUM_PRIOR_DRAWS, random.key(0))
        variances = np.array([self.variances(u) for u in drawn])
        largest = np.sort(variances, axis=0)[-NUM_PRIOR_DRAWS // 20 :]
        if float(np.log(largest / largest[0]).mean(0).max()) > HEAVY_TAIL:
            warnings.warn(
                f"the prior's variance of the coefficients is not known from {NUM_PRIOR_DRAWS:,} draws of the "
                "hyperparameters, whose tails are heavy, and may be infinite: prior_sd and informed say little; "
                "compare quantiles instead.",
                UserWarning,
                stacklevel=2,
            )
        return modes(
            np.asarray(positions[FUNCTION], np.float64), variances.mean(axis=0)
        )

    def _prior_logarithms(
        self, count: int, key: Key[Array, ""]
    ) -> Float[np.ndarray, "count hyperparameters"]:
        keys = random.split(key, len(self.hyperpriors))
        drawn = [
            law.distribution.sample(k, (count,))
            for law, k in zip(self.hyperpriors.values(), keys, strict=True)
        ]
        return np.log(
            np.stack([np.asarray(values, np.float64) for values in drawn], axis=1)
        )

    def predictions(self, positions: Mapping[str, Any]) -> Array:
        """Predicted data of draws with one leading axis, or with (chain, draw); a solve each."""
        return self.base.predictions(positions[FUNCTION])

    def sample_predictive(
        self, positions: Mapping[str, Any], *, key: Key[Array, ""]
    ) -> Array:
        """Draw data that would be measured again: predictions of draws, and noise of their level.

        Raises ValueError where the noise is described by its precision as a function.
        """
        if self.known_noise is not None:
            return self.base.sample_predictive(positions[FUNCTION], key=key)
        predicted, axes = self.predictions(positions), (1,) * self.base.data.ndim
        unit = random.normal(key, predicted.shape, predicted.dtype)
        level = jnp.asarray(positions[NOISE], predicted.dtype)
        return predicted + level.reshape(*level.shape, *axes) * unit

    @property
    def names(self) -> list[str]:
        """Of the hyperparameters, in the order of their logarithms u."""
        return list(self.hyperpriors)

    def values(self, u: Any) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        exponential = np.exp(u) if isinstance(u, np.ndarray) else jnp.exp(u)
        return dict(zip(self.names, exponential, strict=True))

    def variances(self, u: Any) -> Any:
        """Return mu: (N,) in float64, or traced where u is."""
        if isinstance(self.prior, GaussianPrior):
            return np.asarray(self.prior.eigenvalues, np.float64)
        values = self.values(u)
        return self.prior.eigenvalues(
            {name: values[name] for name in self.prior.hyperpriors}
        )

    def level(self, u: Any) -> Any:
        """Return the deviation of the noise, 1 where that is known."""
        return 1.0 if self.known_noise is not None else self.values(u)[NOISE]

    def noise(self, u: Logarithms) -> GaussianNoise:
        """Return the noise at u."""
        return self.known_noise or GaussianNoise(deviation=self.level(u))

    def traced_log_prior(self, u: Float[Array, " hyperparameters"]) -> Scalar:
        """Return log p(u)."""
        return sum(
            (law.log_density(u[i]) for i, law in enumerate(self.hyperpriors.values())),
            jnp.zeros((), u.dtype),
        )

    @cached_property
    def _compiled_log_prior(self) -> Callable[[Logarithms], Array]:
        compiled, dtype = jax.jit(self.traced_log_prior), jnp.result_type(float)
        return lambda u: compiled(u.astype(dtype))

    def log_prior(self, u: Logarithms) -> float:
        """Return log p(u), on the host; minus infinity where it is not a number."""
        value = float(self._compiled_log_prior(u))
        return -np.inf if np.isnan(value) else value

    @property
    def centre(self) -> Logarithms:
        """Prior means of u."""
        return np.array([law.mean for law in self.hyperpriors.values()])

    @property
    def deviation(self) -> Logarithms:
        """Prior deviations of u."""
        return np.array([law.deviation for law in self.hyperpriors.values()])

    def start_from(
        self, start: PyTree
    ) -> tuple[Float[np.ndarray, " modes"], Logarithms]:
        """Return coefficients and logarithms of a position, or the typical ones; raise where it is not a position."""
        if start is None:
            return np.zeros(self.prior.num_modes), self.centre
        names = [FUNCTION, *self.names]
        if not isinstance(start, Mapping) or set(start) != set(names):
            raise ValueError(
                f"start must be a dict with {', '.join(names)}, got {checks.shown(start)}."
            )
        self.base.check_start(start[FUNCTION])
        for name in self.names:
            checks.number(f"start[{name!r}]", start[name], positive=True)
        u = np.log([float(start[name]) for name in self.names])
        if not np.isfinite(self.log_prior(u)):
            raise ValueError(
                "start has hyperparameters at which their prior is zero; start within its support."
            )
        return np.asarray(start[FUNCTION], np.float64), u

    def uninformed(self, positions: PyTree) -> list[str]:
        """Return a sentence for each hyperparameter whose posterior is nearly its prior."""
        sentences = []
        for name, law in self.hyperpriors.items():
            logarithms = np.log(np.asarray(positions[name], np.float64))
            ratio = float(logarithms.std() / law.deviation)
            if (
                ratio > 1 - INFORMED
                and abs(logarithms.mean() - law.mean) < MOVED * law.deviation
            ):
                sentences.append(
                    f"the data hardly inform {name}: the deviation of its logarithm is {ratio:.0%} of the prior's; "
                    "results depend on that prior, so choose it with care, or fix the value."
                )
        return sentences


def hierarchical_problem(
    build: Callable[[Any, GaussianPrior], "InverseProblem"],
    noise: Any,
    prior: MaternPrior | GaussianPrior,
) -> "HierarchicalInverseProblem | InverseProblem":
    """Return a problem with distributions among noise and prior, or the one `build` returns where there are none."""
    hyperpriors = dict(prior.hyperpriors) if isinstance(prior, MaternPrior) else {}
    known_noise = None
    if isinstance(noise, Distribution):
        hyperpriors = {NOISE: Hyperprior(NOISE, noise)} | hyperpriors
    else:
        known_noise = (
            noise
            if isinstance(noise, GaussianNoise)
            else GaussianNoise(deviation=noise)
        )
    typical = {name: law.typical for name, law in hyperpriors.items()}
    level = typical.get(NOISE)
    fixed = (
        prior
        if isinstance(prior, GaussianPrior)
        else prior.at(**{n: typical[n] for n in prior.hyperpriors})
    )
    base = build(known_noise or GaussianNoise(deviation=level), fixed)
    if not hyperpriors:
        return base
    return HierarchicalInverseProblem(base, prior, hyperpriors, known_noise, build)


class HierarchicalCoordinates(Reparametrised):
    """The negative log density in (x / scales, u); its positions are dicts.

    `problem` is the misfit of the function at the base problem's noise.
    """

    problem: Problem
    target: HierarchicalInverseProblem
    scales: Float[Array, " modes"]
    precision: Float[Array, ""]

    def __init__(
        self, target: HierarchicalInverseProblem, scales: Float[np.ndarray, " modes"]
    ):
        dtype = target.base.prior.eigenvalues.dtype
        self.problem, self.target = target.base.problem, target
        self.scales, self.precision = jnp.asarray(scales, dtype), jnp.zeros((), dtype)

    def to_position(self, z: Float[Array, " d"]) -> dict[str, Array]:
        """The position of coordinates z."""
        number = len(self.scales)
        return {
            FUNCTION: self.scales.astype(z.dtype) * z[:number]
        } | self.target.values(z[number:])

    def from_position(self, position: Mapping[str, Array]) -> Float[Array, " d"]:
        """The coordinates of a position."""
        logarithms = jnp.log(jnp.stack([position[name] for name in self.target.names]))
        return jnp.concatenate([position[FUNCTION] / self.scales, logarithms])

    def pull_back(self, gradient: PyTree) -> PyTree:
        """Refused: it depends on the position, which `value_and_gradient` knows."""
        raise TypeError(
            "coordinates with logarithms are not linear in the position; use value_and_gradient."
        )

    def _parts(self, z: Float[Array, " d"]) -> tuple[Array, Scalar, Scalar]:
        """Return x, the factor of the mean misfit, and the remaining terms."""
        scales, target = self.scales.astype(z.dtype), self.target
        v, u = z[: len(scales)], z[len(scales) :]
        data = target.base.data.size
        ratios = jnp.asarray(target.variances(u), z.dtype) / scales**2
        rest = jnp.sum(jnp.log(ratios) + v**2 / ratios) / 2 - target.traced_log_prior(u)
        factor = jnp.asarray(data, z.dtype)
        if target.known_noise is None:
            level = jnp.asarray(target.level(u), z.dtype)
            assert target.base.noise.deviation is not None
            factor = (
                factor
                * (jnp.asarray(target.base.noise.deviation, z.dtype) / level) ** 2
            )
            rest = rest + data * jnp.log(level)
        return scales * v, factor, rest

    def value(self, position: Float[Array, " d"]) -> Scalar:
        x, factor, rest = self._parts(position)
        return factor * self.problem.value(x) + rest

    def gradient(self, position: Float[Array, " d"]) -> Float[Array, " d"]:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(
        self, position: Float[Array, " d"]
    ) -> tuple[Scalar, Float[Array, " d"]]:
        (x, factor, rest), backward = jax.vjp(self._parts, position)
        value, gradient = self.problem.value_and_gradient(x)
        return factor * value + rest, backward(
            (factor * gradient, value, jnp.ones_like(rest))
        )[0]
