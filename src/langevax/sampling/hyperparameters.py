"""Inverse problems whose noise level or prior have unknown parameters, sampled together with the function.

    y = G(f) + sigma xi,      f = mean + sum_k x_k f_k,      x_k ~ N(0, mu_k(theta)),      sigma, theta ~ hyperpriors

The density of x and of the logarithms u of all hyperparameters is, up to a constant,

    exp(-|G(f) - y|^2 / (2 sigma^2)) sigma^-m  prod_k N(x_k; 0, mu_k(theta))  p(u)

with m data and p(u) the hyperpriors' densities of the logarithms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import FloatScalar, PRNGKey, PyTree, Vector
from langevax.problems.coordinates import Reparametrised
from langevax.problems.problem import Problem
from langevax.sampling.inverse import InverseProblem
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.solver import Coefficients, ForwardSolver, Solve
from langevax.spaces import GaussianPrior, MaternPrior
from langevax.spaces.matern_prior import Hyperprior
from langevax.trees import in_double

FUNCTION = "function"
NOISE = "noise"

Logarithms = Float[np.ndarray, " hyperparameters"]


class Units(NamedTuple):
    """Units of a solve: deviations of the prior, and the level of the noise."""

    deviations: Coefficients
    level: float

    def rescaled(self, solve: Solve, units: "Units") -> Solve:
        """Return a solve of the same function in other units."""
        wider = units.deviations / self.deviations
        quieter = (self.level / units.level) ** 2
        gradient = solve.gradient
        return solve._replace(
            z=solve.z / wider,
            misfit=solve.misfit * quieter,
            gradient=None if gradient is None else gradient * wider * quieter,
        )


@dataclass(frozen=True, eq=False, repr=False)
class HierarchicalInverseProblem:
    """A target of `sample` whose positions are a dict: coefficients "function" (N,), and a number per hyperparameter.

    Made by `inverse_problem` with distributions for `noise` or the parameters of a `MaternPrior`.
    """

    base: InverseProblem
    """The problem at the geometric means of the hyperpriors."""
    prior: MaternPrior | GaussianPrior
    hyperpriors: dict[str, Hyperprior]
    known_noise: GaussianNoise | None
    """None where it is unknown."""
    build: Callable[[GaussianNoise, GaussianPrior], InverseProblem] = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"HierarchicalInverseProblem({self.prior.num_modes} modes; unknown: "
            f"{', '.join(self.hyperpriors)})"
        )

    def at(self, **values: float) -> InverseProblem:
        """Return the inverse problem with these values of all hyperparameters, such as their posterior means."""
        if values.keys() != self.hyperpriors.keys():
            raise ValueError(
                f"at takes values of {', '.join(self.hyperpriors)}, got "
                f"{', '.join(values) or 'none'}."
            )
        for name, value in values.items():
            checks.number(name, value, positive=True)
        prior = self.prior
        if isinstance(prior, MaternPrior):
            prior = prior.at(
                **{name: float(values[name]) for name in prior.hyperpriors}
            )
        return self.build(
            self.known_noise or GaussianNoise(standard_deviation=values[NOISE]), prior
        )

    def functions(self, positions: Mapping[str, Any]) -> Float[Array, "*batch grid"]:
        """Values of the drawn functions on the grid of the basis."""
        return self.base.functions(positions[FUNCTION])

    def predictions(self, positions: Mapping[str, Any]) -> Array:
        """Predicted data of draws with one leading axis, or with (chain, draw); a solve each."""
        return self.base.predictions(positions[FUNCTION])

    def sample_predictive(self, positions: Mapping[str, Any], *, key: PRNGKey) -> Array:
        """Draw data that would be measured again: predictions of draws, and noise of their level."""
        if self.known_noise is not None:
            return self.base.sample_predictive(positions[FUNCTION], key=key)
        predicted = self.predictions(positions)
        axes = (1,) * self.base.data.ndim
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

    def variances(self, u: Logarithms) -> Coefficients:
        """Return mu."""
        if isinstance(self.prior, GaussianPrior):
            return in_double(self.prior.eigenvalues)
        values = self.values(u)
        return self.prior.eigenvalues(
            {name: values[name] for name in self.prior.hyperpriors}
        )

    def level(self, u: Logarithms) -> float:
        """Return the deviation of the noise, 1 where that is known."""
        return 1.0 if self.known_noise is not None else float(self.values(u)[NOISE])

    def units(self, u: Logarithms) -> Units:
        """Return the units of a solve at u."""
        return Units(np.sqrt(self.variances(u)), self.level(u))

    @property
    def scales(self) -> Coefficients:
        """Deviations of the base problem's prior: units of the draws, and of the solver's coefficients."""
        return self.base.scales

    def solver_at(self, solver: ForwardSolver, u: Logarithms) -> ForwardSolver:
        """Return the base problem's solver in units of the prior and the noise at u."""
        units = self.units(u)
        noise = self.known_noise or GaussianNoise(standard_deviation=units.level)
        return solver.in_units(units.deviations / self.scales, noise)

    @cached_property
    def _log_density(self) -> Callable[[Array], FloatScalar]:
        laws = self.hyperpriors.values()
        return jax.jit(
            lambda u: sum(law.log_density(x) for law, x in zip(laws, u, strict=True))
        )

    def log_prior(self, u: Logarithms) -> float:
        """Return log p(u); minus infinity where it is not a number."""
        value = float(self._log_density(jnp.asarray(u, jnp.result_type(float))))
        return -np.inf if np.isnan(value) else value

    @property
    def centre(self) -> Logarithms:
        """Prior means of u."""
        return np.array([law.mean for law in self.hyperpriors.values()])

    @property
    def deviation(self) -> Logarithms:
        """Prior deviations of u."""
        return np.array([law.standard_deviation for law in self.hyperpriors.values()])

    def start_from(self, start: PyTree) -> tuple[Coefficients, Logarithms]:
        """Return coefficients and logarithms of a position, or the typical ones; raise where it is not a position."""
        if start is None:
            return np.zeros(self.prior.num_modes), self.centre
        names = [FUNCTION, *self.names]
        if not isinstance(start, Mapping) or set(start) != set(names):
            raise ValueError(
                f"start must be a dict with {', '.join(names)}, got "
                f"{checks.shown(start)}."
            )
        self.base.check_start(start[FUNCTION])
        for name in self.names:
            checks.number(f"start[{name!r}]", start[name], positive=True)
        u = np.log([float(start[name]) for name in self.names])
        if not np.isfinite(self.log_prior(u)):
            raise ValueError(
                "start has hyperparameters at which their prior is zero; start within "
                "its support."
            )
        return in_double(start[FUNCTION]), u


class HierarchicalCoordinates(Reparametrised):
    """The map from (x / scales, u) to positions, which are dicts; it is not linear, and has no density of its own."""

    problem: Problem
    target: HierarchicalInverseProblem
    scales: Float[Array, " modes"]
    precision: FloatScalar

    def __init__(self, target: HierarchicalInverseProblem, scales: Coefficients):
        dtype = target.base.prior.eigenvalues.dtype
        self.problem = target.base.problem
        self.target = target
        self.scales = jnp.asarray(scales, dtype)
        self.precision = jnp.zeros((), dtype)

    def to_position(self, z: Vector) -> dict[str, Array]:
        """The position of coordinates z."""
        number = len(self.scales)
        return {
            FUNCTION: self.scales.astype(z.dtype) * z[:number]
        } | self.target.values(z[number:])

    def from_position(self, position: Mapping[str, Array]) -> Vector:
        """The coordinates of a position."""
        values = jnp.stack([position[name] for name in self.target.names])
        logarithms = jnp.log(values)
        return jnp.concatenate([position[FUNCTION] / self.scales, logarithms])

    def pull_back(self, gradient: PyTree) -> PyTree:
        """Refused: the density of a function with its hyperparameters is known to the chains on the host alone."""
        raise TypeError("coordinates with logarithms are not linear in the position.")
