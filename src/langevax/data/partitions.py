"""Splits of a labelled table over clients, and the padded stack that a `Federation` takes.

Each split returns one array of row indices per client, every row in exactly one of them:

    parts = by_concentration(labels, num_clients=10, concentration=0.6, key=jax.random.key(0))
    federation = langevax.Federation(loss, *stack((inputs, labels), parts))

Label skew changes both the gradients and the Hessians of clients.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from langevax import checks, renamed
from langevax._typing import PRNGKey, PyTree

Parts = list[np.ndarray]


def evenly(num_rows: int, num_clients: int, *, key: PRNGKey) -> Parts:
    """Split `num_rows` rows at random into parts of `num_clients` clients, whose sizes differ by at most one.

    Returns:
        A sorted array of row indices for each client, as from the other splits of this module.
    """
    checks.positive_int("num_clients", num_clients)
    checks.positive_int("num_rows", num_rows, minimum=num_clients)
    return _sorted(np.array_split(_generator(key).permutation(num_rows), num_clients))


def by_concentration(
    labels: Any,
    num_clients: int,
    concentration: float,
    *,
    key: PRNGKey,
) -> Parts:
    """Give a fraction `concentration` of each class to one client, the rest evenly to the others (Murata, Suzuki 2021).

    Class c belongs to client c modulo `num_clients`; with more clients than classes it belongs to every client i with
    i = c modulo the number of classes, which share the fraction evenly. With ten classes and at least ten clients 0.1
    is an even split.

    Args:
        labels: (n,) classes of the rows.
        num_clients: number of parts.
        concentration: from 0 to 1, which gives whole classes to clients.
        key: of the random assignment.

    Raises:
        ValueError: a concentration outside 0..1, or a client without rows.

    Example:
        >>> import jax, numpy as np
        >>> from langevax.data import partitions
        >>> labels = np.repeat([0, 1], 10)
        >>> parts = partitions.by_concentration(labels, num_clients=2, concentration=0.8, key=jax.random.key(0))
        >>> [np.bincount(labels[part]).tolist() for part in parts]
        [[8, 2], [2, 8]]
    """
    labels = _checked(labels, num_clients)
    rng = _generator(key)
    checks.number("concentration", concentration)
    if not 0 <= concentration <= 1:
        raise ValueError(
            f"concentration must lie in 0..1, got {concentration}; 1 gives whole "
            "classes to clients."
        )
    classes = np.unique(labels)
    clients = np.arange(num_clients)
    parts: list[list[np.ndarray]] = [[] for _ in clients]
    for c, label in enumerate(classes):
        rows = rng.permutation(np.flatnonzero(labels == label))
        owns = (
            clients % len(classes) == c
            if num_clients >= len(classes)
            else clients == c % num_clients
        )
        others = np.flatnonzero(~owns)
        cut = round(concentration * len(rows)) if len(others) else len(rows)
        for members, share in (
            (np.flatnonzero(owns), rows[:cut]),
            (rng.permutation(others), rows[cut:]),
        ):
            for client, piece in zip(
                members, np.array_split(share, max(len(members), 1)), strict=False
            ):
                parts[client].append(piece)
    return _filled(parts, "concentration", concentration)


def dirichlet(
    labels: Any,
    num_clients: int,
    alpha: float,
    *,
    key: PRNGKey,
    min_rows: int = 1,
) -> Parts:
    """Split each class in proportions drawn from Dirichlet(alpha, ..., alpha): the smaller alpha, the more skewed.

    Redrawn until every client has `min_rows` (Hsu, Qi, Brown 2019; Li et al., ICDE 2022). `labels`, `num_clients` and
    `key` are those of `by_concentration`.

    Raises:
        ValueError: alpha <= 0; a thousand draws without one that gives each client `min_rows`.
    """
    labels = _checked(labels, num_clients)
    rng = _generator(key)
    checks.number("alpha", alpha, positive=True)
    checks.positive_int("min_rows", min_rows)
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    draws = 1000
    for _ in range(draws):
        parts: list[list[np.ndarray]] = [[] for _ in range(num_clients)]
        for rows in by_class:
            cuts = np.cumsum(rng.dirichlet(np.full(num_clients, alpha)))[:-1] * len(
                rows
            )
            for client, piece in enumerate(
                np.split(rng.permutation(rows), np.round(cuts).astype(int))
            ):
                parts[client].append(piece)
        if min(sum(map(len, part)) for part in parts) >= min_rows:
            return _filled(parts, "alpha", alpha)
    raise ValueError(
        f"alpha is {alpha}: none of {draws} draws gave each of {num_clients} clients "
        f"{min_rows} rows; pass a larger alpha, fewer clients or a smaller min_rows."
    )


def stack(data: PyTree, parts: Sequence[Any]) -> tuple[PyTree, np.ndarray]:
    """Return (data stacked by client, rows of each): shorter clients are padded with copies of their own rows.

    Args:
        data: a pytree of arrays with rows along axis 0.
        parts: the indices of each client's rows, as the splits of this module return them.

    Raises:
        ValueError: an empty client, indices beyond the rows, leaves of data that disagree in length.
    """
    data = jax.tree.map_with_path(
        lambda path, leaf: checks.plain_array(
            f"data{jax.tree_util.keystr(path)}", leaf, complete=False
        ),
        data,
    )
    rows = checks.leading_axis("data", data)
    checks.instance("parts", parts, (list, tuple), "partitions.evenly(100, 4, key=key)")
    for i, part in enumerate(parts):
        if checks.plain_array(f"parts[{i}]", part, complete=False).ndim != 1:
            raise ValueError(
                f"parts[{i}] must be a vector of row numbers, got {checks.shown(part)}."
            )
    counts = np.array([len(part) for part in parts])
    if not len(counts) or counts.min() == 0:
        empty = int(np.argmin(counts)) if len(counts) else "any"
        raise ValueError(f"parts[{empty}] has no rows; leave empty clients out.")
    index = np.stack(
        [np.asarray(part)[np.arange(counts.max()) % len(part)] for part in parts]
    )
    if index.min() < 0 or index.max() >= rows:
        raise ValueError(
            f"parts must hold row indices in 0..{rows - 1}, got "
            f"{index.min()}..{index.max()}."
        )
    return jax.tree.map(lambda a: a[index], data), counts


def _generator(key: PRNGKey) -> np.random.Generator:
    """NumPy's generator for a key; `numpy.random.default_rng(n)` for `jax.random.key(n)`."""
    checks.typed_key(key)
    words = np.asarray(jax.random.key_data(key)).astype(">u4")
    return np.random.default_rng(int.from_bytes(words.tobytes()))


def _checked(labels: Any, num_clients: int) -> np.ndarray:
    checks.positive_int("num_clients", num_clients)
    words = np.asarray(labels, object)
    if words.ndim and words.size and all(isinstance(word, str) for word in words.flat):
        labels = words.astype(str)
    else:
        labels = checks.plain_array("labels", labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must be one per row, got shape {labels.shape}.")
    if num_clients > len(labels):
        raise ValueError(
            f"num_clients is {num_clients} but there are {len(labels)} rows; pass "
            "fewer clients."
        )
    return labels


def _filled(parts: list[list[np.ndarray]], name: str, value: Any) -> Parts:
    joined = [np.concatenate(part) if part else np.empty(0, int) for part in parts]
    empty = [i for i, part in enumerate(joined) if not len(part)]
    if empty:
        raise ValueError(
            f"{name} is {value}, which leaves client {empty[0]} without rows; pass "
            "fewer clients."
        )
    return _sorted(joined)


def _sorted(parts: Sequence[np.ndarray]) -> Parts:
    return [np.sort(part) for part in parts]


__all__ = ["by_concentration", "dirichlet", "evenly", "stack"]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of(__name__)
