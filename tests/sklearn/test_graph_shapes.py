"""Graphs by random convolutions, numbers of nodes and edges, the choice of the encoder, and graphs unlike the rest."""

import networkx as nx
import numpy as np
import pytest

from langevax.sklearn import (
    GraphFeatures,
    GraphMeanFieldClassifier,
    GraphMeanFieldRegressor,
    UnlikeTrainingWarning,
    load,
)
from langevax.sklearn.inputs.graph_shapes import GraphShapes

pytestmark = pytest.mark.mostly_compiling

SMALL = {"num_particles": 50, "num_steps": 100, "random_state": 0, "progress": False}
NUMBERS = {"node_features": "charge", "edge_features": "length"}


def charged_trees(n=60, seed=0):
    """(graphs, energies, lengths): sums over the edges of the product of the ends' charges, and of the lengths."""
    random, graphs = np.random.default_rng(seed), []
    for _ in range(n):
        size = int(random.integers(6, 12))
        edges = [
            (int(random.integers(i)), i, float(random.uniform(0.5, 2)))
            for i in range(1, size)
        ]
        graphs.append((edges, None, random.normal(size=size)))
    energies = [
        sum(charges[i] * charges[j] for i, j, _ in edges) / len(charges)
        for edges, _, charges in graphs
    ]
    return (
        graphs,
        np.array(energies),
        np.array([sum(length for *_, length in edges) for edges, *_ in graphs]),
    )


def columns_of(graphs, **parameters):
    encoder = GraphShapes(GraphFeatures(**parameters))
    return encoder, encoder.fit_transform(graphs)


def relabelled(graph, order):
    """The same graph with its nodes in another order, its edges turned around and in another order."""
    edges, labels, *numbers = graph
    places = np.argsort(order)
    links = [(int(places[j]), int(places[i]), *rest) for i, j, *rest in edges][::-1]
    return (
        links,
        None if labels is None else [labels[k] for k in order],
        *([part[k] for k in order] for part in numbers),
    )


def test_the_order_of_nodes_and_edges_changes_nothing():
    graphs, *_ = charged_trees(20)
    encoder, columns = columns_of(graphs, **NUMBERS)
    random = np.random.default_rng(1)
    others = [relabelled(graph, random.permutation(len(graph[2]))) for graph in graphs]
    np.testing.assert_allclose(encoder.transform(others), columns, atol=1e-4)
    plain = GraphFeatures(**NUMBERS).fit(graphs)
    np.testing.assert_allclose(
        plain.transform(others), plain.transform(graphs), atol=1e-9
    )


def test_coordinates_keep_the_distances_of_features():
    graphs, *_ = charged_trees(20)
    encoder, columns = columns_of(graphs[:15], **NUMBERS)
    features = (
        encoder._graph_features(encoder.reader.read(graphs)) - encoder.feature_means_
    ) / encoder.feature_scales_
    new = encoder.transform(graphs[15:])
    np.testing.assert_allclose(
        new @ columns.T, features[15:] @ features[:15].T, atol=1e-5
    )
    np.testing.assert_allclose((new**2).sum(1), (features[15:] ** 2).sum(1), rtol=1e-4)
    assert (columns[:, -1] == 0).all()


@pytest.mark.parametrize(
    "change", ["label", "bond", "place of the bond", "charge", "length", "two rings"]
)
def test_convolutions_see_every_part_of_a_graph(change):
    names = {"edge_labels": "bond", **NUMBERS}
    ring = [(i, (i + 1) % 6, "single", 1.0) for i in range(6)]
    one = ring, list("CCCCON"), [0.0, 0, 0, 0, 0, 1]
    other = {
        "label": (ring, list("CCCCOC"), one[2]),
        "bond": ([(0, 1, "double", 1.0), *ring[1:]], *one[1:]),
        "place of the bond": ([(0, 1, "double", 1.0), *ring[1:]], *one[1:]),
        "charge": (*one[:2], [0.0, 0, 0, 0, 1, 0]),
        "length": ([(0, 1, "single", 2.0), *ring[1:]], *one[1:]),
        "two rings": (
            [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)],
            ["C"] * 6,
            [0.0] * 6,
        ),
    }[change]
    if change == "place of the bond":
        one = [*ring[:3], (3, 4, "double", 1.0), *ring[4:]], *one[1:]
    if change == "two rings":  # of which heat traces tell, and no messages
        one, names = (
            (list(nx.cycle_graph(6).edges()), *other[1:]),
            {"node_features": "charge"},
        )
    third = nx.path_graph(4)
    nx.set_node_attributes(
        third, {i: {"label": "C", "charge": 0.5 * i} for i in range(4)}
    )
    nx.set_edge_attributes(
        third, {edge: {"bond": "double", "length": 3.0} for edge in third.edges()}
    )
    _, columns = columns_of([one, other, third], **names)
    assert np.linalg.norm(columns[0] - columns[1]) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("targets", "encoder"), [("energies", "convolutions"), ("lengths", "patterns")]
)
def test_auto_takes_the_encoder_of_the_smaller_error(targets, encoder):
    graphs, energies, lengths = charged_trees(100)
    y = energies if targets == "energies" else lengths
    model = GraphMeanFieldRegressor(**NUMBERS, **SMALL).fit(graphs, y)
    assert (
        model.encoder_name_
        == min(model.encoder_errors_, key=model.encoder_errors_.get)
        == encoder
    )
    blind = GraphMeanFieldRegressor(**SMALL, encoder=encoder).fit(
        [graph[0] for graph in graphs], y
    )
    assert blind.encoder_errors_ is None
    assert model.leave_one_out_.error < 0.8 * blind.leave_one_out_.error


@pytest.mark.slow
def test_saved_models_predict_alike(tmp_path):
    graphs, energies, _ = charged_trees(30)
    model = GraphMeanFieldClassifier(encoder="convolutions", **NUMBERS, **SMALL).fit(
        graphs, energies > 0
    )
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict_proba(graphs), model.predict_proba(graphs)
    )


def test_numbers_are_read_alike_from_all_forms():
    graph = nx.Graph()
    graph.add_nodes_from(
        (i, {"charge": charge}) for i, charge in enumerate([1.0, 2.0, 4.0])
    )
    graph.add_edge(0, 1, length=1.0)
    graph.add_edge(1, 2, length=3.0)
    matrix = np.array([[0, 1.0, 0], [1.0, 0, 3], [0, 3, 0]])
    edges, charges = [(0, 1, 1.0), (2, 1, 3.0)], [1.0, 2.0, 4.0]
    forms = [
        graph,
        graph.to_directed(),
        (edges, None, charges),
        (edges, None, np.array(charges)[:, None]),
    ]
    encoder = GraphFeatures(heat_times=0, **NUMBERS).fit(
        [*forms, (matrix, None, charges)]
    )
    names = encoder.get_feature_names_out().tolist()
    assert names[-5:] == [
        "charge0_mean",
        "charge0_deviation",
        "charge0_difference",
        "length0_mean",
        "length0_deviation",
    ]
    numbers = encoder.transform([*forms, (matrix, None, charges)])[:, -5:]
    expected = [7 / 3, np.std(charges), np.sqrt((1 + 4) / 2), 2, 1]
    np.testing.assert_allclose(numbers, np.tile(expected, (5, 1)))
    labelled = GraphFeatures(edge_labels="bond", edge_features="length")
    assert labelled.fit(
        [([(0, 1, "single", 1.0)], "CC"), ([(0, 1, "double", 2.0)], "CC")]
    ).num_features_ == (0, 1)


@pytest.mark.parametrize(
    ("graphs", "parameters", "message"),
    [
        (
            [([(0, 1)], None)],
            NUMBERS,
            "graph 0 lacks numbers that node_features='charge' asks for",
        ),
        (
            [([(0, 1)], None, [1.0, 2.0])],
            NUMBERS,
            "graph 0 lacks numbers that edge_features='length' asks for",
        ),
        (
            [([(0, 1, 1.0)], None, [1.0, np.nan])],
            NUMBERS,
            "finite numbers, one row for each of 2, .* with NaN",
        ),
        (
            [([(0, 1, 1.0)], "CC", [1.0])],
            NUMBERS,
            "node_features='charge' must be finite numbers, one row for each of 2",
        ),
        (
            [([(0, 1, "long")], None, [1.0, 2.0])],
            NUMBERS,
            "edge_features='length' must be numbers, .*words are labels",
        ),
        (
            [([(0, 1)], None, [1, 2]), ([(0, 1)], None, [[1, 2]] * 2)],
            {"node_features": "q"},
            "graph 1 has 2 features",
        ),
        ([([(0, 1)], None, [1.0, 2.0])], {}, "or with node_features='NAME'"),
        (
            [
                (
                    [(i, i + 1) for i in range(9)],
                    np.random.default_rng(i).normal(size=10),
                )
                for i in range(9)
            ],
            {},
            "node labels are 90 different numbers such as .* name them by node_features= instead of node_labels=",
        ),
        (
            [[(i, i + 1, np.pi / (i + 2 + 9 * j)) for i in range(9)] for j in range(9)],
            {"edge_labels": "d"},
            "edge labels are 81 different numbers",
        ),
    ],
)
def test_bad_numbers_are_refused_in_words(graphs, parameters, message):
    with pytest.raises(ValueError, match=message):
        GraphFeatures(**parameters).fit(graphs)


@pytest.mark.slow
def test_graphs_unlike_the_training_are_named():
    graphs, energies, _ = charged_trees(40)
    model = GraphMeanFieldRegressor(encoder="convolutions", **NUMBERS, **SMALL).fit(
        graphs, energies
    )
    assert model.encoder_.unlike_training(charged_trees(200, 1)[0]) == []
    edges, _, charges = graphs[0]
    odd = [
        graphs[1],
        (edges, ["Xe"] * len(charges), charges),
        (edges, None, 1000 * charges),
        ([(i, i + 1, 1.0) for i in range(39)], None, np.zeros(40)),
    ]
    reasons = dict(model.encoder_.unlike_training(odd))
    assert list(reasons) == [1, 2, 3]
    assert "label 'Xe'" in reasons[1]
    assert "charge0" in reasons[2]
    assert "it has 40 nodes, and they have" in reasons[3]
    with pytest.warns(
        UnlikeTrainingWarning,
        match="3 of 4 graphs are unlike all of training, such as graph 1 of X",
    ):
        model.predict(odd)
