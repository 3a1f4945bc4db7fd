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
from langevax.problems.problem import Indices, Problem, Scalar, Size

Displacement = list[Array]


class TemperedLoss(Problem):
    """`problem` around `params`, of which the arrays `selected` move; a position is the list of their displacements."""

    problem: Problem
    params: PyTree[Array]
    precision: FloatScalar | float
    """T gamma; an array, so that a sweep over it compiles once."""
    selected: tuple[int, ...] = eqx.field(static=True)
    difference: ClassVar[float] = 5e-3
    """Length of a central difference of host gradients, as a share of the parameters: the cube root of rounding."""

    @property
    def size(self) -> Size:
        return self.problem.size

    @property
    def max_size(self) -> int:
        return self.problem.max_size

    def start(self) -> Displacement:
        """Return no displacement."""
        return [jnp.zeros_like(leaf) for leaf in self.moving()]

    def moving(self) -> list[Array]:
        """Return the arrays that move, at `params`."""
        leaves = jax.tree.leaves(self.params)
        return [leaves[i] for i in self.selected]

    def displaced(self, position: Displacement) -> PyTree:
        """Return the parameters at a displacement."""
        leaves, structure = jax.tree.flatten(self.params)
        for i, move in zip(self.selected, position, strict=True):
            leaves[i] = leaves[i] + move
        return jax.tree.unflatten(structure, leaves)

    def whole(self, position: Displacement) -> PyTree:
        """Return the parameters at a displacement as the loss takes them, including leaves that are not arrays."""
        loss = getattr(self.problem, "loss", None)
        moved = self.displaced(position)
        return (
            eqx.combine(moved, loss.constant)
            if isinstance(loss, CompletedLoss)
            else moved
        )

    def num_observed(self, observe: Callable[[PyTree], Array] | None) -> int:
        """Return the number of observed values; raise unless `observe` returns an array of floats."""
        if observe is None:
            return 0
        checks.function("observe", observe, "(params) -> array")
        seen = jax.eval_shape(
            lambda position: observe(self.whole(position)), self.start()
        )
        is_array = isinstance(seen, jax.ShapeDtypeStruct)
        if not is_array or not jnp.issubdtype(seen.dtype, jnp.floating):
            raise TypeError(
                f"observe must return an array of floats, got {checks.shown(seen)}; stack numbers into one array."
            )
        return int(np.prod(seen.shape))

    def value(self, position: Displacement) -> Scalar:
        return self.problem.value(self.displaced(position))

    def gradient(self, position: Displacement) -> Displacement:
        exact = lambda x: self._moving_part(self.problem.gradient(self.displaced(x)))
        return self._with_differences(exact)(position)

    def value_and_gradient(self, position: Displacement) -> tuple[Scalar, Displacement]:
        value, gradient = self.problem.value_and_gradient(self.displaced(position))
        return value, self._moving_part(gradient)

    def gradient_at(self, position: Displacement, indices: Indices) -> Displacement:
        return self._moving_part(
            self.problem.gradient_at(self.displaced(position), indices)
        )

    def gradients_at(self, position: Displacement, indices: Indices) -> Displacement:
        return self._moving_part(
            self.problem.gradients_at(self.displaced(position), indices)
        )

    def _moving_part(self, gradient: PyTree) -> Displacement:
        leaves = jax.tree.leaves(gradient)
        return [leaves[i] for i in self.selected]

    def _with_differences(
        self, gradient: Callable[[Displacement], Displacement]
    ) -> Callable[[Any], Any]:
        """Differentiate a gradient that is computed on the host by central differences."""
        if not isinstance(self.problem, ExternalSum):
            return gradient
        length = self.difference * jnp.sqrt(
            1 + sum(jnp.sum(w * w) for w in self.moving())
        )
        with_rule = jax.custom_jvp(gradient)

        @with_rule.defjvp
        def differences(primals: Any, tangents: Any) -> Any:
            (x,) = primals
            (u,) = tangents
            share = length / jnp.sqrt(
                jnp.maximum(trees.dot(u, u), jnp.finfo(length.dtype).tiny)
            )
            ahead, behind = (
                gradient([a + sign * share * b for a, b in zip(x, u, strict=True)])
                for sign in (1, -1)
            )
            return gradient(x), [
                (a - b) / (2 * share) for a, b in zip(ahead, behind, strict=True)
            ]

        return with_rule


class CompletedLoss(eqx.Module):
    """A loss of whole parameters, as one of their floating arrays: the rest is constant."""

    loss: Callable[[PyTree, PyTree], Scalar]
    constant: PyTree

    def __call__(self, arrays: PyTree, example: PyTree) -> Scalar:
        return self.loss(eqx.combine(arrays, self.constant), example)


class Observation(eqx.Module):
    """The record of a chain, which costs a pass: the mean loss, half the squared displacement, variables of mean zero
    under the law, and what is observed.

    For a vector field V, E <V, grad potential> / T = E div V (integration by parts). V is the displacement of one
    array, that array itself (both of divergence d_A), or the displacement in one group of the sampled coordinates,
    which `groups` numbers by the share of the localization in their curvature; few coordinates are a group each.
    """

    temperature: FloatScalar
    """An array, so that a sweep over it compiles once."""
    groups: Int[Array, " d"]
    observe: Callable[[PyTree], Array] | None = None
    """Of the parameters, an array."""
    borders: ClassVar[tuple[float, ...]] = (0.01, 0.1, 0.5, 0.9)
    """Between groups, by the share of the localization in their curvature at the mode."""

    @classmethod
    def of(
        cls,
        temperature: FloatScalar,
        shares: Float[np.ndarray, " d"],
        observe: Callable[[PyTree], Array] | None = None,
    ) -> "Observation":
        few = len(shares) <= len(cls.borders) + 1
        groups = np.arange(len(shares)) if few else np.digitize(shares, cls.borders)
        return cls(temperature, jnp.asarray(groups, jnp.int32), observe)

    def __call__(self, problem: Problem, state: Any) -> Float[Array, " k"]:
        position = state.position
        law = problem
        layers = []
        while isinstance(law, Reparametrised):
            position = law.to_position(position)
            layers.append(law)
            law = law.problem
        if not isinstance(law, TemperedLoss):
            raise TypeError("this record is for runs on a TemperedLoss.")
        value, gradient = law.value_and_gradient(position)
        precision, temperature = (
            jnp.asarray(a, value.dtype) for a in (law.precision, self.temperature)
        )
        slopes = [
            (slope + precision * move) / temperature
            for move, slope in zip(position, gradient, strict=True)
        ]
        controls = []
        for move, slope, centre in zip(position, slopes, law.moving(), strict=True):
            size = jnp.asarray(move.size, value.dtype)
            controls += [
                jnp.sum(move * slope) - size,
                jnp.sum((centre + move) * slope) - size,
            ]
        pulled: PyTree = slopes
        for layer in reversed(layers):
            pulled = layer.pull_back(pulled)
        own = state.position * pulled - 1
        grouped = jnp.zeros(len(self.borders) + 1, value.dtype).at[self.groups].add(own)
        half_square = trees.dot(position, position) / 2
        parts = [jnp.stack([value, half_square]), grouped, jnp.stack(controls)]
        if self.observe is not None:
            parts.append(
                jnp.ravel(self.observe(law.whole(position))).astype(value.dtype)
            )
        return jnp.concatenate(parts)


def tempered_loss(
    loss: Problem | Callable[[PyTree, PyTree], Scalar],
    params: PyTree,
    data: PyTree,
    select: Callable[[str], bool] | None,
) -> TemperedLoss:
    """Return the law's problem, with precision 0; raise for arguments that define none."""
    arrays, constant = _floating(params)
    if isinstance(loss, Problem):
        if data is not None:
            raise ValueError(
                "data is part of the problem that loss is; leave data out."
            )
        if constant is not None:
            raise TypeError(
                "params holds more than arrays, which a problem takes as they are; pass its arrays alone."
            )
        if any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(loss.precision)):
            raise ValueError(
                "loss is a problem with a precision, but the loss alone is tempered; make it without one."
            )
        if int(loss.size) < 2:
            raise ValueError(
                "loss is a problem of a single row, but temperatures count rows; pass loss and data."
            )
        problem: Problem = loss
    else:
        checks.function("loss", loss, "(params, example) -> scalar")
        if data is None:
            raise TypeError(
                "data must be a pytree of arrays, got None; pass the rows that loss takes one of."
            )
        problem = FiniteSum(
            loss if constant is None else CompletedLoss(loss, constant), data
        )
        if int(problem.size) < 2:
            raise ValueError(
                "data has 1 row, and the temperature log(n)/n would be 0; pass at least two rows."
            )
        _check_reproducible(problem, arrays)
    selected = tuple(range(len(jax.tree.leaves(arrays))))
    if select is not None:
        checks.function("select", select, "(path) -> bool")
        paths = [
            jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(arrays)
        ]
        selected = tuple(i for i, path in enumerate(paths) if select(path))
        if not selected:
            known = ", ".join(map(repr, paths))
            raise ValueError(
                f"select chose none of the arrays of params; their paths are {known}."
            )
    return TemperedLoss(
        problem=problem, params=arrays, precision=0.0, selected=selected
    )


def _check_reproducible(problem: FiniteSum, arrays: PyTree) -> None:
    """Raise where the loss draws random numbers whenever it is compiled, such as a mask of dropout from NumPy."""
    like = lambda tree, axes: jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape[axes:], a.dtype), tree
    )
    if not tracing.is_reproducible(
        problem.loss, like(arrays, 0), like(problem.data, 1)
    ):
        raise ValueError(
            "loss is not deterministic: two calls compute with different constants; switch dropout and the like off, "
            "or make their random numbers a part of data."
        )


def _floating(params: PyTree) -> tuple[PyTree, PyTree | None]:
    """Return the arrays of params and the rest, None where there is none."""
    is_number = lambda leaf: (
        hasattr(leaf, "__array__") or eqx.is_array_like(leaf) or isinstance(leaf, str)
    )
    arrays, constant = eqx.partition(params, is_number)
    arrays = checks.arrays("params", arrays)
    checks.position("params", arrays)
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(arrays)}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        raise TypeError(
            f"params must be float32 throughout, got {', '.join(sorted(dtypes))}; convert all arrays."
        )
    return arrays, constant if jax.tree.leaves(constant) else None
