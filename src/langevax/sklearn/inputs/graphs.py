"""Graphs as vectors: a scikit-learn transformer of heat traces, sizes and patterns of labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from langevax import checks
from langevax.renamed import refuse_former
from langevax.sklearn.inputs.graph_values import (
    AnyGraphs,
    Graph,
    Label,
    read_graphs,
)
from langevax.sklearn.inputs.unlike import warn_unlike
from langevax.sklearn.parameters import count
from langevax.sklearn.saved import saved_class
from langevax.spaces.tabulated import leading, with_fixed_signs


@saved_class
@refuse_former
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
        edge_labels: attribute of networkx edges, part of patterns; any name also reads those of lists.

    Graphs: networkx; (edges, labels) with a list of (i, j) or (i, j, label); or a list alone. Directions and loops are
    ignored. A graph may be disconnected, or be one node, whose heat trace is 1. Columns of your own, such as the mean
    charge of the atoms, are put beside these by scikit-learn's `FeatureUnion`.

    Labels and patterns not seen in training are counted in the columns `label_other` and `wl_other` (log (1 + count)),
    which are 0 in training. Columns differ in unit: an estimator should standardise them.

    Attributes:
        times_: (T,) of the heat traces.
        labels_: names of the labels, in the order of their columns.
        patterns_: the training graphs' patterns.
        wl_mean_, wl_axes_: (P,) and (P, K), centre and principal axes of their log counts.

    Warns:
        UnlikeTrainingWarning: of graphs with labels that no training graph has.

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
        self._validate_params()
        graphs = read_graphs(X, self.node_labels, self.edge_labels)
        times: Any = self.heat_times
        times = np.geomspace(0.1, 100.0, times) if np.ndim(times) == 0 else times
        self.times_: np.ndarray = np.asarray(times, np.float64)
        checks.number("heat_times", self.times_, positive=True)
        self.patterns_: Patterns = Patterns.learn(graphs, self.wl_depth)
        self.labels_: list[Any] = [name for _, name in self.patterns_.depths[0]]
        table = _logs(self.patterns_.count(graphs))
        self.wl_mean_: np.ndarray = table.mean(0)
        self.wl_axes_: np.ndarray = principal_axes(
            table - self.wl_mean_, self.wl_components
        )
        return self

    def transform(self, X: AnyGraphs) -> np.ndarray:
        """Return (n, features) float64."""
        check_is_fitted(self)
        graphs = read_graphs(X, self.node_labels, self.edge_labels)
        counts = self.patterns_.count(graphs)
        unknown = np.flatnonzero(counts[0][:, -1])
        warn_unlike(unknown, len(graphs), "no training graph has one of its labels")
        columns = [heat_traces(graphs, self.times_), log_sizes(graphs), counts[0]]
        if self.wl_components:
            scores = (_logs(counts) - self.wl_mean_) @ self.wl_axes_
            columns += [scores, np.log1p(sum(table[:, -1:] for table in counts))]
        return np.concatenate(columns, axis=1)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return names such as "heat3", "cycles", "label_C", "wl0"."""
        check_is_fitted(self)
        names = [f"heat{k}" for k in range(len(self.times_))] + [
            "log_nodes",
            "log_edges",
            "cycles",
        ]
        names += [f"label_{label}" for label in (*self.labels_, "other")]
        if self.wl_components:
            names += [f"wl{k}" for k in range(self.wl_axes_.shape[1])] + ["wl_other"]
        return np.array(names, object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _logs(counts: list[np.ndarray]) -> np.ndarray:
    """Return (n, P) `log(1 + count)` of the patterns seen in training."""
    return np.log1p(np.concatenate([table[:, :-1] for table in counts], axis=1))


def log_sizes(graphs: Sequence[Graph]) -> np.ndarray:
    """Return (graphs, 3) log n, log (1 + m), and the number of independent cycles."""
    n, m = np.array([(graph.size, len(graph.edges)) for graph in graphs]).T
    return np.column_stack([np.log(n), np.log1p(m), m - n + num_components(graphs)])


def heat_traces(graphs: Sequence[Graph], times: np.ndarray) -> np.ndarray:
    """Return (graphs, times), `1/n sum_i exp(-t lambda_i)` over the eigenvalues of the normalised Laplacian.

    A mean over nodes, so that it converges where a graph is refined, and lies in (0, 1]; 1 without edges. The share of
    connected components is its limit for late times. O(n^3) a graph, those of one size together.
    """
    traces = np.empty((len(graphs), len(times)))
    sizes = np.array([graph.size for graph in graphs])
    for size in np.unique(sizes):
        places = np.flatnonzero(sizes == size)
        for chunk in np.array_split(
            places, max(1, len(places) * size**2 // 10_000_000)
        ):  # at most 80 MB at once
            eigenvalues = np.linalg.eigvalsh(
                np.stack([graphs[i].laplacian() for i in chunk])
            )
            traces[chunk] = np.exp(
                -times[:, None] * np.maximum(eigenvalues, 0)[:, None]
            ).mean(-1)
    return traces


def num_components(graphs: Sequence[Graph]) -> np.ndarray:
    """Return the number of connected components of each graph, (graphs,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sizes = np.array([graph.size for graph in graphs])
    first = np.cumsum(sizes) - sizes
    i, j = (
        np.concatenate(
            [graph.edges + start for graph, start in zip(graphs, first, strict=True)]
        )
        .astype(int)
        .T
    )
    adjacency = coo_array((np.ones(len(i)), (i, j)), shape=(sizes.sum(), sizes.sum()))
    number, components = connected_components(adjacency, directed=False)
    owners = np.empty(number, int)
    owners[components] = np.repeat(np.arange(len(graphs)), sizes)
    return np.bincount(owners, minlength=len(graphs))


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
                patterns = [
                    _deeper(old, near)
                    for old, near in zip(patterns, links, strict=True)
                ]
            depths.append(
                {pattern: k for k, pattern in enumerate(sorted(set().union(*patterns)))}
            )
            patterns = [
                [depths[-1][pattern] for pattern in of_graph] for of_graph in patterns
            ]
        return cls(depths)

    def count(self, graphs: Sequence[Graph]) -> list[np.ndarray]:
        """Return counts (graphs, patterns + 1) of each depth; the last column counts patterns not seen in training."""
        tables = [np.zeros((len(graphs), len(numbers) + 1)) for numbers in self.depths]
        for g, graph in enumerate(graphs):
            links = graph.neighbours()
            patterns = list(graph.labels)
            for h, numbers in enumerate(self.depths):
                if h > 0:
                    patterns = _deeper(patterns, links)
                patterns = [numbers.get(pattern, -1) for pattern in patterns]
                for number, occurrences in Counter(patterns).items():
                    tables[h][g, number] = occurrences
        return tables


def principal_axes(table: np.ndarray, most: int, full_gram: int = 3000) -> np.ndarray:
    """Return (columns, k), k <= most: orthonormal directions of greatest variance of centred rows.

    Inner products of up to `full_gram` rows or columns are decomposed in full.
    """
    if not table.any():
        return np.empty((table.shape[1], 0))
    n, width = table.shape
    if min(n, width) > full_gram:
        from scipy.sparse.linalg import svds

        _, _, right = svds(table, k=most, rng=np.random.default_rng(0))
        return with_fixed_signs(right[::-1].T)  # type: ignore[index]
    if width <= n:
        return with_fixed_signs(
            leading(table.T @ table, None, name="patterns")[1][:, :most]
        )
    values, vectors = leading(table @ table.T, None, name="patterns")
    return with_fixed_signs(table.T @ vectors[:, :most] / np.sqrt(values[:most]))


def _deeper(patterns: Sequence[Any], links: list[list[tuple[int, Label]]]) -> list[Any]:
    return [
        (
            patterns[node],
            tuple(sorted((label, patterns[other]) for other, label in near)),
        )
        for node, near in enumerate(links)
    ]
