"""Mean-field problems of any neuron, exactly, for particles of one or few dimensions: laws are densities on a grid.

P, D, the Gibbs laws p_g and the notation are those of `mean_field`. A grid is a measure of its own: points and weights.
Duality, the sandwich and the identities between P, D and KL hold on it to rounding, whatever its spacing; only the
distance to the problem without a grid depends on the spacing. Everything here is derived, unless a paper is named.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float


def quadrature_weights(grid: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " grid"]:
    """Trapezoidal weights of an increasing grid: the measure against which densities below are meant.

    >>> quadrature_weights(np.array([0.0, 1.0, 3.0]))
    array([0.5, 1.5, 1. ])
    """
    steps = np.diff(np.asarray(grid, float))
    return (np.append(steps, 0) + np.insert(steps, 0, 0)) / 2


def tensor_grid(
    axis: Float[np.ndarray, " axis"], dimension: int
) -> tuple[Float[np.ndarray, "grid dimension"], Float[np.ndarray, " grid"]]:
    """Points and weights of the `dimension`-fold product of one axis; the last coordinate varies fastest.

    >>> points, weights = tensor_grid(np.linspace(-8, 8, 65), 2)
    >>> points.shape, round(float(weights @ np.exp(-np.sum(points**2, axis=1) / 2) / (2 * math.pi)), 12)
    ((4225, 2), 1.0)
    """
    axis = np.asarray(axis, float)
    points = np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    weights = np.ones(1)
    for _ in range(dimension):
        weights = np.outer(weights, quadrature_weights(axis)).ravel()
    return points, weights


def proximal_gibbs_on_grid(
    potential: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"], temperature: float
) -> tuple[Float[np.ndarray, " grid"], float]:
    """Density exp(-potential / temperature) / Z on a one-dimensional grid, and log Z.

    >>> grid = np.linspace(-8, 8, 201)
    >>> density, log_partition = proximal_gibbs_on_grid(grid**2 / 2, grid, temperature=1.0)
    >>> round(log_partition / (math.log(2 * math.pi) / 2), 12), round(float(density[100]), 6)
    (1.0, 0.398942)
    """
    return _gibbs(np.asarray(potential, float), quadrature_weights(grid), temperature)


def entropy_on_grid(density: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"]) -> float:
    """Differential entropy -int p log p on a one-dimensional grid, in nats.

    >>> round(entropy_on_grid(np.full(3, 0.5), np.array([0.0, 1.0, 2.0])) / math.log(2), 12)
    1.0
    """
    return _entropy(density, quadrature_weights(grid))


def kl_on_grid(
    density: Float[np.ndarray, " grid"], reference: Float[np.ndarray, " grid"], grid: Float[np.ndarray, " grid"]
) -> float:
    """KL(density || reference) on a one-dimensional grid, in nats; infinite where the reference alone vanishes.

    >>> round(kl_on_grid(np.array([0.0, 1.0, 0.0]), np.full(3, 0.5), np.array([0.0, 1.0, 2.0])) / math.log(2), 12)
    1.0
    """
    return _kl(density, reference, quadrature_weights(grid))


@dataclass(frozen=True)
class GridRisk:
    """P and D for particles of one or few dimensions whose laws are densities on a grid.

    `points` is the grid, (grid,) in one dimension, (grid, d) in several, and `values` holds h_i on it, (n, grid).
    `weights` are those of the quadrature; left out, they are trapezoidal, which needs one dimension. `loss(z, y)`, its
    derivative in z, and its conjugate `conjugate(g, y)` are NumPy functions of (n,) arrays.

    >>> axis = np.linspace(-6, 6, 121)
    >>> squared = (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y, lambda g, y: g**2 / 2 + g * y)
    >>> risk = GridRisk(axis, axis[None], np.ones(1), 0.5, 0.5, *squared)  # one row, of a linear neuron
    >>> dual = risk.optimal_dual()
    >>> dual.round(9), bool(abs(risk.primal_objective(risk.gibbs(dual)) - risk.dual_objective(dual)) < 1e-14)
    (array([-0.5]), True)

    In two dimensions, the row (1, 1):

    >>> points, weights = tensor_grid(axis, 2)
    >>> plane = GridRisk(points, points.sum(axis=1)[None], np.ones(1), 0.5, 0.5, *squared, weights=weights)
    >>> plane.optimal_dual().round(9)
    array([-0.33333333])
    """

    points: Float[np.ndarray, " grid"] | Float[np.ndarray, "grid d"]
    values: Float[np.ndarray, "n grid"]
    targets: Float[np.ndarray, " n"]
    ridge: float
    temperature: float
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]
    conjugate: Callable[[np.ndarray, np.ndarray], np.ndarray]
    weights: Float[np.ndarray, " grid"] | None = None

    def __post_init__(self) -> None:
        if self.weights is None and self.points.ndim > 1:
            raise ValueError(f"points has shape {self.points.shape} and no weights; pass both from `tensor_grid`.")

    @cached_property
    def measure(self) -> Float[np.ndarray, " grid"]:
        """The weights of the quadrature: the integral of f is measure @ f."""
        return quadrature_weights(self.points) if self.weights is None else self.weights

    @cached_property
    def squared_norms(self) -> Float[np.ndarray, " grid"]:
        """|theta|^2 at every point."""
        return self.points**2 if self.points.ndim == 1 else np.sum(self.points**2, axis=1)

    def outputs(self, density: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " n"]:
        """z_i = E_q h_i."""
        return self.values @ (self.measure * density)

    def covariance(self, density: Float[np.ndarray, " grid"]) -> Float[np.ndarray, "n n"]:
        """Cov_q(h_i, h_j)."""
        centred = self.values - self.outputs(density)[:, None]
        return centred * (self.measure * density) @ centred.T

    def dual_of(self, density: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " n"]:
        """g_i = loss'_i(z_i): the dual vector whose Gibbs law is the proximal Gibbs law of q."""
        return self.derivative(self.outputs(density), self.targets)

    def potential(self, dual: Float[np.ndarray, " n"]) -> Float[np.ndarray, " grid"]:
        """U_g on the grid."""
        return dual @ self.values / len(self.targets) + self.ridge * self.squared_norms

    def gibbs(self, dual: Float[np.ndarray, " n"]) -> Float[np.ndarray, " grid"]:
        """The density p_g."""
        return _gibbs(self.potential(dual), self.measure, self.temperature)[0]

    def log_partition(self, dual: Float[np.ndarray, " n"]) -> float:
        """log Z(g)."""
        return _gibbs(self.potential(dual), self.measure, self.temperature)[1]

    def prior(self) -> Float[np.ndarray, " grid"]:
        """The density p_0, N(0, temperature / (2 ridge)) as far as the grid knows it."""
        return self.gibbs(np.zeros(len(self.targets)))

    def kl(self, density: Float[np.ndarray, " grid"], reference: Float[np.ndarray, " grid"]) -> float:
        """KL(density || reference), in nats."""
        return _kl(density, reference, self.measure)

    def primal_objective(self, density: Float[np.ndarray, " grid"]) -> float:
        """P(q), with the entropy."""
        risk = np.mean(self.loss(self.outputs(density), self.targets))
        second_moment = self.measure @ (density * self.squared_norms)
        return float(risk + self.ridge * second_moment - self.temperature * _entropy(density, self.measure))

    def kl_objective(self, density: Float[np.ndarray, " grid"]) -> float:
        """P(q) + temperature log Z(0) = mean loss + temperature KL(q || prior), whatever the units of theta."""
        risk = np.mean(self.loss(self.outputs(density), self.targets))
        return float(risk + self.temperature * self.kl(density, self.prior()))

    def dual_objective(self, dual: Float[np.ndarray, " n"]) -> float:
        """D(g); add temperature log Z(0) to hold it against `kl_objective`."""
        return float(-np.mean(self.conjugate(dual, self.targets)) - self.temperature * self.log_partition(dual))

    def fenchel_young(self, dual: Float[np.ndarray, " n"]) -> float:
        """P(p_g) - D(g) = (1/n) sum_i [loss_i(z_i) + loss*_i(g_i) - g_i z_i] at z = E_{p_g} h, without log Z."""
        z = self.outputs(self.gibbs(dual))
        return float(np.mean(self.loss(z, self.targets) + self.conjugate(dual, self.targets) - dual * z))

    def optimal_dual(self) -> Float[np.ndarray, " n"]:
        """The maximiser of D, the root of g = loss'(E_{p_g} h), to rounding, by damped Newton.

        D has Hessian -diag(loss*'') / n - Cov_{p_g}(h) / (temperature n^2). Steps are taken in u = loss*'(g), where g
        is feasible whatever u is: they solve (I + Cov_{p_g}(h) diag(loss''(u)) / (temperature n)) step = z - u. That is
        Newton's direction for D, halved until D grows as it should.
        """
        n, scale = len(self.targets), 1e-5
        u = self.outputs(self.prior())
        last = math.inf
        for _ in range(200):
            dual = self.derivative(u, self.targets)
            density = self.gibbs(dual)
            z = self.outputs(density)
            residual = float(np.max(np.abs(self.derivative(z, self.targets) - dual)))
            if residual == 0 or (residual < 1e-10 and residual > last / 2):  # only rounding is left
                return dual
            last = residual
            # a difference quotient steers the step as well as loss'' does, and leaves no trace in the limit
            bend = self.derivative(u + scale, self.targets) - self.derivative(u - scale, self.targets)
            bend = np.maximum(bend / (2 * scale), 0)
            step = np.linalg.solve(np.eye(n) + self.covariance(density) * bend / (self.temperature * n), z - u)
            value, slope = self.dual_objective(dual), float(np.mean(bend * (z - u) * step))
            size = 1.0
            while size > 1e-9 and self.dual_objective(self.derivative(u + size * step, self.targets)) < (
                value + 1e-4 * size * slope - 1e-12 * (1 + abs(value))
            ):
                size /= 2
            u = u + size * step
        raise RuntimeError(f"Newton's method left a residual of {last:.1e} in g = loss'(E h); raise the temperature.")


def _gibbs(potential: np.ndarray, weights: np.ndarray, temperature: float) -> tuple[np.ndarray, float]:
    from scipy.special import logsumexp

    exponent = -potential / temperature
    log_partition = float(np.asarray(logsumexp(exponent, b=weights)))
    return np.exp(exponent - log_partition), log_partition


def _entropy(density: np.ndarray, weights: np.ndarray) -> float:
    from scipy.special import entr

    return float(weights @ entr(np.asarray(density, float)))


def _kl(density: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> float:
    from scipy.special import rel_entr

    return float(weights @ rel_entr(np.asarray(density, float), np.asarray(reference, float)))
