"""Particle dual averaging: the cloud follows the Gibbs law of an average of all dual vectors so far.

Nitanda, Wu, Suzuki, NeurIPS 2021. Outer step t = 1, 2, ... with z_i the outputs of the cloud:

    A_i  <-  A_i + t loss'(z_i)                    for all rows, or a batch of them
    num_inner_steps Langevin steps on  (1/n) sum_i w_t A_i h(theta, x_i),       w_t = 2 / ((t + 1)(t + 2))

The model never needs a past network, only the n sums A. The dual vector certified is their average with weights t,
row by row, which is feasible. By default the prior is left as it is, the KL form; `tempered=True` multiplies the ridge
by t / (t + 2), as the paper has it, whose laws have no limit in infinite dimension and whose gap was 1.1 to 10 times
larger after 128 exact rounds, by loss. Where weights are functions only the KL form makes sense: priors N(0, C) and
N(0, C (t + 2) / t) of infinitely many modes are mutually singular, so that no cloud of the one can follow the other; a
problem with finitely many modes does not show which it is, and `tempered=True` is not refused. Step sizes are those of
the potential itself; the paper divides that by T, so that its step is h T.

Cost of an outer step: (1 + num_inner_steps) n M activations.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import IntScalar, PRNGKey
from langevax.algorithm import Algorithm, Info
from langevax.gradients import Full, GradientEstimator, batches
from langevax.gradients.estimator import check_estimator
from langevax.integrators import Exponential, Integrator, check_integrator
from langevax.meanfield.moves import (
    Scalar,
    Schedule,
)
from langevax.problems.mean_field import MeanFieldRisk, by_rows, check_risk, first_dual
from langevax.renamed import refuse_former
from langevax.samplers import Langevin, LangevinState


class PDAState(NamedTuple):
    position: Float[Array, "particles size"]
    dual: Float[Array, "n ..."]
    """Mean of the duals of each row so far, with weights t; `first_dual` for rows without one."""
    weights: Float[Array, " n"]
    """Sum of the weights t of each row."""


class FollowsGibbsLaws(Algorithm):
    """Rounds in which the dual vector is fixed and particles move towards its Gibbs law, by a few inner steps.

    Each has the fields `step_size`, `num_inner_steps`, `gradient` and `integrator` of these steps.
    """

    def __check_init__(self: Any) -> None:
        checks.number("step_size", self.step_size, positive=True, schedule=True)
        checks.positive_int("num_inner_steps", self.num_inner_steps)
        check_estimator(self.gradient)
        check_integrator(self.integrator)

    def moved(
        self: Any,
        frozen: MeanFieldRisk,
        position: Array,
        temperature: Any,
        num_steps: int | IntScalar,
        *,
        key: PRNGKey,
    ) -> tuple[Array, IntScalar]:
        """Return the particles after the inner steps, step k with key fold_in(key, k), and the component gradients used."""
        inner = Langevin(self.step_size, temperature, self.gradient, self.integrator)

        def move(
            k: Array, carry: tuple[LangevinState, Array]
        ) -> tuple[LangevinState, Array]:
            state, used = carry
            state, info = inner.step(frozen, state, random.fold_in(key, k), k)
            return state, used + jnp.asarray(info["evaluations"], jnp.int32)

        state, used = self.gradient.init(frozen, position)
        start = LangevinState(position, state), jnp.asarray(used, jnp.int32)
        end, used = lax.fori_loop(0, jnp.asarray(num_steps, jnp.int32), move, start)
        return end.position, used


@refuse_former
class PDA(FollowsGibbsLaws):
    """Dual averaging outside, Langevin steps to the law of the average inside, each round from the last cloud.

    Args:
        step_size: h of the inner steps, a number or one for each coordinate.
        temperature: T, a number: a schedule would change the average.
        num_inner_steps: of outer step t, ceil(num_inner_steps t^growth); ten and no growth are enough in practice.
        growth: >= 0; the theorem asks for 2.
        batch_size: rows of an outer step, drawn without replacement (the paper's online form has 1); None for all.
        tempered: the form of the paper, whose ridge grows with t; not for weights that are functions.
        gradient: estimator of the inner steps.
        integrator: of the ridge; `SemiImplicit()` is the scheme for functions of Nishikawa, Suzuki, Nitanda, Wu
            (NeurIPS 2022).

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> pda = langevax.meanfield.PDA(step_size=1.0, temperature=0.1)
        >>> start = risk.prior(temperature=0.1, num_particles=1000)
        >>> result = langevax.simulate(pda, risk, start, key=jax.random.key(0), num_steps=50)
        >>> estimate = langevax.meanfield.duality_gap(risk, result.state.dual, 0.1, key=jax.random.key(1))
        >>> estimate.gap < 0.001
        True
    """

    step_size: Schedule
    temperature: Schedule
    num_inner_steps: int = 10
    growth: Scalar = 0.0
    batch_size: int | None = None
    tempered: bool = False
    gradient: GradientEstimator = Full()
    integrator: Integrator = Exponential()

    def __check_init__(self) -> None:
        if callable(self.temperature):
            raise TypeError(
                "temperature is a schedule, but the average is that of one "
                "temperature; pass a number."
            )
        checks.number("temperature", self.temperature, positive=True)
        checks.number("growth", self.growth)
        checks.flag("tempered", self.tempered)
        if self.batch_size is not None:
            checks.positive_int("batch_size", self.batch_size)

    def init(
        self,
        problem: Any,
        position: Any,
        key: PRNGKey,
    ) -> tuple[PDAState, Info]:
        check_risk(problem, "PDA")
        if self.batch_size is not None:
            batches.check_batch_size(self.batch_size, problem)
        dual = first_dual(problem, position.dtype)
        state = PDAState(position, dual, jnp.zeros(problem.max_size, position.dtype))
        return state, {"evaluations": jnp.int32(0), "inner_steps": jnp.int32(0)}

    def step(
        self,
        problem: Any,
        state: PDAState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[PDAState, Info]:
        batch_key, inner_key = random.split(key)
        dtype = state.position.dtype
        t = (step + 1).astype(dtype)
        dual, weights, used = self._averaged(problem, state, t, batch_key)
        total = (
            weights
            if self.batch_size is None
            else weights * (jnp.asarray(problem.size, dtype) / self.batch_size)
        )
        weight = 2 * total / ((t + 1) * (t + 2))
        frozen = problem.linearized(by_rows(weight, dual) * dual)
        if self.tempered:
            tempered = jnp.asarray(problem.precision, dtype) * (t / (t + 2))
            frozen = eqx.tree_at(lambda risk: risk.precision, frozen, tempered)

        number = self.num_inner_steps * t ** jnp.asarray(self.growth, dtype)
        number = jnp.ceil(number * (1 - 1e-6)).astype(
            jnp.int32
        )  # 30 that was rounded up is not 31
        position, used_inside = self.moved(
            frozen, state.position, self.temperature, number, key=inner_key
        )
        return PDAState(position, dual, weights), {
            "evaluations": used + used_inside,
            "inner_steps": number,
        }

    def _averaged(
        self,
        risk: MeanFieldRisk,
        state: PDAState,
        t: Array,
        key: PRNGKey,
    ) -> tuple[Array, Array, Array]:
        """Return the mean duals and weights including those of this cloud, and the number of rows read."""
        if self.batch_size is None:
            weights = state.weights + t
            change = by_rows(t / weights, state.dual) * (
                risk.dual(state.position) - state.dual
            )
            return state.dual + change, weights, jnp.asarray(risk.size, jnp.int32)
        rows = batches.draw(key, risk, self.batch_size)
        dual = jax.vmap(risk.loss.derivative)(
            risk.outputs(state.position, risk.inputs[rows]), risk.targets[rows]
        )
        weights = state.weights.at[rows].add(t)
        change = by_rows(t / weights[rows], dual) * (dual - state.dual[rows])
        return state.dual.at[rows].add(change), weights, jnp.int32(self.batch_size)
