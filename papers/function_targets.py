"""Functions on [0, 1] learnt from data, with any number of modes, for the claim `dimension_free`.

The basis is that of cosines, the prior N(0, diag(mu)) with mu_k = (k + 1)^-2. Two targets:

classification  1 - y tanh(f(z)) over 30 points of which 9 labels are wrong, f = T_K^{g/2} x with g = 1.5 (Muzellec et
                al., COLT 2022, section 4). It bends both ways, and lambda / mu_0 = 0.01 is far below its smoothness M.
regression      20 values with noise of variance 5: weak data, so that the prior decides what a proposal is worth. One
                proposal of fixed size is made from exact draws of the posterior.

The acceptance of a proposal is computed a second time in NumPy, on the 20 directions that the data see and, for those
methods that care, the length of all others.
"""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from claims import jackknife
from independent_modes import GROUPS, PRECISION
from langevax import trees
from langevax.algorithm import Algorithm, Info
from langevax.figures import theme
from langevax.integrators import SemiImplicit
from langevax.problems.coordinates import affine
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.problem import Problem
from langevax.run import simulate
from langevax.samplers import MALA, PCN, PCNL, Langevin
from langevax.spaces import Cosine, GaussianPrior, spectra

PROPOSALS = {  # colour and marker; MALA and the random walk move in the prior's own scale, x = sqrt(mu) z
    "pCN": (theme.OKABE_ITO[5], "o"),
    "pCNL": (theme.OKABE_ITO[0], "s"),
    "MALA": theme.METHODS["MALA"],
    "random walk": (theme.OKABE_ITO[3], "^"),
}
MIXING_TEMPERATURE, MIXING_STEP, MIXING_CHAINS = 0.1, 2.0, 64
BURN_IN = 200  # 400 units of time, in which the prior's slowest mode alone forgets by e^-4
LAGS = np.array([1, 2, 5, 10, 20, 40])
NUM_DATA, NOISE_VARIANCE, PROPOSAL = 20, 5.0, 0.5
EXACT_DRAWS = 40_000


def prior_of(num_modes: int) -> GaussianPrior:
    """N(0, diag((k + 1)^-2)) on cosines."""
    basis = Cosine(num_modes, num_points=num_modes, domain=(0.0, 1.0))
    return GaussianPrior(basis, spectra.power(num_modes, decay=2.0))


# ---- classification


def misfit(x: Float[Array, " modes"], row: tuple[Float[Array, " modes"], Float[Array, ""]]) -> Float[Array, ""]:
    """1 - y tanh f."""
    features, label = row
    return 1 - label * jnp.tanh(features @ x)


def classification(num_modes: int) -> FiniteSum:
    """The same 30 points and labels for every number of modes."""
    points = (np.arange(30) + 0.5) / 30
    labels = np.sign(np.sin(3 * np.pi * points))
    labels[np.random.default_rng(0).choice(30, 9, replace=False)] *= -1
    prior = prior_of(num_modes)
    features = prior.features(jnp.asarray(points, jnp.float32), smoothing=1.5)
    return FiniteSum(misfit, (features, jnp.asarray(labels, jnp.float32)), precision=prior.precision(PRECISION))


def autocorrelation(rows: np.ndarray, lag: int) -> float:
    """Along the second axis."""
    centred = rows - rows.mean()
    return float(np.mean(centred[:, lag:] * centred[:, :-lag]) / np.mean(centred**2))


class Mixing(NamedTuple):
    """Pairs of a number and its standard error, a row for each of LAGS; and where chains end."""

    correlation: np.ndarray
    loss: np.ndarray
    position: np.ndarray


def mixing(num_modes: int, num_steps: int, key: Key[Array, ""]) -> Mixing:
    """Autocorrelation of the loss along semi-implicit chains, and its mean; errors by jackknife over chains."""
    result = simulate(
        Langevin(MIXING_STEP, MIXING_TEMPERATURE, integrator=SemiImplicit()),
        classification(num_modes),
        jnp.zeros(num_modes, jnp.float32),
        key=key,
        num_steps=BURN_IN + num_steps,
        num_chains=MIXING_CHAINS,
        record=lambda problem, state: problem.value(state.position),
        record_every=1,
    )
    losses = np.asarray(result.positions, float)[:, BURN_IN:]
    pairs = [jackknife(losses, partial(autocorrelation, lag=int(lag)), GROUPS) for lag in LAGS]
    means = losses.mean(axis=1)
    loss = np.array([means.mean(), means.std(ddof=1) / np.sqrt(MIXING_CHAINS)])
    return Mixing(np.array(pairs), loss, np.asarray(result.position))


def bending(positions: np.ndarray) -> tuple[float, float]:
    """Share of positions where the potential bends downwards in some direction, and the most negative curvature."""
    problem = classification(positions.shape[1])
    features, labels = (np.asarray(array, float) for array in problem.data)
    t = np.tanh(positions @ features.T)
    weight = 2 * labels * t * (1 - t**2) / len(labels)  # loss'' over n
    hessians = np.einsum("ni,cn,nj->cij", features, weight, features) + np.diag(np.asarray(problem.precision, float))
    least = np.linalg.eigvalsh(hessians)[:, 0]
    return float(np.mean(least < 0)), float(least.min())


def smoothness() -> float:
    """M of the classification: max |loss''| = 4 / 3^{3/2} times the largest eigenvalue of features' features / n."""
    features = np.asarray(classification(64).data[0], float)
    return float(4 / 3**1.5 * np.linalg.norm(features, 2) ** 2 / len(features))


# ---- regression


def squared(x: Float[Array, " modes"], row: tuple[Float[Array, " modes"], Float[Array, ""]]) -> Float[Array, ""]:
    """(y - f)^2 / 2."""
    features, value = row
    return (value - features @ x) ** 2 / 2


def regression_data() -> tuple[np.ndarray, np.ndarray]:
    """Points and values."""
    rng = np.random.default_rng(1)
    points = rng.uniform(size=NUM_DATA)
    return points, np.sin(2 * np.pi * points) + np.sqrt(NOISE_VARIANCE) * rng.normal(size=NUM_DATA)


class RandomWalkState(NamedTuple):
    position: Float[Array, " modes"]
    potential: Float[Array, ""]


class RandomWalk(Algorithm):
    """x' = x + s xi, accepted with probability min(1, exp((U(x) - U(x')) / T)): Metropolis's own."""

    step_size: float
    temperature: float

    def init(
        self, problem: Problem, position: Float[Array, " modes"], key: Key[Array, ""]
    ) -> tuple[RandomWalkState, Info]:
        potential = problem.potential(position)
        return RandomWalkState(position, potential), {"acceptance": jnp.ones_like(potential)}

    def step(
        self, problem: Problem, state: RandomWalkState, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[RandomWalkState, Info]:
        noise_key, accept_key = jax.random.split(key)
        dtype = state.potential.dtype
        noise = trees.normal_like(state.position, key=noise_key)
        position = state.position + jnp.asarray(self.step_size, dtype) * noise
        proposal = RandomWalkState(position, problem.potential(position))
        log_ratio = (state.potential - proposal.potential) / jnp.asarray(self.temperature, dtype)
        accept = jnp.log(jax.random.uniform(accept_key, dtype=dtype)) < log_ratio
        chosen = jax.tree.map(lambda new, old: jnp.where(accept, new, old), proposal, state)
        return chosen, {"acceptance": jnp.exp(jnp.minimum(log_ratio, 0))}


class PosteriorStart(eqx.Module):
    """A draw of the prior, corrected by what its own noisy data got wrong; times a unit for each mode."""

    scale: Float[Array, " modes"]
    unit: Float[Array, " modes"]
    features: Float[Array, "rows modes"]
    values: Float[Array, " rows"]
    inverse: Float[Array, "rows rows"]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " modes"]:
        prior_key, noise_key = jax.random.split(key)
        u = self.scale * trees.normal_like(self.scale, key=prior_key)
        noise = jnp.sqrt(jnp.float32(NOISE_VARIANCE)) * trees.normal_like(self.values, key=noise_key)
        wrong = self.inverse @ (self.values - self.features @ u - noise)
        return self.unit * (u + self.scale**2 * (self.features.T @ wrong))


def acceptance(proposal: str, num_modes: int, num_chains: int, key: Key[Array, ""]) -> tuple[float, float]:
    """Mean acceptance probability of one step from draws of the posterior, and its standard error."""
    temperature = NOISE_VARIANCE / NUM_DATA  # makes the law the posterior
    (points, values), prior = regression_data(), prior_of(num_modes)
    features = prior.features(jnp.asarray(points, jnp.float32))
    data = features, jnp.asarray(values, jnp.float32)
    problem, features = FiniteSum(squared, data, precision=prior.precision(temperature)), np.asarray(features, float)
    scale = jnp.asarray(np.arange(1.0, num_modes + 1) ** -1, jnp.float32)
    gram = (features * np.asarray(scale, float) ** 2) @ features.T + NOISE_VARIANCE * np.eye(NUM_DATA)
    whitened = proposal in ("MALA", "random walk")
    unit = 1 / scale if whitened else jnp.ones_like(scale)
    start = PosteriorStart(scale, unit, *(jnp.asarray(a, jnp.float32) for a in (features, values, np.linalg.inv(gram))))
    algorithms: dict[str, Algorithm] = {
        "pCN": PCN(step_size=PROPOSAL, temperature=temperature),
        "pCNL": PCNL(step_size=PROPOSAL, temperature=temperature),
        "MALA": MALA(step_size=PROPOSAL / temperature, temperature=temperature),
        "random walk": RandomWalk(step_size=PROPOSAL, temperature=temperature),
    }
    result = simulate(
        algorithms[proposal],
        affine(problem, scale) if whitened else problem,
        start,
        key=key,
        num_steps=1,
        num_chains=num_chains,
        record=lambda problem, state: state.position[:1],
        record_every=1,
    )
    assert result.trace is not None
    accepted = np.asarray(result.trace.info["acceptance"], float)[:, 0]
    return float(accepted.mean()), float(accepted.std(ddof=1) / np.sqrt(num_chains))


def unseen_lengths(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of standard normal z and xi in `count` directions: |z|^2, <z, xi> / |z|, |xi|^2."""
    if count == 0:
        zeros = np.zeros(EXACT_DRAWS)
        return zeros, zeros, zeros
    cosine = rng.normal(size=EXACT_DRAWS)
    rest = cosine**2 + (rng.chisquare(count - 1, EXACT_DRAWS) if count > 1 else 0)
    return rng.chisquare(count, EXACT_DRAWS), cosine, rest


def exact_acceptance(proposal: str, num_modes: int) -> float:
    """The same from NumPy: in the eigenbasis of the data, where all modes that these do not see count by length.

    With z whitened by the prior and the loss Phi = sum_i (s_i z_i - d_i)^2 / 2 of the directions seen, curvature
    h_i = 1 + s_i^2; for MALA log ratio = t / 4 sum_i h_i^2 (y_i^2 - y'_i^2), y = z - mean.
    """
    points, values = regression_data()
    rng, s, k = np.random.default_rng(2), PROPOSAL, np.arange(num_modes)
    features = np.where(k > 0, np.sqrt(2), 1) * np.cos(np.pi * k * points[:, None])
    left, singular, _ = np.linalg.svd(features / (k + 1), full_matrices=False)
    singular, datum = singular / NOISE_VARIANCE**0.5, left.T @ values / NOISE_VARIANCE**0.5
    h, unseen = 1 + singular**2, num_modes - len(singular)
    shape = EXACT_DRAWS, len(singular)
    y, xi = rng.normal(size=shape) / np.sqrt(h), rng.normal(size=shape)
    z = y + singular * datum / h

    def phi(z: np.ndarray) -> np.ndarray:
        return ((singular * z - datum) ** 2).sum(axis=1) / 2

    def slope(z: np.ndarray) -> np.ndarray:
        return singular * (singular * z - datum)

    long, cosine, rest = unseen_lengths(unseen if proposal in ("MALA", "random walk") else 0, rng)
    match proposal:
        case "pCN":
            log_ratio = phi(z) - phi(np.sqrt(1 - s**2) * z + s * xi)
        case "pCNL":
            v = ((2 - s) * z - 2 * s * slope(z) + np.sqrt(8 * s) * xi) / (2 + s)

            def rho(u: np.ndarray, v: np.ndarray) -> np.ndarray:
                g = slope(u)
                return phi(u) + ((v - u) * g / 2 + s / 4 * (u + v) * g + s / 4 * g**2).sum(axis=1)

            log_ratio = rho(z, v) - rho(v, z)
        case "MALA":
            moved = (1 - s * h) * y + np.sqrt(2 * s) * xi
            lengths = (1 - (1 - s) ** 2) * long - 2 * (1 - s) * np.sqrt(2 * s * long) * cosine - 2 * s * rest
            log_ratio = s / 4 * ((h**2 * (y**2 - moved**2)).sum(axis=1) + lengths)
        case _:
            log_ratio = -(s * h * y * xi + s**2 / 2 * h * xi**2).sum(axis=1)
            log_ratio = log_ratio - s * np.sqrt(long) * cosine - s**2 / 2 * rest
    return float(np.exp(np.minimum(log_ratio, 0)).mean())
