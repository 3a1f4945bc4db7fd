"""The mean of a loss over the rows of a table, and a posterior as such a mean with its temperature.

    p(x | data)  ~  prior(x) prod_i likelihood_i(x)  =  exp(-potential(x) / temperature)
    potential(x) = -(1/n) sum_i log likelihood_i(x) - (1/n) log prior(x),      temperature = 1/n

The mean, not the sum, keeps gradients and step sizes of the same size whatever n.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from langevax import checks, trees
from langevax.problems import blocks
from langevax.problems.problem import Problem

BLOCK_SIZE = 4096
"""Rows of one block of a full pass: at 8 columns a pass takes a third of what it takes with 16384 (XLA on CPUs)."""


class FiniteSum(Problem):
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
        block_size: rows of one block of a full pass.

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

    loss: Callable[[PyTree, PyTree], Float[Array, ""]]
    data: PyTree[Array]
    regularizer: Callable[[PyTree], Float[Array, ""]] | None
    precision: PyTree
    weights: Float[Array, " n"] | None
    count: Int[Array, ""] | None
    block_size: int
    split_rows: blocks.Split | None = eqx.field(static=True)

    def __init__(
        self,
        loss: Callable[[PyTree, PyTree], Any],
        data: PyTree,
        regularizer: Callable[[PyTree], Any] | None = None,
        precision: PyTree = 0.0,
        weights: Any = None,
        count: Any = None,
        block_size: int = BLOCK_SIZE,
    ):
        if not callable(loss):
            raise TypeError(f"loss must be a function loss(position, example) -> scalar, got {loss!r}.")
        checks.positive_int("block_size", block_size)
        for leaf in jax.tree.leaves(precision):
            checks.number("precision", leaf)
        rows = tree_as_rows("data", data)
        size = checks.leading_axis("data", rows)
        checks.finite("data", rows, remedy="drop or impute these rows")
        floating = [a.dtype for a in jax.tree.leaves(rows) if jnp.issubdtype(a.dtype, jnp.inexact)]
        self.loss = loss
        self.data = rows
        self.regularizer = regularizer
        self.precision = precision
        self.weights = blocks.normalised_weights(weights, size, floating[0] if floating else jnp.float32)
        self.count = blocks.checked_count(count, size)
        self.block_size = block_size
        self.split_rows = None

    def over(self, rows: PyTree, count: Any = None) -> "FiniteSum":
        """The same sum over other rows, all counting alike, the first `count` of them in use; None uses all.

        Raises:
            ValueError: this sum has weights, which are those of its own rows.
        """
        if self.weights is not None:
            raise ValueError("this sum has weights, which belong to its own rows; weigh rows in the loss instead.")
        return FiniteSum(self.loss, rows, self.regularizer, self.precision, None, count, self.block_size)

    @property
    def max_size(self) -> int:
        return blocks.num_rows(self.data)

    @property
    def size(self) -> Int[Array, ""] | int:
        return self.max_size if self.count is None else self.count

    def value(self, position: PyTree) -> Float[Array, ""]:
        total = self._over_blocks(lambda rows: self._sum(position, *rows), position)
        return self._regularized(total / self._divisor(position), position)

    def gradient(self, position: PyTree) -> PyTree:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(self, position: PyTree) -> tuple[Float[Array, ""], PyTree]:
        def both(rows: Any) -> Any:
            return jax.value_and_grad(self._sum)(position, *rows)

        value, gradient = self._over_blocks(both, position)
        divisor = self._divisor(position)
        value, gradient = value / divisor, jax.tree.map(lambda g: g / divisor.astype(g.dtype), gradient)
        if self.regularizer is None:
            return value, gradient
        extra, extra_gradient = jax.value_and_grad(self.regularizer)(position)
        return value + extra, trees.add(gradient, extra_gradient)

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        def mean(x: PyTree) -> Float[Array, ""]:
            total = self._sum(x, *blocks.take(self._rows(position), indices))
            return self._regularized(total / len(indices), x)

        return jax.grad(mean)(position)

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        def one(example: PyTree, weight: Float[Array, ""] | None) -> PyTree:
            return jax.grad(lambda x: self._regularized(self._weighted(x, example, weight), x))(position)

        return jax.vmap(one)(*blocks.take(self._rows(position), indices))

    def _rows(self, position: PyTree) -> tuple[PyTree, Float[Array, " n"] | None]:
        return self.data, blocks.row_weights(self.weights, self.count, self.max_size, trees.dtype_of(position))

    def _over_blocks(self, function: Callable[[Any], Any], position: PyTree) -> Any:
        return blocks.block_sum(function, self._rows(position), self.block_size, self.split_rows)

    def _divisor(self, position: PyTree) -> Float[Array, ""]:
        return jnp.asarray(self.size, trees.dtype_of(position))

    def _weighted(self, position: PyTree, example: PyTree, weight: Float[Array, ""] | None) -> Float[Array, ""]:
        value = self.loss(position, example)
        if jnp.shape(value) != ():
            raise ValueError(f"loss must return a scalar, got shape {jnp.shape(value)}; sum or average its entries.")
        return value if weight is None else value * weight.astype(value.dtype)

    def _sum(self, position: PyTree, data: PyTree, weights: Float[Array, " b"] | None) -> Float[Array, ""]:
        return jnp.sum(jax.vmap(self._weighted, in_axes=(None, 0, 0))(position, data, weights))

    def _regularized(self, value: Float[Array, ""], position: PyTree) -> Float[Array, ""]:
        return value if self.regularizer is None else value + self.regularizer(position)


def tree_as_rows(name: str, data: PyTree) -> PyTree:
    """Every array of a pytree by `as_rows`, each named by its path."""
    return jax.tree.map_with_path(lambda path, array: as_rows(f"{name}{jax.tree_util.keystr(path)}", array), data)


def as_rows(name: str, array: Any) -> Any:
    """An array of rows on the device; a mapped file is aliased, not copied, where the device can.

    Raises:
        ValueError: an integer that the device would cut.
    """
    if not checks.is_concrete(array) or isinstance(array, jax.Array):
        return array
    array = array if hasattr(array, "dtype") else np.asarray(array)
    checks.integers_fit(name, array)
    return jax.device_put(array, may_alias=True)


class Posterior(NamedTuple):
    """What `sample`, `simulate` and `Langevin` want to know of a posterior."""

    problem: FiniteSum
    temperature: float
    """1/n, or 1 over the sum of the weights."""


class NegativeLogLikelihood(eqx.Module):
    log_likelihood: Callable[..., Any]

    def __call__(self, position: PyTree, example: PyTree) -> Float[Array, ""]:
        return -self.log_likelihood(position, example)


class NegativeLogPrior(eqx.Module):
    """Over n, as each component counts it in full."""

    log_prior: Callable[..., Any]
    total: float = eqx.field(static=True)

    def __call__(self, position: PyTree) -> Float[Array, ""]:
        value = self.log_prior(position)
        if jnp.shape(value) != ():
            raise ValueError(f"log_prior must return a scalar, got shape {jnp.shape(value)}; sum over its entries.")
        return -value / jnp.asarray(self.total, jnp.result_type(value))


def posterior(
    log_prior: Any,
    log_likelihood: Any,
    data: PyTree,
    *,
    prior_precision: PyTree = 0.0,
    weights: Any = None,
    block_size: int = BLOCK_SIZE,
) -> Posterior:
    """The problem and the temperature of a Bayesian posterior.

    Args:
        log_prior: `log_prior(position) -> scalar`, up to a constant; None where `prior_precision` is all of it.
        log_likelihood: `log_likelihood(position, example) -> scalar` of ONE row of `data`, never scaled by n.
        data: a pytree of arrays with one row per observation along axis 0; mapped rows are used where they lie.
        prior_precision: of a Gaussian part of the prior, N(0, 1 / prior_precision): a prefix of the position.
            Integrators treat it exactly, so give a Gaussian prior here.
        weights: how many observations each row stands for; 1 each by default.
        block_size: rows of one block of a full pass.

    Raises:
        TypeError, ValueError: what `FiniteSum` raises; neither kind of prior; weights that are all 0.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> y = jnp.array([1.0, 3.0])
        >>> problem, temperature = langevax.posterior(None, lambda m, y: -((y - m) ** 2) / 2, y, prior_precision=1.0)
        >>> temperature, float(problem.potential(jnp.array(1.0)))  # -log posterior at 1 is 2.5, up to a constant
        (0.5, 1.25)
    """
    rows = jax.tree.map(jnp.shape, data)
    total = float(checks.leading_axis("data", data)) if weights is None else float(np.sum(np.asarray(weights)))
    if not (np.isfinite(total) and total > 0):
        raise ValueError(f"weights must be finite with a positive sum, got a sum of {total} over {rows}.")
    if log_prior is None and not any(np.any(np.asarray(p)) for p in jax.tree.leaves(prior_precision)):
        raise ValueError(
            "there is no prior: pass log_prior (a constant one is `lambda x: 0.0`) or prior_precision > 0."
        )
    if log_prior is not None and not callable(log_prior):
        raise TypeError(f"log_prior must be a function of the position or None, got {log_prior!r}.")
    if not callable(log_likelihood):
        raise TypeError(f"log_likelihood must be a function of the position and one row, got {log_likelihood!r}.")
    for leaf in jax.tree.leaves(prior_precision):
        checks.number("prior_precision", leaf)
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
