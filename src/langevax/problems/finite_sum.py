"""The mean of a loss over the rows of a table, and a posterior as such a mean with its temperature.

    p(x | data)  ~  prior(x) prod_i likelihood_i(x)  =  exp(-potential(x) / temperature)
    potential(x) = -(1/n) sum_i log likelihood_i(x) - (1/n) log prior(x),      temperature = 1/n

The mean, not the sum, keeps gradients and step sizes of the same size whatever n.
"""

import warnings
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from langevax import checks, trees
from langevax._typing import PyTree
from langevax.platforms import CPU, sizes
from langevax.problems import blocks, tracing
from langevax.problems.blocks import Count, Rows, Weights, tree_as_rows
from langevax.problems.problem import Indices, Numbers, Problem, Scalar
from langevax.problems.sharding import RowProblem, RowSharding
from langevax.renamed import refuse_former

RowFunction = Callable[[PyTree, PyTree], Scalar]
PositionFunction = Callable[[PyTree], Scalar]

PASS_ROWS = CPU.pass_rows
"""Rows of one block of a full pass; left at this, they are those of the platform."""


class FiniteSum(RowProblem):
    """`value(x) = (1/n) sum_i loss(x, row_i) + regularizer(x)`, a mean, never a sum.

    Args:
        loss: `loss(position, example) -> scalar`, where an example is one row of `data`.
        data: a pytree of arrays with one row per component along axis 0. Mapped rows
            (`langevax.data.open_rows`) are used where they lie.
        regularizer: `regularizer(position) -> scalar`, counted in full in every component.
        precision: the quadratic part `1/2 <x, precision x>`, a prefix of the position, >= 0. Give a
            Gaussian prior here rather than in `regularizer`: integrators treat it exactly.
        weights: one non-negative number per row, scaled to mean one.
        count: rows in use; the others are padding. It is traced: another count is the same program.
        block_size: rows of one block of a full pass; the default is more on accelerators.

    Raises:
        ValueError: non-finite or empty data, integers beyond 32 bits, leading axes that disagree, bad
            weights, count or precision; at first use, a loss that is not scalar.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([1.0, 2.0])
        >>> problem = langevax.FiniteSum(lambda w, row: (row[0] @ w - row[1]) ** 2 / 2, (X, y))
        >>> problem.gradient(jnp.zeros(2))
        Array([-0.5, -2. ], dtype=float32)
    """

    row_fields: ClassVar[tuple[str, ...]] = ("data", "weights")

    loss: RowFunction
    data: Rows
    regularizer: PositionFunction | None
    precision: PyTree
    weights: Weights
    count: Count
    block_size: int
    row_sharding: RowSharding | None = eqx.field(static=True)

    def __init__(
        self,
        loss: RowFunction,
        data: PyTree,
        regularizer: PositionFunction | None = None,
        precision: PyTree = 0.0,
        weights: Numbers | None = None,
        count: ArrayLike | None = None,
        block_size: int = PASS_ROWS,
    ):
        checks.function("loss", loss, "(position, example) -> scalar")
        checks.function(
            "regularizer", regularizer, "(position) -> scalar", optional=True
        )
        tracing.forget_old_numbers(loss, regularizer)
        checks.numbers("precision", precision)
        rows = tree_as_rows("data", data)
        size = checks.leading_axis("data", rows)
        checks.finite("data", rows, remedy="drop or impute these rows")
        self.loss = loss
        self.data = rows
        self.regularizer = regularizer
        self.precision = precision
        dtype = blocks.floating_dtype(rows)
        self.weights = blocks.normalised_weights(weights, size, dtype)
        self.count = blocks.checked_count(count, size)
        self.block_size = checks.whole("block_size", block_size)
        self.row_sharding = None

    def over(self, rows: PyTree, count: ArrayLike | None = None) -> "FiniteSum":
        """The same sum over other rows, all of weight one, the first `count` of them in use; None uses all.

        Raises:
            ValueError: this sum has weights, which are those of its own rows.
        """
        if self.weights is not None:
            raise ValueError(
                "this sum has weights, which belong to its own rows; weigh rows in the "
                "loss instead."
            )
        return FiniteSum(
            self.loss,
            rows,
            self.regularizer,
            self.precision,
            None,
            count,
            self.block_size,
        )

    def with_rows_apart(self, indices: Indices) -> "FiniteSum":
        """Return the same potential with these rows in every component, as its regularizer is.

        Batches of the others then leave no noise of them.
        """
        dtype = blocks.floating_dtype(self.data)
        weights = jnp.ones(self.max_size, dtype)
        if self.weights is not None:
            weights = jnp.asarray(self.weights)
        rows, shares = blocks.take((self.data, weights), indices)
        extra = RegularizedByRows(
            self.loss, rows, shares / self._divisor(shares), self.regularizer
        )
        return eqx.tree_at(
            lambda problem: (problem.weights, problem.regularizer),
            self,
            (weights.at[indices].set(0), extra),
            is_leaf=lambda leaf: leaf is None,
        )

    @property
    def max_size(self) -> int:
        return blocks.num_rows(self.data)

    def value(self, position: PyTree) -> Scalar:
        total = self._over_blocks(lambda rows: self._sum(position, *rows), position)
        return self._regularized(total / self._divisor(position), position)

    def gradient(self, position: PyTree) -> PyTree:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(self, position: PyTree) -> tuple[Scalar, PyTree]:
        value, gradient = self._over_blocks(
            lambda rows: jax.value_and_grad(self._sum)(position, *rows), position
        )
        divisor = self._divisor(position)
        value = value / divisor
        gradient = jax.tree.map(lambda g: g / divisor.astype(g.dtype), gradient)
        if self.regularizer is None:
            return value, gradient
        extra, extra_gradient = jax.value_and_grad(self.regularizer)(position)
        return value + extra, trees.add(gradient, extra_gradient)

    def gradient_at(self, position: PyTree, indices: Indices) -> PyTree:
        def mean(x: PyTree) -> Scalar:
            total = self._sum(x, *blocks.take(self._rows(position), indices))
            return self._regularized(total / len(indices), x)

        return jax.grad(mean)(position)

    def gradients_at(self, position: PyTree, indices: Indices) -> PyTree:
        def one(example: PyTree, weight: Scalar | None) -> PyTree:
            return jax.grad(
                lambda x: self._regularized(self._weighted(x, example, weight), x)
            )(position)

        return jax.vmap(one)(*blocks.take(self._rows(position), indices))

    def _rows(self, position: PyTree) -> tuple[PyTree, Weights]:
        return self.data, blocks.row_weights(
            self.weights, self.count, self.max_size, trees.dtype_of(position)
        )

    def _over_blocks(
        self, function: Callable[[Rows], PyTree], position: PyTree
    ) -> PyTree:
        block = sizes().pass_rows if self.block_size == PASS_ROWS else self.block_size
        return blocks.block_sum(
            function, self._rows(position), block, self.row_sharding
        )

    def _divisor(self, position: PyTree) -> Scalar:
        return jnp.asarray(self.size, trees.dtype_of(position))

    def _weighted(
        self,
        position: PyTree,
        example: PyTree,
        weight: Scalar | None,
    ) -> Scalar:
        value = checks.scalar(
            "loss", self.loss(position, example), "sum or average its entries"
        )
        return value if weight is None else value * weight.astype(value.dtype)

    def _sum(
        self,
        position: PyTree,
        data: PyTree,
        weights: Weights,
    ) -> Scalar:
        return jnp.sum(
            jax.vmap(self._weighted, in_axes=(None, 0, 0))(position, data, weights)
        )

    def _regularized(self, value: Scalar, position: PyTree) -> Scalar:
        return value if self.regularizer is None else value + self.regularizer(position)


class RegularizedByRows(eqx.Module):
    """A regularizer and the weighted losses of some rows."""

    loss: RowFunction
    rows: PyTree
    weights: jax.Array
    regularizer: PositionFunction | None

    def __call__(self, position: PyTree) -> Scalar:
        losses = jax.vmap(lambda row: self.loss(position, row))(self.rows)
        total = jnp.sum(losses * self.weights.astype(losses.dtype))
        return total if self.regularizer is None else total + self.regularizer(position)


class Posterior(NamedTuple):
    """A posterior as a problem and its temperature, for `sample`, `simulate` and `Langevin`."""

    problem: Problem
    """A `FiniteSum`; or a whole log density as a `langevax.Function` at temperature 1."""
    temperature: float
    """1/n, or 1 over the sum of the weights."""


class NegativeLogLikelihood(eqx.Module):
    log_likelihood: RowFunction

    def __call__(self, position: PyTree, example: PyTree) -> Scalar:
        return -self.log_likelihood(position, example)


class NegativeLogPrior(eqx.Module):
    """Over n, as each component counts it in full."""

    log_prior: PositionFunction
    total: float = eqx.field(static=True)

    def __call__(self, position: PyTree) -> Scalar:
        value = checks.scalar(
            "log_prior", self.log_prior(position), "sum over its entries"
        )
        return -value / jnp.asarray(self.total, jnp.result_type(value))


@refuse_former
def posterior(
    log_prior: PositionFunction | None,
    log_likelihood: RowFunction,
    data: PyTree,
    *,
    prior_precision: PyTree = 0.0,
    weights: Numbers | None = None,
    block_size: int = PASS_ROWS,
) -> Posterior:
    """Return the problem and the temperature of a Bayesian posterior.

    Args:
        log_prior: `log_prior(position) -> scalar`, up to a constant; None where `prior_precision` is all of it.
        log_likelihood: `log_likelihood(position, example) -> scalar` of ONE row of `data`, never scaled by n.
        data: a pytree of arrays with one row per observation along axis 0; mapped rows are used where they lie.
        prior_precision: of a Gaussian part of the prior, N(0, 1 / prior_precision): a prefix of the position.
            Integrators treat it exactly, so give a Gaussian prior here.
        weights: how many observations each row stands for; 1 each by default.
        block_size: rows of one block of a full pass; the default is more on accelerators.

    Raises:
        TypeError, ValueError: what `FiniteSum` raises; neither kind of prior; weights that are all 0.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> y = jnp.array([1.0, 3.0])
        >>> problem, temperature = langevax.posterior(None, lambda m, y: -((y - m) ** 2) / 2, y, prior_precision=1.0)
        >>> temperature, float(problem.potential(jnp.array(1.0)))  # -log posterior at 1 is 2.5, up to a constant
        (0.5, 1.25)
    """
    data = tree_as_rows("data", data)
    size = checks.leading_axis("data", data)
    total = float(size)
    if weights is not None:
        total = float(np.sum(checks.plain_array("weights", weights)))
    if not (np.isfinite(total) and total > 0):
        raise ValueError(
            f"weights must be finite with a positive sum, got a sum of {total}; pass "
            "numbers >= 0."
        )
    checks.numbers("prior_precision", prior_precision)
    if log_prior is None and not any(
        np.any(np.asarray(p)) for p in jax.tree.leaves(prior_precision)
    ):
        raise ValueError(
            "there is no prior: pass log_prior (a constant one is `lambda x: 0.0`) or "
            "prior_precision > 0."
        )
    checks.function("log_prior", log_prior, "(position) -> scalar", optional=True)
    checks.function("log_likelihood", log_likelihood, "(position, row) -> scalar")
    _warn_of_all_rows(log_likelihood, data, size)
    problem = FiniteSum(
        NegativeLogLikelihood(log_likelihood),
        data,
        None if log_prior is None else NegativeLogPrior(log_prior, total),
        jax.tree.map(lambda p: p / total, prior_precision),
        weights,
        None,
        block_size,
    )
    return Posterior(problem, 1 / total)


def _warn_of_all_rows(log_likelihood: RowFunction, data: PyTree, size: int) -> None:
    """Warn of arrays with one entry per row that a log likelihood reads by name, unless a row may hold their index."""
    has_index = any(
        jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(data)
    )
    if size == 1 or has_index:
        return
    for name in tracing.arrays_read(log_likelihood, size):
        warnings.warn(
            f"log_likelihood reads {name}, which has one entry for each of the "
            f"{size:,} rows, but it is called with one row at a time: pass it in data "
            "and read it from the row.",
            stacklevel=4,
        )
