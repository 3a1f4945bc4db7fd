"""Running gradients, corrected at each step by the change on one batch since the last step.

They differ in how errors end: SARAH takes a full pass at the end of each epoch, and STORM lets errors fade.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from langevax import checks
from langevax._typing import PyTree
from langevax.gradients import batches
from langevax.gradients.estimator import (
    BatchEstimator,
    RandomKey,
    ReferenceState,
    Step,
)
from langevax.problems.problem import Number, Problem, Size
from langevax.renamed import refuse_former


@refuse_former
class SARAH(BatchEstimator):
    """Biased given the past; its errors persist through an epoch.

        step % m == 0:   v = gradient(x)                                        cost n
        otherwise:       v = gradient_I(x) - gradient_I(x_previous) + v         cost 2B

    Kinoshita and Suzuki, NeurIPS 2022, Algorithm SARAH-LD; Nguyen et al., ICML 2017. n + 2B(m - 1) component gradients
    per epoch. On quadratics its stationary variance in excess of full-gradient Langevin is (2m - 1)/3 times that of
    `SVRG`: Xi Var(curvatures) step_size^2 (m-1)(2m-1)/6.

    Args:
        batch_size: B, components per inner step, drawn without replacement; "auto" for `langevax.sample`.
        period: m, steps per epoch; "auto" for `langevax.sample`.

    Example:
        >>> import langevax
        >>> langevax.gradients.SARAH(batch_size=8, period=100)
        SARAH(batch_size=8, period=100)
    """

    batch_size: batches.Count = "auto"
    period: batches.Count = "auto"

    def __check_init__(self) -> None:
        checks.positive_int("period", self.period, auto=True)

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: ReferenceState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, ReferenceState, Size]:
        def refresh(state: ReferenceState) -> tuple[PyTree, Size]:
            return problem.gradient(position), jnp.asarray(problem.size, jnp.int32)

        def correct(state: ReferenceState) -> tuple[PyTree, Size]:
            return self.corrected(problem, position, state, key=key)

        gradient, used = lax.cond(step % self.period == 0, refresh, correct, state)
        return gradient, ReferenceState(position, gradient), used


@refuse_former
class STORM(BatchEstimator):
    """Biased given the past, with no full pass and no table; cost B at the first step, 2B at the others.

        v = gradient_I(x) + (1 - a) (v - gradient_I(x_previous)),      at step 0 v = gradient_I(x)

    Cutkosky and Orabona, NeurIPS 2019. a = 1 is `Minibatch`; a = 0 would be `SARAH` that never refreshes. In between,
    errors fade by 1 - a a step, and each step adds a times the noise of a batch, which does not vanish at a minimum.

    Args:
        batch_size: B, components per step, drawn without replacement.
        momentum: a, the weight of the fresh batch, in (0, 1]; the theory takes a constant times step_size^2.

    Example:
        >>> import langevax
        >>> langevax.gradients.STORM(batch_size=8, momentum=0.1)
        STORM(batch_size=8, momentum=0.1)
    """

    momentum: Number

    def __check_init__(self) -> None:
        checks.fraction("momentum", self.momentum)

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: ReferenceState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, ReferenceState, Size]:
        indices = batches.draw(key, problem, self.batch_size)
        g = problem.gradient_at(position, indices)

        def first() -> tuple[PyTree, Size]:
            return g, jnp.int32(self.batch_size)

        def correct() -> tuple[PyTree, Size]:
            h = problem.gradient_at(state.position, indices)

            def corrected(g: Array, v: Array, h: Array) -> Array:
                return g + (1 - jnp.asarray(self.momentum, v.dtype)) * (v - h)

            gradient = jax.tree.map(corrected, g, state.gradient, h)
            return gradient, jnp.int32(2 * self.batch_size)

        v, used = lax.cond(step == 0, first, correct)
        return v, ReferenceState(position, v), used
