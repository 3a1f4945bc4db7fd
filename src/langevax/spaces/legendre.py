"""Polynomials: functions on an interval without a condition at its ends, resolved best near them."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from langevax.spaces.basis import Coefficients, Interval, Values, check_modes, check_values


class Legendre(Interval):
    """`f_k(t) = sqrt(2k + 1) P_k(2t - 1)`, t in [0, 1] along the domain.

    Eigenfunctions of Legendre's operator, `-d/dt (t (1 - t) d/dt f_k) = k (k + 1) f_k`: `frequencies` are the roots of
    these eigenvalues, over the length of the domain. A law that is diagonal here is not stationary: it is rougher, and
    of greater variance, near the ends.

    Args:
        num_modes: N, the degree plus one.
        num_points: of the grid, the nodes of Gauss and Legendre; N where it is not given.
        domain: the interval.

    `synthesize` and `analyze` are one product with a matrix each, O(G N).

    Raises:
        ValueError: no modes, fewer points than modes, a domain that is none.

    Example:
        >>> import jax.numpy as jnp
        >>> from langevax import spaces
        >>> basis = spaces.Legendre(3)
        >>> basis.grid.round(3)
        array([0.113, 0.5  , 0.887])
        >>> abs(basis.analyze(jnp.asarray(basis.grid, jnp.float32) * 12**0.5).round(2))  # of sqrt(12) t
        Array([1.73, 1.  , 0.  ], dtype=float32)
    """

    def synthesize(self, coefficients: Coefficients) -> Values:
        check_modes(coefficients, self.num_modes)
        _, _, functions = _table(self.num_modes, self.num_points)
        return coefficients @ jnp.asarray(functions.T, coefficients.dtype)

    def analyze(self, values: Values) -> Coefficients:
        check_values(values, self.num_points)
        _, weights, functions = _table(self.num_modes, self.num_points)
        return values @ jnp.asarray(weights[:, None] * functions, values.dtype)

    @staticmethod
    def _fewest_points(num_modes: int) -> int:
        return num_modes

    def _unit_grid(self) -> np.ndarray:
        return _nodes(self.num_points)[0]

    def _unit_frequencies(self) -> np.ndarray:
        k = np.arange(self.num_modes)
        return np.sqrt(k * (k + 1))

    def _functions(self, xp: Any, t: Any) -> Any:
        return _polynomials(xp, t, self.num_modes)


def _polynomials(xp: Any, t: Any, num_modes: int) -> Any:
    """(points, N) by the recurrence `(k + 1) P_{k+1} = (2k + 1) x P_k - k P_{k-1}`, stable on [-1, 1]."""
    x = 2 * t - 1

    def following(pair: tuple[Any, Any], k: Any) -> tuple[tuple[Any, Any], Any]:
        before, this = pair
        return (this, ((2 * k + 1) * x * this - k * before) / (k + 1)), this

    pair, degrees = (xp.zeros_like(x), xp.ones_like(x)), np.arange(num_modes)
    if xp is jnp:
        _, rows = lax.scan(following, pair, jnp.asarray(degrees, x.dtype))
    else:
        rows = []
        for k in degrees:
            pair, row = following(pair, k)
            rows.append(row)
    return xp.stack(rows, axis=-1) * xp.asarray(np.sqrt(2 * degrees + 1), x.dtype)


@functools.lru_cache(maxsize=64)
def _nodes(num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on [0, 1], the weights of sum 1."""
    from scipy.special import roots_legendre

    nodes, weights = roots_legendre(num_points)
    return (nodes + 1) / 2, weights / 2


@functools.lru_cache(maxsize=16)
def _table(num_modes: int, num_points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes (G,), weights (G,) and functions (G, N) there, in float64."""
    nodes, weights = _nodes(num_points)
    return nodes, weights, _polynomials(np, nodes, num_modes)
