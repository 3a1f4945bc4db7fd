"""A federation with a parameter for each kind of difference between clients; everything about it is known exactly.

    loss(x, (c, h)) = sum_k s_k [ x_k^2 + 3 sin(x_k)^2 ] + 1/2 <x, h x> + <c, x>

The sum of s (x^2 + 3 sin(x)^2) is not convex (curvatures from -4 s to 8 s) but has one critical point, the minimum 0
at x = 0, and satisfies the Polyak-Lojasiewicz condition (Karimi, Nutini, Schmidt 2016). Curvatures h and slopes c are a
client's plus those of a row in it, and all add up to 0: the mean f is that sum whatever the parameters.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.problems.federation import Federation


class WavyLoss(eqx.Module):
    """The loss of one row (slopes, curvatures), with the scales s; f and its gradient in closed form."""

    scales: Float[Array, " d"]

    def __call__(self, x: Float[Array, " d"], row: tuple[Float[Array, " d"], Float[Array, " d"]]) -> Float[Array, ""]:
        slopes, curvatures = row
        return self.mean(x) + jnp.sum(curvatures * x**2 / 2 + slopes * x)

    def mean(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
        return jnp.sum(self.scales * (x**2 + 3 * jnp.sin(x) ** 2), axis=-1)

    def mean_gradient(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        return self.scales * (2 * x + 3 * jnp.sin(2 * x))


def balanced_signs(random: np.random.Generator, shape: tuple[int, ...], axis: int = 0) -> np.ndarray:
    """+-1, as many of one as of the other along an axis of even length."""
    signs = np.repeat([1.0, -1.0], shape[axis] // 2).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return random.permuted(np.broadcast_to(signs, shape), axis=axis)


def opposite_directions(random: np.random.Generator, number: int, dim: int, first: int = 0) -> np.ndarray:
    """(number, dim) of unit length that add up to 0 in pairs; coordinates before `first` are 0."""
    half = random.normal(size=(number // 2, dim)) * (np.arange(dim) >= first)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    return np.concatenate([half, -half])


def dialled_federation(
    num_clients: int = 20,
    rows: int = 32,
    dim: int = 10,
    hessian_heterogeneity: float = 1.0,
    gradient_heterogeneity: float = 2.0,
    row_heterogeneity: float = 1.0,
    condition: float = 1.0,
    *,
    seed: int,
) -> Federation:
    """Clients that differ in their Hessians by zeta and in their gradients at the optimum by sigma, independently.

    zeta is the largest |hess f_i - hess f_j|, as client curvatures are +-zeta / 2 in each coordinate, sigma that of all
    |gradient f_i(0)|; rows within a client differ in curvature by twice `row_heterogeneity` and in slope from the
    client's by 1; s falls from 1 to 1 / condition over coordinates. Raises ValueError for odd numbers.
    """
    if num_clients % 2 or rows % 2:
        raise ValueError(f"num_clients and rows must be even, got {num_clients} and {rows}.")
    random = np.random.default_rng(seed)
    curvatures = hessian_heterogeneity / 2 * balanced_signs(random, (num_clients, dim))[:, None]
    slopes = gradient_heterogeneity * opposite_directions(random, num_clients, dim)[:, None]
    of_row = [(balanced_signs(random, (rows, dim)), opposite_directions(random, rows, dim)) for _ in range(num_clients)]
    signs, directions = (np.stack(part) for part in zip(*of_row, strict=True))
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    data = (slopes + directions).astype(dtype), (curvatures + row_heterogeneity * signs).astype(dtype)
    return Federation(WavyLoss(jnp.asarray(float(condition) ** -np.linspace(0, 1, dim), dtype)), data)
