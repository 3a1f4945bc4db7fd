"""Graphs as vectors: a scikit-learn transformer of heat traces, sizes and patterns of labels."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from langevax import checks
from langevax.sklearn.parameters import count
from langevax.sklearn.persistence import saved_class
from langevax.spaces.tabulated import leading, with_fixed_signs

Label = tuple[str, str]
"""Kind and name: labels of all types in one order."""
AnyGraphs = Iterable[Any]
"""Graphs in the forms that `GraphFeatures` accepts."""

UNLABELLED: Label = ("str", "")
UNKNOWN = -1  # number of a pattern that was not seen in training
FULL_GRAM = 3000  # graphs or patterns up to which their matrix of inner products is decomposed in full
EARLIEST, LATEST = 0.1, 100.0  # heat times
SIZES = ("log_nodes", "log_edges", "cycles")


@saved_class
@dataclass(eq=False, repr=False)
class GraphFeatures(TransformerMixin, BaseEstimator):
    """Vectors of fixed length of molecules, networks and meshes, whatever the order of their nodes:

        heat      1/n sum_i exp(-t lambda_i), lambda of the normalised Laplacian, at times even in the logarithm
        sizes     log n, log (1 + m), and the number m - n + components of independent cycles
        counts    of each node label seen in training, and of all others together
        patterns  log (1 + counts) of labels and their neighbourhoods (Weisfeiler, Leman), on their principal axes in
                  the training graphs

    Args:
        heat_times: number of times from 0.1 to 100, or the times themselves; 0 for none.
        wl_depth: radius of the patterns around a node, such as 1 or 2; 0 for labels alone.
        wl_components: principal axes, at most; 0 for no patterns.
        node_labels: attribute of networkx nodes; None ignores all labels.
        edge_labels: attribute of networkx edges, part of patterns; any name also reads those of lists and matrices.

    Graphs: networkx; (adjacency, labels), with a NumPy or scipy.sparse matrix; (edges, labels) with a list of (i, j) or
    (i, j, label); or a matrix or list alone. Directions and loops are ignored; weights of a matrix count in the
    Laplacian. A graph may be disconnected, or be one node, whose heat trace is 1.

    Labels and patterns not seen in training are counted in the columns `label_other` and `wl_other` (log (1 + count)),
    which are 0 in training. Columns differ in unit: an estimator should standardise them.

    Attributes:
        times_: (T,) of the heat traces.
        labels_: names of the labels, in the order of their columns.
        patterns_: the training graphs' patterns.
        wl_mean_, wl_axes_: (P,) and (P, K), centre and principal axes of their log counts.

    Raises:
        ValueError, TypeError: a parameter out of range, no graph, a graph without nodes, labels that do not fit.

    Example:
        >>> triangle, path = ([(0, 1), (1, 2), (2, 0)], "CCO"), ([(0, 1), (1, 2)], "CCO")
        >>> encoder = GraphFeatures(heat_times=2, wl_components=1).fit([triangle, path])
        >>> encoder.get_feature_names_out().tolist()
        ['heat0', 'heat1', 'log_nodes', 'log_edges', 'cycles', 'label_C', 'label_O', 'label_other', 'wl0', 'wl_other']
        >>> encoder.transform([triangle])[0, :8].round(2)
        array([0.91, 0.33, 1.1 , 1.39, 1.  , 2.  , 1.  , 0.  ])
    """

    heat_times: int | ArrayLike = 16
    wl_depth: int = 1
    wl_components: int = 32
    node_labels: str | None = "label"
    edge_labels: str | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "heat_times": [*count(0), "array-like"],
        "wl_depth": count(0),
        "wl_components": count(0),
        "node_labels": [str, None],
        "edge_labels": [str, None],
    }

    def fit(self, X: AnyGraphs, y: ArrayLike | None = None) -> Self:
        """Learn labels, patterns and their principal axes."""
        self._fit(X)
        return self

    def fit_transform(self, X: AnyGraphs, y: ArrayLike | None = None, **fit_params: Any) -> np.ndarray:
        """Return `fit(X).transform(X)` at the cost of one of them."""
        return self._features(*self._fit(X))

    def transform(self, X: AnyGraphs) -> np.ndarray:
        """Return (n, features) float64."""
        check_is_fitted(self)
        graphs = read_graphs(X, self.node_labels, self.edge_labels)
        return self._features(graphs, self.patterns_.count(graphs))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return names such as "heat3", "cycles", "label_C", "wl0"."""
        check_is_fitted(self)
        names = [f"heat{k}" for k in range(len(self.times_))] + list(SIZES)
        names += [f"label_{label}" for label in (*self.labels_, "other")]
        if self.wl_components:
            names += [f"wl{k}" for k in range(self.wl_axes_.shape[1])] + ["wl_other"]
        return np.array(names, object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def _fit(self, X: AnyGraphs) -> tuple[list["Graph"], list[np.ndarray]]:
        self._validate_params()
        times: Any = self.heat_times
        self.times_: np.ndarray = np.asarray(
            np.geomspace(EARLIEST, LATEST, times) if np.ndim(times) == 0 else times, np.float64
        )
        checks.number("heat_times", self.times_, positive=True)
        graphs = read_graphs(X, self.node_labels, self.edge_labels)
        self.patterns_: Patterns = Patterns.learn(graphs, self.wl_depth)
        self.labels_: list[Any] = [name for _, name in self.patterns_.depths[0]]
        counts = self.patterns_.count(graphs)
        table = _logs(counts)
        self.wl_mean_: np.ndarray = table.mean(0)
        self.wl_axes_: np.ndarray = principal_axes(table - self.wl_mean_, self.wl_components)
        return graphs, counts

    def _features(self, graphs: list["Graph"], counts: list[np.ndarray]) -> np.ndarray:
        columns = [heat_traces(graphs, self.times_), np.array([_sizes(graph) for graph in graphs]), counts[0]]
        if self.wl_components:
            scores = (_logs(counts) - self.wl_mean_) @ self.wl_axes_
            columns += [scores, np.log1p(sum(table[:, -1:] for table in counts))]
        return np.concatenate(columns, axis=1)


def _logs(counts: list[np.ndarray]) -> np.ndarray:
    """Return (n, P) `log(1 + count)` of the patterns seen in training."""
    return np.log1p(np.concatenate([table[:, :-1] for table in counts], axis=1))


def _sizes(graph: "Graph") -> tuple[float, float, float]:
    n, m = graph.size, len(graph.edges)
    return float(np.log(n)), float(np.log1p(m)), float(m - n + num_components(graph))


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
        """Number of nodes n."""
        return len(self.labels)

    def laplacian(self) -> np.ndarray:
        """Return (n, n), `I - D^(-1/2) A D^(-1/2)`; 0 on the diagonal of a node without edges.

        >>> read_graphs([[(0, 1)]], None, None)[0].laplacian()
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


def read_graphs(X: AnyGraphs, node_labels: str | None, edge_labels: str | None) -> list[Graph]:
    """Return graphs of any form.

    Args:
        X: of each graph: a networkx graph; a square adjacency matrix (NumPy or scipy.sparse) of weights >= 0; a list of
            edges (i, j) or (i, j, label) between nodes 0, 1, ...; or a tuple of one of the latter two and the labels of
            all nodes.
        node_labels: the nodes' attribute in networkx; None ignores labels.
        edge_labels: the edges' attribute in networkx; where it is not None, lists have them as third entries,
            matrices as values.

    Raises:
        ValueError, TypeError: no graph, a graph without nodes, a matrix that is not square, finite and >= 0, a missing
            node, another number of labels than of nodes.

    >>> triangle, pair = read_graphs([([(0, 1), (1, 2), (2, 0)], "CCO"), np.array([[0, 1], [1, 0]])], "label", None)
    >>> [name for _, name in triangle.labels], pair.edges.tolist()
    (['C', 'C', 'O'], [[0, 1]])
    """
    if isinstance(X, str) or not isinstance(X, Iterable) or _is_matrix(X) or _is_networkx(X):
        raise TypeError(f"X must be a list of graphs, got {type(X).__name__}; pass [graph] for a single one.")
    graphs = [_read_graph(graph, node_labels, edge_labels, i) for i, graph in enumerate(X)]
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
    return ("str", str(label)) if isinstance(label, str) else (type(label).__name__, str(label))


def _read_graph(graph: Any, node_labels: str | None, edge_labels: str | None, number: int) -> Graph:
    if _is_networkx(graph):
        return _of_networkx(graph, node_labels, edge_labels, number)
    structure: Any = graph
    node_names: list[Hashable] | None = None
    if isinstance(graph, tuple):
        if len(graph) != 2:
            raise ValueError(f"graph {number} is a tuple of {len(graph)} entries; pass (adjacency or edges, labels).")
        structure, node_names = graph[0], None if graph[1] is None else list(graph[1])
    if _is_matrix(structure):
        edges, weights, num_nodes = _of_matrix(structure, number)
        marks: list[Hashable] = list(weights.tolist())
    elif isinstance(structure, list):
        edges, marks = _of_list(structure, number)
        weights = np.ones(len(edges))
        num_nodes = len(node_names) if node_names is not None else int(edges.max(initial=-1)) + 1
    else:
        raise TypeError(
            f"graph {number} is of type {type(structure).__name__}; pass a networkx graph, a square matrix, a list of "
            "edges (i, j), or a tuple of these and labels."
        )
    if node_names is not None and len(node_names) != num_nodes:
        raise ValueError(f"graph {number} has {num_nodes} nodes but {len(node_names)} labels; pass one for each node.")
    if edges.max(initial=-1) >= num_nodes:
        raise ValueError(
            f"graph {number} has an edge to node {edges.max()}, but only {num_nodes} labels; count from 0."
        )
    labels = node_names if node_names is not None and node_labels else [UNLABELLED[1]] * num_nodes
    return _graph(labels, edges, weights, marks, edge_labels, number)


def _graph(
    labels: Sequence[Hashable],
    edges: np.ndarray,
    weights: np.ndarray,
    marks: Sequence[Hashable],
    edge_labels: str | None,
    number: int,
) -> Graph:
    """Return the graph without loops, each edge once whatever its direction."""
    if not labels:
        raise ValueError(f"graph {number} has no nodes; drop it.")
    edges = np.sort(edges.reshape(-1, 2), axis=1)
    names = [label_key(mark) if edge_labels else UNLABELLED for mark in marks]
    links: dict[tuple[int, int], int] = {}
    for k, (i, j) in enumerate(edges.tolist()):
        if i != j and ((i, j) not in links or names[k] < names[links[i, j]]):  # the first of two labels in their order
            links[i, j] = k
    distinct = list(links.values())
    return Graph([label_key(x) for x in labels], edges[distinct], weights[distinct], [names[k] for k in distinct])


def _of_networkx(graph: Any, node_labels: str | None, edge_labels: str | None, number: int) -> Graph:
    places = {node: i for i, node in enumerate(graph.nodes())}
    labels = [data.get(node_labels, UNLABELLED[1]) for _, data in graph.nodes(data=True)]
    links = list(graph.edges(data=True))
    edges = np.array([(places[u], places[v]) for u, v, _ in links], int).reshape(-1, 2)
    marks = [data.get(edge_labels, UNLABELLED[1]) for _, _, data in links]
    return _graph(labels, edges, np.ones(len(edges)), marks, edge_labels, number)


def _of_matrix(matrix: Any, number: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (edges, weights, number of nodes); an edge with two weights has the greater."""
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


def heat_traces(graphs: Sequence[Graph], times: np.ndarray) -> np.ndarray:
    """Return (graphs, times), `1/n sum_i exp(-t lambda_i)` over the eigenvalues of the normalised Laplacian.

    A mean over nodes, so that it converges where a graph is refined, and lies in (0, 1]; 1 without edges. The share of
    connected components is its limit for late times. O(n^3) a graph, those of one size together.
    """
    traces = np.empty((len(graphs), len(times)))
    sizes = np.array([graph.size for graph in graphs])
    for size in np.unique(sizes):
        places = np.flatnonzero(sizes == size)
        for chunk in np.array_split(places, max(1, len(places) * size**2 // 10**7)):  # at most 80 MB at once
            eigenvalues = np.linalg.eigvalsh(np.stack([graphs[i].laplacian() for i in chunk]))
            traces[chunk] = np.exp(-times[:, None] * np.maximum(eigenvalues, 0)[:, None]).mean(-1)
    return traces


def num_components(graph: Graph) -> int:
    """Return the number of connected components."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    i, j = graph.edges.T
    adjacency = coo_matrix((np.ones(len(i)), (i, j)), shape=(graph.size, graph.size))
    return int(connected_components(adjacency, directed=False, return_labels=False))


@saved_class
@dataclass(frozen=True)
class Patterns:
    """Those of the training graphs: at depth 0 labels; at depth h a node's pattern of depth h - 1 with the multiset of
    its neighbours', along with the labels of the edges (Shervashidze et al., JMLR 2011).

    One dictionary a depth, from a pattern to its number. Numbers follow the sorted patterns, not the order of nodes.
    """

    depths: list[dict[Any, int]]

    @classmethod
    def learn(cls, graphs: Sequence[Graph], depth: int) -> "Patterns":
        """Number all patterns up to `depth`."""
        depths: list[dict[Any, int]] = []
        links = [graph.neighbours() for graph in graphs]
        patterns: list[list[Any]] = [list(graph.labels) for graph in graphs]
        for h in range(depth + 1):
            if h > 0:
                patterns = [_deeper(old, near) for old, near in zip(patterns, links, strict=True)]
            depths.append({pattern: k for k, pattern in enumerate(sorted(set().union(*patterns)))})
            patterns = [[depths[-1][pattern] for pattern in of_graph] for of_graph in patterns]
        return cls(depths)

    def count(self, graphs: Sequence[Graph]) -> list[np.ndarray]:
        """Return counts (graphs, patterns + 1) of each depth; the last column counts patterns not seen in training."""
        tables = [np.zeros((len(graphs), len(numbers) + 1)) for numbers in self.depths]
        for g, graph in enumerate(graphs):
            links, patterns = graph.neighbours(), list(graph.labels)
            for h, numbers in enumerate(self.depths):
                if h > 0:
                    patterns = _deeper(patterns, links)
                patterns = [numbers.get(pattern, UNKNOWN) for pattern in patterns]
                for number, occurrences in Counter(patterns).items():
                    tables[h][g, number] = occurrences
        return tables


def principal_axes(table: np.ndarray, most: int) -> np.ndarray:
    """Return (columns, k), k <= most: orthonormal directions of greatest variance of centred rows."""
    if not table.any():
        return np.empty((table.shape[1], 0))
    n, width = table.shape
    if min(n, width) > FULL_GRAM:
        from scipy.sparse.linalg import svds

        _, _, right = svds(table, k=most, rng=np.random.default_rng(0))
        return with_fixed_signs(right[::-1].T)  # type: ignore[index]
    if width <= n:
        return with_fixed_signs(leading(table.T @ table, None, name="patterns")[1][:, :most])
    values, vectors = leading(table @ table.T, None, name="patterns")
    return with_fixed_signs(table.T @ vectors[:, :most] / np.sqrt(values[:most]))


def _deeper(patterns: Sequence[Any], links: list[list[tuple[int, Label]]]) -> list[Any]:
    return [
        (patterns[node], tuple(sorted((label, patterns[other]) for other, label in near)))
        for node, near in enumerate(links)
    ]
