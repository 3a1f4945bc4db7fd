"""From a table to distinct, standardised rows."""

import numpy as np
import pytest

import langevax.sklearn
from langevax.sklearn.column_maps import SCALINGS, Standardiser
from langevax.sklearn.table import (
    FEWEST_ROWS,
    LEAST_STEP,
    MANY_COLUMNS,
    bucket,
    distinct_rows,
    eigenbasis,
    padded,
    row_span,
)


def some_rows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, size=(n, 2)).astype(float), rng.integers(
        0, 2, size=n
    ).astype(float)


def test_weights_and_repetitions_are_one_table():
    """Whatever the order, to the last bit."""
    X, y = some_rows(50)
    weights = np.random.default_rng(1).integers(0, 4, size=50)
    order = np.random.default_rng(2).permutation(weights.sum())
    repeated = np.repeat(np.arange(50), weights)[order]
    one, two = (
        distinct_rows(X, y, weights),
        distinct_rows(X[repeated], y[repeated], None),
    )
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
    rows = distinct_rows(
        np.array([[0.0], [-0.0], [1.0]]),
        np.array([1.0, 1.0, 2.0]),
        np.array([1.0, 1.0, 0.0]),
    )
    np.testing.assert_array_equal(rows.places, [0, 0, -1])
    np.testing.assert_array_equal(rows.weights, [2.0])


def test_other_units_leave_the_order_of_rows():
    """Of the targets and of every column, also where they are rounded differently."""
    rng = np.random.default_rng(0)
    X, y = np.round(rng.normal(size=(100, 3)), 2), np.round(rng.normal(size=100), 1)
    rows = distinct_rows(X, y, None)
    others = distinct_rows(
        X * [100, 0.3048, 1 / 3] + [0, 32, 0], np.round(100 * y), None
    )
    np.testing.assert_array_equal(others.places, rows.places)
    ties = [*zip(rows.targets, *rows.inputs.T, strict=True)]
    assert ties == sorted(ties)


def test_weights_that_are_no_counts_are_relative():
    """Of mean 1, and each row is left out whole."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    weights = rng.uniform(0.5, 3, 30)
    rows = distinct_rows(X, y, weights).with_relative_weights()
    np.testing.assert_allclose(
        rows.weights[rows.places], weights / weights.mean(), rtol=1e-12
    )
    np.testing.assert_array_equal(rows.copies, 1)
    for unit in (1e308, 1e-310):
        other = distinct_rows(X, y, unit * (weights / 3)).with_relative_weights()
        np.testing.assert_allclose(other.weights, rows.weights, rtol=1e-5)


def test_a_table_repeated_is_the_table():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    counts = rng.integers(1, 4, 30)
    once, often = (
        distinct_rows(X, y, times * counts).with_relative_weights() for times in (1, 20)
    )
    np.testing.assert_array_equal(often.weights, once.weights)
    np.testing.assert_array_equal(
        often.copies, 1
    )  # a copy of a row of numbers would predict the row
    few = distinct_rows(X[:10], y[:10], np.full(10, 20)).with_relative_weights()
    np.testing.assert_array_equal(few.copies, 20)


def test_copies_count_where_equal_inputs_have_different_targets():
    cells = np.array([[a, b] for a in range(6) for b in range(5)], float)
    X, y = np.concatenate([cells, cells[:20]]), np.repeat([0.0, 1.0], [30, 20])
    counts = np.arange(1, 51)
    rows = distinct_rows(X, y, counts).with_relative_weights()
    np.testing.assert_array_equal(
        rows.copies[rows.places],
        np.where(np.isin(np.arange(50), range(20, 30)), 1, counts),
    )


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("unit", [1e306, 1e200, 1e-200, 1e-306])
def test_units_change_no_standardised_column_and_warn_of_nothing(unit, scaling):
    X = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 3.0, 0.0]
    plain = Standardiser.fit(X, np.ones(200), scaling)
    other = Standardiser.fit(unit * X, np.ones(200), scaling)
    np.testing.assert_allclose(other(unit * X), plain(X), rtol=1e-5, atol=1e-6)
    assert np.all(np.isfinite(other(np.full((1, 3), np.finfo(float).max))))
    assert np.all(np.isfinite(plain(np.full((1, 3), -np.finfo(float).max))))


@pytest.mark.parametrize("scaling", ["columns", "global"])
def test_pre_activations_have_unit_variance(scaling):
    """Mean over rows of |x|^2 is one, constant columns are zero and do not count."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(500, 5)) * [1.0, 100.0, 0.0, 3.0, 3.0] + 7
    weights = rng.uniform(0.5, 2, 500)
    standardised = Standardiser.fit(X, weights, scaling)(X)
    assert standardised.dtype == np.float32
    assert np.average(
        np.sum(standardised.astype(float) ** 2, 1), weights=weights
    ) == pytest.approx(1, rel=1e-4)
    np.testing.assert_array_equal(standardised[:, 2], 0)
    variances = np.average(standardised.astype(float) ** 2, axis=0, weights=weights)
    if scaling == "columns":
        np.testing.assert_allclose(variances[[0, 1, 3, 4]], 0.25, rtol=1e-3)
    else:
        assert variances[1] / variances[0] > 5000


def test_the_eigenbasis_makes_second_moments_diagonal():
    rng = np.random.default_rng(4)
    X, weights = (
        np.float32(rng.normal(size=(100, 4)) @ rng.normal(size=(4, 4))),
        rng.uniform(size=100),
    )
    rotated = X @ eigenbasis(X, weights)
    moments = rotated.T @ (weights[:, None] * rotated) / weights.sum()
    np.testing.assert_allclose(
        moments - np.diag(np.diag(moments)), 0, atol=1e-5 * np.trace(moments)
    )


def test_few_rows_of_many_columns_are_seen_in_the_directions_that_they_span():
    X = np.random.default_rng(0).normal(size=(40, MANY_COLUMNS)).astype(np.float32)
    span = row_span(X)
    np.testing.assert_allclose(span.T @ span, np.eye(40), atol=1e-6)
    np.testing.assert_allclose(X @ span @ span.T, X, atol=1e-4)
    assert row_span(X[:, :-1]) is None
    assert row_span(np.ones((501, MANY_COLUMNS), np.float32)) is None


def test_buckets_waste_at_most_fifteen_percent_or_three():
    for size in range(1, 5000):
        assert size <= bucket(size, LEAST_STEP) <= max(1.15 * size, size + 3)
    for size in range(FEWEST_ROWS, 5000):
        assert bucket(size, FEWEST_ROWS) <= 1.15 * size
    assert len({bucket(size, LEAST_STEP) for size in range(1, 100_000)}) < 110


def test_padding_repeats_a_valid_row():
    np.testing.assert_array_equal(padded(np.array([3, 4]), 5), [3, 4, 3, 3, 3])


def test_the_public_names_are_listed():
    assert dir(langevax.sklearn) == langevax.sklearn.__all__
    for name in langevax.sklearn.__all__:
        assert getattr(langevax.sklearn, name).__doc__
