"""Graphs as features: heat traces in closed form, patterns that tell them apart or not, orders of nodes, bad input."""

import time

import networkx as nx
import numpy as np
import pytest
from scipy.special import ive
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from langevax.sklearn import GraphFeatures, UnlikeTrainingWarning
from tests.sentences import refuses, warns

TIMES = np.array([0.3, 1.0, 4.0, 20.0])


def columns(graphs, prefix, **parameters):
    """Those features of the graphs whose names begin so."""
    encoder = GraphFeatures(**parameters)
    features = encoder.fit_transform(graphs)
    names = encoder.get_feature_names_out()
    return features[:, [str(name).startswith(prefix) for name in names]]


def heat(*graphs):
    return columns(list(graphs), "heat", heat_times=TIMES)


def molecules(n=30, atoms=12, seed=0):
    """Random trees with a few more edges and labels."""
    rng = np.random.default_rng(seed)
    graphs = []
    for _ in range(n):
        edges = [
            (int(rng.integers(i)), i, str(rng.choice(["single", "double"])))
            for i in range(1, atoms)
        ]
        edges += [
            (int(i), int((i + 4) % atoms), "single")
            for i in rng.integers(atoms, size=2)
        ]
        graphs.append(
            (edges, rng.choice(["C", "N", "O"], atoms, p=[0.7, 0.2, 0.1]).tolist())
        )
    return graphs


def traces(eigenvalues):
    return np.exp(-np.outer(TIMES, eigenvalues)).mean(1)


@pytest.mark.parametrize(
    ("graph", "eigenvalues"),
    [
        (nx.path_graph(7), 1 - np.cos(np.pi * np.arange(7) / 6)),
        (nx.cycle_graph(9), 1 - np.cos(2 * np.pi * np.arange(9) / 9)),
        (nx.complete_graph(5), np.append(0, np.full(4, 5 / 4))),
        (nx.star_graph(4), np.array([0, 1, 1, 1, 2])),
        (
            nx.disjoint_union(nx.complete_graph(3), nx.complete_graph(2)),
            np.array([0, 1.5, 1.5, 0, 2]),
        ),
        (nx.empty_graph(1), np.zeros(1)),
        (nx.empty_graph(3), np.zeros(3)),
    ],
)
def test_heat_traces_in_closed_form(graph, eigenvalues):
    np.testing.assert_allclose(heat(graph)[0], traces(eigenvalues), atol=1e-12)


def test_heat_traces_converge_where_a_graph_is_refined():
    """Those of longer and longer paths to 1/pi integral exp(-t (1 - cos s)) ds = exp(-t) I_0(t)."""
    limit = ive(0, TIMES)
    short, long = (np.abs(heat(nx.path_graph(n))[0] - limit).max() for n in (50, 200))
    assert long < 0.003
    assert 3.5 < short / long < 4.5


def test_sizes_and_cycles():
    graphs = [
        nx.path_graph(4),
        nx.cycle_graph(4),
        nx.complete_graph(4),
        nx.disjoint_union_all([nx.cycle_graph(3)] * 2),
    ]
    np.testing.assert_allclose(columns(graphs, "log_nodes")[:, 0], np.log([4, 4, 4, 6]))
    np.testing.assert_allclose(columns(graphs, "log_edges")[:, 0], np.log([4, 5, 7, 7]))
    np.testing.assert_array_equal(columns(graphs, "cycles")[:, 0], [0, 1, 3, 2])


def test_two_triangles_and_a_hexagon_have_the_same_patterns_but_not_the_same_heat():
    """The classic pair that Weisfeiler and Leman's test cannot tell apart."""
    triangles, hexagon = (
        nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3)),
        nx.cycle_graph(6),
    )
    assert columns([triangles, hexagon], "wl", wl_depth=3).shape == (
        2,
        1,
    )  # nothing varies: no axis, only wl_other
    assert np.abs(np.diff(heat(triangles, hexagon), axis=0)).max() > 0.05


@pytest.mark.parametrize(("depth", "told_apart"), [(0, False), (1, False), (2, True)])
def test_patterns_reach_as_far_as_their_depth(depth, told_apart):
    """Two trees of equal degrees whose branching nodes are neighbours, or are not."""
    near = [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (5, 6), (6, 7)]
    apart = [(0, 1), (0, 2), (0, 3), (3, 4), (4, 5), (5, 6), (5, 7)]
    assert sorted(d for _, d in nx.Graph(near).degree()) == sorted(
        d for _, d in nx.Graph(apart).degree()
    )
    assert (columns([near, apart], "wl", wl_depth=depth).shape[1] > 1) == told_apart


def test_labels_are_distinguished_by_their_places():
    """C-C-O and C-O-C: the same labels and the same graph."""
    graphs = [([(0, 1), (1, 2)], "CCO"), ([(0, 1), (1, 2)], "COC")]
    np.testing.assert_array_equal(*columns(graphs, "label"))
    assert columns(graphs, "wl", wl_depth=0).shape[1] == 1
    assert columns(graphs, "wl", wl_depth=1).shape[1] == 2
    assert columns(graphs, "wl", wl_depth=1, node_labels=None).shape[1] == 1


def test_edge_labels_count_where_they_are_named():
    graphs = [([(0, 1, "single")], "CC"), ([(0, 1, "double")], "CC")]
    assert columns(graphs, "wl").shape[1] == 1
    assert columns(graphs, "wl", edge_labels="bond").shape[1] == 2


def test_scores_are_principal_components_of_log_counts():
    """Labels alone: log (1 + counts), whose distances all axes together keep."""
    graphs = molecules()
    scores = columns(graphs, "wl", wl_depth=0)[:, :-1]
    labels = np.array([[g[1].count(name) for name in "CNO"] for g in graphs])
    centred = np.log1p(labels) - np.log1p(labels).mean(0)
    np.testing.assert_allclose(scores @ scores.T, centred @ centred.T, atol=1e-10)
    covariance = np.cov(scores.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-10)
    assert (np.diff(np.diag(covariance)) < 0).all()


@pytest.mark.parametrize(("n", "depth"), [(5, 1), (100, 0)])
def test_principal_axes_by_either_matrix(n, depth):
    """More patterns than graphs, and fewer."""
    graphs = molecules(n)
    first = GraphFeatures(wl_depth=depth, wl_components=3).fit(graphs)
    assert (first.wl_axes_.shape[0] > n) == (n == 5)
    np.testing.assert_allclose(
        first.wl_axes_.T @ first.wl_axes_, np.eye(first.wl_axes_.shape[1]), atol=1e-9
    )
    scores = first.transform(graphs)[:, -4:-1]
    np.testing.assert_allclose(scores.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(np.corrcoef(scores.T), np.eye(3), atol=1e-8)


def test_the_order_of_nodes_and_edges_changes_nothing():
    rng = np.random.default_rng(1)
    graphs, relabelled = molecules(), []
    for edges, labels in graphs:
        order = rng.permutation(len(labels))
        places = np.argsort(order)
        links = [(int(places[j]), int(places[i]), mark) for i, j, mark in edges]
        relabelled.append((links[::-1], [labels[k] for k in order]))
    encoder = GraphFeatures(wl_depth=2, edge_labels="bond").fit(graphs)
    np.testing.assert_allclose(
        encoder.transform(relabelled), encoder.transform(graphs), atol=1e-9
    )
    np.testing.assert_allclose(
        clone(encoder).fit_transform(relabelled), encoder.transform(graphs), atol=1e-7
    )


def test_all_forms_of_a_graph_are_the_same():
    graph = nx.Graph([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)])
    names = ["C", "C", "N", "O"]
    nx.set_node_attributes(graph, dict(enumerate(names)), "label")
    forms = [
        graph,
        graph.to_directed(),
        (list(graph.edges()), names),
        ([(j, i) for i, j in graph.edges()] + [(0, 1), (1, 1)], names),
    ]
    features = GraphFeatures().fit_transform([*forms, nx.path_graph(3)])
    for row in features[1:-1]:
        np.testing.assert_allclose(row, features[0], atol=1e-12)


def test_categories_unseen_in_training_have_a_place():
    encoder = GraphFeatures(heat_times=0).fit(
        [([(0, 1)], "CC"), ([(0, 1), (1, 2)], "CCC")]
    )
    names = encoder.get_feature_names_out().tolist()
    assert names[3:5] == ["label_C", "label_other"]
    with warns(UnlikeTrainingWarning):
        known, new = encoder.transform(
            [([(0, 1)], "CC"), ([(0, 1), (1, 2)], ["C", "Xe", "C"])]
        )
    assert known[names.index("label_other")] == known[names.index("wl_other")] == 0
    assert new[names.index("label_C")] == 2
    assert new[names.index("label_other")] == 1
    np.testing.assert_allclose(
        new[names.index("wl_other")], np.log1p(4)
    )  # one label, three neighbourhoods
    assert np.isfinite(new).all()


def test_numbers_are_labels_whatever_their_type():
    graphs = [([(0, 1)], [1, 6]), ([(0, 1)], np.array([1, 6])), ([(0, 1)], [1.0, 6.0])]
    assert columns(graphs, "label").shape == (3, 3)


def test_parts_can_be_left_out_and_times_given():
    encoder = GraphFeatures(heat_times=0, wl_components=0).fit(molecules(3))
    assert encoder.get_feature_names_out().tolist() == [
        "log_nodes",
        "log_edges",
        "cycles",
        "label_C",
        "label_N",
        "label_O",
        "label_other",
    ]
    assert encoder.transform(molecules(5)).shape == (5, 7)
    assert (
        GraphFeatures(heat_times=TIMES).fit(molecules(3)).times_.tolist()
        == TIMES.tolist()
    )


def test_it_stands_in_a_pipeline():
    """The number of double bonds is visible in patterns with edge labels only."""
    graphs = molecules(300)
    y = [sum(mark == "double" for *_, mark in edges) for edges, _ in graphs]
    model = make_pipeline(
        GraphFeatures(edge_labels="bond"), StandardScaler(), Ridge(0.1)
    )
    assert model.fit(graphs[:200], y[:200]).score(graphs[200:], y[200:]) > 0.4
    blind = make_pipeline(GraphFeatures(), StandardScaler(), Ridge(0.1))
    assert blind.fit(graphs[:200], y[:200]).score(graphs[200:], y[200:]) < 0.2


@pytest.mark.slow
def test_a_thousand_molecules_take_seconds():
    graphs = molecules(1000, 25)
    start = time.process_time()
    GraphFeatures().fit_transform(graphs)
    assert time.process_time() - start < 6  # 0.5 on a quiet machine


@pytest.mark.parametrize(
    ("parameters", "graphs", "facts"),
    [
        ({}, [], ""),
        ({}, nx.path_graph(3), ""),
        ({}, [nx.path_graph(2), nx.Graph()], "1"),
        ({}, [([], [])], "0"),
        ({}, [[]], "0"),
        ({}, [np.ones((2, 2))], "from_numpy_array"),
        ({}, [([(0, 1)], "CCO"), (nx.path_graph(2), "CCO")], ""),
        ({}, [([(0, 3)], "CC")], "0 2"),
        ({}, [([(-1, 0)], "CC")], "0"),
        (
            {},
            [([(0, 1, 2, 3)], "CC")],
            "",
        ),
        ({}, [([(0, 1)], "CC", "x")], "0"),
        ({}, [3.0], "0"),
        (
            {"wl_depth": -1},
            [nx.path_graph(3)],
            "'wl_depth' 0 -1",
        ),
        (
            {"heat_times": [0.0, 1.0]},
            [nx.path_graph(3)],
            "heat_times 0",
        ),
        ({"heat_times": -1}, [nx.path_graph(3)], "'heat_times' -1"),
    ],
)
def test_bad_input_is_refused_in_words(parameters, graphs, facts):
    with refuses((ValueError, TypeError), facts):
        GraphFeatures(**parameters).fit(graphs)
