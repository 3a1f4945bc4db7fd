"""From what users call graphs to nodes, edges and labels: networkx, adjacency matrices, lists of edges."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Label = tuple[str, str]
"""Kind and name: labels of all types in one order."""

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

    @property
    def size(self) -> int:
        """n."""
        return len(self.labels)

    def laplacian(self) -> np.ndarray:
        """(n, n), `I - D^(-1/2) A D^(-1/2)`; 0 on the diagonal of a node without edges.

        >>> read([[(0, 1)]], None, None)[0].laplacian()
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
        """Of each node: (neighbour, label of the edge)."""
        found: list[list[tuple[int, Label]]] = [[] for _ in self.labels]
        for (i, j), label in zip(self.edges.tolist(), self.edge_labels, strict=True):
            found[i].append((j, label))
            found[j].append((i, label))
        return found


def read(X: Any, node_labels: str | None, edge_labels: str | None) -> list[Graph]:
    """Graphs of whatever form.

    Args:
        X: of each graph: a networkx graph; a square adjacency matrix (NumPy or scipy.sparse) of weights >= 0; a list of
            edges (i, j) or (i, j, label) between nodes 0, 1, ...; or a tuple of one of the latter two and the labels of
            all nodes.
        node_labels: the nodes' attribute in networkx; None takes no labels.
        edge_labels: the edges' attribute in networkx; in a list the third entries, in a matrix its values, are taken
            where it is not None.

    Raises:
        ValueError, TypeError: no graph, a graph without nodes, a matrix that is not square, finite and >= 0, a node
            that is not there, another number of labels than of nodes.

    >>> triangle, pair = read([([(0, 1), (1, 2), (2, 0)], "CCO"), np.array([[0, 1], [1, 0]])], "label", None)
    >>> [name for _, name in triangle.labels], pair.edges.tolist()
    (['C', 'C', 'O'], [[0, 1]])
    """
    if isinstance(X, str) or not isinstance(X, Iterable) or _is_matrix(X) or _is_networkx(X):
        raise TypeError(f"X must be a list of graphs, got {type(X).__name__}; pass [graph] for a single one.")
    graphs = [_read(graph, node_labels, edge_labels, i) for i, graph in enumerate(X)]
    if not graphs:
        raise ValueError("X holds no graph (0 samples); pass at least one.")
    return graphs


def label_key(label: Hashable) -> Label:
    """A number is the same label whatever its type, and so is a word.

    >>> label_key(6) == label_key(np.float32(6)), label_key("C") == label_key(np.str_("C"))
    (True, True)
    """
    if isinstance(label, bool | int | float | np.number | np.bool_):
        return "number", f"{float(label):.15g}"
    return ("str", str(label)) if isinstance(label, str) else (type(label).__name__, str(label))


def _read(graph: Any, node_labels: str | None, edge_labels: str | None, number: int) -> Graph:
    if _is_networkx(graph):
        return _of_networkx(graph, node_labels, edge_labels, number)
    structure: Any = graph
    given: list[Hashable] | None = None
    if isinstance(graph, tuple):
        if len(graph) != 2:
            raise ValueError(f"graph {number} is a tuple of {len(graph)} entries; pass (adjacency or edges, labels).")
        structure, given = graph[0], None if graph[1] is None else list(graph[1])
    if _is_matrix(structure):
        edges, weights, num_nodes = _of_matrix(structure, number)
        marks: list[Hashable] = list(weights.tolist())
    elif isinstance(structure, list):
        edges, marks = _of_list(structure, number)
        weights = np.ones(len(edges))
        num_nodes = len(given) if given is not None else int(edges.max(initial=-1)) + 1
    else:
        raise TypeError(
            f"graph {number} is of type {type(structure).__name__}; pass a networkx graph, a square matrix, a list of "
            "edges (i, j), or a tuple of these and labels."
        )
    if given is not None and len(given) != num_nodes:
        raise ValueError(f"graph {number} has {num_nodes} nodes but {len(given)} labels; pass one for each node.")
    if edges.max(initial=-1) >= num_nodes:
        raise ValueError(
            f"graph {number} has an edge to node {edges.max()}, but only {num_nodes} labels; count from 0."
        )
    labels = given if given is not None and node_labels else [UNLABELLED[1]] * num_nodes
    return _graph(labels, edges, weights, marks, edge_labels, number)


def _graph(
    labels: Sequence[Hashable],
    edges: np.ndarray,
    weights: np.ndarray,
    marks: Sequence[Hashable],
    edge_labels: str | None,
    number: int,
) -> Graph:
    """Without loops, each edge once whatever its direction."""
    if not labels:
        raise ValueError(f"graph {number} has no nodes; drop it.")
    edges = np.sort(edges.reshape(-1, 2), axis=1)
    names = [label_key(mark) if edge_labels else UNLABELLED for mark in marks]
    links: dict[tuple[int, int], int] = {}
    for k, (i, j) in enumerate(edges.tolist()):
        if i != j and ((i, j) not in links or names[k] < names[links[i, j]]):  # of two labels the first in their order
            links[i, j] = k
    kept = list(links.values())
    return Graph([label_key(x) for x in labels], edges[kept], weights[kept], [names[k] for k in kept])


def _of_networkx(graph: Any, node_labels: str | None, edge_labels: str | None, number: int) -> Graph:
    places = {node: i for i, node in enumerate(graph.nodes())}
    labels = [data.get(node_labels, UNLABELLED[1]) for _, data in graph.nodes(data=True)]
    links = list(graph.edges(data=True))
    edges = np.array([(places[u], places[v]) for u, v, _ in links], int).reshape(-1, 2)
    marks = [data.get(edge_labels, UNLABELLED[1]) for _, _, data in links]
    return _graph(labels, edges, np.ones(len(edges)), marks, edge_labels, number)


def _of_matrix(matrix: Any, number: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(edges, weights, number of nodes); an edge of two weights takes the greater."""
    dense = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64)
    if dense.ndim != 2 or dense.shape[0] != dense.shape[1]:
        raise ValueError(
            f"graph {number}: adjacency must be square, got {dense.shape}; pass edges as a list of (i, j)."
        )
    if not np.isfinite(dense).all() or (dense < 0).any():
        worst = dense[~(np.isfinite(dense) & (dense >= 0))][0]
        raise ValueError(f"graph {number}: adjacency must be finite and >= 0, got {worst}.")
    dense = np.maximum(dense, dense.T)
    edges = np.argwhere(np.triu(dense, 1) > 0)
    return edges, dense[edges[:, 0], edges[:, 1]], len(dense)


def _of_list(links: list[Any], number: int) -> tuple[np.ndarray, list[Hashable]]:
    ends, marks = [], []
    for link in links:
        if not isinstance(link, Sequence | np.ndarray) or len(link) not in (2, 3):
            raise ValueError(f"graph {number}: an edge must be (i, j) or (i, j, label), got {link!r}.")
        ends.append((int(link[0]), int(link[1])))
        marks.append(link[2] if len(link) == 3 else UNLABELLED[1])
    edges = np.array(ends, int).reshape(-1, 2)
    if (edges < 0).any():
        raise ValueError(f"graph {number} has an edge to node {edges.min()}; nodes are numbered 0, 1, ...")
    return edges, marks


def _is_networkx(graph: Any) -> bool:
    return all(callable(getattr(graph, name, None)) for name in ("nodes", "edges", "adjacency"))


def _is_matrix(graph: Any) -> bool:
    return isinstance(graph, np.ndarray) or (hasattr(graph, "toarray") and hasattr(graph, "nnz"))
