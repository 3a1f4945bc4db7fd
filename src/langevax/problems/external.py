"""A sum over rows whose gradient is a user's function on NumPy arrays, or on what can be made of them.

    value(x) = mean over rows of a loss,      gradient(position, rows) = its gradient over these rows

Rows are passed in blocks of `block_size`, which bounds the memory of what a function computes for each row.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from langevax import checks, trees
from langevax._typing import FloatScalar, PyTree
from langevax.problems import blocks, host
from langevax.problems.finite_sum import PASS_ROWS, FiniteSum

Function = Callable[[PyTree, PyTree], Any]

_one_at_a_time = (
    threading.RLock()
)  # few libraries expect calls of one model from several threads


class ExternalSum(FiniteSum):
    """The finite sum whose gradient is `gradient(position, rows)`, a function on NumPy arrays.

    It serves as a client of every federated method, and as the problem of every method that needs gradients (and
    values, if `value` is passed). The functions are called from compiled programs, one call at a time, for each block
    of rows, of each client or chain that runs side by side.

    Args:
        gradient: `gradient(position, rows) -> pytree like position`: a mean over these rows, never a sum. Position and
            rows are pytrees of NumPy arrays, rows a batch of those of `data`; the function may keep or overwrite them.
            It must depend on nothing else (no dropout, no state) and not call JAX: for JAX losses use `FiniteSum`.
            Float64 results are rounded to the position's dtype; numbers that are not finite are passed on. Weight decay
            belongs here. Each new function object compiles a new program: define it once.
        data: a pytree of arrays with one row per component along axis 0. The function sees rows as JAX keeps them:
            float64 as float32, int64 as int32 (larger integers are an error), unless `jax_enable_x64` is set.
        value: `value(position, rows) -> float`, the mean with this gradient; None if no method needs values.
        precision: the quadratic part, as in `FiniteSum`.
        count: rows in use; the others are never passed to the functions.
        block_size: maximal number of rows in one call.

    Raises:
        TypeError: functions that are not callable.
        ValueError: bad data, count or precision, as in `FiniteSum`; a value without `value`; a result of another
            structure, shape or dtype than the position, which a compiled program raises as a
            `jax.errors.JaxRuntimeError` that ends with the message.

    Example:
        >>> import jax, numpy as np, langevax
        >>> def gradient(w, rows):
        ...     X, y = rows
        ...     return X.T @ (X @ w - y) / len(y)
        >>> X, y = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([1.0, 2.0])
        >>> problem = langevax.ExternalSum(gradient, (X, y))
        >>> problem.gradient(np.zeros(2, np.float32))
        Array([-0.5, -2. ], dtype=float32)
        >>> descent = langevax.Langevin(step_size=0.5, temperature=0.0)
        >>> langevax.simulate(descent, problem, np.zeros(2), key=jax.random.key(0), num_steps=100).position.round(3)
        Array([1., 1.], dtype=float32)
    """

    gradient_function: Function
    value_function: Function | None

    def __init__(
        self,
        gradient: Function,
        data: PyTree,
        value: Function | None = None,
        precision: PyTree = 0.0,
        count: Any = None,
        block_size: int = PASS_ROWS,
    ):
        checks.function("gradient", gradient, "(position, rows) -> position")
        checks.function("value", value, "(position, rows) -> float", optional=True)
        super().__init__(
            _no_loss, data, precision=precision, count=count, block_size=block_size
        )
        self.gradient_function = gradient
        self.value_function = value

    def over(self, rows: PyTree, count: Any = None) -> "ExternalSum":
        functions = self.gradient_function, rows, self.value_function
        return ExternalSum(*functions, self.precision, count, self.block_size)

    def value(self, position: PyTree) -> FloatScalar:
        if self.value_function is None:
            raise ValueError(
                "this ExternalSum has gradients only; pass value=function(position, "
                "rows) -> mean loss, a float, to ask for values."
            )
        mean = partial(_mean_value, self.value_function, self.block_size)
        return host.call(
            mean,
            jax.ShapeDtypeStruct((), trees.dtype_of(position)),
            position,
            self.data,
            self._used(),
        )

    def gradient(self, position: PyTree) -> PyTree:
        return self._gradient(position, self.data, self._used())

    def value_and_gradient(self, position: PyTree) -> tuple[FloatScalar, PyTree]:
        return self.value(position), self.gradient(position)

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        return self._gradient(
            position, blocks.take(self.data, indices), np.int32(len(indices))
        )

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        per_row = partial(_gradients, self.gradient_function, len(indices))
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((len(indices), *x.shape), x.dtype), position
        )
        return host.call(per_row, like, position, blocks.take(self.data, indices))

    def _gradient(
        self,
        position: PyTree,
        rows: PyTree,
        count: Any,
    ) -> PyTree:
        return host.call(
            partial(_mean_gradient, self.gradient_function, self.block_size),
            position,
            position,
            rows,
            count,
        )

    def _used(self) -> Any:
        return np.int32(self.max_size) if self.count is None else self.count


def _no_loss(position: PyTree, example: PyTree) -> Any:
    raise TypeError("an ExternalSum has no loss in JAX; use its value and gradient.")


def _mean_gradient(
    function: Function,
    block_size: int,
    position: PyTree,
    rows: PyTree,
    count: np.ndarray,
) -> PyTree:
    total = None
    for share, block in _shares(rows, int(count), block_size):
        part = jax.tree.map(
            lambda g, share=share: g * share, _gradient(function, position, block)
        )
        total = part if total is None else jax.tree.map(np.add, total, part)
    return total


def _mean_value(
    function: Function,
    block_size: int,
    position: PyTree,
    rows: PyTree,
    count: np.ndarray,
) -> float:
    return sum(
        s * _value(function, position, block)
        for s, block in _shares(rows, int(count), block_size)
    )


def _gradients(
    function: Function,
    size: int,
    position: PyTree,
    rows: PyTree,
) -> PyTree:
    gradients = [
        _gradient(function, position, _cut(rows, i, i + 1)) for i in range(size)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *gradients)


def _shares(
    rows: PyTree, count: int, block_size: int
) -> Iterator[tuple[float, PyTree]]:
    """(share of the rows, block) of the first `count` rows in blocks."""
    length = -(-count // -(-count // block_size))  # as even as possible
    for start in range(0, count, length):
        stop = min(start + length, count)
        yield (stop - start) / count, _cut(rows, start, stop)


def _cut(rows: PyTree, start: int, stop: int) -> PyTree:
    return jax.tree.map(lambda a: a[start:stop], rows)


def _gradient(function: Function, position: PyTree, rows: PyTree) -> PyTree:
    """The user's gradient, checked: the mean over the rows, in the position's structure and shapes."""
    result = _call(function, position, rows)
    checks.same_structure("gradient", result, position)
    return jax.tree.map_with_path(_floating, result, position)


def _floating(path: Any, leaf: Any, like: np.ndarray) -> np.ndarray:
    leaf = np.asarray(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        raise ValueError(
            f"gradient{jax.tree_util.keystr(path)} was returned with dtype "
            f"{leaf.dtype}; return floating numbers ({like.dtype})."
        )
    return leaf


def _value(function: Function, position: PyTree, rows: PyTree) -> float:
    result = np.asarray(_call(function, position, rows))
    if result.shape != () or not jnp.issubdtype(result.dtype, jnp.floating):
        raise ValueError(
            f"value returned {result.dtype} of shape {result.shape}; return one "
            "floating number, the mean over the rows."
        )
    return float(result)


def _call(function: Function, position: PyTree, rows: PyTree) -> Any:
    """Call with copies, since the function may keep or overwrite its arguments."""
    own_position, own_rows = jax.tree.map(np.array, (position, rows))
    with _one_at_a_time:
        return function(own_position, own_rows)
