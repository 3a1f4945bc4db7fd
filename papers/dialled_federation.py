"""A federation with a parameter for each kind of difference between clients; everything about it is known exactly.

    loss(x, (c, h)) = sum_k s_k [ x_k^2 + 3 sin(x_k)^2 ] + 1/2 <x, h x> + <c, x>

The sum of s (x^2 + 3 sin(x)^2) is not convex (curvatures from -4 s to 8 s) but has one critical point, the minimum 0
at x = 0, and satisfies the Polyak-Lojasiewicz condition (Karimi, Nutini, Schmidt 2016). Curvatures h and slopes c are a
client's plus those of a row in it, and all add up to 0: the mean f is that sum whatever the parameters.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.problems.federation import Federation

HIGH = 8.0  # the largest curvature of x^2 + 3 sin(x)^2; its least is -4


class DialledFederation(NamedTuple):
    """The federation, and what is known of it."""

    federation: Federation
    hessian_heterogeneity: float
    """zeta: the largest |hess f_i - hess f_j|, at every x."""
    gradient_heterogeneity: float
    """|gradient f_i(0)| of every client."""
    smoothness: float
    """L of every row's loss."""
    scales: np.ndarray
    """s."""

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Of f, in closed form; NumPy arrays (..., d)."""
        return self.scales * (2 * x + 3 * np.sin(2 * x))

    def value(self, x: np.ndarray) -> np.ndarray:
        """Of f."""
        return np.sum(self.scales * (x**2 + 3 * np.sin(x) ** 2), axis=-1)


class WavyLoss(eqx.Module):
    """The loss of one row (slopes, curvatures)."""

    scales: Float[Array, " d"]

    def __call__(self, x: Float[Array, " d"], row: tuple[Float[Array, " d"], Float[Array, " d"]]) -> Float[Array, ""]:
        slopes, curvatures = row
        return jnp.sum(self.scales * (x**2 + 3 * jnp.sin(x) ** 2) + curvatures * x**2 / 2 + slopes * x)


def dialled_federation(
    num_clients: int = 20,
    rows: int = 32,
    dim: int = 10,
    hessian_heterogeneity: float = 1.0,
    gradient_heterogeneity: float = 2.0,
    row_heterogeneity: float = 1.0,
    row_noise: float = 1.0,
    condition: float = 1.0,
    *,
    seed: int,
) -> DialledFederation:
    """Clients that differ in their Hessians by zeta and in their gradients at the optimum by sigma, independently.

    Args:
        num_clients, rows: even numbers, since signs are balanced over clients and over rows.
        hessian_heterogeneity: zeta; client curvatures are +-zeta / 2 in each coordinate, half of the clients each.
        gradient_heterogeneity: |gradient f_i(0)|, the same for all clients.
        row_heterogeneity: half the spread of curvatures of rows within a client.
        row_noise: |slope of a row - that of its client|.
        condition: s falls from 1 to 1 / condition, geometrically over coordinates.

    Raises:
        ValueError: an odd number of clients or rows.
    """
    if num_clients % 2 or rows % 2:
        raise ValueError(f"num_clients and rows must be even, got {num_clients} and {rows}.")
    rng = np.random.default_rng(seed)

    def signs(number: int) -> np.ndarray:
        """(number, dim) of +-1, balanced in each column."""
        return rng.permuted(np.tile(np.repeat([1.0, -1.0], number // 2)[:, None], (1, dim)), axis=0)

    def directions(number: int) -> np.ndarray:
        """(number, dim) of unit length that add up to 0: opposite pairs."""
        half = rng.normal(size=(number // 2, dim))
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        return np.concatenate([half, -half])

    zeta, spread = hessian_heterogeneity, row_heterogeneity
    of_client = zeta / 2 * signs(num_clients)[:, None], gradient_heterogeneity * directions(num_clients)[:, None]
    of_row = [(spread * signs(rows), row_noise * directions(rows)) for _ in range(num_clients)]
    curvatures = of_client[0] + np.stack([h for h, _ in of_row])
    slopes = of_client[1] + np.stack([c for _, c in of_row])
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    scales = float(condition) ** -np.linspace(0, 1, dim)
    federation = Federation(WavyLoss(jnp.asarray(scales, dtype)), (slopes.astype(dtype), curvatures.astype(dtype)))
    curvature = zeta / 2 + spread
    return DialledFederation(federation, zeta, gradient_heterogeneity, HIGH + curvature, scales)
