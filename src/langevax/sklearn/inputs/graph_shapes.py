"""Graphs by random convolutions: what is around their nodes, in coordinates of the span of the training graphs.

    h_0(v) = tanh(U x_v),      h_l(v) = tanh(W h_{l-1}(v) + sum over edges (v, w) of tanh(V h_{l-1}(w) + E e_vw))

x_v are the label of a node as an indicator, its degree and its numbers; e_vw the label of an edge as an indicator and
its numbers. U, V, W, E are drawn once and never trained, as the kernels of ROCKET are for curves (Gallicchio, Micheli,
AAAI 2020, for graphs). The features are mean, sum and greatest value over the nodes of every unit of every layer, and
beside them heat traces and sizes, which tell apart graphs that no such layers do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from langevax.sklearn.inputs.graph_values import AnyGraphs, Graph, Label
from langevax.sklearn.inputs.graphs import GraphFeatures, heat_traces, log_sizes
from langevax.sklearn.inputs.span import SpanColumns
from langevax.sklearn.inputs.unlike import Remark, warn_of
from langevax.sklearn.persistence import saved_class

WIDTH, DEPTH = 256, 3  # units of a layer, layers after the first
GAIN = 1.5  # deviation of what a unit sums up
STRUCTURE = 0.25  # share of heat traces and sizes in the squared distance of two graphs, beside 1 of the layers
EDGES_AT_ONCE = 2**14  # whose sums are in memory


@saved_class
@dataclass(eq=False, repr=False)
class GraphShapes(SpanColumns):
    """Features of random convolutions, in coordinates of their span.

    Attributes:
        edge_labels_: seen in training, with their places.
        centres_, deviations_: of the degree's logarithm and the nodes' numbers, and of the edges' numbers.
    """

    reader: GraphFeatures

    def fit_transform(self, X: AnyGraphs, used: np.ndarray | None = None) -> np.ndarray:
        """Learn from the graphs `used` (n,) bool, by default all of them; return the columns of all."""
        graphs = self.reader.fit_read(X)
        if used is None or used.shape != (len(graphs),) or not used.any():
            used = np.ones(len(graphs), bool)
        training = [graph for graph, taken in zip(graphs, used, strict=True) if taken]
        labels = sorted({label for graph in training for label in graph.edge_labels})
        self.edge_labels_ = {label: k for k, label in enumerate(labels)}
        node_numbers = np.concatenate([_node_numbers(graph) for graph in training])
        edge_numbers = [graph.edge_numbers for graph in training if len(graph.edges)]
        of_edges = (
            np.concatenate(edge_numbers)
            if edge_numbers
            else np.zeros((1, self.reader.num_features_[1]))
        )
        self.centres_ = [numbers.mean(0) for numbers in (node_numbers, of_edges)]
        deviations = [numbers.std(0) for numbers in (node_numbers, of_edges)]
        self.deviations_ = [
            np.where(deviation > 0, deviation, np.inf) for deviation in deviations
        ]
        features = self._graph_features(graphs)
        structure = features.shape[1] - 3 * WIDTH * (DEPTH + 1)
        factors = np.ones(features.shape[1])
        if structure:
            factors[-structure:] = np.sqrt(
                STRUCTURE * (features.shape[1] - structure) / structure
            )
        self._fit_span(features[used], factors)
        return self._columns(features)

    def transform(self, X: AnyGraphs) -> np.ndarray:
        """Return (n, directions + 1) float64 of graphs in any of the forms that `GraphFeatures` accepts."""
        graphs = self.reader.read(X)
        warn_of(self.reader.remarks(graphs), "graph", len(graphs))
        return self._columns(self._graph_features(graphs))

    def unlike_training(self, X: AnyGraphs) -> list[Remark]:
        """Return (place, reason) of each graph of another size or with other labels, as `GraphFeatures` does."""
        return self.reader.unlike_training(X)

    def get_feature_names_out(self) -> np.ndarray:
        """Return names such as "shape3", and "other shapes" of what is orthogonal to the training graphs."""
        return np.array(
            [*(f"shape{k}" for k in range(self.num_directions)), "other shapes"], object
        )

    def _graph_features(self, graphs: Sequence[Graph]) -> np.ndarray:
        """Return (n, features) float64."""
        edges = np.cumsum([len(graph.edges) + graph.size for graph in graphs])
        groups = np.split(
            np.arange(len(graphs)), np.flatnonzero(np.diff(edges // EDGES_AT_ONCE)) + 1
        )
        layers = np.concatenate(
            [self._layers([graphs[i] for i in group]) for group in groups]
        )
        structure = [heat_traces(graphs, self.reader.times_), log_sizes(graphs)]
        return np.concatenate([layers, *structure], axis=1)

    def _layers(self, graphs: list[Graph]) -> np.ndarray:
        """Return (n, 3 WIDTH (DEPTH + 1)) pooled values of all units."""
        from scipy.sparse import csr_array

        sizes = np.array([graph.size for graph in graphs])
        first = np.cumsum(sizes) - sizes
        ends = np.concatenate(
            [graph.edges + start for graph, start in zip(graphs, first, strict=True)]
        ).astype(int)
        source, target = np.concatenate([ends, ends[:, ::-1]]).T
        one = np.ones(len(target), np.float32)
        gather = csr_array(
            (one, (target, np.arange(len(target)))), shape=(sizes.sum(), len(target))
        )
        nodes, edges = self._inputs(graphs)
        random = np.random.default_rng(0)

        def weights(number: int, deviation: float = 1.0) -> np.ndarray:
            return (deviation * random.normal(size=(number, WIDTH))).astype(np.float32)

        values = np.tanh(nodes @ weights(nodes.shape[1]) + weights(1, 0.5))
        pooled = _pooled(values, first)
        for _ in range(DEPTH):
            own, near = (weights(WIDTH, GAIN / np.sqrt(WIDTH)) for _ in range(2))
            messages = np.tanh(
                (values @ near)[source]
                + np.concatenate([edges, edges]) @ weights(edges.shape[1])
            )
            values = np.tanh(values @ own + gather @ messages + weights(1, 0.5))
            pooled = np.concatenate([pooled, _pooled(values, first)], axis=1)
        return pooled

    def _inputs(self, graphs: list[Graph]) -> tuple[np.ndarray, np.ndarray]:
        """Return numbers and indicators of nodes and of edges, float32; labels not seen in training have none."""
        centres, deviations = self.centres_, self.deviations_
        numbers = np.concatenate([_node_numbers(graph) for graph in graphs])
        labels = [label for graph in graphs for label in graph.labels]
        indicators = _indicators(labels, self.reader.patterns_.depths[0])
        nodes = np.concatenate(
            [(numbers - centres[0]) / deviations[0], indicators], axis=1
        )
        of_edges = [
            graph.edge_numbers.reshape(len(graph.edges), -1)
            for graph in graphs
            if len(graph.edges)
        ]
        rows = np.concatenate(of_edges) if of_edges else np.empty((0, len(centres[1])))
        labels = [label for graph in graphs for label in graph.edge_labels]
        edges = np.concatenate(
            [
                (rows - centres[1]) / deviations[1],
                _indicators(labels, self.edge_labels_),
            ],
            axis=1,
        )
        return nodes.astype(np.float32), edges.astype(np.float32)


def _node_numbers(graph: Graph) -> np.ndarray:
    """Return (n, 1 + p): the logarithm of the degree, and the features."""
    degrees = np.bincount(graph.edges.ravel(), minlength=graph.size)
    return np.column_stack([np.log1p(degrees), graph.node_numbers])


def _indicators(labels: list[Label], places: dict[Label, int]) -> np.ndarray:
    table = np.zeros((len(labels), len(places)))
    known = [
        (row, places[label]) for row, label in enumerate(labels) if label in places
    ]
    if known:
        table[tuple(np.array(known).T)] = 1.0
    return table


def _pooled(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return (n, 3 WIDTH) mean, sum and greatest value over the nodes of each graph, which begin at `first`."""
    sums = np.add.reduceat(values, first)
    sizes = np.diff(np.append(first, len(values)))[:, None]
    return np.concatenate(
        [sums / sizes, sums, np.maximum.reduceat(values, first)], axis=1
    ).astype(np.float64)
