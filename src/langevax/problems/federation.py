"""A federation: a weighted mean over clients, each of which is a finite sum over rows of its own.

    value(x) = sum_i w_i f_i(x),      f_i(x) = (1/n_i) sum_j loss(x, row_ij) + regularizer(x),      sum_i w_i = 1

Clients are stacked along axis 0 and padded to a common number of rows, so that any of them run side by side.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from langevax import checks, trees
from langevax._typing import FloatScalar, IntScalar, PyTree
from langevax.problems import blocks, tracing
from langevax.problems.blocks import tree_as_rows
from langevax.problems.finite_sum import PASS_ROWS, FiniteSum
from langevax.problems.problem import Problem


class Clients(NamedTuple):
    """Weights and sizes of all clients, as a server knows them."""

    weights: Float[Array, " clients"]
    """w_i, adding up to 1."""
    rows: Int[Array, " clients"]
    """n_i."""
    equal_weights: bool
    """True if all weights are known to be the same."""

    @classmethod
    def of(
        cls,
        rows: Any,
        weights: Any = "size",
        dtype: Any = jnp.float32,
    ) -> "Clients":
        """Clients with so many rows; `weights` as in `Federation`."""
        counts = np.asarray(rows, np.int64)
        shares = _shares(weights, counts)
        return cls(
            jnp.asarray(shares, dtype),
            jnp.asarray(counts, jnp.int32),
            bool(np.ptp(shares) == 0),
        )

    @property
    def num_clients(self) -> int:
        return self.weights.shape[0]


class Federation(Problem):
    """`value(x) = sum_i w_i f_i(x)` over clients i, where `f_i` is the mean of the loss over client i's rows.

    A component, in the sense of `Problem`, is a client: `gradient_at` takes indices of clients and averages
    P w_i gradient_i, which is unbiased under uniform draws whatever the weights.

    Args:
        loss: `loss(position, example) -> scalar`, where an example is one row of one client.
        data: a pytree of arrays (clients, rows, ...). `Federation.of` and `langevax.data.partitions` stack and pad.
        counts: rows of each client in use; the others are padding (finite, best copies of real rows). None uses all.
        regularizer: `regularizer(position) -> scalar`, counted in full by every client; weight decay belongs here.
        weights: "size" weighs clients by their rows, so that every row counts alike and `value` is the mean over all
            rows; "uniform" gives equal weights, as in the papers; or one positive number per client.
        block_size: rows of one block of a full pass.

    Raises:
        TypeError, ValueError: a loss that is not callable, data without two leading axes or with axes that disagree, an
            empty client, counts beyond the rows, invalid weights, numbers that are not finite.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> loss = lambda x, row: (x - row) ** 2 / 2
        >>> federation = langevax.Federation.of(loss, [jnp.array([1.0]), jnp.array([2.0, 3.0, 4.0])])
        >>> federation.size, federation.client(1).size.item(), federation.gradient(jnp.array(0.0)).item()
        (2, 3, -2.5)
    """

    loss: Callable[[PyTree, PyTree], FloatScalar]
    data: PyTree[Array]
    counts: Int[Array, " clients"]
    regularizer: Callable[[PyTree], FloatScalar] | None
    weights: Float[Array, " clients"]
    precision: PyTree
    block_size: int
    padded: bool = eqx.field(static=True)
    equal_weights: bool = eqx.field(static=True)

    def __init__(
        self,
        loss: Callable[[PyTree, PyTree], Any],
        data: PyTree,
        counts: Any = None,
        regularizer: Callable[[PyTree], Any] | None = None,
        weights: Any = "size",
        block_size: int = PASS_ROWS,
    ):
        checks.function("loss", loss, "(position, example) -> scalar")
        checks.function(
            "regularizer", regularizer, "(position) -> scalar", optional=True
        )
        tracing.forget_old_numbers(loss, regularizer)
        if isinstance(data, list):
            raise TypeError(
                f"data is a list of {len(data)}; pass a list of tables, one for each "
                "client, to Federation.of, and columns of shape (clients, rows, ...) "
                "as a tuple."
            )
        stacked = tree_as_rows("data", data)
        num_clients, max_rows = _two_axes(stacked)
        checks.finite("data", stacked, remedy="drop or impute these rows")
        rows = _checked_counts(counts, num_clients, max_rows)
        clients = Clients.of(rows, weights, blocks.floating_dtype(stacked))
        self.loss = loss
        self.data = stacked
        self.counts = clients.rows
        self.regularizer = regularizer
        self.weights = clients.weights
        self.precision = 0.0
        self.block_size = checks.whole("block_size", block_size)
        self.padded = bool((rows < max_rows).any())
        self.equal_weights = clients.equal_weights

    @classmethod
    def of(
        cls,
        loss: Callable[[PyTree, PyTree], Any],
        clients: Sequence[PyTree],
        **options: Any,
    ) -> "Federation":
        """The federation of a list of clients' data; shorter ones are padded with copies of their own rows.

        Raises:
            ValueError: no clients, an empty one, or clients whose data disagree in structure, shape of a row or dtype.
        """
        if not clients:
            raise ValueError("clients is empty; pass one pytree of rows per client.")
        first = jax.tree.map(np.asarray, clients[0])
        counts = []
        for i, client in enumerate(clients):
            name = f"clients[{i}]"
            if jax.tree.structure(client) != jax.tree.structure(first):
                structures = (
                    f"{jax.tree.structure(client)} but clients[0] "
                    f"{jax.tree.structure(first)}"
                )
                raise ValueError(
                    f"{name} has the structure {structures}; pass the same structure "
                    "for all."
                )
            counts.append(checks.leading_axis(name, jax.tree.map(np.asarray, client)))
            for (path, leaf), like in zip(
                jax.tree.leaves_with_path(client), jax.tree.leaves(first), strict=True
            ):
                leaf = np.asarray(leaf)
                label = f"{name}{jax.tree_util.keystr(path)}"
                if leaf.shape[1:] != like.shape[1:] or leaf.dtype != like.dtype:
                    raise ValueError(
                        f"{label} has rows of shape {leaf.shape[1:]} and dtype "
                        f"{leaf.dtype}, but clients[0] has {like.shape[1:]} and "
                        f"{like.dtype}; give all clients the same columns."
                    )
        longest = max(counts)

        def stack(*leaves: Any) -> np.ndarray:
            return np.stack(
                [np.asarray(a)[np.arange(longest) % len(a)] for a in leaves]
            )

        return cls(loss, jax.tree.map(stack, *clients), np.array(counts), **options)

    @property
    def size(self) -> int:
        return blocks.num_rows(self.data)

    @property
    def max_size(self) -> int:
        return self.size

    @property
    def clients(self) -> Clients:
        """Weights and sizes, as a server knows them."""
        return Clients(self.weights, self.counts, self.equal_weights)

    def client(self, index: Any) -> FiniteSum:
        """The problem of one client, `index` a number or traced."""
        if checks.is_concrete(index) and not 0 <= int(index) < self.size:
            raise ValueError(
                f"index must lie in 0..{self.size - 1}, a client of this federation, "
                f"got {index}."
            )
        rows = jax.tree.map(lambda a: a[index], self.data)
        return self.client_of(rows, self.counts[index])

    def client_of(self, rows: PyTree, count: IntScalar) -> FiniteSum:
        """The problem of a client with these rows, the first `count` of them in use."""
        used = count if self.padded else None
        return FiniteSum(
            self.loss, rows, self.regularizer, count=used, block_size=self.block_size
        )

    def value(self, position: PyTree) -> FloatScalar:
        return self._pooled().value(position)

    def gradient(self, position: PyTree) -> PyTree:
        return self._pooled().gradient(position)

    def value_and_gradient(self, position: PyTree) -> tuple[FloatScalar, PyTree]:
        return self._pooled().value_and_gradient(position)

    def gradient_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        return jax.tree.map(
            lambda g: jnp.mean(g, axis=0), self.gradients_at(position, indices)
        )

    def gradients_at(self, position: PyTree, indices: Int[Array, " batch"]) -> PyTree:
        def one(index: IntScalar) -> PyTree:
            scale = self.size * self.weights[index]
            return jax.tree.map(
                lambda g: scale.astype(g.dtype) * g,
                self.client(index).gradient(position),
            )

        return jax.vmap(one)(indices)

    def _pooled(self) -> FiniteSum:
        """All rows of all clients as one weighted sum, so that full passes go by blocks of rows."""
        rows = trees.without_chains(self.data)
        max_rows = jax.tree.leaves(self.data)[0].shape[1]
        used = jnp.arange(max_rows, dtype=jnp.int32) < self.counts[:, None]
        row_weights = self.weights / self.counts.astype(self.weights.dtype)
        weights = jnp.where(used, row_weights[:, None], 0).reshape(-1)
        return FiniteSum(
            self.loss,
            rows,
            self.regularizer,
            weights=weights,
            block_size=self.block_size,
        )


def _two_axes(data: PyTree) -> tuple[int, int]:
    """(clients, rows) of all leaves; raise where they disagree."""
    num_clients = checks.leading_axis("data", data)
    for path, leaf in jax.tree.leaves_with_path(data):
        if len(leaf.shape) < 2:
            raise ValueError(
                f"data{jax.tree_util.keystr(path)} must be (clients, rows, ...), got "
                f"shape {leaf.shape}; see Federation.of."
            )
    of_one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), data)
    return num_clients, checks.leading_axis("each client's data", of_one)


def _checked_counts(counts: Any, num_clients: int, max_rows: int) -> np.ndarray:
    if counts is None:
        return np.full(num_clients, max_rows, np.int64)
    rows = checks.plain_array("counts", counts)
    if rows.shape != (num_clients,) or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"counts must be {num_clients} integers, one per client, got shape "
            f"{rows.shape} and dtype {rows.dtype}."
        )
    bad = np.flatnonzero((rows < 1) | (rows > max_rows))
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"counts[{i}] is {rows[i]}, but a client must have 1..{max_rows} rows, "
            "those that are stored; leave empty clients out."
        )
    return rows.astype(np.int64)


def _shares(weights: Any, rows: np.ndarray) -> np.ndarray:
    """w_i in float64."""
    if isinstance(weights, str):
        if weights not in ("size", "uniform"):
            raise ValueError(
                "weights must be 'size', 'uniform' or one number per client, got "
                f"{str(weights)!r}."
            )
        shares = rows.astype(np.float64) if weights == "size" else np.ones(len(rows))
    else:
        shares = checks.real_array("weights", weights)
        if shares.shape != rows.shape:
            raise ValueError(
                f"weights must have shape {rows.shape}, one per client, got "
                f"{shares.shape}."
            )
        checks.number("weights", shares, positive=True)
    return shares / shares.sum()
