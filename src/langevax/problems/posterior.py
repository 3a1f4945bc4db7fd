"""A posterior as a problem and its temperature, so that no one counts factors of n.

    p(x | data)  ~  prior(x) prod_i likelihood_i(x)  =  exp(-potential(x) / temperature)
    potential(x) = -(1/n) sum_i log likelihood_i(x) - (1/n) log prior(x),      temperature = 1/n

The mean, not the sum, keeps gradients and step sizes of the same size whatever n.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from langevax import checks
from langevax.problems.finite_sum import BLOCK_SIZE, FiniteSum


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
