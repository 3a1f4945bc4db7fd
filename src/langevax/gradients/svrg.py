"""Gradients at an anchor, corrected by batches in between: an anchor that moves, or one that never does.

    v = gradient_I(x) - gradient_I(s) + gradient(s)

Kinoshita and Suzuki, NeurIPS 2022, Algorithm SVRG-LD; Johnson and Zhang, NIPS 2013. On a mean-field risk the anchor is
both parts of the paper's anchor: the old measure, through its outputs, and each particle's own old position (Suzuki,
Wu, Nitanda, NeurIPS 2023). With a fixed anchor: Baker, Fearnhead, Fox, Nemeth, Statistics and Computing 2019; Chewi,
Log-Concave Sampling, 10.1.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from langevax import checks, trees
from langevax._typing import PyTree
from langevax.gradients import batches
from langevax.gradients.estimator import GradientEstimator, RandomKey, Step
from langevax.problems.problem import Indices, Problem, Size


class AnchorState(NamedTuple):
    anchor: PyTree
    anchor_gradient: PyTree
    permutation: batches.Permutation = ()


class SVRG(GradientEstimator):
    """Unbiased, with a variance that vanishes as the chain stays near its anchor.

        step % m == 0:   s = x,  v = gradient(s)                                cost n
        otherwise:       v = gradient_I(x) - gradient_I(s) + gradient(s)        cost 2B

    n + 2B(m - 1) component gradients per epoch. The theorem takes B = m = sqrt(n); in practice a
    small B with m up to 1/(step_size * smallest curvature) is several times cheaper. Stationary
    variance in excess of full-gradient Langevin, to leading order: Xi Var(curvatures) step_size^2 (m-1)/2.

    Args:
        batch_size: B, components per inner step; "auto" for `langevax.sample`.
        period: m, steps per epoch; "auto" for `langevax.sample`.
        replace: draw with replacement; by default the indices of a batch are distinct.
        reshuffle: take the batches in blocks of one permutation per pass over the data.

    Example:
        >>> import langevax
        >>> langevax.gradients.SVRG(batch_size=8, period=100)
        SVRG(batch_size=8, period=100)
    """

    batch_size: batches.Count = "auto"
    period: batches.Count = "auto"
    replace: bool = False
    reshuffle: bool = False

    def __check_init__(self) -> None:
        batches.check_drawing(self.batch_size, self.replace, self.reshuffle)
        checks.positive_int("period", self.period, auto=True)

    def init(self, problem: Problem, position: PyTree) -> tuple[AnchorState, Size]:
        self.check_sizes()
        batches.check_batch_size(self.batch_size, problem, self.replace)
        # step 0 takes the first anchor
        return AnchorState(
            position,
            trees.zeros_like(position),
            batches.permutation_state(self.reshuffle),
        ), 0

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: AnchorState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, AnchorState, Size]:
        def refresh(state: AnchorState) -> tuple[PyTree, AnchorState, Size]:
            gradient = problem.gradient(position)
            return (
                gradient,
                AnchorState(position, gradient, state.permutation),
                jnp.asarray(problem.size, jnp.int32),
            )

        def correct(state: AnchorState) -> tuple[PyTree, AnchorState, Size]:
            number = batches.batches_before(step, self.period)
            indices, permutation = batches.draw(
                key, problem, self.batch_size, self.replace, state.permutation, number
            )
            change = two_point_change(problem, position, state.anchor, indices)
            gradient = trees.add(change, state.anchor_gradient)
            return (
                gradient,
                state._replace(permutation=permutation),
                jnp.int32(2 * self.batch_size),
            )

        return lax.cond(step % self.period == 0, refresh, correct, state)


class ControlVariate(GradientEstimator):
    """`SVRG` whose anchor never moves; unbiased, with a variance that grows with the distance from it.

        v = gradient_I(x) - gradient_I(center) + gradient(center)               cost n once, then 2B a step

    At the mode of a posterior that is nearly Gaussian, and for n large, it is as good as `SVRG` and never takes a
    full pass again; far from the center it is worse than `Minibatch`.

    Args:
        batch_size: B, components per step; "auto" for `langevax.sample`.
        center: a position, best the mode; "auto" takes where each chain starts, and in `langevax.sample` the mode.
        replace: draw with replacement; by default the indices of a batch are distinct.
        reshuffle: take the batches in blocks of one permutation per pass over the data.

    Example:
        >>> import langevax
        >>> langevax.gradients.ControlVariate(batch_size=8)
        ControlVariate(batch_size=8)
    """

    batch_size: batches.Count = "auto"
    center: PyTree = eqx.field(
        default="auto",
        converter=lambda c: c if checks.is_auto(c) else jax.tree.map(jnp.asarray, c),
    )
    replace: bool = False
    reshuffle: bool = False

    def __check_init__(self) -> None:
        batches.check_drawing(self.batch_size, self.replace, self.reshuffle)
        if not checks.is_auto(self.center):
            checks.finite(
                "center", self.center, remedy="pass a finite position, such as the mode"
            )

    def init(self, problem: Problem, position: PyTree) -> tuple[AnchorState, Size]:
        self.check_sizes()
        batches.check_batch_size(self.batch_size, problem, self.replace)
        center = position if checks.is_auto(self.center) else self.center
        checks.same_structure("center", center, position)
        state = AnchorState(
            center, problem.gradient(center), batches.permutation_state(self.reshuffle)
        )
        return state, problem.size

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: AnchorState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, AnchorState, Size]:
        indices, permutation = batches.draw(
            key, problem, self.batch_size, self.replace, state.permutation, step
        )
        change = two_point_change(problem, position, state.anchor, indices)
        return (
            trees.add(change, state.anchor_gradient),
            state._replace(permutation=permutation),
            2 * self.batch_size,
        )


def two_point_change(
    problem: Problem, here: PyTree, there: PyTree, indices: Indices
) -> PyTree:
    """`gradient_I(here) - gradient_I(there)` on one batch."""
    return trees.subtract(
        problem.gradient_at(here, indices), problem.gradient_at(there, indices)
    )
