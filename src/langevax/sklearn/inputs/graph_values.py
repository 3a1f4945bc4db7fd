"""From users' graphs to nodes, edges, labels and numbers: networkx, matrices, and lists of edges."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Label = tuple[str, str]
"""Kind and name: labels of all types in one order."""
AnyGraphs = Iterable[Any]
"""Graphs in the forms that `read_graphs` accepts."""

UNLABELLED: Label = ("str", "")


@dataclass(frozen=True)
class Graph:
    """An undirected graph without loops, each edge once."""

    labels: list[Label]
    """Of the n nodes."""
    edges: np.ndarray
    """(m, 2) int, the smaller end first."""
    weights: np.ndarray
    """(m,) > 0."""
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
        adjacency[i, j] = adjacency[j, i] = self.weights
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


def read_graphs(X: AnyGraphs, names: GraphNames) -> list[Graph]:
    """Return graphs of any form.

    Args:
        X: of each graph: a networkx graph; a square adjacency matrix (NumPy or scipy.sparse) of weights >= 0; a list of
            edges (i, j), (i, j, label), (i, j, numbers) or (i, j, label, numbers) between nodes 0, 1, ...; a tuple of
            one of the latter two with the labels of all nodes, and with their numbers (n,) or (n, p) as a third; or a
            `Graph` that was read by the same names.
        names: the attributes in networkx. Where one is not None, lists and tuples have it in its place, and matrices
            hold the edges' as their values.

    Raises:
        ValueError, TypeError: no graph, a graph without nodes, a matrix that is not square, finite and >= 0, a missing
            node, another number of labels than of nodes, numbers that are missing, not finite or unequally many.

    >>> graphs = [([(0, 1), (1, 2), (2, 0)], "CCO"), np.array([[0, 1], [1, 0]])]
    >>> triangle, pair = read_graphs(graphs, GraphNames("label"))
    >>> [name for _, name in triangle.labels], pair.edges.tolist()
    (['C', 'C', 'O'], [[0, 1]])
    >>> names = GraphNames(node_numbers="charge", edge_numbers="length")
    >>> bonds = read_graphs([([(0, 1, 1.5)], None, [0.1, 0.2])], names)
    >>> bonds[0].node_numbers.ravel().tolist(), bonds[0].edge_numbers.tolist()
    ([0.1, 0.2], [[1.5]])
    """
    if (
        isinstance(X, str)
        or not isinstance(X, Iterable)
        or _is_matrix(X)
        or _is_networkx(X)
    ):
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
    return (
        ("str", str(label))
        if isinstance(label, str)
        else (type(label).__name__, str(label))
    )


def _read_graph(graph: Any, names: GraphNames, number: int) -> Graph:
    if isinstance(graph, Graph):
        return graph
    if _is_networkx(graph):
        return _of_networkx(graph, names, number)
    structure, node_labels, node_numbers = _parts(graph, names, number)
    if _is_matrix(structure):
        edges, weights, num_nodes = _of_matrix(structure, number)
        marks: list[Hashable] = list(weights.tolist())
        values: list[Any] = list(weights.tolist())
    elif isinstance(structure, list):
        edges, marks, values = _of_list(structure, names, number)
        weights = np.ones(len(edges))
        known = [len(part) for part in (node_labels, node_numbers) if part is not None]
        num_nodes = known[0] if known else int(edges.max(initial=-1)) + 1
    else:
        raise TypeError(
            f"graph {number} is of type {type(structure).__name__}; pass a networkx graph, a square matrix, a list of "
            "edges (i, j), or a tuple of these and labels."
        )
    if node_labels is not None and len(node_labels) != num_nodes:
        raise ValueError(
            f"graph {number} has {num_nodes} nodes but {len(node_labels)} labels; pass one for each node."
        )
    if edges.max(initial=-1) >= num_nodes:
        raise ValueError(
            f"graph {number} has an edge to node {edges.max()}, but only {num_nodes} labels or numbers of nodes; count "
            "from 0."
        )
    labels = (
        node_labels
        if node_labels is not None and names.node_labels
        else [UNLABELLED[1]] * num_nodes
    )
    return _graph(labels, edges, weights, marks, node_numbers, values, names, number)


def _parts(
    graph: Any, names: GraphNames, number: int
) -> tuple[Any, list[Hashable] | None, list[Any] | None]:
    """Return edges or adjacency, labels and numbers of the nodes."""
    if not isinstance(graph, tuple):
        return graph, None, None
    if len(graph) != 2 and not (len(graph) == 3 and names.node_numbers):
        raise ValueError(
            f"graph {number} is a tuple of {len(graph)} entries; pass (adjacency or edges, labels), or with "
            "node_features='NAME' (adjacency or edges, labels, numbers)."
        )
    labels, numbers = (
        None if part is None else list(part) for part in (*graph[1:], None)[:2]
    )
    return graph[0], labels, numbers


def _graph(
    labels: Sequence[Hashable],
    edges: np.ndarray,
    weights: np.ndarray,
    marks: Sequence[Hashable],
    node_numbers: Sequence[Any] | None,
    edge_numbers: Sequence[Any],
    names: GraphNames,
    number: int,
) -> Graph:
    """Return the graph without loops, each edge once whatever its direction, with the mean of its numbers."""
    if not labels:
        raise ValueError(f"graph {number} has no nodes; drop it.")
    edges = np.sort(edges.reshape(-1, 2), axis=1)
    called = [label_key(mark) if names.edge_labels else UNLABELLED for mark in marks]
    links: dict[tuple[int, int], list[int]] = {}
    for k, (i, j) in enumerate(edges.tolist()):
        if i != j:
            links.setdefault((i, j), []).append(k)
    first = [
        min(same, key=lambda k: called[k]) for same in links.values()
    ]  # of two labels in their order
    of_nodes = _numbers(
        node_numbers,
        len(labels),
        names.node_numbers,
        f"node_features={names.node_numbers!r}",
        number,
    )
    every = _numbers(
        edge_numbers,
        len(edges),
        names.edge_numbers,
        f"edge_features={names.edge_numbers!r}",
        number,
    )
    of_edges = np.array([every[same].mean(0) for same in links.values()]).reshape(
        len(first), every.shape[1]
    )
    keys = [label_key(x) for x in labels]
    return Graph(
        keys,
        edges[first],
        weights[first],
        [called[k] for k in first],
        of_nodes,
        of_edges,
    )


def _numbers(
    values: Sequence[Any] | None, count: int, name: str | None, option: str, number: int
) -> np.ndarray:
    """Return (count, p) numbers; p is 0 where none are read, and where there is nothing to have them."""
    if name is None or (count == 0 and not values):
        return np.empty((count, 0))
    if values is None or any(value is None for value in values):
        raise ValueError(
            f"graph {number} lacks numbers that {option} asks for; pass them everywhere."
        )
    try:
        table = np.array(
            [np.atleast_1d(np.asarray(value, np.float64)) for value in values]
        )
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"graph {number}: {option} must be numbers, as many everywhere ({error}); words are labels."
        ) from error
    if table.ndim != 2 or len(table) != count or not np.isfinite(table).all():
        raise ValueError(
            f"graph {number}: {option} must be finite numbers, one row for each of {count}, got shape {table.shape}"
            f"{'' if np.isfinite(table).all() else ' with NaN or infinity'}."
        )
    return table


def _of_networkx(graph: Any, names: GraphNames, number: int) -> Graph:
    places = {node: i for i, node in enumerate(graph.nodes())}
    nodes, links = list(graph.nodes(data=True)), list(graph.edges(data=True))
    labels = [data.get(names.node_labels, UNLABELLED[1]) for _, data in nodes]
    edges = np.array([(places[u], places[v]) for u, v, _ in links], int).reshape(-1, 2)
    marks = [data.get(names.edge_labels, UNLABELLED[1]) for _, _, data in links]
    node_numbers = [data.get(names.node_numbers) for _, data in nodes]
    edge_numbers = [data.get(names.edge_numbers) for _, _, data in links]
    return _graph(
        labels,
        edges,
        np.ones(len(edges)),
        marks,
        node_numbers,
        edge_numbers,
        names,
        number,
    )


def _of_matrix(matrix: Any, number: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (edges, weights, number of nodes); an edge with two weights has the greater."""
    dense = np.asarray(
        matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64
    )
    if dense.ndim != 2 or dense.shape[0] != dense.shape[1]:
        raise ValueError(
            f"graph {number}: adjacency must be square, got {dense.shape}; pass edges as a list of (i, j)."
        )
    if not np.isfinite(dense).all() or (dense < 0).any():
        worst = dense[~(np.isfinite(dense) & (dense >= 0))][0]
        raise ValueError(
            f"graph {number}: adjacency must be finite and >= 0, got {worst}."
        )
    dense = np.maximum(dense, dense.T)
    edges = np.argwhere(np.triu(dense, 1) > 0)
    return edges, dense[edges[:, 0], edges[:, 1]], len(dense)


def _of_list(
    links: list[Any], names: GraphNames, number: int
) -> tuple[np.ndarray, list[Hashable], list[Any]]:
    """Return ends, labels and numbers of the edges."""
    both = names.edge_labels is not None and names.edge_numbers is not None
    form = (
        "(i, j, label, numbers)"
        if both
        else "(i, j, numbers)"
        if names.edge_numbers
        else "(i, j, label)"
    )
    ends, marks, numbers = [], [], []
    for link in links:
        if not isinstance(link, Sequence | np.ndarray) or len(link) not in (
            (2, 3, 4) if both else (2, 3)
        ):
            raise ValueError(
                f"graph {number}: an edge must be (i, j) or {form}, got {link!r}."
            )
        ends.append((int(link[0]), int(link[1])))
        alone = names.edge_numbers is not None and not both
        marks.append(link[2] if len(link) > 2 and not alone else UNLABELLED[1])
        numbers.append(
            link[2] if len(link) == 3 and alone else link[3] if len(link) == 4 else None
        )
    edges = np.array(ends, int).reshape(-1, 2)
    if (edges < 0).any():
        raise ValueError(
            f"graph {number} has an edge to node {edges.min()}; nodes are numbered 0, 1, ..."
        )
    return edges, marks, numbers


def _is_networkx(graph: Any) -> bool:
    return all(
        callable(getattr(graph, name, None)) for name in ("nodes", "edges", "adjacency")
    )


def _is_matrix(graph: Any) -> bool:
    return isinstance(graph, np.ndarray) or (
        hasattr(graph, "toarray") and hasattr(graph, "nnz")
    )
