"""From users' graphs to nodes, edges and labels: networkx, and lists of edges."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Label = tuple[str, str]
"""Kind and name: labels of all types in one order."""
Link = tuple[int, int, Any]
"""Two nodes, and the label of their edge."""
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

    @property
    def size(self) -> int:
        """Number of nodes n."""
        return len(self.labels)

    def laplacian(self) -> np.ndarray:
        """Return (n, n), `I - D^(-1/2) A D^(-1/2)`; 0 on the diagonal of a node without edges.

        >>> read_graphs([[(0, 1)]])[0].laplacian()
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


def read_graphs(
    X: AnyGraphs, node_labels: str | None = None, edge_labels: str | None = None
) -> list[Graph]:
    """Return graphs of any form.

    Args:
        X: of each graph: a networkx graph; a list of edges (i, j) or (i, j, label) between nodes 0, 1, ...; or a tuple
            of such a list with the labels of all nodes.
        node_labels, edge_labels: the attributes in networkx; None where labels are not read, of lists neither.

    Raises:
        ValueError, TypeError: no graph, a graph without nodes, a missing node, another number of labels than of nodes.

    >>> triangle, pair = read_graphs([([(0, 1), (1, 2), (2, 0)], "CCO"), [(0, 1)]], "label")
    >>> [name for _, name in triangle.labels], pair.edges.tolist()
    (['C', 'C', 'O'], [[0, 1]])
    """
    if isinstance(X, str) or not isinstance(X, Iterable) or _is_networkx(X):
        raise TypeError(
            f"X must be a list of graphs, got {type(X).__name__}; pass [graph] for a "
            "single one."
        )
    graphs = []
    for number, graph in enumerate(X):
        if _is_networkx(graph):
            links, labels = _of_networkx(graph, node_labels, edge_labels)
        else:
            links, labels = _of_lists(graph, number)
        if node_labels is None and labels is not None:
            labels = [""] * len(labels)
        if edge_labels is None:
            links = [(i, j, "") for i, j, _ in links]
        graphs.append(_graph(links, labels, number))
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


def _graph(links: list[Link], labels: list[Any] | None, number: int) -> Graph:
    """Return the graph without loops, each edge once whatever its direction, with the first of its labels."""
    ends = np.array([link[:2] for link in links], int).reshape(-1, 2)
    if labels is None:
        labels = [""] * (int(ends.max(initial=-1)) + 1)
    size = len(labels)
    if size == 0:
        raise ValueError(f"graph {number} has no nodes; drop it.")
    if len(ends) and not 0 <= ends.min() <= ends.max() < size:
        raise ValueError(
            f"graph {number} has an edge beyond its {size} nodes, which are numbered "
            "0, 1, ..."
        )
    edges: dict[tuple[int, int], Label] = {}
    for i, j, label in links:
        edge = (min(i, j), max(i, j))
        if i != j:
            key = label_key(label)
            edges[edge] = min(key, edges.get(edge, key))
    return Graph(
        [label_key(label) for label in labels],
        np.array(list(edges), int).reshape(-1, 2),
        list(edges.values()),
    )


def _of_networkx(
    graph: Any, node_labels: str | None, edge_labels: str | None
) -> tuple[list[Link], list[Any]]:
    places = {node: i for i, node in enumerate(graph.nodes())}
    links = [
        (places[u], places[v], data.get(edge_labels, ""))
        for u, v, data in graph.edges(data=True)
    ]
    return links, [data.get(node_labels, "") for _, data in graph.nodes(data=True)]


def _of_lists(graph: Any, number: int) -> tuple[list[Link], list[Any] | None]:
    links, labels = graph if _is_pair(graph) else (graph, None)
    if not isinstance(links, list):
        raise TypeError(
            f"graph {number} is of type {type(links).__name__}; pass a networkx graph, "
            "a list of edges (i, j), or a tuple of these and labels; "
            "networkx.from_numpy_array reads a matrix."
        )
    for link in links:
        if not isinstance(link, Sequence | np.ndarray) or len(link) not in (2, 3):
            raise ValueError(
                f"graph {number}: an edge must be (i, j) or (i, j, label), got "
                f"{link!r}."
            )
    read = [(int(link[0]), int(link[1]), (*link, "")[2]) for link in links]
    return read, None if labels is None else list(labels)


def _is_pair(graph: Any) -> bool:
    return isinstance(graph, tuple) and len(graph) == 2


def _is_networkx(graph: Any) -> bool:
    return hasattr(graph, "nodes") and hasattr(graph, "adjacency")
