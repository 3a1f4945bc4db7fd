"""The mixture of the study of that name: its observations, its posterior, and either mode's exact law by quadrature."""

from typing import Any

import jax.numpy as jnp
import numpy as np

TRUTH = np.array([0.0, 1.0])
PRIOR_VARIANCES, VARIANCE = np.array([10.0, 1.0]), 2.0
GRID, REACH = 81, 7.0  # points a side, and standard deviations to either side


def log_likelihood(theta: Any, x: Any) -> Any:
    """Of one observation, up to a constant."""
    return jnp.logaddexp(-((x - theta[0]) ** 2) / (2 * VARIANCE), -((x - theta[0] - theta[1]) ** 2) / (2 * VARIANCE))


def observations(n: int, seed: int) -> np.ndarray:
    """n draws at the truth."""
    random = np.random.default_rng(seed)
    return TRUTH[0] + TRUTH[1] * (random.random(n) < 0.5) + np.sqrt(VARIANCE) * random.normal(size=n)


def log_posterior(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """At each of `theta` (..., 2), in float64 and up to a constant."""
    flat = theta.reshape(-1, 2)
    values = -(flat**2 / (2 * PRIOR_VARIANCES)).sum(-1)
    for i, (a, b) in enumerate(flat):
        first, second = (x - a) ** 2 / (2 * VARIANCE), (x - a - b) ** 2 / (2 * VARIANCE)
        low = np.minimum(first, second)
        values[i] += (np.log1p(np.exp(-np.abs(first - second))) - low).sum()
    return values.reshape(theta.shape[:-1])


def exact(x: np.ndarray) -> dict[str, np.ndarray]:
    """Weight, mean and covariance of either mode (theta2 > 0 first), and the density on a grid about it.

    The grid follows the Hessian at the mode's top; the trapezium rule on a law that has died away at the grid's edge
    is exact to rounding. theta2 = 0 parts the modes: it is the axis of the likelihood's symmetry.
    """
    from scipy.optimize import minimize

    ticks = np.linspace(-REACH, REACH, GRID)
    whitened = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1)
    points, logs, cells = [], [], []
    for start in (TRUTH, np.array([TRUTH.sum(), -TRUTH[1]])):
        top = minimize(lambda t: -log_posterior(t, x) / len(x), start, method="Nelder-Mead", options={"xatol": 1e-8})
        step = 3e-3
        moves = step * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [1, 0], [-1, 0], [0, 1], [0, -1], [0, 0]])
        pp, pm, mp, mm, right, left, up, down, middle = log_posterior(top.x + moves, x)
        cross = (pp - pm - mp + mm) / 4
        hessian = -np.array([[right + left - 2 * middle, cross], [cross, up + down - 2 * middle]]) / step**2
        root = np.linalg.cholesky(np.linalg.inv(hessian))
        points.append(top.x + whitened @ root.T)
        logs.append(log_posterior(points[-1], x))
        cells.append(np.linalg.det(root))
    theta, height = np.stack(points), np.stack(logs)
    density = np.exp(height - height.max())
    mine = np.sign(theta[..., 1]) == np.array([1, -1])[:, None, None]
    mass = density * mine * np.array(cells)[:, None, None]
    weight = mass.sum((1, 2))
    share = mass / weight[:, None, None]
    mean = np.einsum("muv,muvi->mi", share, theta)
    centred = theta - mean[:, None, None]
    covariance = np.einsum("muv,muvi,muvj->mij", share, centred, centred)
    heights = density / density.max((1, 2), keepdims=True)
    return {"weight": weight / weight.sum(), "mean": mean, "covariance": covariance, "density": heights, "theta": theta}


def distances(positions: np.ndarray, law: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mode each position is in, and half its squared distance from that mode's mean in units of its covariance."""
    mode = (positions[..., 1] < 0).astype(int)
    away = positions - law["mean"][mode]
    return mode, np.einsum("...i,...ij,...j->...", away, np.linalg.inv(law["covariance"])[mode], away) / 2
