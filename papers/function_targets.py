"""Targets with any number of modes, and chains on them, for the claim `dimension_free`.

Two are Gaussian with independent modes, `modes` and `power_modes`. Two are functions on [0, 1] learnt from data, in the
basis of cosines with the prior N(0, diag(mu)), mu_k = (k + 1)^-2:

classification  1 - y tanh(f(z)) over 30 points of which 9 labels are wrong, f = T_K^{g/2} x with g = 1.5 (Muzellec et
                al., COLT 2022, section 4). It bends both ways, and lambda / mu_0 = 0.01 is far below its smoothness M.
regression      20 values with noise of variance 5: weak data, so that the prior decides what a proposal is worth. One
                proposal of fixed size is made from exact draws of the posterior.

The acceptance of a proposal is computed a second time in NumPy, from the densities of law and proposal.
"""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

import function_space_laws as theory
from drawing import Style
from estimates import jackknife, mean_and_error
from langevax.figures import theme
from langevax.integrators import Explicit, Exponential, Integrator, SemiImplicit
from langevax.problems.coordinates import affine
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.problem import Function
from langevax.run import Stacked, simulate
from langevax.samplers import MALA, PCN, PCNL, Langevin
from langevax.spaces import Cosine, GaussianPrior, spectra


class Scheme(NamedTuple):
    name: str  # in the theory
    integrator: Integrator
    style: Style


SCHEMES = {
    "explicit Euler": Scheme("explicit", Explicit(), theme.METHODS["LD"]),
    "semi-implicit": Scheme("semi_implicit", SemiImplicit(), (theme.OKABE_ITO[0], "o")),
    "exponential": Scheme("exponential", Exponential(), (theme.OKABE_ITO[2], "D")),
}
PROPOSALS = (
    "pCN",
    "pCNL",
    "MALA",
    "random walk",
)  # the last two move in the prior's own scale, x = sqrt(mu) z
MIXING_TEMPERATURE, MIXING_STEP, MIXING_CHAINS = 0.1, 2.0, 64
BURN_IN = (
    200  # 400 units of time, in which the prior's slowest mode alone forgets by e^-4
)
LAGS = np.array([1, 2, 5, 10, 20, 40])
NUM_DATA, NOISE_VARIANCE, PROPOSAL = 20, 5.0, 0.5
EXACT_DRAWS = 40_000

PRECISION = TEMPERATURE = (
    0.01  # lambda: mode k of the prior has precision lambda / mu_k
)
LOW = 50  # modes whose law is asked for
DISTANCE = 0.06  # W2 of those to their target: a twentieth of where chains start
STEP_SIZES = np.geomspace(
    0.02, 1.0, 30
)  # tried for the fewest steps, in units of the limit or of 2, whichever is less
GROUPS = 40  # of the jackknife


# ---- independent modes


class Modes(NamedTuple):
    """One entry a mode."""

    precision: np.ndarray
    curvature: np.ndarray
    center: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.curvature * self.center / (self.precision + self.curvature)

    def first(self, count: int) -> "Modes":
        return Modes(*(array[:count] for array in self))


def modes(num_modes: int) -> Modes:
    """Of the target `informed`."""
    k = np.arange(1.0, num_modes + 1)
    return Modes(PRECISION * k**2, k**-2, 1 / k)


def power_modes(num_modes: int, decay: float, curvature: float) -> Modes:
    """Of the target `powers`, mu_k = k^-decay."""
    k = np.arange(1.0, num_modes + 1)
    return Modes(k**decay, np.full(num_modes, curvature), np.zeros(num_modes))


def quadratic(
    curvature: Array, center: Array, x: Float[Array, " modes"]
) -> Float[Array, ""]:
    return jnp.sum(curvature * (x - center) ** 2) / 2


def normal_start(
    mean: Array, deviation: Array, key: Key[Array, ""]
) -> Float[Array, " modes"]:
    return mean + deviation * jax.random.normal(key, mean.shape, mean.dtype)


def ends(
    scheme: str,
    target: Modes,
    step_size: float,
    num_steps: int,
    num_chains: int,
    key: Key[Array, ""],
    deviation: np.ndarray | None = None,
    temperature: float = TEMPERATURE,
) -> Float[np.ndarray, "chains modes"]:
    """Return the ends of chains, from 0, or from draws about the target's mean with that deviation."""
    precision, curvature, center = (jnp.asarray(array, jnp.float32) for array in target)
    start = jnp.zeros(len(precision), jnp.float32)
    if deviation is not None:
        start = eqx.Partial(
            normal_start,
            *(jnp.asarray(array, jnp.float32) for array in (target.mean, deviation)),
        )
    chain = Langevin(step_size, temperature, integrator=SCHEMES[scheme].integrator)
    problem = Function(eqx.Partial(quadratic, curvature, center), precision=precision)
    result = simulate(
        chain, problem, start, key=key, num_steps=num_steps, num_chains=num_chains
    )
    return np.asarray(result.position, float)


def stability_limit(scheme: str, num_modes: int) -> float:
    """The longest step with which all modes of `informed` settle."""
    target = modes(num_modes)
    return theory.stability_limit(
        SCHEMES[scheme].name, target.precision, target.curvature
    )


def fewest_steps(scheme: str, num_modes: int) -> tuple[int, float]:
    """(steps, step size) with which the law of the low modes comes within DISTANCE of the target, by the exact laws."""
    low, longest = (
        modes(num_modes).first(LOW),
        min(stability_limit(scheme, num_modes), 2.0),
    )

    def steps(step_size: float) -> float:
        law = step_size, low.precision, low.curvature, TEMPERATURE
        return theory.steps_to_wasserstein(
            SCHEMES[scheme].name, *law, DISTANCE, start_mean=-low.mean
        )

    count, step_size = min(
        (steps(longest * float(h)), longest * float(h)) for h in STEP_SIZES
    )
    return int(count), step_size


def distance_of_chains(
    scheme: str,
    num_modes: int,
    step_size: float,
    steps: int,
    num_chains: int,
    key: Key[Array, ""],
) -> dict[str, float]:
    """W2 of chains at that step, its error, the exact one; and the steps that chains need, with their error.

    Squared, and by jackknife: of finitely many draws it is too large. The exact line's own slope makes steps of it.
    """
    low = modes(num_modes).first(LOW)
    variance = TEMPERATURE / (low.precision + low.curvature)

    def squared_distance(x: np.ndarray) -> float | np.ndarray:
        return (
            theory.wasserstein(x.mean(axis=0), x.var(axis=0), low.mean, variance) ** 2
        )

    x = ends(scheme, modes(num_modes), step_size, steps, num_chains, key)[:, :LOW]
    value, error = jackknife(squared_distance, x, groups=GROUPS)
    w2, before = float(np.sqrt(max(value, 0.0))), max(1, round(0.1 * steps))
    law = (
        step_size,
        low.precision,
        low.curvature,
        TEMPERATURE,
        np.array([steps - before, steps, steps + before]),
    )
    moments = theory.mode_moments(SCHEMES[scheme].name, *law, start_mean=-low.mean)
    earlier, exact, later = np.asarray(
        theory.wasserstein(*moments, 0.0, variance)
    ).tolist()
    per_unit, w2_error = 2 * before / (earlier - later), error / (2 * exact)
    chain_steps, chain_steps_error = (
        steps + (w2 - exact) * per_unit,
        w2_error * per_unit,
    )
    numbers = {"w2": w2, "w2_error": w2_error, "w2_exact": exact}
    return numbers | {
        "chain_steps": chain_steps,
        "chain_steps_error": chain_steps_error,
    }


# ---- functions learnt from data


def prior_of(num_modes: int) -> GaussianPrior:
    """N(0, diag((k + 1)^-2)) on cosines."""
    basis = Cosine(num_modes, num_points=num_modes, domain=(0.0, 1.0))
    return GaussianPrior(basis, spectra.power(num_modes, decay=2.0))


def misfit(
    x: Float[Array, " modes"], row: tuple[Float[Array, " modes"], Float[Array, ""]]
) -> Float[Array, ""]:
    features, label = row
    return 1 - label * jnp.tanh(features @ x)


def classification(num_modes: int) -> FiniteSum:
    """The same 30 points and labels for every number of modes."""
    points = (np.arange(30) + 0.5) / 30
    labels = np.sign(np.sin(3 * np.pi * points))
    labels[np.random.default_rng(0).choice(30, 9, replace=False)] *= -1
    prior = prior_of(num_modes)
    features = prior.features(jnp.asarray(points, jnp.float32), smoothing=1.5)
    return FiniteSum(
        misfit,
        (features, jnp.asarray(labels, jnp.float32)),
        precision=prior.precision(PRECISION),
    )


def autocorrelation(rows: np.ndarray, lag: int) -> float:
    centred = rows - rows.mean()
    return float(np.mean(centred[:, lag:] * centred[:, :-lag]) / np.mean(centred**2))


def mixing(
    num_modes: int, num_steps: int, key: Key[Array, ""]
) -> tuple[np.ndarray, tuple[float, float], np.ndarray]:
    """(lags, 2) autocorrelation of the loss along semi-implicit chains, its mean, with errors; and where they end."""
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
    pairs = [jackknife(partial(autocorrelation, lag=int(lag)), losses) for lag in LAGS]
    return (
        np.array(pairs),
        mean_and_error(losses.mean(axis=1)),
        np.asarray(result.position),
    )


def bending(positions: np.ndarray) -> tuple[float, float]:
    """Share of positions where the potential bends downwards in some direction, and the most negative curvature."""
    hessians = jax.vmap(jax.hessian(classification(positions.shape[1]).potential))(
        positions
    )
    least = np.linalg.eigvalsh(np.asarray(hessians, float))[:, 0]
    return float(np.mean(least < 0)), float(least.min())


def smoothness() -> float:
    """M of the classification: max |loss''| = 4 / 3^{3/2} times the largest eigenvalue of features' features / n."""
    features = np.asarray(classification(64).data[0], float)
    return float(4 / 3**1.5 * np.linalg.norm(features, 2) ** 2 / len(features))


def squared(
    x: Float[Array, " modes"], row: tuple[Float[Array, " modes"], Float[Array, ""]]
) -> Float[Array, ""]:
    features, value = row
    return (value - features @ x) ** 2 / 2


def regression_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    points = rng.uniform(size=NUM_DATA)
    return points, np.sin(2 * np.pi * points) + np.sqrt(NOISE_VARIANCE) * rng.normal(
        size=NUM_DATA
    )


def acceptance(
    proposal: str, num_modes: int, num_chains: int, key: Key[Array, ""]
) -> tuple[float, float]:
    """Mean acceptance probability of one step from draws of the posterior, and its standard error."""
    temperature = NOISE_VARIANCE / NUM_DATA  # makes the law the posterior
    (points, values), prior = regression_data(), prior_of(num_modes)
    rng, scale = (
        np.random.default_rng(np.asarray(jax.random.key_data(key))),
        1 / np.arange(1.0, num_modes + 1),
    )
    features = prior.features(jnp.asarray(points, jnp.float32))
    seen = np.asarray(features, float) * scale
    # draws of the prior, corrected by what their own noisy data got wrong, in the prior's scale
    z, noise = (
        rng.normal(size=(num_chains, num_modes)),
        rng.normal(size=(num_chains, NUM_DATA)),
    )
    wrong = values - z @ seen.T - np.sqrt(NOISE_VARIANCE) * noise
    z += (
        np.linalg.solve(seen @ seen.T + NOISE_VARIANCE * np.eye(NUM_DATA), wrong.T).T
        @ seen
    )

    def potential(z: np.ndarray) -> np.ndarray:
        return (
            (z**2).sum(axis=1)
            + ((values - z @ seen.T) ** 2).sum(axis=1) / NOISE_VARIANCE
        ) / 2

    if proposal == "random walk":  # Metropolis's own algorithm
        moved = z + PROPOSAL * rng.normal(size=z.shape)
        return mean_and_error(np.exp(np.minimum(potential(z) - potential(moved), 0)))
    problem = FiniteSum(
        squared,
        (features, jnp.asarray(values, jnp.float32)),
        precision=prior.precision(temperature),
    )
    target, start, algorithm = {
        "pCN": (problem, scale * z, PCN(PROPOSAL, temperature)),
        "pCNL": (problem, scale * z, PCNL(PROPOSAL, temperature)),
        "MALA": (
            affine(problem, jnp.asarray(scale, jnp.float32)),
            z,
            MALA(PROPOSAL / temperature, temperature),
        ),
    }[proposal]
    records = {"record": lambda problem, state: state.position[:1], "record_every": 1}
    result = simulate(
        algorithm,
        target,
        Stacked(jnp.asarray(start, jnp.float32)),
        key=key,
        num_steps=1,
        **records,
    )
    assert result.trace is not None
    return mean_and_error(np.asarray(result.trace.info["acceptance"], float)[:, 0])


def exact_acceptance(proposal: str, num_modes: int) -> float:
    """The same from NumPy: in the eigenbasis of the data, where all modes that these do not see count by length.

    There, in the prior's scale, y = z - mean is N(0, 1 / h), h = 1 where the data do not see, and a proposal is
    y' = a y + e + c xi. Hence log ratio = sum (h - (1 - a^2) / c^2) (y^2 - y'^2) / 2 + e (1 + a) (y - y') / c^2.
    """
    points, values = regression_data()
    rng, s, k = np.random.default_rng(2), PROPOSAL, np.arange(num_modes)
    features = np.where(k > 0, np.sqrt(2), 1) * np.cos(np.pi * k * points[:, None])
    left, singular, _ = np.linalg.svd(features / (k + 1), full_matrices=False)
    h, unseen = 1 + singular**2 / NOISE_VARIANCE, num_modes - len(singular)

    def gains(h: np.ndarray | float) -> tuple[np.ndarray | float, float]:
        return {
            "pCN": (np.sqrt(1 - s**2), s),
            "pCNL": ((2 - s - 2 * s * (h - 1)) / (2 + s), np.sqrt(8 * s) / (2 + s)),
            "MALA": (1 - s * h, np.sqrt(2 * s)),
            "random walk": (1.0, s),
        }[proposal]

    (a, c), mean = gains(h), singular * (left.T @ values) / NOISE_VARIANCE / h
    e = (
        (a - 1) * mean if proposal == "pCN" else 0 * mean
    )  # pCN alone does not know the mean
    y, xi = (
        rng.normal(size=(EXACT_DRAWS, len(h))) / np.sqrt(h),
        rng.normal(size=(EXACT_DRAWS, len(h))),
    )
    moved = a * y + e + c * xi
    log_ratio = (
        (h - (1 - a**2) / c**2) * (y**2 - moved**2) / 2
        + e * (1 + a) / c**2 * (y - moved)
    ).sum(axis=1)
    if unseen:
        (a, c), along = (
            gains(1.0),
            rng.normal(size=EXACT_DRAWS),
        )  # of the noise, along y
        across, length = (
            rng.chisquare(count, EXACT_DRAWS) for count in (unseen - 1, unseen)
        )
        longer = (a * np.sqrt(length) + c * along) ** 2 + c**2 * across
        log_ratio += (1 - (1 - a**2) / c**2) * (length - longer) / 2
    return float(np.exp(np.minimum(log_ratio, 0)).mean())
