"""The law whose mean loss is a local learning coefficient, as a problem in the displacement from trained parameters.

    potential(delta) = L(w* + delta) + T gamma / 2 |delta|^2,      the law is exp(-potential / T)

with T = 1 / (n beta) the temperature of the mean loss L and gamma the localization: exp(-n beta L(w) - gamma/2 |w -
w*|^2). The displacement is small where the loss is steep, so that float32 resolves it where it would not resolve w.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from langevax import checks, trees
from langevax._typing import FloatScalar, PyTree
from langevax.problems import tracing
from langevax.problems.coordinates import Reparametrised
from langevax.problems.external import ExternalSum
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.problem import Problem, Scalar


class TemperedLoss(Reparametrised):
    """`problem` around `params`; a position is a displacement from them."""

    problem: Problem
    params: PyTree[Array]
    precision: FloatScalar | float
    """T gamma; an array, so that a sweep over it compiles once."""

    def start(self) -> PyTree:
        """Return no displacement."""
        return trees.zeros_like(self.params)

    def to_position(self, z: PyTree) -> PyTree:
        """Return the parameters at a displacement."""
        return trees.add(self.params, z)

    def from_position(self, position: PyTree) -> PyTree:
        """Return the displacement of parameters."""
        return trees.subtract(position, self.params)

    def pull_back(self, gradient: PyTree) -> PyTree:
        """Return the gradient itself."""
        return gradient


class Observation(eqx.Module):
    """The record of a chain, which costs a pass: the mean loss, half the squared displacement, and variables of mean zero
    under the law.

    For a vector field V, E <V, grad potential> / T = E div V (integration by parts). V is the displacement of one
    array, that array itself (both of divergence d_A), or the displacement in one group of the sampled coordinates,
    which `groups` numbers by the share of the localization in their curvature; few coordinates are a group each.
    """

    temperature: FloatScalar
    """An array, so that a sweep over it compiles once."""
    groups: Int[Array, " d"]
    borders: ClassVar[tuple[float, ...]] = (0.01, 0.1, 0.5, 0.9)
    """Between groups, by the share of the localization in their curvature at the mode."""

    @classmethod
    def of(
        cls,
        temperature: FloatScalar,
        shares: Float[np.ndarray, " d"],
    ) -> "Observation":
        few = len(shares) <= len(cls.borders) + 1
        groups = np.arange(len(shares)) if few else np.digitize(shares, cls.borders)
        return cls(temperature, jnp.asarray(groups, jnp.int32))

    def __call__(self, problem: Problem, state: Any) -> Float[Array, " k"]:
        position = state.position
        law: Any = problem
        layers = []
        while not isinstance(law, TemperedLoss):
            position = law.to_position(position)
            layers.append(law)
            law = law.problem
        value, gradient = law.value_and_gradient(position)
        precision, temperature = (
            jnp.asarray(a, value.dtype) for a in (law.precision, self.temperature)
        )
        slopes = jax.tree.map(
            lambda move, slope: (slope + precision * move) / temperature,
            position,
            gradient,
        )
        controls = []
        for move, slope, centre in zip(
            *map(jax.tree.leaves, (position, slopes, law.params)), strict=True
        ):
            size = jnp.asarray(move.size, value.dtype)
            controls += [
                jnp.sum(move * slope) - size,
                jnp.sum((centre + move) * slope) - size,
            ]
        pulled: PyTree = slopes
        for layer in reversed(layers):
            pulled = layer.pull_back(pulled)
        own = state.position * pulled - 1
        grouped = jnp.zeros(len(self.borders) + 1, value.dtype)
        grouped = grouped.at[self.groups].add(own)
        half_square = trees.dot(position, position) / 2
        first = jnp.stack([value, half_square])
        return jnp.concatenate([first, grouped, jnp.stack(controls)])


def tempered_loss(
    loss: Problem | Callable[[PyTree, PyTree], Scalar],
    params: PyTree,
    data: PyTree,
) -> TemperedLoss:
    """Return the law's problem, with precision 0; raise for arguments that define none."""
    arrays = _floating(params)
    if isinstance(loss, Problem):
        if data is not None:
            raise ValueError(
                "data is part of the problem that loss is; leave data out."
            )
        if isinstance(loss, ExternalSum):
            raise TypeError(
                "loss has gradients of the host, whose curvature is not known; write "
                "it in JAX, as a function of one row."
            )
        if any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(loss.precision)):
            raise ValueError(
                "loss is a problem with a precision, but the loss alone is tempered; "
                "make it without one."
            )
        problem: Problem = loss
    else:
        checks.function("loss", loss, "(params, example) -> scalar")
        if data is None:
            raise TypeError(
                "data must be a pytree of arrays, got None; pass the rows that loss "
                "takes one of."
            )
        problem = FiniteSum(loss, data)
        _check_reproducible(problem, arrays)
    if int(problem.size) < 2:
        raise ValueError(
            "data has 1 row, and the temperature log(n)/n would be 0; pass at least "
            "two rows."
        )
    return TemperedLoss(problem=problem, params=arrays, precision=0.0)


def _check_reproducible(problem: FiniteSum, arrays: PyTree) -> None:
    """Raise where the loss draws random numbers whenever it is compiled, such as a mask of dropout from NumPy."""
    like = lambda tree, axes: jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape[axes:], a.dtype), tree
    )
    if not tracing.is_reproducible(
        problem.loss, like(arrays, 0), like(problem.data, 1)
    ):
        raise ValueError(
            "loss is not deterministic: two calls compute with different constants; "
            "switch dropout and the like off, or make their random numbers a part of "
            "data."
        )


def _floating(params: PyTree) -> PyTree[Array]:
    """Return the arrays of params."""
    arrays = checks.arrays("params", params)
    checks.position("params", arrays)
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(arrays)}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        raise TypeError(
            f"params must be float32 throughout, got {', '.join(sorted(dtypes))}; "
            "convert all arrays."
        )
    return arrays
