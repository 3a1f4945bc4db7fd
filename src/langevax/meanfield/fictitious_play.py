"""Entropic fictitious play: the outputs move a share of the way to those of the best response, round by round.

Chen, Ren, Wang (arXiv 2202.05841); for finite sums arXiv 2303.02957. One round, z the outputs of a mixture of all
past laws:

    g_i = loss'(z_i);    the particles move towards p_g;    z_i  <-  (1 - rate) z_i + rate (1/N) sum_r h(theta_r, x_i)

In continuous time the objective's gap falls like exp(-t) whatever the log-Sobolev constant. The mixture is never
stored: the next round needs only its n outputs. Were rounds independent, the noise left in z would be
sqrt(rate / 2) of one cloud's.

Cost of a round: (1 + num_inner_steps) n N activations.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import IntScalar, PRNGKey
from langevax.algorithm import Info, at_step
from langevax.gradients import Full, GradientEstimator
from langevax.integrators import Exponential, Integrator
from langevax.meanfield.moves import Schedule
from langevax.meanfield.pda import FollowsGibbsLaws
from langevax.problems.mean_field import MeanFieldRisk, check_risk
from langevax.renamed import refuse_former


class FictitiousPlayState(NamedTuple):
    position: Float[Array, "particles size"]
    outputs: Float[Array, "n ..."]
    """z, of the mixture."""
    dual: Float[Array, "n ..."]
    """loss'(z)."""


@refuse_former
class FictitiousPlay(FollowsGibbsLaws):
    """Rounds of best responses, each a few Langevin steps from the last one's particles.

    Args:
        step_size: h of the inner steps, a number or one for each coordinate.
        temperature: T, a number or a schedule of the round.
        rate: in (0, 1], a number or a schedule of the round: the share of the mixture that is replaced.
        num_inner_steps: Langevin steps of a round.
        gradient: estimator of the inner steps.
        integrator: of the ridge.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> play = langevax.meanfield.FictitiousPlay(step_size=1.0, temperature=0.1)
        >>> start = risk.prior(temperature=0.1, num_particles=1000)
        >>> result = langevax.simulate(play, risk, start, key=jax.random.key(0), num_steps=100)
        >>> estimate = langevax.meanfield.duality_gap(risk, result.state.dual, 0.1, key=jax.random.key(1))
        >>> estimate.gap < 0.001
        True
    """

    step_size: Schedule
    temperature: Schedule
    rate: Schedule = 0.1
    num_inner_steps: int = 10
    gradient: GradientEstimator = Full()
    integrator: Integrator = Exponential()

    def __check_init__(self) -> None:
        checks.number("temperature", self.temperature, schedule=True)
        checks.fraction("rate", self.rate, schedule=True)

    def init(
        self,
        problem: Any,
        position: Any,
        key: PRNGKey,
    ) -> tuple[FictitiousPlayState, Info]:
        check_risk(problem, "FictitiousPlay")
        outputs = problem.outputs(position)
        state = FictitiousPlayState(position, outputs, _dual(problem, outputs))
        return state, {"evaluations": jnp.asarray(problem.size, jnp.int32)}

    def step(
        self,
        problem: Any,
        state: FictitiousPlayState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[FictitiousPlayState, Info]:
        temperature = at_step(self.temperature, step)
        rate = at_step(self.rate, step)
        frozen = problem.linearized(state.dual)
        cloud, used = self.moved(
            frozen, state.position, temperature, self.num_inner_steps, key=key
        )
        response = problem.outputs(cloud)
        outputs = state.outputs + jnp.asarray(rate, response.dtype) * (
            response - state.outputs
        )
        used = used + jnp.asarray(problem.size, jnp.int32)
        return FictitiousPlayState(cloud, outputs, _dual(problem, outputs)), {
            "evaluations": used
        }


def _dual(risk: MeanFieldRisk, outputs: Array) -> Float[Array, "n ..."]:
    return jax.vmap(risk.loss.derivative)(outputs, risk.targets)
