"""Exact values that the benchmark of learning coefficients compares with."""

import itertools

import numpy as np
import pytest

from benchmarks.learning_coefficient import cases, coverage_of, main
from benchmarks.learning_coefficient.linear_networks import (
    exact_coefficient,
    most_singular,
    reduced_rank_threshold,
    threshold,
)

T = cases.temperature_of(1_000)


def test_two_layers_have_the_threshold_of_reduced_rank_regression():
    for inputs, hidden, outputs in itertools.product(range(1, 7), repeat=3):
        for rank in range(min(inputs, hidden, outputs) + 1):
            assert threshold((inputs, hidden, outputs), rank) == reduced_rank_threshold(inputs, hidden, outputs, rank)


def test_regular_maps_have_half_their_parameters():
    assert threshold((5, 7), 0) == threshold((5, 7), 3) == 35 / 2
    assert threshold((5, 9, 9, 7), 5) == 35 / 2  # wide layers restrict nothing
    assert threshold((1, 1, 1, 1), 0) == 0.5  # a product of three numbers
    assert threshold((4, 3, 4), 1) == 6.0


def test_thresholds_need_widths_of_the_rank():
    with pytest.raises(ValueError, match="pass widths of at least it"):
        threshold((4, 1, 4), 3)


def test_gibbs_sampling_of_one_layer_is_its_normal_law():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4)) * [1.0, 3.0, 0.3, 1.0]
    gram, layers = X.T @ X / 100, [rng.normal(size=(3, 4))]
    s = np.linalg.eigvalsh(gram)
    mean = exact_coefficient(layers, gram, 0.1, 2.0, 40, rng)
    assert mean.value == pytest.approx(3 * np.sum(s / (s + 0.2)) / 2, rel=1e-9)


def test_gibbs_sampling_of_two_numbers_is_quadrature():
    rng = np.random.default_rng(0)
    mean = exact_coefficient([np.ones((1, 1)), np.ones((1, 1))], np.eye(1), T, 10.0, 20_000, rng)
    exact = cases.by_quadrature(lambda a, b: (a * b - 1) ** 2 / 2, (1.0, 1.0), T, 10.0).value
    assert abs(mean.value - exact) < 4 * mean.error
    assert mean.error < 0.01


def test_layers_have_the_rank_and_the_map_too():
    layers = most_singular((9, 6, 8), 4, np.random.default_rng(0))
    for matrix in (*layers, layers[1] @ layers[0]):
        np.testing.assert_allclose(np.linalg.svd(matrix)[1], [1] * 4 + [0] * (min(matrix.shape) - 4), atol=1e-12)


def test_there_are_twenty_networks_up_to_a_million_weights():
    sizes = [sum(a * b for a, b in itertools.pairwise(widths)) for widths, _ in cases.networks()]
    assert len(sizes) == 20
    assert sorted(sizes)[-3:] == [100_000, 102_400, 1_008_000]


def test_coverage_counts_intervals():
    lines = [{"value": value, "exact": 1.0, "error": 0.1} for value in (0.9, 1.0, 1.19, 1.21)]
    assert coverage_of(lines) == 3


def test_a_report_runs_nothing(tmp_path, capsys):
    main(["--report", "--out", str(tmp_path / "none.jsonl")])
    assert capsys.readouterr().out == ""
