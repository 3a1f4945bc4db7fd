"""Numbers of nodes and edges of graphs: read alike from all forms, in any order, bad ones refused."""

import networkx as nx
import numpy as np
import pytest

from langevax.sklearn import GraphFeatures
from tests.sentences import refuses

NUMBERS = {"node_features": "charge", "edge_features": "length"}


def test_the_order_of_nodes_and_edges_changes_nothing():
    random = np.random.default_rng(1)
    trees = [[(int(random.integers(i)), i, i / 2) for i in range(1, 9)] for _ in "abc"]
    graphs = [(edges, None, random.normal(size=9)) for edges in trees]
    encoder = GraphFeatures(**NUMBERS).fit(graphs)
    order = random.permutation(9)
    places = np.argsort(order)
    others = [
        (
            [(int(places[j]), int(places[i]), x) for i, j, x in edges][::-1],
            None,
            q[order],
        )
        for edges, _, q in graphs
    ]
    expected = encoder.transform(graphs)
    np.testing.assert_allclose(encoder.transform(others), expected, atol=1e-9)


def test_numbers_are_read_alike_from_all_forms():
    graph = nx.Graph()
    graph.add_nodes_from(
        (i, {"charge": charge}) for i, charge in enumerate([1.0, 2.0, 4.0])
    )
    graph.add_edge(0, 1, length=1.0)
    graph.add_edge(1, 2, length=3.0)
    edges, charges = [(0, 1, 1.0), (2, 1, 3.0)], [1.0, 2.0, 4.0]
    forms = [
        graph,
        graph.to_directed(),
        (edges, None, charges),
        (edges, None, np.array(charges)[:, None]),
    ]
    encoder = GraphFeatures(heat_times=0, **NUMBERS).fit(forms)
    names = encoder.get_feature_names_out().tolist()
    assert names[-5:] == [
        "charge0_mean",
        "charge0_deviation",
        "charge0_difference",
        "length0_mean",
        "length0_deviation",
    ]
    numbers = encoder.transform(forms)[:, -5:]
    expected = [7 / 3, np.std(charges), np.sqrt((1 + 4) / 2), 2, 1]
    np.testing.assert_allclose(numbers, np.tile(expected, (4, 1)))
    labelled = GraphFeatures(edge_labels="bond", edge_features="length")
    assert labelled.fit(
        [([(0, 1, "single", 1.0)], "CC"), ([(0, 1, "double", 2.0)], "CC")]
    ).num_features_ == (0, 1)


@pytest.mark.parametrize(
    ("graphs", "parameters", "facts"),
    [
        (
            [([(0, 1)], None)],
            NUMBERS,
            "node_features='charge'",
        ),
        (
            [([(0, 1)], None, [1.0, 2.0])],
            NUMBERS,
            "edge_features='length'",
        ),
        (
            [([(0, 1, 1.0)], None, [1.0, np.nan])],
            NUMBERS,
            "2",
        ),
        (
            [([(0, 1, 1.0)], "CC", [1.0])],
            NUMBERS,
            "node_features='charge' 2",
        ),
        (
            [([(0, 1, "long")], None, [1.0, 2.0])],
            NUMBERS,
            "edge_features='length'",
        ),
        (
            [([(0, 1)], None, [1, 2]), ([(0, 1)], None, [[1, 2]] * 2)],
            {"node_features": "q"},
            "1 2",
        ),
        ([([(0, 1)], None, [1.0, 2.0])], {}, "node_features='NAME'"),
    ],
)
def test_bad_numbers_are_refused_in_words(graphs, parameters, facts):
    with refuses(ValueError, facts):
        GraphFeatures(**parameters).fit(graphs)
