"""The two phases of two-phase noisy gradient descent, each a problem and an algorithm for `simulate`.

Akiyama and Suzuki, ICLR 2023, Algorithm 1. Phase I explores, on theta = (outer, inner):

    theta <- theta - h grad [ (1/2n) sum_i (y_i - f(x_i; clip(theta)))^2 + precision/2 |theta|^2 ] + sqrt(2 h T) xi

gradient Langevin dynamics at temperature T = 1 / beta. Phase II converges, with outer = -1, 0 or 1 fixed:

    inner <- inner - h grad (1/2n) sum_i (y_i - f(x_i))^2

Phase II cannot change a sign, and neither can phase I without noise and with short steps: the slope of clip vanishes at
0, so that an outer weight only decays towards it. The noise settles how many neurons are positive.

Phase II is `Descent`, which gives the numbers of `Langevin` at temperature 0 without drawing noise of weight 0: keys
and normals of six restarts take some 25 us, as much as the gradient over 2,000 rows.
"""

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey, PyTree
from langevax.algorithm import Algorithm, Info
from langevax.integrators import Explicit
from langevax.problems.problem import Problem
from langevax.renamed import refuse_former
from langevax.samplers import Langevin
from langevax.teacher_student.errors import (
    ROWS_PER_BLOCK,
    CentredErrors,
    NetworkErrors,
    PhaseLoss,
    SquaredErrors,
)
from langevax.teacher_student.networks import ReLUNetwork, clipped, signed


class DescentState(NamedTuple):
    position: PyTree


class Descent(Algorithm):
    """Gradient descent: position <- position - step_size (gradient + precision position). Cost of a step: one gradient.

    Raises:
        ValueError: step_size <= 0 or not finite.

    Example:
        >>> import jax, langevax
        >>> problem = langevax.FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.ones((10, 2)))
        >>> run = langevax.simulate(Descent(0.5), problem, jnp.zeros(2), key=jax.random.key(0), num_steps=3)
        >>> run.position, run.evaluations
        (Array([0.875, 0.875], dtype=float32), 30)
    """

    step_size: float | FloatScalar

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True)

    def init(
        self,
        problem: Problem,
        position: PyTree,
        key: PRNGKey,
    ) -> tuple[DescentState, Info]:
        return DescentState(position), {"evaluations": 0}

    def step(
        self,
        problem: Problem,
        state: DescentState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[DescentState, Info]:
        def move(precision: ArrayLike, x: Array, v: Array) -> Array:
            a, b, _ = Explicit().gains(
                jnp.asarray(self.step_size, x.dtype), jnp.asarray(precision, x.dtype)
            )
            return a * x - b * v

        position = trees.map_prefix(
            move, problem.precision, state.position, problem.gradient(state.position)
        )
        return DescentState(position), {"evaluations": problem.size}


class ClippedError(eqx.Module):
    """Phase I's loss of a row is `1/2 (f(x; clip(theta)) - y)^2`."""

    bound: float | Array

    def effective(self, position: ReLUNetwork) -> ReLUNetwork:
        """The network whose errors count."""
        return clipped(position, self.bound)

    def network(self, position: ReLUNetwork) -> ReLUNetwork:
        """Return the network of these parameters, with outer weights -1, 0 or 1: the switch to phase II."""
        return signed(clipped(position, self.bound))


class SignedError(eqx.Module):
    """Phase II's loss of a row is `1/2 (f(x) - y)^2`, whose gradient leaves the outer weights alone."""

    def effective(self, position: ReLUNetwork) -> ReLUNetwork:
        """The position, for which outer weights are constants."""
        return ReLUNetwork(jax.lax.stop_gradient(position.outer), position.inner)

    def network(self, position: ReLUNetwork) -> ReLUNetwork:
        return position


class Cooling(eqx.Module):
    """`T(step) = hot factor^(-step / num_steps)`; the numbers are traced, so that others do not compile again."""

    hot: float | Array
    factor: float | Array
    num_steps: float | Array = eqx.field(
        converter=lambda n: float(n) if isinstance(n, int) else n
    )

    def __call__(self, step: int | Array) -> FloatScalar:
        hot = jnp.asarray(self.hot)
        share = jnp.asarray(step, hot.dtype) / jnp.asarray(self.num_steps, hot.dtype)
        return hot * jnp.asarray(self.factor, hot.dtype) ** -share


class Phase(eqx.Module):
    """The part of both phases: squared errors of a loss, with a penalty as the quadratic part."""

    @property
    @abstractmethod
    def loss(self) -> PhaseLoss:
        """Of one row."""

    @property
    @abstractmethod
    def penalty(self) -> PyTree:
        """Precision of the quadratic part."""

    def problem(
        self,
        inputs: Float[Any, "n d"],
        targets: Float[Any, " n"],
        weights: Float[Any, " n"] | None = None,
        intercept: bool = False,
        block_size: int = ROWS_PER_BLOCK,
    ) -> NetworkErrors:
        """Return the problem of this phase, whose position is a `ReLUNetwork`: theta, or in phase II the network."""
        problem: Any = CentredErrors if intercept else SquaredErrors
        data = inputs, targets
        return problem(self.loss, data, weights, self.penalty, block_size)


@refuse_former
class Explore(Phase):
    """Phase I: noisy gradient descent on clipped parameters.

    The defaults suit inputs of unit length and targets of order one. The theorem asks for a fixed temperature, of
    which log-Sobolev constants are exponential in m / temperature; the paper's own run is `Explore(0.01, 0.01,
    annealing=1.0, precision=0.02, num_steps=1000)` from N(0, I), followed by `Converge(0.01, 2000)`.

    Args:
        step_size: h, in units of theta^2 / loss.
        temperature: T = 1 / beta at the start.
        annealing: T falls geometrically to T / annealing; 1 keeps it.
        precision: twice the weight of |theta|^2.
        bound: R of clip, above the largest |outer| |inner| entry that is expected.
        num_steps: after which phase II begins; 0 skips phase I.
        plateau: switch sooner, once the losses of all restarts have stopped falling. Needs annealing=1.
    """

    step_size: float = 0.2
    temperature: float = 5e-4
    annealing: float = 50.0
    precision: float = 4e-4
    bound: float = 5.0
    num_steps: int = 3000
    plateau: bool = False

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True)
        checks.number("temperature", self.temperature)
        checks.number("annealing", self.annealing, positive=True)
        checks.number("precision", self.precision)
        checks.number("bound", self.bound, positive=True)
        checks.positive_int("num_steps", self.num_steps, minimum=0)
        checks.flag("plateau", self.plateau)
        if self.plateau and self.annealing != 1:
            raise ValueError(
                f"plateau is True but annealing is {self.annealing}: where the "
                "temperature falls, so does the loss; pass annealing=1.0, or switch by "
                "num_steps."
            )

    @property
    def loss(self) -> ClippedError:
        return ClippedError(self.bound)

    @property
    def penalty(self) -> float:
        return self.precision

    def algorithm(self) -> Langevin:
        steps = max(self.num_steps, 1)
        return Langevin(
            self.step_size, Cooling(self.temperature, self.annealing, steps)
        )


@refuse_former
class Converge(Phase):
    """Phase II: gradient descent on the inner weights.

    Args:
        step_size: h; "auto" takes 2 / (m L), with L the largest eigenvalue of X^T X / n, or d / m times 2 on the unit
            sphere. The loss has curvature at most m L, and half of it for inputs of a symmetric law.
        num_steps: of descent.
        precision: twice the weight of |inner|^2, for noisy tables; the paper has none.
        tolerance: stop early, once the second half of the steps so far reduced the best restart's loss by no more than
            this share; 0 makes all steps.
    """

    step_size: float | Literal["auto"] = "auto"
    num_steps: int = 8000
    precision: float = 0.0
    tolerance: float = 0.0

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True, auto=True)
        checks.positive_int("num_steps", self.num_steps, minimum=0)
        checks.number("precision", self.precision)
        checks.number("tolerance", self.tolerance)

    @property
    def loss(self) -> SignedError:
        return SignedError()

    @property
    def penalty(self) -> ReLUNetwork:
        return ReLUNetwork(np.zeros(()), np.asarray(float(self.precision)))

    def algorithm(
        self,
        inputs: Float[Any, "n d"],
        num_neurons: int,
        weights: Float[Any, " n"] | None = None,
    ) -> Descent:
        step_size = self.step_size
        if step_size == "auto":
            bound = curvature_bound(inputs, num_neurons, weights)
            step_size = 2 / bound if bound > 0 else 1.0
        return Descent(step_size)


def curvature_bound(
    inputs: Float[Any, "n d"], num_neurons: int, weights: Float[Any, " n"] | None = None
) -> float:
    """Return m L, L the largest eigenvalue of X^T X / n with rows by their weights.

    Example:
        >>> curvature_bound(np.eye(2), 3), curvature_bound(np.eye(2), 3, weights=[3.0, 1.0])
        (1.5, 2.25)
    """
    x = np.asarray(inputs, np.float64)
    shares = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    total = max(shares.sum(), np.finfo(float).tiny)
    moments = x.T @ (x * shares[:, None]) / total
    return num_neurons * float(np.linalg.eigvalsh(moments)[-1])
