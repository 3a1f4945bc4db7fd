"""From a table to distinct, standardised rows."""

import numpy as np
import pytest

import langevax.sklearn
from langevax.sklearn.table import FEWEST_ROWS, SMALLEST, Standardiser, bucket, distinct_rows, eigenbasis, padded


def some_rows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, size=(n, 2)).astype(float), rng.integers(0, 2, size=n).astype(float)


def test_weights_and_repetitions_are_one_table():
    """Whatever the order, to the last bit."""
    X, y = some_rows(50)
    weights = np.random.default_rng(1).integers(0, 4, size=50)
    order = np.random.default_rng(2).permutation(weights.sum())
    repeated = np.repeat(np.arange(50), weights)[order]
    one, two = distinct_rows(X, y, weights), distinct_rows(X[repeated], y[repeated], None)
    for name in ("inputs", "targets", "weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.weights.sum() == weights.sum()


def test_every_row_is_found_at_its_place():
    X, y = some_rows()
    rows = distinct_rows(X, y, None)
    assert len(rows.inputs) == len(np.unique(np.column_stack([X, y]), axis=0))
    np.testing.assert_array_equal(rows.inputs[rows.places], X)
    np.testing.assert_array_equal(rows.targets[rows.places], y)
    np.testing.assert_array_equal(rows.weights, np.bincount(rows.places))


def test_rows_of_weight_zero_have_no_place_and_signed_zeros_are_one():
    rows = distinct_rows(np.array([[0.0], [-0.0], [1.0]]), np.array([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(rows.places, [0, 0, -1])
    np.testing.assert_array_equal(rows.weights, [2.0])


@pytest.mark.parametrize("scaling", ["columns", "global"])
def test_pre_activations_have_unit_variance(scaling):
    """Mean over rows of |x|^2 is one, constant columns are zero and do not count."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(500, 5)) * [1.0, 100.0, 0.0, 3.0, 3.0] + 7
    weights = rng.uniform(0.5, 2, 500)
    standardised = Standardiser.fit(X, weights, scaling)(X)
    assert standardised.dtype == np.float32
    assert np.average(np.sum(standardised.astype(float) ** 2, 1), weights=weights) == pytest.approx(1, rel=1e-4)
    np.testing.assert_array_equal(standardised[:, 2], 0)
    variances = np.average(standardised.astype(float) ** 2, axis=0, weights=weights)
    if scaling == "columns":
        np.testing.assert_allclose(variances[[0, 1, 3, 4]], 0.25, rtol=1e-3)
    else:
        assert variances[1] / variances[0] > 5000


def test_the_eigenbasis_makes_second_moments_diagonal():
    rng = np.random.default_rng(4)
    X, weights = np.float32(rng.normal(size=(100, 4)) @ rng.normal(size=(4, 4))), rng.uniform(size=100)
    rotated = X @ eigenbasis(X, weights)
    moments = rotated.T @ (weights[:, None] * rotated) / weights.sum()
    np.testing.assert_allclose(moments - np.diag(np.diag(moments)), 0, atol=1e-5 * np.trace(moments))


def test_buckets_waste_at_most_fifteen_percent_or_three():
    for size in range(1, 5000):
        assert size <= bucket(size, SMALLEST) <= max(1.15 * size, size + 3)
    for size in range(FEWEST_ROWS, 5000):
        assert bucket(size, FEWEST_ROWS) <= 1.15 * size
    assert len({bucket(size, SMALLEST) for size in range(1, 100_000)}) < 110


def test_padding_repeats_a_valid_row():
    np.testing.assert_array_equal(padded(np.array([3, 4]), 5), [3, 4, 3, 3, 3])


def test_the_public_names_are_listed():
    assert dir(langevax.sklearn) == langevax.sklearn.__all__
    for name in langevax.sklearn.__all__:
        assert getattr(langevax.sklearn, name).__doc__
