"""Networks that read curves: the problem, the methods and the proposals of the study "functional-inputs".

A curve is x = sum_k x_k f_k in an orthonormal basis, a weight theta = sum_k theta_k f_k, so that <theta, x> is the sum
of the products: K modes of both are what a grid that resolves K modes would see. All K see the same curves.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import integrators
from langevax.algorithm import Algorithm
from langevax.meanfield import MFLD, PDA, PSDCA, Certificate, certify
from langevax.meanfield.moves import pcnl_moves, prior_shares
from langevax.meanfield.smc import sample_gibbs
from langevax.metropolis import MALA, MALAState
from langevax.pcn import PCNL, PCNLState
from langevax.problems import losses, neurons
from langevax.problems.affine import affine
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import DivergenceError, simulate

NUM_CURVES, TEMPERATURE, SCALE = 60, 0.03, 1.0
MOST = 1024
DECAY = 2.0  # variances of weights c_k = k^-2; curves x_k of size k^-2, whose second derivative is square integrable

STEP_SIZE = 0.5  # of the schemes for functions
PASSES, MOVES = 20, 8  # of P-SDCA, each of NUM_CURVES steps, and of its refreshes
PROPOSAL, MALA_STEP = 0.5, 0.02
"""Steps of pCNL and MALA, both in each coordinate's own unit, and of MALA with one for all, that of a unit variance."""


def curves() -> tuple[np.ndarray, np.ndarray]:
    """(60, 1024) coefficients and the targets, a wave in the first mode with a jump in the second."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_CURVES, MOST)) * np.arange(1.0, MOST + 1) ** -DECAY
    return x, np.sin(2 * x[:, 0]) + 0.3 * np.where(x[:, 1] > 0, 1.0, -1.0)


def risk_of(num_modes: int) -> MeanFieldRisk:
    """Neurons tanh(<theta, x> + b), squared loss, theta ~ N(0, diag(k^-2)), b ~ N(0, 1) at TEMPERATURE."""
    x, y = curves()
    inverse_variance = np.append(np.arange(1.0, num_modes + 1) ** DECAY, 1.0)
    precision = jnp.asarray(TEMPERATURE * inverse_variance, jnp.float32)
    return MeanFieldRisk(neurons.Tanh(SCALE), losses.squared, np.float32(x[:, :num_modes]), np.float32(y), precision)


class Learner(NamedTuple):
    """A method, how many steps, every how many its dual is looked at, and whether its later duals are averaged."""

    algorithm: Algorithm
    num_steps: int
    every: int
    averaged: bool


ASCENT = "P-SDCA, pCNL"


def learners(steps: int) -> dict[str, Learner]:
    """P-SDCA, and five that are run on fewer numbers of modes, each with about `steps` passes."""
    semi, rounds = integrators.SemiImplicit(), steps // 10
    return {
        ASCENT: Learner(
            PSDCA(TEMPERATURE, MOVES, curvature="variance", proposal="pcnl"), PASSES * NUM_CURVES, NUM_CURVES, True
        ),
        "MFLD, exponential": Learner(MFLD(STEP_SIZE, TEMPERATURE), steps, 5, True),
        "MFLD, semi-implicit": Learner(MFLD(STEP_SIZE, TEMPERATURE, integrator=semi), steps, 5, True),
        "PDA, exponential": Learner(PDA(STEP_SIZE, TEMPERATURE), rounds, rounds, False),
        "PDA, semi-implicit": Learner(PDA(STEP_SIZE, TEMPERATURE, integrator=semi), rounds, rounds, False),
        "PDA, pCNL": Learner(PDA(PROPOSAL, TEMPERATURE, proposal="pcnl"), rounds, rounds, False),
    }


def dual_of(problem: Any, state: Any) -> Any:
    """The dual that a state knows, or that of its cloud."""
    return state.dual if hasattr(state, "dual") else problem.dual(state.position)


class Learnt(NamedTuple):
    """A dual, what it took, and the step and acceptance that P-SDCA ended with."""

    dual: np.ndarray
    evaluations: int
    step_size: float
    acceptance: float


def learnt(learner: Learner, num_modes: int, num_particles: int, key: Any) -> Learnt:
    """From the prior; the mean of the duals of the last half, or the last one."""
    risk = risk_of(num_modes)
    end = simulate(
        learner.algorithm, risk, risk.prior(TEMPERATURE, num_particles), key=key, num_steps=learner.num_steps,
        record=dual_of, record_every=learner.every, progress=False,
    )  # fmt: skip
    duals = np.asarray(end.positions, np.float64)
    dual = duals[len(duals) // 2 :].mean(axis=0) if learner.averaged else duals[-1]
    state: Any = end.state
    step_size = float(getattr(state, "step_size", np.nan))
    return Learnt(dual, int(end.evaluations), step_size, float(end.metrics.get("acceptance", np.nan)))


def certified(num_modes: int, dual: np.ndarray, num_particles: int, num_replicates: int, key: Any) -> Certificate:
    """By walks of pCNL moves from the prior, independent of the training."""
    return certify(
        risk_of(num_modes), dual, TEMPERATURE, key=key, num_replicates=num_replicates, num_particles=num_particles,
        polish=0, proposal="pcnl",
    )  # fmt: skip


@eqx.filter_jit
def _values(risk: MeanFieldRisk, dual: Array, particles: Array) -> Float[Array, " particles"]:
    return jax.vmap(risk.of_one_particle(dual).value)(particles)


def truncations(
    fewer: tuple[int, ...], most: int, dual: np.ndarray, num_particles: int, num_walks: int, key: Any
) -> np.ndarray:
    """(fewer, 2): D of K modes less D of `most` at one dual, and its error, by common draws.

    Z_K / Z_most is the mean of exp(-(V_K - V_most) / T) over the law of `most` modes, whose exponent is small; walks
    are independent.
    """
    whole, g = risk_of(most), jnp.asarray(dual, jnp.float32)
    changes = []
    for walk_key in jax.random.split(key, num_walks):
        particles = sample_gibbs(whole, g, TEMPERATURE, num_particles, key=walk_key, proposal="pcnl").particles
        there = _values(whole, g, particles)
        row = []
        for num_modes in fewer:  # modes first, the bias last
            cut = jnp.concatenate([particles[:, :num_modes], particles[:, -1:]], axis=1)
            excess = np.asarray(_values(risk_of(num_modes), g, cut) - there, np.float64)
            row.append(-TEMPERATURE * np.log1p(np.mean(np.expm1(-excess / TEMPERATURE))))
        changes.append(row)
    changes = np.array(changes)
    return np.stack([changes.mean(axis=0), changes.std(axis=0, ddof=1) / np.sqrt(num_walks)], axis=1)


PROPOSALS = ("pCNL", "MALA, own steps", "MALA, one step")


@eqx.filter_jit
def _acceptances(risk: MeanFieldRisk, dual: Array, particles: Array, key: Any) -> Float[Array, "proposals particles"]:
    """Probabilities of one proposal of each kind, from particles of the law."""
    temperature, keys = jnp.float32(TEMPERATURE), jax.random.split(key, len(particles))
    problem, step = risk.of_one_particle(dual), jnp.int32(0)
    functions = PCNLState(particles, *jax.vmap(problem.value_and_gradient)(particles))
    there = MALAState(particles, *jax.vmap(problem.potential_and_gradient)(particles))
    scale = jnp.sqrt(temperature / jnp.mean(there.gradient**2, axis=0))
    preconditioned = affine(problem, scale)  # as `meanfield.moves` moves
    scaled = MALAState(there.position / scale, there.potential, there.gradient * scale)
    pcnl = PCNL(PROPOSAL * prior_shares(problem, functions, temperature), temperature)
    own, one = MALA(PROPOSAL, TEMPERATURE), MALA(MALA_STEP / TEMPERATURE, TEMPERATURE)

    def of(algorithm: Any, target: Any, states: Any) -> Float[Array, " particles"]:
        return jax.vmap(lambda s, k: algorithm.step(target, s, k, step)[1]["acceptance"])(states, keys)

    return jnp.stack([of(pcnl, problem, functions), of(own, preconditioned, scaled), of(one, problem, there)])


def acceptances(num_modes: int, dual: np.ndarray, num_particles: int, key: Any) -> np.ndarray:
    """(proposals, 2): mean probabilities at fixed steps and their errors; where none is accepted, one in all."""
    risk, g = risk_of(num_modes), jnp.asarray(dual, jnp.float32)
    walk_key, move_key = jax.random.split(key)
    particles = sample_gibbs(risk, g, TEMPERATURE, num_particles, key=walk_key, proposal="pcnl").particles
    found = np.asarray(_acceptances(risk, g, particles, move_key), np.float64)
    error = np.maximum(found.std(axis=1, ddof=1) / np.sqrt(num_particles), 1 / num_particles)
    return np.stack([found.mean(axis=1), error], axis=1)


def euler_limit(num_modes: int) -> float:
    """The step beyond which explicit Euler grows in the stiffest mode, which the data do not see: 2 / precision."""
    return 2 / (TEMPERATURE * float(num_modes) ** DECAY)


def grows(num_modes: int, factor: float, key: Any, num_steps: int = 300, num_particles: int = 64) -> bool:
    """Whether MFLD by explicit Euler leaves the prior's scale a hundredfold at `factor` times the limit."""
    risk, step = risk_of(num_modes), factor * euler_limit(num_modes)
    euler = MFLD(step, TEMPERATURE, integrator=integrators.Explicit())
    try:
        end = simulate(
            euler, risk, risk.prior(TEMPERATURE, num_particles), key=key, num_steps=num_steps, progress=False
        )
    except DivergenceError:
        return True
    stiffest = np.asarray(end.position, np.float64)[:, num_modes - 1] * num_modes ** (DECAY / 2)
    return not bool(np.sqrt(np.mean(stiffest**2)) < 100)


def seconds_per_move(num_modes: int, dual: np.ndarray, num_particles: int, key: Any, number: int = 8) -> float:
    """Of one pCNL move of one particle: the best of five."""
    risk, temperature = risk_of(num_modes), jnp.float32(TEMPERATURE)
    state, moved = _moving(risk, jnp.asarray(dual, jnp.float32), risk.prior(TEMPERATURE, num_particles)(key))

    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(moved(state, temperature, jnp.float32(PROPOSAL), key, number))
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(5)) / (number * num_particles)


def _moving(risk: MeanFieldRisk, dual: Array, particles: Array) -> tuple[PCNLState, Callable[..., Any]]:
    problem = risk.of_one_particle(dual)
    state = PCNLState(particles, *jax.vmap(problem.value_and_gradient)(particles))
    return state, eqx.filter_jit(eqx.Partial(pcnl_moves, problem))
