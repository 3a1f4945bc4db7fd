"""The problem of a predictive law: a model as a log prior and a log likelihood of every row.

    J_a(q) = sum_i w_i [ -(1-a) log z_i - a E_q log p_i ] + KL(q || prior),      p_i = p(x_i | theta), z_i = E_q p_i

over laws q of the parameters; a is the share of Bayes. J_a is convex for every a in [0, 1]. At a = 1 its minimiser is
the posterior, at a = 0 the law of McLatchie, Cherief-Abdellatif, Frazier and Knoblauch (2025, arXiv 2510.01915), which
maximises the score of the mixture. With the dual c_i = 1 / z_i held fixed, one particle has the law

    prior(theta) exp( sum_i w_i [ a log p_i + (1-a) c_i p_i ] )

and the minimiser is the fixed point of that map. Likelihoods stay logarithms: c_i p_i = exp(log p_i - log z_i).
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import PyTree, Vector
from langevax.log_weights import log_mean_exp
from langevax.platforms import sizes
from langevax.problems import blocks
from langevax.problems.finite_sum import (
    FiniteSum,
    NegativeLogLikelihood,
    NegativeLogPrior,
    RowFunction,
)
from langevax.problems.problem import Scalar, quadratic
from langevax.run.result import named_leaves
from langevax.sampling.resolution import check_resolution

MAX_EXPONENT = 60.0
"""Of c_i p_i, which may be as large as the number of particles; exp(60) is within float32."""

Points = Float[Array, "particle d"]
RowBlocks = Float[Array, "block rows"]


class PredictiveWarning(UserWarning):
    """Reasons to doubt a predictive distribution, those of `PredictiveLaw.warnings`."""


class TiltedDensity(NamedTuple):
    """Results of one pass over the rows for a cloud of particles."""

    value: Float[Array, " particle"]
    """Log density of the law of one particle, up to a constant of the rows."""
    gradient: Points
    log_means: RowBlocks
    """log z_i of the cloud."""


class LawProblem(eqx.Module):
    """A log prior and a log likelihood by row, of particles that are flat vectors."""

    finite_sum: FiniteSum
    """Of the posterior; its rows are padded to whole blocks."""
    size: int = eqx.field(static=True)
    unravel: Callable[[Array], PyTree] = eqx.field(static=True)
    prior_size: float = eqx.field(static=True)
    """Rows of the posterior, or the sum of their weights, by which the finite sum divides the prior."""
    weights: Float[Array, " n"] | None = None
    """Of the rows; None where all are 1."""

    @classmethod
    def of(
        cls,
        finite_sum: FiniteSum,
        position: PyTree,
        num_particles: int,
    ) -> "LawProblem":
        """Return the problem of a posterior's rows, for particles in the structure of `position`."""
        if not isinstance(finite_sum.loss, NegativeLogLikelihood):
            raise TypeError(
                "model must be a langevax.posterior with a log likelihood of every "
                "row; pass that."
            )
        size = finite_sum.max_size
        total = float(size)
        weights = finite_sum.weights
        if weights is not None:
            if not isinstance(finite_sum.regularizer, NegativeLogPrior):
                raise ValueError(
                    "model has weights and no log_prior, by which their sum is known; "
                    "pass log_prior."
                )
            total = finite_sum.regularizer.total
            weights = jnp.asarray(weights) * (total / size)
            finite_sum = eqx.tree_at(lambda f: f.weights, finite_sum, None)
        data = _in_blocks(finite_sum.data, num_particles)
        finite_sum = eqx.tree_at(lambda f: f.data, finite_sum, data)
        return cls(finite_sum, size, ravel_pytree(position)[1], total, weights)

    @property
    def rows(self) -> PyTree:
        """(n, ...), without the padding."""
        return jax.tree.map(
            lambda a: a.reshape(-1, *a.shape[2:])[: self.size], self.finite_sum.data
        )

    @property
    def row_weights(self) -> Float[np.ndarray, " n"]:
        """A copy of the weights of the rows."""
        weights = 1.0 if self.weights is None else self.weights
        return np.array(np.broadcast_to(weights, self.size), np.float64)

    @property
    def log_likelihood(self) -> RowFunction:
        """Of one row."""
        loss = self.finite_sum.loss
        assert isinstance(loss, NegativeLogLikelihood)
        return loss.log_likelihood

    def log_prior(self, point: Vector) -> Scalar:
        """Of one particle, up to a constant."""
        position = self.unravel(point)
        finite_sum = self.finite_sum
        value = quadratic(finite_sum.precision, position)
        if finite_sum.regularizer is not None:
            value = value + finite_sum.regularizer(position)
        return -self.prior_size * value

    def log_priors(self, points: np.ndarray) -> Float[np.ndarray, " particle"]:
        """Return `log_prior` at every point."""
        return np.asarray(jax.vmap(self.log_prior)(jnp.asarray(points)))

    def in_blocks(self, numbers: np.ndarray) -> np.ndarray:
        """Return one number a row in the layout of the rows, 0 for those that fill the last block."""
        shape = jax.tree.leaves(self.finite_sum.data)[0].shape[:2]
        whole = np.zeros(shape, numbers.dtype)
        whole.flat[: self.size] = numbers
        return whole

    def tilted(
        self,
        points: Points,
        posterior_share: Scalar,
        log_means: RowBlocks,
        weights: RowBlocks,
    ) -> TiltedDensity:
        """Return log density and gradient of the law of one particle at every point, under the dual exp(-log_means)."""

        def of_rows(
            point: Vector, block: PyTree
        ) -> tuple[Scalar, Float[Array, " rows"]]:
            rows, log_mean, weight = block
            logs = self.row_logs(point, rows)
            relative = logs - log_mean
            ratio = jnp.exp(jnp.minimum(relative, MAX_EXPONENT))
            bayes = jnp.where(posterior_share > 0, posterior_share * relative, 0)
            terms = jnp.where(
                weight > 0, weight * (bayes + (1 - posterior_share) * ratio), 0
            )
            return jnp.sum(terms), logs

        def add_block(
            total: PyTree, block: PyTree
        ) -> tuple[PyTree, Float[Array, " rows"]]:
            one = jax.vmap(jax.value_and_grad(of_rows, has_aux=True), (0, None))
            (value, logs), gradient = one(points, block)
            sums = total[0] + value, total[1] + gradient
            return sums, log_mean_exp(logs, axis=0)

        prior = jax.vmap(jax.value_and_grad(self.log_prior))(points)
        (value, gradient), means = lax.scan(
            add_block, prior, (self.finite_sum.data, log_means, weights)
        )
        return TiltedDensity(
            value, jnp.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0), means
        )

    def log_likelihoods(
        self, points: np.ndarray, new: PyTree = None
    ) -> Float[np.ndarray, "particle n"]:
        """Return the log likelihood of every row, or of every new one, at every point."""
        rows = self.finite_sum.data
        size = self.size
        if new is not None:
            rows = _in_blocks(new, len(points))
            size = blocks.num_rows(new)
        logs = np.asarray(_log_likelihoods(self, rows, jnp.asarray(points)))
        by_particle = np.moveaxis(logs, 1, 0)  # from (block, particle, row)
        return by_particle.reshape(len(points), -1)[:, :size]

    def row_logs(self, point: Vector, rows: PyTree) -> Float[Array, " rows"]:
        """Return the log likelihood of rows at one point."""
        position = self.unravel(point)

        def of_row(row: PyTree) -> Scalar:
            value = self.log_likelihood(position, row)
            return checks.scalar(
                "log_likelihood", value, "sum over the entries of a row"
            )

        return jax.vmap(of_row)(rows)


def _in_blocks(rows: PyTree, num_particles: int) -> PyTree:
    """Return rows in blocks of one length, the last one padded by the first row."""
    size = blocks.num_rows(rows)
    fewest = -(-size * num_particles // sizes().log_likelihoods)
    length = -(-size // max(1, fewest))
    padding = -size % length

    def of_leaf(leaf: Array) -> Array:
        padded = jnp.concatenate([leaf, jnp.repeat(leaf[:1], padding, axis=0)])
        return padded.reshape(-1, length, *leaf.shape[1:])

    return jax.tree.map(of_leaf, rows)


@eqx.filter_jit
def _log_likelihoods(
    problem: LawProblem, rows: PyTree, points: Points
) -> Float[Array, "block particle rows"]:
    return lax.map(
        lambda block: jax.vmap(lambda point: problem.row_logs(point, block))(points),
        rows,
    )


@eqx.filter_jit
def _log_priors(
    problem: LawProblem, lines: Float[Array, "end line d"]
) -> Float[Array, "end line"]:
    return jax.vmap(jax.vmap(problem.log_prior))(lines)


@eqx.filter_jit
def _curvature(
    problem: LawProblem, centre: Vector, unit: Vector
) -> Float[Array, "d d"]:
    return jax.hessian(lambda steps: problem.log_prior(centre + unit * steps))(
        jnp.zeros_like(centre)
    )


def check_draws(problem: LawProblem, points: np.ndarray, most: float = 1.0) -> None:
    """Warn of draws whose log posterior rises by more nats a standard deviation; the noise of 64 draws is 0.1."""
    weights = jnp.asarray(problem.in_blocks(problem.row_weights.astype(points.dtype)))
    one = jnp.ones((), points.dtype)
    posterior = eqx.filter_jit(LawProblem.tilted)(
        problem, jnp.asarray(points), one, jnp.zeros_like(weights), weights
    )
    slopes = np.asarray(posterior.gradient.mean(axis=0))
    deviations = points.std(axis=0, dtype=np.float64)
    rise = float(np.abs(slopes * deviations).max())
    if rise > most:
        warnings.warn(
            "draws are not from the posterior of model and data: the mean gradient of "
            f"its log density at them is {rise:.3g} per standard deviation, where "
            "draws of converged chains have 0; check R-hat and warm-up of the chains, "
            "pass draws of this model and data, or leave draws out.",
            PredictiveWarning,
            stacklevel=4,
        )


def check_rows(log_likelihoods: Float[np.ndarray, "particle n"]) -> None:
    """Raise where a row has no density under any of the draws, or none of the draws has all rows."""
    if np.isnan(log_likelihoods).any():
        row = int(np.argmax(np.isnan(log_likelihoods).any(axis=0)))
        raise ValueError(
            f"log_likelihood is nan at row {row} for one of the draws; pass data and "
            "draws where it is a number."
        )
    impossible = np.isneginf(log_likelihoods)
    if (lost := impossible.all(axis=0)).any():
        raise ValueError(
            f"row {int(np.argmax(lost))} has log_likelihood -inf under all "
            f"{len(log_likelihoods)} draws ({int(lost.sum())} such rows): the model "
            "cannot produce it; drop it, or use a wider likelihood."
        )
    if impossible.any():
        raise ValueError(
            f"{impossible.any(axis=1).sum():,} of {len(impossible):,} draws have "
            "log_likelihood -inf at some row, which draws of the posterior of model "
            "and data have not; leave draws out."
        )


def check_dependence(
    problem: LawProblem, log_likelihoods: Float[np.ndarray, "particle n"]
) -> None:
    """Raise where all rows have one log likelihood but are not alike, as where it sums over all of them itself."""
    if np.any(log_likelihoods != log_likelihoods[:, :1]):
        return
    if any(np.any(rows != rows[:1]) for rows in jax.tree.leaves(problem.rows)):
        raise ValueError(
            "log_likelihood is the same for all rows, which differ: return the log "
            "density of that row alone, which a uniform density over them does not "
            "tell apart."
        )


def check_proper(
    problem: LawProblem,
    points: np.ndarray,
    prior: str = "log_prior",
    far: tuple[float, float] = (1e3, 1e5),
) -> None:
    """Raise where the log prior falls too slowly along a line for the prior to have a finite integral.

    Draws that do not vary, or too little for their dtype, are refused first. `prior` is its name in the sentence.
    Lines are those of the coordinates, and of the principal directions of its curvature at the mean of the draws.
    Between two places that are `far`, in standard deviations of the draws, a proper log prior falls by more than the
    logarithm of the ratio of their distances.
    """
    dtype = points.dtype
    centre = points.mean(axis=0, dtype=np.float64)
    if (fixed := np.ptp(points, axis=0) == 0).any():
        raise ValueError(
            f"draws do not vary along coordinate {int(np.argmax(fixed))}; pass draws "
            "of chains that move, or leave draws out."
        )
    deviations = points.std(axis=0, dtype=np.float64)
    widths, centres = (
        named_leaves(problem.unravel(jnp.asarray(a, dtype)))
        for a in (deviations, centre)
    )
    check_resolution(
        widths,
        centres,
        "write it as a constant plus a difference, or draw and compute in float64 "
        "(jax.enable_x64).",
    )
    scale = deviations + np.finfo(dtype).eps * (1 + np.abs(centre))
    middle = jnp.asarray(centre, dtype)
    curvature = _curvature(problem, middle, jnp.asarray(scale, dtype))
    curvature = np.nan_to_num(np.asarray(curvature, np.float64))
    principal = np.linalg.eigh(curvature)[1]
    directions = np.concatenate([np.eye(len(scale)), principal.T]) * scale
    steps = np.concatenate([directions, -directions])
    lines = np.stack([centre + distance * steps for distance in far]).astype(dtype)
    logs = np.asarray(_log_priors(problem, jnp.asarray(lines)), np.float64)
    with np.errstate(invalid="ignore"):  # -inf less -inf
        change = logs[1] - logs[0]
    flat = change >= -np.log(far[1] / far[0])
    flat &= np.isfinite(logs).all(axis=0)
    if flat.any():
        index = int(np.argmax(flat)) % len(directions)
        line = "a sum of several coordinates"
        if index < len(scale):
            line = _coordinate(problem, middle, index)
        raise ValueError(
            f"{prior} is improper: along {line} its logarithm changes by "
            f"{change[flat][0]:.3g} between {far[0]:g} and {far[1]:g} standard "
            "deviations of the draws; pass a prior with a finite integral."
        )


def _coordinate(problem: LawProblem, centre: Vector, index: int) -> str:
    """Return the name of a coordinate of a particle: its variable, and its place in an array."""
    one = problem.unravel(jnp.zeros_like(centre).at[index].set(1))
    return next(
        f"{name!r}{np.argwhere(leaf)[0].tolist() or ''}"
        for name, leaf in named_leaves(one).items()
        if np.any(leaf)
    )
