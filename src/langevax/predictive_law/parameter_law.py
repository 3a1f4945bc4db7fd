"""The law of one value of the parameters under a dual of J_a, in units of the prior: that of a certificate's clouds.

    prior(theta) exp( a S + (1-a) sum_i c_i r_i ),      S = sum_i log (p_i / z_i),   r_i = p_i / z_i

relative to N(0, I) in coordinates in which the prior is about that: exp(v) N(0, I), and v = g + a S + sum_i t_i r_i is
linear in the tilt (1, a, t), with g = log prior - log N(0, I). Tilts (1, 0, 0) and (1, 1, 0) are the prior and the
posterior. z_i is a constant of each row, its mean density under the certified law and the prior, so that numbers stay
within float32.

As a mean-field network, r_i is the neuron, -(1-a) log z the loss and g_i = -(1-a) c_i the dual, at temperature 1 / n.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax._typing import FloatScalar, PRNGKey, PyTree, Vector
from langevax.log_weights import log_mean_exp
from langevax.meanfield.clouds import LOG_2_PI, Clouds
from langevax.meanfield.gibbs_law import Activity, Cloud, Tilt
from langevax.meanfield.walks import PilotCloud, covariance
from langevax.predictive_law.law_problem import MAX_EXPONENT, LawProblem
from langevax.predictive_law.path import evenly_spaced
from langevax.trees import in_double

NO_DENSITY = -1e9
"""For the logarithm, where a prior or a row has no density."""


class ParameterLaw(eqx.Module):
    """The laws of a particle of one predictive law, of one share of Bayes."""

    problem: LawProblem
    rows: PyTree
    """(n, ...)."""
    references: Float[Array, " n"]
    """log z_i, to which likelihoods are relative."""
    posterior_share: FloatScalar
    centre: Vector
    factor: Float[Array, "d d"]
    """Cholesky factor of the covariance that is the unit of the coordinates."""
    output_weight: None = None

    @classmethod
    def of(
        cls,
        problem: LawProblem,
        posterior_share: float,
        points: np.ndarray,
    ) -> "ParameterLaw":
        """Return the laws in units of a cloud of particles, whose mean densities are the references."""
        dtype = points.dtype
        share = jnp.asarray(posterior_share, dtype)
        references = _references(problem, points)
        start = cls(
            problem,
            problem.rows,
            references,
            share,
            jnp.zeros(points.shape[1], dtype),
            jnp.eye(points.shape[1], dtype=dtype),
        )
        return start.in_units_of(points)

    def in_units_of(self, points: np.ndarray) -> "ParameterLaw":
        """Return the same laws in coordinates in which a cloud of particles has mean 0 and covariance I."""
        dtype = self.references.dtype
        factor = np.linalg.cholesky(covariance(points))
        units = (
            jnp.asarray(points.mean(axis=0, dtype=np.float64), dtype),
            jnp.asarray(factor, dtype),
        )
        return eqx.tree_at(lambda law: (law.centre, law.factor), self, units)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.centre)

    @property
    def num_activations(self) -> int:
        """Likelihoods of one particle."""
        return len(self.references)

    @property
    def dtype(self) -> Any:
        """Of the coordinates."""
        return self.references.dtype

    def inner(self, points: np.ndarray) -> np.ndarray:
        """Return the coordinates of particles."""
        away = in_double(points) - in_double(self.centre)
        inner = np.linalg.solve(in_double(self.factor), away.T).T
        return inner.astype(points.dtype)

    def outer(self, cloud: np.ndarray) -> np.ndarray:
        """Return the particles at these coordinates."""
        return np.asarray(
            cloud @ np.asarray(self.factor).T + np.asarray(self.centre), cloud.dtype
        )

    def plain_tilt(self, likelihood: float) -> Tilt:
        """Return the tilt of the prior times a power of the likelihood: 0 is the prior, 1 the posterior."""
        return (
            jnp.zeros((len(self.references) + 2, 1), self.dtype)
            .at[:2, 0]
            .set(jnp.array([1, likelihood], self.dtype))
        )

    def tilt(self, dual: Array, temperature: float | FloatScalar) -> Tilt:
        """Return (1, a, -g_i / (n T)) of a dual."""
        scaled = -dual / jnp.asarray(len(dual) * temperature, dual.dtype)
        first = jnp.stack(
            [jnp.ones((), dual.dtype), self.posterior_share.astype(dual.dtype)]
        )
        return jnp.concatenate([first, scaled])[:, None]

    def features(self, cloud: Cloud) -> Float[Array, "particles rows"]:
        """Return (g, S, r_1, ..., r_n) of each particle."""

        def one(x: Vector) -> Float[Array, " rows"]:
            point = self.factor @ x + self.centre
            relative = self.problem.row_logs(point, self.rows) - self.references
            unit = (
                jnp.sum(jnp.log(jnp.diag(self.factor)))
                + jnp.sum(x * x) / 2
                + x.dtype.type(self.size * LOG_2_PI / 2)
            )
            log_prior = self.problem.log_prior(point) + unit
            logs = jnp.stack([log_prior, jnp.sum(relative)])
            logs = jnp.where(jnp.isnan(logs), NO_DENSITY, logs)
            logs = jnp.maximum(logs, NO_DENSITY)
            ratios = jnp.exp(jnp.minimum(relative, MAX_EXPONENT))
            return jnp.concatenate([logs, ratios])

        return jax.vmap(one)(cloud)

    def log_ratio(
        self, sums: Float[Array, "particles columns"]
    ) -> Float[Array, " particles"]:
        """Return v from features times tilt."""
        return jnp.sum(sums, axis=-1)

    def value_and_gradient(
        self, tilt: Tilt, cloud: Cloud
    ) -> tuple[Float[Array, " particles"], Cloud]:
        """Return v and its gradient."""
        features, vjp = jax.vjp(self.features, cloud)
        values = (features @ tilt)[:, 0]
        gradient = vjp(jnp.broadcast_to(tilt[:, 0], features.shape))[0]
        return values, jnp.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)

    def activity(self, tilt: Tilt, cloud: Cloud) -> Activity:
        """Return r, and v - g - a S, with which J_a is bounded by -(1-a) sum_i log z_i + E[v - g - a S] - log Z."""
        features = self.features(cloud)
        one = jnp.ones((len(cloud), 1), cloud.dtype)
        beyond = tilt - self.tilt(jnp.zeros_like(self.references), 1.0)
        excess = (features @ beyond)[:, 0]
        return Activity(features[:, 2:], one, 0 * one, excess)


def _references(problem: LawProblem, points: np.ndarray) -> Float[Array, " n"]:
    logs = log_mean_exp(problem.log_likelihoods(points), 0)
    return jnp.asarray(np.maximum(logs, NO_DENSITY), points.dtype)


def in_units_of_prior(
    law: ParameterLaw,
    points: np.ndarray,
    *,
    key: PRNGKey,
    num_particles: int = 512,
    moves: int = 5,
    max_rounds: int = 40,
    rounds_apart: int = 3,
) -> ParameterLaw:
    """Return the laws in coordinates in which the prior has about mean 0 and covariance I.

    Moves of a cloud under the prior, whose own covariance is their metric, so that it grows by a factor a round. Any
    units are valid: the start of a walk is N(0, I), and g corrects for what the prior is. The rounds end where the
    volume of the cloud is compared with that of `rounds_apart` rounds before and has grown little.
    """
    particles = points = evenly_spaced(points, num_particles)
    clouds = Clouds(law, law.num_activations, key)
    volumes = []
    pilot = PilotCloud.of(particles)
    try:
        while len(volumes) < max_rounds:
            law = law.in_units_of(points)
            clouds.law = law
            pilot = pilot._replace(cloud=law.inner(points))
            pilot, _ = pilot.moved(clouds, clouds.target(law.plain_tilt(0.0)), moves)
            points = law.outer(pilot.cloud)
            scales = np.diag(in_double(law.factor))
            volumes.append(float(np.log(scales).sum()))
            if len(volumes) > 2 * rounds_apart and volumes[-1] - volumes[
                -1 - rounds_apart
            ] < 0.3 * np.sqrt(law.size):
                break
    finally:
        clouds.close()
    references = _references(law.problem, np.concatenate([particles, points]))
    return eqx.tree_at(lambda law: law.references, law.in_units_of(points), references)
