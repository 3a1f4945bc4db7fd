"""Graphs as vectors: a scikit-learn transformer of heat traces, sizes and patterns of labels."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from langevax import checks
from langevax.sklearn.inputs.graph_input import Graph, read
from langevax.sklearn.inputs.graph_patterns import Patterns, heat_traces, num_components, principal_axes

EARLIEST, LATEST = 0.1, 100.0
SIZES = ("log_nodes", "log_edges", "cycles")


class GraphFeatures(TransformerMixin, BaseEstimator):
    """What molecules, networks and meshes look like, in a vector of fixed length that no order of nodes changes:

        heat      1/n sum_i exp(-t lambda_i), lambda of the normalised Laplacian, at times even in the logarithm
        sizes     log n, log (1 + m), and the number m - n + components of independent cycles
        counts    of each node label seen in training, and of all others together
        patterns  log (1 + counts) of labels and their neighbourhoods (Weisfeiler, Leman), on their principal axes in
                  the training graphs

    Args:
        heat_times: how many times from 0.1 to 100, or the times themselves; 0 for none.
        wl_depth: steps from a node that patterns reach: 1 or 2 (0 are labels alone).
        wl_components: principal axes, at most; 0 for no patterns.
        node_labels: attribute of networkx nodes; None forgets all labels.
        edge_labels: attribute of networkx edges, part of patterns; any word also takes those of lists and matrices.

    Graphs: networkx; (adjacency, labels), with a NumPy or scipy.sparse matrix; (edges, labels) with a list of (i, j) or
    (i, j, label); or a matrix or list alone. Directions are forgotten, loops too; weights of a matrix count in the
    Laplacian. A graph may be disconnected, or be one node, whose heat trace is 1.

    Labels and patterns not seen in training have a place, the columns `label_other` and `wl_other` (log (1 + count)),
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

    def __init__(
        self,
        heat_times: Any = 16,
        wl_depth: int = 1,
        wl_components: int = 32,
        node_labels: str | None = "label",
        edge_labels: str | None = None,
    ):
        self.heat_times = heat_times
        self.wl_depth = wl_depth
        self.wl_components = wl_components
        self.node_labels = node_labels
        self.edge_labels = edge_labels

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn labels, patterns and their principal axes."""
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """`fit` and `transform` at the cost of one."""
        return self._features(*self._fit(X))

    def transform(self, X: Any) -> np.ndarray:
        """(n, features) float64."""
        check_is_fitted(self)
        graphs = read(X, self.node_labels, self.edge_labels)
        return self._features(graphs, self.patterns_.count(graphs))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Such as "heat3", "cycles", "label_C", "wl0"."""
        check_is_fitted(self)
        names = [f"heat{k}" for k in range(len(self.times_))] + list(SIZES)
        names += [f"label_{label}" for label in (*self.labels_, "other")]
        if self.wl_components:
            names += [f"wl{k}" for k in range(self.wl_axes_.shape[1])] + ["wl_other"]
        return np.array(names, object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def _fit(self, X: Any) -> tuple[list[Graph], list[np.ndarray]]:
        checks.positive_int("wl_depth", self.wl_depth, minimum=0)
        checks.positive_int("wl_components", self.wl_components, minimum=0)
        self.times_ = _times(self.heat_times)
        graphs = read(X, self.node_labels, self.edge_labels)
        self.patterns_ = Patterns.learn(graphs, self.wl_depth)
        self.labels_ = [name for _, name in self.patterns_.depths[0]]
        counts = self.patterns_.count(graphs)
        table = _logs(counts)
        self.wl_mean_ = table.mean(0)
        self.wl_axes_ = principal_axes(table - self.wl_mean_, self.wl_components)
        return graphs, counts

    def _features(self, graphs: list[Graph], counts: list[np.ndarray]) -> np.ndarray:
        parts = [heat_traces(graphs, self.times_), np.array([_sizes(graph) for graph in graphs]), counts[0]]
        if self.wl_components:
            scores = (_logs(counts) - self.wl_mean_) @ self.wl_axes_
            parts += [scores, np.log1p(sum(table[:, -1:] for table in counts))]
        return np.concatenate(parts, axis=1)


def _logs(counts: list[np.ndarray]) -> np.ndarray:
    """(n, P) `log(1 + count)` of the patterns known from training."""
    return np.log1p(np.concatenate([table[:, :-1] for table in counts], axis=1))


def _sizes(graph: Graph) -> tuple[float, float, float]:
    n, m = graph.size, len(graph.edges)
    return float(np.log(n)), float(np.log1p(m)), float(m - n + num_components(graph))


def _times(given: Any) -> np.ndarray:
    if np.ndim(given) == 0:
        checks.positive_int("heat_times", given, minimum=0)
        return np.geomspace(EARLIEST, LATEST, given)
    checks.number("heat_times", np.asarray(given, np.float64), positive=True)
    return np.asarray(given, np.float64)
