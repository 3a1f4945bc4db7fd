"""Step sizes that follow the curvature of the risk while a network is trained.

    h_j = relative / (S_j + precision),      S_j >= (1/n) sum_i c_i |dh(theta, x_i) / dtheta_j|^2

with c_i a bound of the second derivative of the loss in row i at the outputs of the cloud, where `coordinate_steps` has
its bound over all outputs: the logistic loss bends by p (1 - p), which is .25 where classes overlap and a hundredth of
that where they are separated. The same `relative`, below 2, is then stable and fast on both. Step sizes are part of
the state, so that they are saved with it and no change compiles a program. Steps that change slowly leave the law of
the particles invariant.
"""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import IntScalar, PRNGKey
from langevax.algorithm import Algorithm, Info
from langevax.meanfield.fictitious_play import FictitiousPlay
from langevax.meanfield.mfld import steps_at
from langevax.meanfield.pda import PDA
from langevax.problems.mean_field import MeanFieldRisk, check_risk
from langevax.samplers import Langevin


class AdaptiveState(NamedTuple):
    """State of the algorithm whose steps are adapted, with the curvatures that they follow."""

    inner: Any
    curvatures: Float[Array, "n *outputs"]
    """Of each row, when it was last measured."""
    step_size: Float[Array, " coordinates"]

    @property
    def position(self) -> Float[Array, "particles size"]:
        return self.inner.position


class CurvatureSteps(Algorithm):
    """Algorithms on a `MeanFieldRisk` whose steps, in units of `relative_step_size`, follow curvatures of its rows."""

    def __check_init__(self: Any) -> None:
        checks.number("relative_step_size", self.relative_step_size, positive=True)

    def check(self, problem: Any) -> None:
        check_risk(problem, type(self).__name__)

    def adapted(
        self: Any,
        risk: MeanFieldRisk,
        state: Any,
        curvatures: Array,
    ) -> AdaptiveState:
        """The state whose steps follow `curvatures`."""
        steps = steps_at(risk, self.relative_step_size, curvatures)
        return AdaptiveState(state, curvatures, steps)


class LossCurvatureSteps(CurvatureSteps):
    """`Langevin` dynamics whose step sizes follow the curvature of the loss.

    Every fifth step measures `Loss.local_curvature` at the outputs of the next `num_rows` rows, in turn.
    Cost: `num_rows` activations a particle each time, at most 3 % of the steps with `num_rows` as `rows_to_measure` has
    it.

    Args:
        inner: its `step_size` is replaced.
        relative_step_size: > 0, in units of the inverse curvature; see `mfld.RELATIVE_STEP_SIZE`.
        num_rows: rows of a measurement.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(9.0), langevax.losses.logistic, X, y, precision=0.1)
        >>> mfld = LossCurvatureSteps(langevax.meanfield.MFLD(1.0, temperature=0.1), 1.5, num_rows=1)
        >>> start = risk.prior(temperature=0.1, num_particles=100)
        >>> result = langevax.simulate(mfld, risk, start, key=jax.random.key(0), num_steps=50)
        >>> bool(jnp.all(result.state.step_size > 0.15))  # 1.5 / (0.25 * 81 + 0.1) = 0.07 by the bound
        True
    """

    every: ClassVar[int] = 5
    """Steps between two measurements."""
    growth: ClassVar[float] = 4.0
    """Factor by which the curvature of a row may fall between its measurements; it may rise by any."""

    inner: Langevin
    relative_step_size: ArrayLike
    num_rows: int

    def __check_init__(self) -> None:
        checks.positive_int("num_rows", self.num_rows)

    def init(
        self,
        problem: Any,
        position: Any,
        key: PRNGKey,
    ) -> tuple[AdaptiveState, Info]:
        state, info = self.inner.init(problem, position, key)
        curvatures = jax.vmap(problem.loss.local_curvature)(
            problem.outputs(position), problem.targets
        )
        return self.adapted(problem, state, curvatures), info

    def step(
        self,
        problem: Any,
        state: AdaptiveState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[AdaptiveState, Info]:
        curvatures, step_size = lax.cond(
            step % self.every == 0,
            lambda: self._measured(problem, state, step // self.every),
            lambda: (state.curvatures, state.step_size),
        )
        inner, info = eqx.tree_at(_step_size, self.inner, step_size).step(
            problem, state.inner, key, step
        )
        return AdaptiveState(inner, curvatures, step_size), info

    def _measured(
        self,
        risk: MeanFieldRisk,
        state: AdaptiveState,
        number: Array,
    ) -> tuple[Array, Array]:
        """Return the curvatures with those of the next rows measured again, and the steps that follow from them."""
        places = number * self.num_rows + jnp.arange(self.num_rows, dtype=jnp.int32)
        rows = places % jnp.asarray(risk.size, jnp.int32)
        outputs = risk.outputs(state.position, risk.inputs[rows])
        measured = jax.vmap(risk.loss.local_curvature)(outputs, risk.targets[rows])
        curvatures = state.curvatures.at[rows].set(
            jnp.maximum(measured, state.curvatures[rows] / self.growth)
        )
        return curvatures, steps_at(risk, self.relative_step_size, curvatures)


class DualCurvatureSteps(CurvatureSteps):
    """`PDA` or `FictitiousPlay` whose inner steps follow the dual vector.

    Inside a round the dual vector g is fixed and neurons do not interact: the potential of each bends by |g_i| h'' in
    row i, where h'' is at most about its slope's square over its bound.

    Args:
        inner: its `step_size` is replaced.
        relative_step_size: > 0, in units of the inverse curvature; see `mfld.RELATIVE_STEP_SIZE`.
    """

    inner: PDA | FictitiousPlay
    relative_step_size: ArrayLike

    def init(
        self,
        problem: Any,
        position: Any,
        key: PRNGKey,
    ) -> tuple[AdaptiveState, Info]:
        state, info = self.inner.init(problem, position, key)
        return self._following(problem, state, problem.dual(position)), info

    def step(
        self,
        problem: Any,
        state: AdaptiveState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[AdaptiveState, Info]:
        inner, info = eqx.tree_at(_step_size, self.inner, state.step_size).step(
            problem, state.inner, key, step
        )
        return self._following(problem, inner, inner.dual), info

    def _following(
        self,
        risk: MeanFieldRisk,
        state: Any,
        dual: Float[Array, "n ..."],
    ) -> AdaptiveState:
        lengths = jnp.sqrt(jnp.sum(dual.reshape(len(dual), -1) ** 2, axis=1))
        curvatures = lengths / jnp.asarray(risk.neuron.bound, lengths.dtype)
        return self.adapted(risk, state, curvatures)


def rows_to_measure(rows_of_a_step: int, share: int = 5) -> int:
    """Return how many rows a measurement may read where a step reads so many: one in `share`.

    A measurement of them all would cost 1.4 times as much as two steps. As it and the steps between measurements are
    odd, a row is measured at odd intervals, and so in both phases of outputs that alternate from step to step.

    >>> rows_to_measure(512)
    103
    """
    return -(-rows_of_a_step // share)


def _step_size(algorithm: Any) -> Any:
    return algorithm.step_size
