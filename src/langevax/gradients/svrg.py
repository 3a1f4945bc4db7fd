"""Gradients at an anchor, corrected by batches in between: an anchor that moves, or one that never does.

    v = gradient_I(x) - gradient_I(s) + gradient(s)

Kinoshita and Suzuki, NeurIPS 2022, Algorithm SVRG-LD; Johnson and Zhang, NIPS 2013. On a mean-field risk the anchor is
both parts of the paper's anchor: the old measure, through its outputs, and each particle's own old position (Suzuki,
Wu, Nitanda, NeurIPS 2023). With a fixed anchor: Baker, Fearnhead, Fox, Nemeth, Statistics and Computing 2019; Chewi,
Log-Concave Sampling, 10.1.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from langevax import checks
from langevax._typing import PyTree
from langevax.gradients import batches
from langevax.gradients.estimator import (
    BatchEstimator,
    RandomKey,
    ReferenceState,
    Step,
)
from langevax.problems.problem import Problem, Size
from langevax.renamed import refuse_former


@refuse_former
class SVRG(BatchEstimator):
    """Unbiased, with a variance that vanishes as the chain stays near its anchor.

        step % m == 0:   s = x,  v = gradient(s)                                cost n
        otherwise:       v = gradient_I(x) - gradient_I(s) + gradient(s)        cost 2B

    n + 2B(m - 1) component gradients per epoch. The theorem takes B = m = sqrt(n); in practice a
    small B with m up to 1/(step_size * smallest curvature) is several times cheaper. Stationary
    variance in excess of full-gradient Langevin, to leading order: Xi Var(curvatures) step_size^2 (m-1)/2.

    Args:
        batch_size: B, components per inner step, drawn without replacement; "auto" for `langevax.sample`.
        period: m, steps per epoch; "auto" for `langevax.sample`.

    Example:
        >>> import langevax
        >>> langevax.gradients.SVRG(batch_size=8, period=100)
        SVRG(batch_size=8, period=100)
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
        def refresh(anchor: ReferenceState) -> tuple[PyTree, ReferenceState, Size]:
            gradient = problem.gradient(position)
            used = jnp.asarray(problem.size, jnp.int32)
            return gradient, ReferenceState(position, gradient), used

        def correct(anchor: ReferenceState) -> tuple[PyTree, ReferenceState, Size]:
            gradient, used = self.corrected(problem, position, anchor, key=key)
            return gradient, anchor, used

        return lax.cond(step % self.period == 0, refresh, correct, state)


@refuse_former
class ControlVariate(BatchEstimator):
    """`SVRG` whose anchor never moves; unbiased, with a variance that grows with the distance from it.

        v = gradient_I(x) - gradient_I(center) + gradient(center)               cost n once, then 2B a step

    At the mode of a posterior that is nearly Gaussian, and for n large, it is as good as `SVRG` and never takes a
    full pass again; far from the center it is worse than `Minibatch`.

    Args:
        batch_size: B, components per step, drawn without replacement; "auto" for `langevax.sample`.
        center: a position, best the mode; "auto" takes where each chain starts, and in `langevax.sample` the mode.

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

    def __check_init__(self) -> None:
        if not checks.is_auto(self.center):
            checks.finite(
                "center", self.center, remedy="pass a finite position, such as the mode"
            )

    def init(self, problem: Problem, position: PyTree) -> tuple[ReferenceState, Size]:
        self.check_batches(problem)
        center = position if checks.is_auto(self.center) else self.center
        checks.same_structure("center", center, position)
        return ReferenceState(center, problem.gradient(center)), problem.size

    def estimate(
        self,
        problem: Problem,
        position: PyTree,
        state: ReferenceState,
        key: RandomKey,
        step: Step,
    ) -> tuple[PyTree, ReferenceState, Size]:
        gradient, used = self.corrected(problem, position, state, key=key)
        return gradient, state, used
