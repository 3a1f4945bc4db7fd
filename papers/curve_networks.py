"""Networks that read curves, the methods that train them, and proposals, for the claim `functional_inputs`.

A curve is x = sum_k x_k f_k in an orthonormal basis, a weight theta = sum_k theta_k f_k, so that <theta, x> is the sum
of the products: K modes of both are what a grid that resolves K modes would see. All K see the same 60 curves. Neurons
are tanh(<theta, x> + b) with theta ~ N(0, diag(k^-2)).
"""

import time
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from langevax.algorithm import Algorithm, State
from langevax.integrators import Explicit, SemiImplicit
from langevax.meanfield import MFLD, PDA, PSDCA
from langevax.meanfield.moves import pcnl_moves, prior_shares
from langevax.meanfield.smc import sample_gibbs
from langevax.problems import losses, neurons
from langevax.problems.coordinates import affine
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.problem import Problem
from langevax.run import DivergenceError, simulate
from langevax.samplers import MALA, PCNL, MALAState, PCNLState

NUM_CURVES, MOST_MODES, TEMPERATURE = 60, 1024, 0.03
DECAY = 2.0  # variances of weights c_k = k^-2; curves x_k of size k^-2, whose second derivative is square integrable
STEP_SIZE = 0.5  # of the schemes for functions
PASSES, MOVES = 20, 8  # of P-SDCA, each of NUM_CURVES steps, and of its refreshes
PROPOSAL = 0.5  # step of pCNL and of MALA with own steps, in each coordinate's own unit
MALA_STEP = 0.02  # of MALA with one for all, that of a unit variance
ASCENT = "P-SDCA, pCNL"
PROPOSALS = ("pCNL", "MALA, own steps", "MALA, one step")


def curves() -> tuple[np.ndarray, np.ndarray]:
    """(60, 1024) coefficients and the targets, a wave in the first mode with a jump in the second."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_CURVES, MOST_MODES)) * np.arange(1.0, MOST_MODES + 1) ** -DECAY
    return x, np.sin(2 * x[:, 0]) + 0.3 * np.where(x[:, 1] > 0, 1.0, -1.0)


def risk_of(num_modes: int) -> MeanFieldRisk:
    """Neurons tanh(<theta, x> + b), squared loss, theta ~ N(0, diag(k^-2)), b ~ N(0, 1) at TEMPERATURE."""
    x, y = curves()
    inverse_variance = np.append(np.arange(1.0, num_modes + 1) ** DECAY, 1.0)
    precision = jnp.asarray(TEMPERATURE * inverse_variance, jnp.float32)
    return MeanFieldRisk(neurons.Tanh(1.0), losses.squared, np.float32(x[:, :num_modes]), np.float32(y), precision)


class Learner(NamedTuple):
    """A method, how many steps, every how many its dual is recorded, and whether its later duals are averaged."""

    algorithm: Algorithm
    num_steps: int
    every: int
    averaged: bool


def learners(steps: int) -> dict[str, Learner]:
    """P-SDCA, and five that are run on fewer numbers of modes, each with about `steps` passes."""
    semi, rounds = SemiImplicit(), steps // 10
    ascent = PSDCA(TEMPERATURE, MOVES, curvature="variance", proposal="pcnl")
    return {
        ASCENT: Learner(ascent, PASSES * NUM_CURVES, NUM_CURVES, True),
        "MFLD, exponential": Learner(MFLD(STEP_SIZE, TEMPERATURE), steps, 5, True),
        "MFLD, semi-implicit": Learner(MFLD(STEP_SIZE, TEMPERATURE, integrator=semi), steps, 5, True),
        "PDA, exponential": Learner(PDA(STEP_SIZE, TEMPERATURE), rounds, rounds, False),
        "PDA, semi-implicit": Learner(PDA(STEP_SIZE, TEMPERATURE, integrator=semi), rounds, rounds, False),
        "PDA, pCNL": Learner(PDA(PROPOSAL, TEMPERATURE, proposal="pcnl"), rounds, rounds, False),
    }


def dual_of(problem: MeanFieldRisk, state: State) -> Array:
    """The state's dual, or that of its cloud."""
    dual = getattr(state, "dual", None)
    return problem.dual(state.position) if dual is None else dual


class Trained(NamedTuple):
    """A dual, what it took, and the step and acceptance that P-SDCA ended with."""

    dual: np.ndarray
    evaluations: int
    step_size: float
    acceptance: float


def trained(learner: Learner, num_modes: int, num_particles: int, key: Key[Array, ""]) -> Trained:
    """From the prior; the mean of the duals of the last half, or the last one."""
    risk = risk_of(num_modes)
    start, recorded = risk.prior(TEMPERATURE, num_particles), {"record": dual_of, "record_every": learner.every}
    result = simulate(learner.algorithm, risk, start, key=key, num_steps=learner.num_steps, **recorded)
    duals = np.asarray(result.positions, np.float64)
    dual = duals[len(duals) // 2 :].mean(axis=0) if learner.averaged else duals[-1]
    step_size = float(getattr(result.state, "step_size", np.nan))
    return Trained(dual, int(result.evaluations), step_size, float(result.metrics.get("acceptance", np.nan)))


@eqx.filter_jit
def potentials(risk: MeanFieldRisk, dual: Array, particles: Array) -> Float[Array, " particles"]:
    return jax.vmap(risk.of_one_particle(dual).value)(particles)


def truncations(
    fewer: tuple[int, ...], most: int, dual: np.ndarray, num_particles: int, num_walks: int, key: Key[Array, ""]
) -> np.ndarray:
    """(fewer, 2): D of K modes less D of `most` at one dual, and its error, by common draws.

    Z_K / Z_most is the mean of exp(-(V_K - V_most) / T) over the law of `most` modes, whose exponent is small; walks
    are independent.
    """
    whole, g = risk_of(most), jnp.asarray(dual, jnp.float32)
    changes = np.zeros((num_walks, len(fewer)))
    for i, walk_key in enumerate(jax.random.split(key, num_walks)):
        particles = sample_gibbs(whole, g, TEMPERATURE, num_particles, key=walk_key, proposal="pcnl").particles
        reference = potentials(whole, g, particles)
        for j, num_modes in enumerate(fewer):  # modes first, the bias last
            cut = jnp.concatenate([particles[:, :num_modes], particles[:, -1:]], axis=1)
            excess = np.asarray(potentials(risk_of(num_modes), g, cut) - reference, np.float64)
            changes[i, j] = -TEMPERATURE * np.log1p(np.mean(np.expm1(-excess / TEMPERATURE)))
    return np.stack([changes.mean(axis=0), changes.std(axis=0, ddof=1) / np.sqrt(num_walks)], axis=1)


@eqx.filter_jit
def proposed(
    risk: MeanFieldRisk, dual: Array, particles: Array, key: Key[Array, ""]
) -> Float[Array, "proposals particles"]:
    """Probabilities of one proposal of each kind, from particles of the law."""
    temperature, keys = jnp.float32(TEMPERATURE), jax.random.split(key, len(particles))
    problem, step = risk.of_one_particle(dual), jnp.int32(0)
    functions = PCNLState(particles, *jax.vmap(problem.value_and_gradient)(particles))
    states = MALAState(particles, *jax.vmap(problem.potential_and_gradient)(particles))
    scale = jnp.sqrt(temperature / jnp.mean(states.gradient**2, axis=0))
    preconditioned = affine(problem, scale)  # as `meanfield.moves` moves
    scaled = MALAState(states.position / scale, states.potential, states.gradient * scale)
    pcnl = PCNL(PROPOSAL * prior_shares(problem, functions, temperature), temperature)
    own, one = MALA(PROPOSAL, TEMPERATURE), MALA(MALA_STEP / TEMPERATURE, TEMPERATURE)

    def accepted(algorithm: Algorithm, target: Problem, states: PCNLState | MALAState) -> Float[Array, " particles"]:
        return jax.vmap(lambda s, k: algorithm.step(target, s, k, step)[1]["acceptance"])(states, keys)

    rows = accepted(pcnl, problem, functions), accepted(own, preconditioned, scaled), accepted(one, problem, states)
    return jnp.stack(rows)


def acceptances(num_modes: int, dual: np.ndarray, num_particles: int, key: Key[Array, ""]) -> np.ndarray:
    """(proposals, 2): mean probabilities at fixed steps and their errors; where none is accepted, one in all."""
    risk, g = risk_of(num_modes), jnp.asarray(dual, jnp.float32)
    walk_key, move_key = jax.random.split(key)
    particles = sample_gibbs(risk, g, TEMPERATURE, num_particles, key=walk_key, proposal="pcnl").particles
    accepted = np.asarray(proposed(risk, g, particles, move_key), np.float64)
    error = np.maximum(accepted.std(axis=1, ddof=1) / np.sqrt(num_particles), 1 / num_particles)
    return np.stack([accepted.mean(axis=1), error], axis=1)


def euler_limit(num_modes: int) -> float:
    """The step beyond which explicit Euler grows in the stiffest mode, which the data do not see: 2 / precision."""
    return 2 / (TEMPERATURE * float(num_modes) ** DECAY)


def settles(num_modes: int, factor: float, key: Key[Array, ""], num_steps: int = 300, num_particles: int = 64) -> bool:
    """Whether MFLD by explicit Euler stays within a hundred times the prior's scale at `factor` times the limit."""
    risk, euler = risk_of(num_modes), MFLD(factor * euler_limit(num_modes), TEMPERATURE, integrator=Explicit())
    try:
        result = simulate(euler, risk, risk.prior(TEMPERATURE, num_particles), key=key, num_steps=num_steps)
    except DivergenceError:
        return False
    stiffest = np.asarray(result.position, np.float64)[:, num_modes - 1] * num_modes ** (DECAY / 2)
    return bool(np.sqrt(np.mean(stiffest**2)) < 100)


def seconds_per_move(
    num_modes: int, dual: np.ndarray, num_particles: int, key: Key[Array, ""], number: int = 8
) -> float:
    """Of one pCNL move of one particle: the best of five."""
    risk, temperature = risk_of(num_modes), jnp.float32(TEMPERATURE)
    particles, problem = risk.prior(TEMPERATURE, num_particles)(key), risk.of_one_particle(jnp.float32(dual))
    state = PCNLState(particles, *jax.vmap(problem.value_and_gradient)(particles))
    move = eqx.filter_jit(eqx.Partial(pcnl_moves, problem))

    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(move(state, temperature, jnp.float32(PROPOSAL), key, number))
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(5)) / (number * num_particles)
