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
    dtype = risk.inputs.dtype
    sampler = _Sampler(
        risk,
        dual,
        jnp.asarray(temperature, dtype),
        jnp.asarray(risk.precision, dtype),
        unrolled(key),
        proposal,
        num_moves,
    )
    end = lax.while_loop(
        lambda walk: (walk.b < 1) & (walk.steps < max_temperatures),
        lambda walk: sampler.tempered(
            walk
        ),  # bound methods of traced arrays have no hash
        sampler.start(num_particles),
    )
    present = jnp.zeros(num_particles, jnp.int32).at[end.ancestors].set(1)
    surviving = jnp.sum(present).astype(dtype) / num_particles
    return GibbsSample(
        end.particles,
        risk.outputs(end.particles),
        jnp.where(end.b >= 1, end.log_partition, jnp.nan),  # NaN where it was cut short
        end.steps,
        surviving,
        end.acceptance,
    )


class _Sampler(eqx.Module):
    """The steps of `sample_gibbs`."""

    risk: MeanFieldRisk
    dual: Array
    temperature: FloatScalar
    precision: Array
    key: PRNGKey
    proposal: Proposal = eqx.field(static=True)
    num_moves: int = eqx.field(static=True)

    def start(self, num_particles: int) -> _Walk:
        """Return draws of the prior."""
        draw = self.risk.prior(self.temperature, num_particles)
        particles = draw(random.fold_in(self.key, 2**32 - 1))
        potential = self.risk.of_one_particle(self.dual)
        values, gradients = jax.vmap(potential.value_and_gradient)(particles)
        zero = jnp.zeros((), particles.dtype)
        return _Walk(
            b=zero,
            particles=particles,
            values=values,
            gradients=gradients,
            log_partition=zero,
            ancestors=jnp.arange(num_particles, dtype=jnp.int32),
            step_size=jnp.asarray(FIRST_RELATIVE_STEP, particles.dtype),
            acceptance=jnp.ones((), particles.dtype),
            steps=jnp.int32(0),
        )

    def tempered(self, walk: _Walk) -> _Walk:
        """Raise b as far as weights allow, resample, and move."""
        walk_key = random.fold_in(self.key, walk.steps)
        resample_key, move_key = random.split(walk_key)
        v = -walk.values / self.temperature
        step = _largest_step(v, 1 - walk.b)
        weights = step * v
        log_partition = walk.log_partition + log_mean_exp(weights)
        offset = random.uniform(resample_key, (), weights.dtype)
        parents = systematic(weights, offset)
        resampled = walk._replace(
            b=jnp.where(step >= 1 - walk.b, jnp.ones_like(walk.b), walk.b + step),
            particles=walk.particles[parents],
            values=walk.values[parents],
            gradients=walk.gradients[parents],
            log_partition=log_partition,
            ancestors=walk.ancestors[parents],
            steps=walk.steps + 1,
        )
        return self.moved(resampled, move_key)

    def moved(self, walk: _Walk, key: PRNGKey) -> _Walk:
        """Move the particles under b V_g + ridge; pCNL knows the ridge itself."""
        kinds = {"mala": (MALAState, mala_moves), "pcnl": (PCNLState, pcnl_moves)}
        state, moves = kinds[self.proposal]
        tempered = self.risk.of_one_particle(walk.b * self.dual)
        ridge, slopes = self.quadratic(walk.particles)
        first = state(
            walk.particles,
            walk.b * walk.values + ridge,
            walk.b * walk.gradients + slopes,
        )
        end, acceptance = moves(
            tempered, first, self.temperature, walk.step_size, key, self.num_moves
        )
        particles, values, gradients = end
        ridge, slopes = self.quadratic(particles)
        return walk._replace(
            particles=particles,
            values=(values - ridge) / walk.b,
            gradients=(gradients - slopes) / walk.b,
            step_size=adapted_step_size(walk.step_size, acceptance, self.proposal),
            acceptance=acceptance,
        )

    def quadratic(self, particles: Array) -> tuple[Array | float, Array | float]:
        """Return the ridge that the state of the moves holds, and its gradient."""
        if self.proposal == "pcnl":
            return 0.0, 0.0
        ridge = jnp.sum(self.precision * particles**2, axis=-1) / 2
        return ridge, self.precision * particles


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
