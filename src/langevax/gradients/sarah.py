"""Running gradients, corrected at each step by the change on one batch since the last step.

They differ in how errors end: SARAH takes a full pass at the end of each epoch, PAGE takes one at random, and STORM
lets errors fade.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Bool

from langevax import checks, trees
from langevax._typing import PyTree
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator, RandomKey, Step
from langevax.gradients.svrg import two_point_change
from langevax.keys import unrolled
from langevax.problems.problem import Number, Problem, Size


class RunningState(NamedTuple):
    previous: PyTree
    gradient: PyTree
    permutation: batches.Permutation = ()


class SARAH(GradientEstimator):
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
    replace: bool = False
    reshuffle: bool = False

    def __check_init__(self) -> None:
        batches.check_drawing(self.batch_size, self.replace, self.reshuffle)
        checks.positive_int("period", self.period, auto=True)

    def init(self, problem: Problem, position: PyTree) -> tuple[RunningState, Size]:
        self.check_sizes()
        batches.check_batch_size(self.batch_size, problem, self.replace)
        # step 0 takes a full gradient
        return RunningState(
            position,
            trees.zeros_like(position),
            batches.permutation_state(self.reshuffle),
        ), 0

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: RunningState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, RunningState, Size]:
        def refresh(state: RunningState) -> tuple[PyTree, batches.Permutation, Size]:
            return (
                problem.gradient(position),
                state.permutation,
                jnp.asarray(problem.size, jnp.int32),
            )

        def correct(state: RunningState) -> tuple[PyTree, batches.Permutation, Size]:
            number = batches.batches_before(step, self.period)
            indices, permutation = batches.draw(
                key, problem, self.batch_size, self.replace, state.permutation, number
            )
            change = two_point_change(problem, position, state.previous, indices)
            return (
                trees.add(change, state.gradient),
                permutation,
                jnp.int32(2 * self.batch_size),
            )

        gradient, permutation, used = lax.cond(
            step % self.period == 0, refresh, correct, state
        )
        return gradient, RunningState(position, gradient, permutation), used


class PAGE(GradientEstimator):
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

    batch_size: int
    probability: Number | Literal["auto"] = "auto"
    replace: bool = False
    key: RandomKey | None = eqx.field(default=None, kw_only=True)

    def __check_init__(self) -> None:
        batches.check_drawing(self.batch_size, self.replace, key=self.key)
        checks.fraction("probability", self.probability, auto=True)

    def init(self, problem: Problem, position: PyTree) -> tuple[RunningState, Size]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        return RunningState(
            position, trees.zeros_like(position)
        ), 0  # step 0 takes a full gradient

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: RunningState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, RunningState, Size]:
        def refresh() -> tuple[PyTree, Size]:
            return problem.gradient(position), jnp.asarray(problem.size, jnp.int32)

        def correct() -> tuple[PyTree, Size]:
            indices, _ = batches.draw(key, problem, self.batch_size, self.replace)
            change = two_point_change(problem, position, state.previous, indices)
            return trees.add(change, state.gradient), jnp.int32(2 * self.batch_size)

        v, used = lax.cond((step == 0) | self.coin(problem, step), refresh, correct)
        return v, RunningState(position, v), used

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


class STORM(GradientEstimator):
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

    batch_size: int
    momentum: Number
    replace: bool = False

    def __check_init__(self) -> None:
        batches.check_drawing(self.batch_size, self.replace)
        checks.fraction("momentum", self.momentum)

    def init(self, problem: Problem, position: PyTree) -> tuple[RunningState, Size]:
        batches.check_batch_size(self.batch_size, problem, self.replace)
        return RunningState(
            position, trees.zeros_like(position)
        ), 0  # step 0 takes a batch alone

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: RunningState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, RunningState, Size]:
        indices, _ = batches.draw(key, problem, self.batch_size, self.replace)
        g = problem.gradient_at(position, indices)

        def first() -> tuple[PyTree, Size]:
            return g, jnp.int32(self.batch_size)

        def correct() -> tuple[PyTree, Size]:
            h = problem.gradient_at(state.previous, indices)

            def corrected(g: Array, v: Array, h: Array) -> Array:
                return g + (1 - jnp.asarray(self.momentum, v.dtype)) * (v - h)

            return jax.tree.map(corrected, g, state.gradient, h), jnp.int32(
                2 * self.batch_size
            )

        v, used = lax.cond(step == 0, first, correct)
        return v, RunningState(position, v), used
