"""Sampling the proximal Gibbs law of a dual vector by sequential Monte Carlo, from the prior.

    p_g(theta)  ~  exp(-V_g(theta) / T) prior(theta),     V_g(theta) = (1/n) sum_i <g_i, h(theta, x_i)>

Particles start as exact draws of the prior N(0, T / precision). While b < 1: raise b by the largest
step that keeps the effective sample size of the weights exp(-(b' - b) V_g / T) above 0.9 M; add the log
of their mean to log Z; resample (systematically); make six MALA moves at the new b. Since weights
carry the masses of modes, this gets them right where chains alone would take forever (Del Moral,
Doucet, Jasra 2006, for the sampler; the settings were measured, see `certificate`).

Cost: 6 gradients of M n activations per temperature, 3 to 60 temperatures; the first values and gradients of a
temperature are those of the last, since the tempered potential is b V_g + ridge. For weights that are functions (a
prior of finite trace, one precision a mode) pCNL moves keep cost and acceptance independent of the number of modes.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float, Int, Shaped

from langevax._typing import FloatScalar, IntScalar, PRNGKey
from langevax.keys import unrolled
from langevax.log_weights import effective_share, log_mean_exp, systematic
from langevax.meanfield.moves import (
    FIRST_RELATIVE_STEP,
    Proposal,
    Scalar,
    adapted_step_size,
    check_proposal,
    mala_moves,
    pcnl_moves,
)
from langevax.meanfield.resampling import NEARLY_EVEN
from langevax.problems.matmul import in_float32
from langevax.problems.mean_field import MeanFieldRisk
from langevax.samplers import MALAState, PCNLState


class GibbsSample(NamedTuple):
    """A cloud of p_g and diagnostics of the run."""

    particles: Float[Array, "particles size"]
    outputs: Float[Array, "n ..."]
    """E_{p_g} h at the training inputs."""
    log_partition: FloatScalar
    """log E_prior exp(-V_g / T); NaN where the temperatures were not enough."""
    temperatures: IntScalar
    """Number of steps of b."""
    surviving_ancestors: FloatScalar
    """Share of the first particles that still have descendants: a small share means an unreliable run."""
    acceptance: FloatScalar
    """Of the last moves."""


class _Walk(NamedTuple):
    b: FloatScalar
    particles: Float[Array, "particles size"]
    values: Float[Array, " particles"]
    """V_g of each."""
    gradients: Float[Array, "particles size"]
    """Of V_g."""
    log_partition: FloatScalar
    ancestors: Int[Array, " particles"]
    step_size: FloatScalar
    acceptance: FloatScalar
    steps: IntScalar


@in_float32
@eqx.filter_jit
def sample_gibbs(
    risk: MeanFieldRisk,
    dual: Shaped[Array, "n ..."],
    temperature: Scalar,
    num_particles: int,
    *,
    key: PRNGKey,
    proposal: Proposal = "mala",
    num_moves: int = 6,
    max_temperatures: int = 1000,
) -> GibbsSample:
    """Draw M particles of the proximal Gibbs law of `dual`, independent of any training run.

    Each temperature has `num_moves` moves.

    Raises:
        ValueError: a proposal other than "mala" and, for weights that are functions, "pcnl".

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> from langevax.meanfield.smc import sample_gibbs
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> sample = sample_gibbs(risk, -y, 0.1, 500, key=jax.random.key(0))
        >>> bool(sample.outputs[0] > 0.5), bool(sample.surviving_ancestors > 0.05)  # a negative dual pushes outputs up
        (True, True)
    """
    check_proposal(proposal)
    key = unrolled(key)
    dtype = risk.inputs.dtype
    temperature = jnp.asarray(temperature, dtype)
    precision = jnp.asarray(risk.precision, dtype)

    def ridge(particles: Array) -> Array:
        return jnp.sum(precision * particles**2, axis=-1) / 2

    def temper(walk: _Walk) -> _Walk:
        walk_key = random.fold_in(key, walk.steps)
        resample_key, move_key = random.split(walk_key)
        v = -walk.values / temperature
        step = _largest_step(v, 1 - walk.b)
        weights = step * v
        log_partition = walk.log_partition + log_mean_exp(weights)
        offset = random.uniform(resample_key, (), weights.dtype)
        parents = systematic(weights, offset)
        b = jnp.where(step >= 1 - walk.b, jnp.ones_like(walk.b), walk.b + step)
        particles = walk.particles[parents]
        values = walk.values[parents]
        gradients = walk.gradients[parents]
        tempered = risk.of_one_particle(b * dual)  # its potential is b V_g + ridge
        if proposal == "pcnl":
            state = PCNLState(particles, b * values, b * gradients)
            end, acceptance = pcnl_moves(
                tempered, state, temperature, walk.step_size, move_key, num_moves
            )
            values = end.value / b
            gradients = end.gradient / b
        else:
            state = MALAState(
                particles,
                b * values + ridge(particles),
                b * gradients + precision * particles,
            )
            end, acceptance = mala_moves(
                tempered, state, temperature, walk.step_size, move_key, num_moves
            )
            values = (end.potential - ridge(end.position)) / b
            gradients = (end.gradient - precision * end.position) / b
        step_size = adapted_step_size(walk.step_size, acceptance, proposal)
        steps = walk.steps + 1
        ancestors = walk.ancestors[parents]
        return _Walk(
            b,
            end.position,
            values,
            gradients,
            log_partition,
            ancestors,
            step_size,
            acceptance,
            steps,
        )

    start = risk.prior(temperature, num_particles)(random.fold_in(key, 2**32 - 1))
    values, gradients = jax.vmap(risk.of_one_particle(dual).value_and_gradient)(start)
    zero = jnp.zeros((), dtype)
    first = _Walk(
        b=zero,
        particles=start,
        values=values,
        gradients=gradients,
        log_partition=zero,
        ancestors=jnp.arange(num_particles, dtype=jnp.int32),
        step_size=jnp.asarray(FIRST_RELATIVE_STEP, dtype),
        acceptance=jnp.ones((), dtype),
        steps=jnp.int32(0),
    )
    end = lax.while_loop(
        lambda walk: (walk.b < 1) & (walk.steps < max_temperatures), temper, first
    )
    present = jnp.zeros(num_particles, jnp.int32).at[end.ancestors].set(1)
    surviving = jnp.sum(present).astype(dtype) / num_particles
    log_partition = jnp.where(
        end.b >= 1, end.log_partition, jnp.nan
    )  # unknown where the walk was cut short
    return GibbsSample(
        end.particles,
        risk.outputs(end.particles),
        log_partition,
        end.steps,
        surviving,
        end.acceptance,
    )


def _largest_step(
    v: Float[Array, " particles"], rest: FloatScalar, bisections: int = 30
) -> FloatScalar:
    """Return the largest step of b up to `rest` at which the weights exp(step v) keep their effective size."""

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        even = effective_share(middle * v) >= NEARLY_EVEN
        return jnp.where(even, middle, low), jnp.where(even, high, middle)

    low, _ = lax.fori_loop(0, bisections, halve, (jnp.zeros_like(rest), rest))
    return jnp.where(effective_share(rest * v) >= NEARLY_EVEN, rest, low)
