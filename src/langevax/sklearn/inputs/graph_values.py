"""From users' graphs to nodes, edges, labels and numbers: networkx, and lists of edges."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Label = tuple[str, str]
"""Kind and name: labels of all types in one order."""
AnyGraphs = Iterable[Any]
"""Graphs in the forms that `read_graphs` accepts."""


@dataclass(frozen=True)
class Graph:
    """An undirected graph without loops, each edge once."""

    labels: list[Label]
    """Of the n nodes."""
    edges: np.ndarray
    """(m, 2) int, the smaller end first."""
    edge_labels: list[Label]
    node_numbers: np.ndarray
    """(n, p) features of the nodes."""
    edge_numbers: np.ndarray
    """(m, q) features of the edges."""

    @property
    def size(self) -> int:
        """Number of nodes n."""
        return len(self.labels)

    def laplacian(self) -> np.ndarray:
        """Return (n, n), `I - D^(-1/2) A D^(-1/2)`; 0 on the diagonal of a node without edges.

        >>> read_graphs([[(0, 1)]], GraphNames())[0].laplacian()
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        adjacency = np.zeros((self.size, self.size))
        i, j = self.edges.T
        adjacency[i, j] = adjacency[j, i] = 1.0
        degrees = adjacency.sum(0)
        roots = 1 / np.sqrt(np.where(degrees > 0, degrees, 1.0))
        return np.diag((degrees > 0).astype(float)) - roots[:, None] * adjacency * roots

    def neighbours(self) -> list[list[tuple[int, Label]]]:
        """Return the list of (neighbour, label of the edge) of each node."""
        links: list[list[tuple[int, Label]]] = [[] for _ in self.labels]
        for (i, j), label in zip(self.edges.tolist(), self.edge_labels, strict=True):
            links[i].append((j, label))
            links[j].append((i, label))
        return links


@dataclass(frozen=True)
class GraphNames:
    """Attributes that hold labels and numbers; None where these are not read."""

    node_labels: str | None = None
    edge_labels: str | None = None
    node_numbers: str | None = None
    edge_numbers: str | None = None


class Parts(NamedTuple):
    """A graph as it was passed; None where it has no such part."""

    ends: list[tuple[int, int]]
    edge_labels: list[Hashable]
    edge_numbers: list[Any]
    node_labels: list[Hashable] | None
    node_numbers: list[Any] | None


def read_graphs(X: AnyGraphs, names: GraphNames) -> list[Graph]:
    """Return graphs of any form.

    Args:
        X: of each graph: a networkx graph; a list of edges (i, j), (i, j, label), (i, j, numbers) or
            (i, j, label, numbers) between nodes 0, 1, ...; or a tuple of such a list with the labels of all nodes, and
            with their numbers (n,) or (n, p) as a third.
        names: the attributes in networkx. Where one is not None, lists and tuples have it in its place.

    Raises:
        ValueError, TypeError: no graph, a graph without nodes, a missing node, another number of labels than of nodes,
            numbers that are missing, not finite or unequally many.

    >>> triangle, pair = read_graphs([([(0, 1), (1, 2), (2, 0)], "CCO"), [(0, 1)]], GraphNames("label"))
    >>> [name for _, name in triangle.labels], pair.edges.tolist()
    (['C', 'C', 'O'], [[0, 1]])
    >>> names = GraphNames(node_numbers="charge", edge_numbers="length")
    >>> bonds = read_graphs([([(0, 1, 1.5)], None, [0.1, 0.2])], names)
    >>> bonds[0].node_numbers.ravel().tolist(), bonds[0].edge_numbers.tolist()
    ([0.1, 0.2], [[1.5]])
    """
    if isinstance(X, str) or not isinstance(X, Iterable) or _is_networkx(X):
        raise TypeError(
            f"X must be a list of graphs, got {type(X).__name__}; pass [graph] for a single one."
        )
    graphs = [_read_graph(graph, names, i) for i, graph in enumerate(X)]
    if not graphs:
        raise ValueError("X has no graphs (0 samples); pass at least one.")
    return graphs


def label_key(label: Hashable) -> Label:
    """Return a label that is the same for equal numbers, or equal words, of any type.

    >>> label_key(6) == label_key(np.float32(6)), label_key("C") == label_key(np.str_("C"))
    (True, True)
    """
    if isinstance(label, bool | int | float | np.number | np.bool_):
        return "number", f"{float(label):.15g}"
    kind = "str" if isinstance(label, str) else type(label).__name__
    return kind, str(label)


def _read_graph(graph: Any, names: GraphNames, number: int) -> Graph:
    """Return the graph without loops, each edge once whatever its direction, with the mean of its numbers."""
    read = _of_networkx if _is_networkx(graph) else _of_lists
    parts = read(graph, names, number)
    edges = np.sort(np.array(parts.ends, int).reshape(-1, 2), axis=1)
    size = _checked_size(parts, edges, number)
    labels = parts.node_labels if names.node_labels else None
    called = [
        label_key(mark if names.edge_labels else "") for mark in parts.edge_labels
    ]
    links: dict[tuple[int, int], list[int]] = {}
    for k, (i, j) in enumerate(edges.tolist()):
        if i != j:
            links.setdefault((i, j), []).append(k)
    # of two labels the first in their order
    first = [min(same, key=called.__getitem__) for same in links.values()]
    of_nodes = _numbers(parts.node_numbers, size, names.node_numbers, "node", number)
    every = _numbers(parts.edge_numbers, len(edges), names.edge_numbers, "edge", number)
    of_edges = np.array([every[same].mean(0) for same in links.values()])
    return Graph(
        [label_key(label) for label in labels or [""] * size],
        edges[first],
        [called[k] for k in first],
        of_nodes,
        of_edges.reshape(len(first), every.shape[1]),
    )


def _checked_size(parts: Parts, edges: np.ndarray, number: int) -> int:
    """Return the number of nodes; raise where labels, numbers or edges do not fit it."""
    labels = parts.node_labels
    known = [len(part) for part in (labels, parts.node_numbers) if part is not None]
    size = known[0] if known else int(edges.max(initial=-1)) + 1
    if size == 0:
        raise ValueError(f"graph {number} has no nodes; drop it.")
    if labels is not None and len(labels) != size:
        raise ValueError(
            f"graph {number} has {size} nodes but {len(labels)} labels; pass one for each node."
        )
    if len(edges) and not 0 <= edges.min() <= edges.max() < size:
        raise ValueError(
            f"graph {number} has an edge beyond its {size} nodes, which are numbered 0, 1, ..."
        )
    return size


def _numbers(
    values: Sequence[Any] | None,
    count: int,
    name: str | None,
    noun: str,
    number: int,
) -> np.ndarray:
    """Return (count, p) numbers; p is 0 where none are read, and where there is nothing to have them."""
    if name is None or (count == 0 and not values):
        return np.empty((count, 0))
    option = f"graph {number}: {noun}_features={name!r}"
    if values is None or any(value is None for value in values):
        raise ValueError(f"{option} is missing somewhere; pass numbers everywhere.")
    try:
        rows = [np.atleast_1d(np.asarray(value, np.float64)) for value in values]
        table = np.array(rows)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{option} must be numbers, as many everywhere ({error}); words are labels."
        ) from error
    if table.ndim != 2 or len(table) != count or not np.isfinite(table).all():
        raise ValueError(
            f"{option} must be finite numbers, one row for each of {count}."
        )
    return table


def _of_networkx(graph: Any, names: GraphNames, number: int) -> Parts:
    places = {node: i for i, node in enumerate(graph.nodes())}
    nodes = [data for _, data in graph.nodes(data=True)]
    links = list(graph.edges(data=True))
    return Parts(
        [(places[u], places[v]) for u, v, _ in links],
        [data.get(names.edge_labels, "") for *_, data in links],
        [data.get(names.edge_numbers) for *_, data in links],
        [data.get(names.node_labels, "") for data in nodes],
        [data.get(names.node_numbers) for data in nodes],
    )


def _of_lists(graph: Any, names: GraphNames, number: int) -> Parts:
    parts = graph if isinstance(graph, tuple) else (graph, None)
    if len(parts) != 2 and not (len(parts) == 3 and names.node_numbers):
        raise ValueError(
            f"graph {number} is a tuple of {len(parts)} entries; pass (edges, labels), or with node_features='NAME' "
            "(edges, labels, numbers)."
        )
    links, labels, values = (*parts, None)[:3]
    if not isinstance(links, list):
        raise TypeError(
            f"graph {number} is of type {type(links).__name__}; pass a networkx graph, a list of edges (i, j), or a "
            "tuple of these and labels; networkx.from_numpy_array reads a matrix."
        )
    most = 2 + max(
        1, (names.edge_labels is not None) + (names.edge_numbers is not None)
    )
    ends = []
    marks = []
    numbers = []
    for link in links:
        if not isinstance(link, Sequence | np.ndarray) or not 2 <= len(link) <= most:
            raise ValueError(
                f"graph {number}: an edge must be (i, j), with its label and then its numbers where these are read, "
                f"got {link!r}."
            )
        more = list(link[2:])
        last = names.edge_numbers is not None and len(link) == most
        numbers.append(more.pop() if last else None)
        ends.append((int(link[0]), int(link[1])))
        marks.append(more[0] if more else "")
    return Parts(
        ends,
        marks,
        numbers,
        None if labels is None else list(labels),
        None if values is None else list(values),
    )


def _is_networkx(graph: Any) -> bool:
    return hasattr(graph, "nodes") and hasattr(graph, "adjacency")
