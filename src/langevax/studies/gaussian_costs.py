"""What chains cost on Gaussian targets that are finite sums: exact evaluations to a KL divergence, and the chains.

f_i(x) = sum_l a_il x_l^2 / 2 + c_il x_l, mean curvatures h_l from 0.5 to 1.5 in 5 coordinates; over components, a has
standard deviation h_l / 2 and c has 1, uncorrelated, and the mode is 0. Chains start at N(3 sd, T / L), sd those of the
target. KL is that of a Gaussian with the chain's moments (a lower bound, as chains with noisy gradients are not quite
Gaussian), in the recursions of `theory.moments`. For the study `variance_reduction`.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from langevax.theory import moments
from langevax.theory.bounds import variance_reduced_evaluations

CURVATURES = np.linspace(0.5, 1.5, 5)
CURVATURE_DEVIATIONS, SLOPE_DEVIATIONS = CURVATURES / 2, np.ones(5)
START_MEAN, START_SECOND = 3 / np.sqrt(CURVATURES), 9 / CURVATURES + 1 / CURVATURES.max()  # in units of sqrt(T)
STEP_SIZES = np.geomspace(1e-8, 1.0, 321)
DOUBLINGS = 36  # no run is longer than 2^36 epochs


@dataclass(frozen=True)
class Method:
    """A row of the table: which chain, at which temperature, with which batches, and what is found."""

    kind: str
    colour: str
    marker: str
    exponent: tuple[float, float] | None
    """Of n, as predicted, and how far the exact costs may be off."""
    source: str = ""
    """Of the exponent."""
    posterior: bool = False
    """Temperature 1 / n, as posteriors have it, in place of 1: only SGLD can tell."""

    def batch(self, size: int) -> tuple[int, int]:
        """Batch size and steps per epoch."""
        return {"LD": (size, 1), "SGLD": (1, 1), "CV": (1, 1)}.get(self.kind, (isqrt(size), isqrt(size)))

    def evaluations(self, num_steps: int, size: int) -> int:
        """Component gradients per chain."""
        batch_size, period = self.batch(size)
        if self.kind in ("SVRG", "SARAH"):
            return variance_reduced_evaluations(num_steps, batch_size, period, size)
        return size + 2 * num_steps if self.kind == "CV" else batch_size * num_steps


def epoch_moments(
    method: Method, size: int, step_sizes: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E x and E x^2 over one epoch, (period + 1, step sizes, d), in units where the temperature is 1.

    One call of `theory.moments` for all step sizes eta: in units of sqrt(eta) for x, a step of eta is a step of 1
    with curvatures eta a and slopes sqrt(eta) c. Of the components the recursions see only means and Xi times
    variances, so four components with Xi in their deviations stand for all n.
    """
    batch_size, period = method.batch(size)
    temperature = 1 / size if method.posterior else 1.0
    factor = np.sqrt(moments.batch_variance_factor(size, batch_size, replace=False))
    eta = step_sizes[:, None]
    signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1]])[:, :, None]
    a = (eta * CURVATURES).ravel() + signs[0] * (eta * factor * CURVATURE_DEVIATIONS).ravel()
    c = signs[1] * (np.sqrt(eta / temperature) * factor * SLOPE_DEVIATIONS).ravel()
    start = (first / np.sqrt(eta)).ravel(), (second / eta).ravel()
    options: dict[str, Any] = {"step_size": 1.0, "temperature": 1.0, "num_steps": period}
    noisy = options | {"batch_size": 1, "replace": True}
    match method.kind:
        case "LD":
            run = moments.ld_moments(a, c, *start, **options)
        case "SGLD":
            run = moments.sgld_moments(a, c, *start, **noisy)
        case "CV":
            run = moments.control_variate_moments(a, c, *start, center=np.zeros_like(start[0]), **noisy)
        case "SVRG":
            run = moments.svrg_moments(a, c, *start, period=period, **noisy)
        case _:
            run = moments.sarah_moments(a, c, *start, period=period, **noisy)
    shape = (period + 1, len(step_sizes), len(CURVATURES))
    return run.first.reshape(shape) * np.sqrt(eta), run.second.reshape(shape) * eta


def divergence(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """KL of the Gaussian with these moments from the target, over the last axis; temperature 1."""
    excess = (second - first**2) * CURVATURES - 1
    return np.sum(excess - np.log1p(excess) + first**2 * CURVATURES, axis=-1) / 2


def epoch_map(method: Method, size: int, step_sizes: np.ndarray) -> np.ndarray:
    """(step sizes, d, 3, 3): what one epoch does to (1, E x, E x^2), a linear map."""
    shape = (len(step_sizes), len(CURVATURES))
    ends = []
    for first, second in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        run = epoch_moments(method, size, step_sizes, np.full(shape, first), np.full(shape, second))
        ends.append(np.stack([np.ones(shape), run[0][-1], run[1][-1]], axis=-1))
    return np.stack([ends[0], ends[1] - ends[0], ends[2] - ends[0]], axis=-1)


def start_state(count: int) -> np.ndarray:
    """(1, E x, E x^2) at the start, (count, d, 3)."""
    return np.tile(np.stack([np.ones_like(START_MEAN), START_MEAN, START_SECOND], axis=-1), (count, 1, 1))


def steps_needed(method: Method, size: int, accuracy: float, step_sizes: np.ndarray = STEP_SIZES) -> np.ndarray:
    """Steps until KL <= accuracy for each step size, `inf` where never.

    Powers of two of the epoch's map are made by squaring: the last epoch that ends above the accuracy is found bit by
    bit, and the step in the one after it by walking.
    """
    with np.errstate(all="ignore"):  # step sizes too long overflow, and never arrive
        powers = [epoch_map(method, size, step_sizes)]
        for _ in range(DOUBLINGS):
            powers.append(powers[-1] @ powers[-1])
        state, epochs = start_state(len(step_sizes)), np.zeros(len(step_sizes))
        for doubling in reversed(range(DOUBLINGS + 1)):
            ahead = (powers[doubling] @ state[..., None])[..., 0]
            above = ~(divergence(ahead[..., 1], ahead[..., 2]) <= accuracy)
            state = np.where(above[:, None, None], ahead, state)
            epochs += above * 2.0**doubling
        there = divergence(*epoch_moments(method, size, step_sizes, state[..., 1], state[..., 2])) <= accuracy
    steps = epochs * (len(there) - 1) + there.argmax(axis=0)
    return np.where(there.any(axis=0), steps, np.inf)


def exact_divergence(method: Method, size: int, step_size: float, num_steps: int) -> float:
    """KL after so many steps."""
    step_sizes, period = np.array([step_size]), method.batch(size)[1]
    power = np.linalg.matrix_power(epoch_map(method, size, step_sizes), num_steps // period)
    state = (power @ start_state(1)[..., None])[..., 0]
    walk = epoch_moments(method, size, step_sizes, state[..., 1], state[..., 2])
    return float(divergence(*walk)[num_steps % period, 0])


def best(method: Method, size: int, accuracy: float) -> tuple[float, int, int]:
    """The step size that needs the fewest evaluations, its steps and evaluations."""
    steps = steps_needed(method, size, accuracy)
    arriving = np.flatnonzero(np.isfinite(steps))
    costs = [method.evaluations(int(steps[i]), size) for i in arriving]
    chosen = arriving[int(np.argmin(costs))]
    return float(STEP_SIZES[chosen]), int(steps[chosen]), min(costs)


def components(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Curvatures and slopes (size, d), random, with exactly the means, deviations and zero covariance of the study."""
    a, c = np.random.default_rng([seed, size]).normal(size=(2, size, len(CURVATURES)))
    a = (a - a.mean(axis=0)) / a.std(axis=0)
    c = c - c.mean(axis=0)
    c = c - a * np.mean(a * c, axis=0)
    return CURVATURES + CURVATURE_DEVIATIONS * a, SLOPE_DEVIATIONS * c / c.std(axis=0)


def quadratic(x: Any, row: Any) -> Any:
    """One component."""
    return (row[0] * x**2 / 2 + row[1] * x).sum()


def chains(method: Method, size: int, step_size: float, num_steps: int, num_chains: int, seed: int) -> Any:
    """Positions at the end, in units of sqrt(temperature), and evaluations per chain."""
    import jax.numpy as jnp

    from langevax import gradients
    from langevax.problems.finite_sum import FiniteSum

    batch_size, period = method.batch(size)
    gradient: Any = {  # a batch of one has the same law either way, and is cheaper to draw with replacement
        "LD": lambda: gradients.Full(),
        "SGLD": lambda: gradients.Minibatch(batch_size=1, replace=True),
        "CV": lambda: gradients.ControlVariate(batch_size=1, center=jnp.zeros(len(CURVATURES)), replace=True),
        "SVRG": lambda: gradients.SVRG(batch_size=batch_size, period=period),
        "SARAH": lambda: gradients.SARAH(batch_size=batch_size, period=period),
    }[method.kind]()
    problem = FiniteSum(quadratic, tuple(jnp.asarray(v, jnp.float32) for v in components(size, seed)))
    return _run(method, size, problem, gradient, step_size, num_steps, num_chains, seed)


def langevin_beside(
    method: Method, size: int, step_size: float, num_steps: int, num_chains: int, seed: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Ends of chains with the mean gradient, of the starts and noises of `chains`, and their exact E x and E x^2.

    What `chains` differ from them by is the batches' doing alone: so small a difference is measured well.
    """
    import jax.numpy as jnp

    from langevax import gradients
    from langevax.problems.finite_sum import FiniteSum

    problem = FiniteSum(quadratic, (jnp.asarray(CURVATURES[None], jnp.float32), jnp.zeros((1, len(CURVATURES)))))
    ends, _ = _run(method, size, problem, gradients.Full(), step_size, num_steps, num_chains, seed)
    kept = 1 - step_size * CURVATURES
    faded = kept ** (2 * num_steps)
    second = faded * START_SECOND + 2 * step_size * (1 - faded) / (1 - kept**2)
    return ends, (kept**num_steps * START_MEAN, second)


def _run(
    method: Method, size: int, problem: Any, gradient: Any, step_size: float, num_steps: int, num_chains: int, seed: int
) -> tuple[np.ndarray, float]:
    import jax
    import jax.numpy as jnp

    from langevax.langevin import Langevin
    from langevax.run import simulate

    temperature = 1 / size if method.posterior else 1.0
    scale = temperature**0.5
    mean = jnp.asarray(START_MEAN * scale, jnp.float32)
    deviation = float(scale / np.sqrt(CURVATURES.max()))
    result = simulate(
        Langevin(step_size=step_size, temperature=temperature, gradient=gradient), problem,
        lambda key: mean + deviation * jax.random.normal(key, mean.shape, mean.dtype),
        key=jax.random.fold_in(jax.random.key(seed), size), num_steps=num_steps, num_chains=num_chains, progress=False,
    )  # fmt: skip
    used = int(result.counts_by_chain["evaluations"].sum()) / num_chains
    return np.asarray(result.position, float) / scale, used
