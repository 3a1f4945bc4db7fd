"""Running gradients, corrected at each step by the change on one batch since the last step.

They differ in how errors end: SARAH takes a full pass at the end of each epoch, PAGE takes one at random, and STORM
lets errors fade.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Bool

from langevax import checks
from langevax._typing import PyTree
from langevax.gradients import batches
from langevax.gradients.estimator import (
    BatchEstimator,
    RandomKey,
    ReferenceState,
    Reshuffled,
    Step,
)
from langevax.keys import unrolled
from langevax.problems.problem import Number, Problem, Size


class RunningEstimator(BatchEstimator):
    """Estimators whose reference is the last position and their own last gradient."""

    def refreshed(
        self,
        problem: Problem,
        position: PyTree,
        state: ReferenceState,
        due: Bool[Array, ""],
        number: Size = 0,
        *,
        key: RandomKey,
    ) -> tuple[PyTree, ReferenceState, Size]:
        """The gradient, the next state and the cost: a full pass where `due`, else corrected by batch `number`."""

        def refresh(
            state: ReferenceState,
        ) -> tuple[PyTree, batches.Permutation, Size]:
            return (
                problem.gradient(position),
                state.permutation,
                jnp.asarray(problem.size, jnp.int32),
            )

        def correct(
            state: ReferenceState,
        ) -> tuple[PyTree, batches.Permutation, Size]:
            return self.corrected(problem, position, state, number, key=key)

        gradient, permutation, used = lax.cond(due, refresh, correct, state)
        return gradient, ReferenceState(position, gradient, permutation), used


class SARAH(RunningEstimator, Reshuffled):
    """Biased given the past; its errors persist through an epoch.

        step % m == 0:   v = gradient(x)                                        cost n
        otherwise:       v = gradient_I(x) - gradient_I(x_previous) + v         cost 2B

    Kinoshita and Suzuki, NeurIPS 2022, Algorithm SARAH-LD; Nguyen et al., ICML 2017. n + 2B(m - 1) component gradients
    per epoch. On quadratics its stationary variance in excess of full-gradient Langevin is (2m - 1)/3 times that of
    `SVRG`: Xi Var(curvatures) step_size^2 (m-1)(2m-1)/6.

    Args:
        batch_size: B, components per inner step; "auto" for `langevax.sample`.
        period: m, steps per epoch; "auto" for `langevax.sample`.
        replace: draw with replacement; by default the indices of a batch are distinct.
        reshuffle: take the batches in blocks of one permutation per pass over the data.

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
        due = step % self.period == 0
        number = batches.batches_before(step, self.period)
        return self.refreshed(problem, position, state, due, number, key=key)


class PAGE(RunningEstimator):
    """`SARAH` whose epochs have a random length; its errors persist through one of them.

        with probability p, and at step 0:   v = gradient(x)                                    cost n
        otherwise:                           v = gradient_I(x) - gradient_I(x_previous) + v     cost 2B

    Li, Bao, Zhang, Richtarik, ICML 2021. With p = B / (n + B) a step costs about 2B on average. The coin belongs to the
    step, not to the chain: it is `uniform(fold_in(key, step)) < p`, the same in each run and for all chains of one, so
    that a full pass is a branch and not taken at every step by all (a condition that differs between chains is a
    selection under `vmap`). Each chain still has the law of PAGE.

    Args:
        batch_size: B, components per step.
        probability: p, in (0, 1]; "auto" takes B / (n + B). 1 is the full gradient.
        replace: draw with replacement; by default the indices of a batch are distinct.
        key: of another schedule of coins; None is `jax.random.key(0)`.

    Example:
        >>> import langevax
        >>> langevax.gradients.PAGE(batch_size=8)
        PAGE(batch_size=8)
    """

    probability: Number | Literal["auto"] = "auto"
    key: RandomKey | None = eqx.field(default=None, kw_only=True)

    def __check_init__(self) -> None:
        batches.check_drawing(self.batch_size, key=self.key)
        checks.fraction("probability", self.probability, auto=True)

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: ReferenceState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, ReferenceState, Size]:
        due = (step == 0) | self.coin(problem, step)
        return self.refreshed(problem, position, state, due, key=key)

    def coin(self, problem: Problem, step: Step) -> Bool[Array, ""]:
        """True where `step` takes a full gradient, step 0 aside."""
        size = jnp.asarray(problem.size, jnp.float32)
        chosen = self.batch_size / (size + self.batch_size)
        probability = chosen if checks.is_auto(self.probability) else self.probability
        drawn = random.uniform(
            random.fold_in(unrolled(batches.schedule_key(self.key)), step),
            (),
            jnp.float32,
        )
        return drawn < jnp.asarray(probability, jnp.float32)


class STORM(RunningEstimator):
    """Biased given the past, with no full pass and no table; cost B at the first step, 2B at the others.

        v = gradient_I(x) + (1 - a) (v - gradient_I(x_previous)),      at step 0 v = gradient_I(x)

    Cutkosky and Orabona, NeurIPS 2019. a = 1 is `Minibatch`; a = 0 would be `SARAH` that never refreshes. In between,
    errors fade by 1 - a a step, and each step adds a times the noise of a batch, which does not vanish at a minimum.

    Args:
        batch_size: B, components per step.
        momentum: a, the weight of the fresh batch, in (0, 1]; the theory takes a constant times step_size^2.
        replace: draw with replacement; by default the indices of a batch are distinct.

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
        indices, _ = batches.draw(key, problem, self.batch_size, self.replace)
        g = problem.gradient_at(position, indices)

        def first() -> tuple[PyTree, Size]:
            return g, jnp.int32(self.batch_size)

        def correct() -> tuple[PyTree, Size]:
            h = problem.gradient_at(state.position, indices)

            def corrected(g: Array, v: Array, h: Array) -> Array:
                return g + (1 - jnp.asarray(self.momentum, v.dtype)) * (v - h)

            return jax.tree.map(corrected, g, state.gradient, h), jnp.int32(
                2 * self.batch_size
            )

        v, used = lax.cond(step == 0, first, correct)
        return v, ReferenceState(position, v), used
