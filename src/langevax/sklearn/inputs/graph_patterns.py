"""What is looked at in graphs: heat traces of the Laplacian, and patterns of Weisfeiler and Leman."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from langevax.sklearn.inputs.graph_input import Graph, Label
from langevax.spaces.tabulated import leading, with_fixed_signs

UNKNOWN = -1
GRAM = 3000  # graphs or patterns up to which their matrix of inner products is decomposed in full


def heat_traces(graphs: Sequence[Graph], times: np.ndarray) -> np.ndarray:
    """(graphs, times), `1/n sum_i exp(-t lambda_i)` over the eigenvalues of the normalised Laplacian.

    A mean over nodes, so that it converges where a graph is refined, and lies in (0, 1]; 1 without edges. The share of
    connected components is its limit for late times. O(n^3) a graph, those of one size together.
    """
    traces = np.empty((len(graphs), len(times)))
    sizes = np.array([graph.size for graph in graphs])
    for size in np.unique(sizes):
        places = np.flatnonzero(sizes == size)
        for some in np.array_split(places, max(1, len(places) * size**2 // 10**7)):  # at most 80 MB at once
            eigenvalues = np.linalg.eigvalsh(np.stack([graphs[i].laplacian() for i in some]))
            traces[some] = np.exp(-times[:, None] * np.maximum(eigenvalues, 0)[:, None]).mean(-1)
    return traces


def num_components(graph: Graph) -> int:
    """Connected ones."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    i, j = graph.edges.T
    adjacency = coo_matrix((np.ones(len(i)), (i, j)), shape=(graph.size, graph.size))
    return int(connected_components(adjacency, directed=False, return_labels=False))


@dataclass(frozen=True)
class Patterns:
    """Those of the training graphs: at depth 0 labels; at depth h a node's pattern of depth h - 1 with the multiset of
    its neighbours', along with the labels of the edges (Shervashidze et al., JMLR 2011).

    One dictionary a depth, from a pattern to its number. Numbers follow the sorted patterns, not the order of nodes.
    """

    depths: list[dict[Any, int]]

    @classmethod
    def learn(cls, graphs: Sequence[Graph], depth: int) -> "Patterns":
        """All patterns up to `depth`."""
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
        """Of each depth (graphs, patterns + 1): how often each occurs; in the last column, those never seen before."""
        tables = [np.zeros((len(graphs), len(numbers) + 1)) for numbers in self.depths]
        for g, graph in enumerate(graphs):
            links, patterns = graph.neighbours(), list(graph.labels)
            for h, numbers in enumerate(self.depths):
                if h > 0:
                    patterns = _deeper(patterns, links)
                patterns = [numbers.get(pattern, UNKNOWN) for pattern in patterns]
                for number, count in Counter(patterns).items():
                    tables[h][g, number] = count
        return tables


def principal_axes(table: np.ndarray, most: int) -> np.ndarray:
    """(columns, k), k <= most: orthonormal directions of greatest variance of centred rows; none without variance."""
    if not table.any():
        return np.empty((table.shape[1], 0))
    n, width = table.shape
    if min(n, width) > GRAM:
        from scipy.sparse.linalg import svds

        found: Any = svds(table, k=most, rng=np.random.default_rng(0))
        return with_fixed_signs(found[2][::-1].T)
    if width <= n:
        return with_fixed_signs(leading(table.T @ table, None, name="patterns")[1][:, :most])
    values, vectors = leading(table @ table.T, None, name="patterns")
    return with_fixed_signs(table.T @ vectors[:, :most] / np.sqrt(values[:most]))


def _deeper(patterns: Sequence[Any], links: list[list[tuple[int, Label]]]) -> list[Any]:
    return [
        (patterns[node], tuple(sorted((label, patterns[other]) for other, label in near)))
        for node, near in enumerate(links)
    ]
