"""Gaps between losses and their duals: Fenchel-Young, never NaN, and to full digits in float32."""

from decimal import Decimal, localcontext

import jax
import numpy as np
import pytest

from tests.problems.loss_cases import (
    ALL,
    alone,
    each_bent_loss,
    each_loss,
    examples,
    extremes,
    rows,
    slopes,
)


@each_loss
def test_gap_is_the_fenchel_young_formula(name):
    with jax.enable_x64():
        z, dual, y = examples(name, np.float64)
        direct = naive_gap(name, z, dual, y)
        np.testing.assert_allclose(
            rows(name, "fenchel_young")(z, dual, y), direct, rtol=1e-12, atol=1e-12
        )


@each_loss
def test_gap_vanishes_at_the_derivative_to_the_square_of_rounding(name):
    z, _, y = examples(name, np.float32)
    # A dual near its end cannot hold a small rest, and its own rounding is the gap there: keep to fair odds.
    if name == "logistic":
        z = y * np.maximum(y * z, -2)
    if name == "softmax":
        z[np.arange(len(y)), y] = np.maximum(
            z[np.arange(len(y)), y], np.max(z, axis=1) - 2
        )
    gap = rows(name, "fenchel_young")(z, rows(name, "derivative")(z, y), y)
    assert np.all(gap >= 0)
    assert np.max(gap) < 1e-12


@each_bent_loss
def test_gap_is_at_least_the_square_that_curvature_promises(name):
    with jax.enable_x64():
        z, dual, y = examples(name, np.float64)
        miss = (rows(name, "derivative")(z, y) - dual).reshape(len(z), -1)
        square = np.sum(np.square(miss), axis=1) / (2 * ALL[name].curvature)
        assert np.all(rows(name, "fenchel_young")(z, dual, y) >= square * (1 - 1e-12))


@each_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_is_nan_at_extreme_outputs_and_on_the_border(name, dtype):
    with jax.enable_x64(dtype is np.float64):
        z, dual, y = extremes(name, dtype)
        gap, derivative = (
            rows(name, "fenchel_young")(z, dual, y),
            rows(name, "derivative")(z, y),
        )
        for array in (
            rows(name)(z, y),
            rows(name, "conjugate")(dual, y),
            gap,
            slopes(name)(z, y),
            derivative,
        ):
            assert array.dtype == dtype
            assert np.all(np.isfinite(array))
        assert np.all(gap >= 0)
        np.testing.assert_allclose(
            slopes(name, "fenchel_young")(z, dual, y), derivative - dual, atol=1e-6
        )
        for c in (0.0, 0.01, 1e4):
            new = rows(name, "dual_step")(z, dual, y, np.full(len(z), c, dtype))
            assert new.dtype == dtype
            assert np.all(rows(name, "in_domain")(new, y))


def relative_entropy(s, p):
    return sum(a * (a / b).ln() if a else Decimal(0) for a, b in zip(s, p, strict=True))


def naive_gap(name, z, dual, y):
    inner = np.sum((dual * z).reshape(len(z), -1), axis=1)
    return rows(name)(z, y) + rows(name, "conjugate")(dual, y) - inner


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.99, 1.01, 1.4])
def test_gap_of_logistic_keeps_its_digits_in_float32(factor):
    z = np.array([-80, -17.3, -6, -1.2, -0.01, 0.3, 2, 9, 25, 60, 75], np.float32)
    rare = factor / (
        1 + np.exp(np.abs(z.astype(float)))
    )  # the rare outcome's probability, and a little off
    dual, y = -np.where(z < 0, 1 - rare, rare).astype(np.float32), np.ones_like(z)
    with localcontext(prec=60):
        shares = [-Decimal(float(g)) for g in dual]
        odds = [Decimal(float(a)).exp() for a in z]
        exact = [
            relative_entropy((s, 1 - s), (1 / (1 + o), o / (1 + o)))
            for s, o in zip(shares, odds, strict=True)
        ]
    np.testing.assert_allclose(
        rows("logistic", "fenchel_young")(z, dual, y), np.array(exact, float), rtol=1e-4
    )
    if factor == 0.99:
        assert (
            np.max(
                np.abs(naive_gap("logistic", z, dual, y) / np.array(exact, float) - 1)
            )
            > 1
        )


@pytest.mark.parametrize("tilt", [0.01, 0.1, 1.0])
def test_gap_of_softmax_keeps_its_digits_in_float32(tilt):
    z, y = np.array([[0.5, -1.0, 2.0, -9.0]], np.float32), np.array([2], np.int32)
    derivative = rows("softmax", "derivative")(z, y)
    # mass moved between the rarest classes, so that the loss dwarfs the gap
    dual = derivative + np.float32(tilt) * derivative[0, 3] * np.array(
        [[0, 1, 0, -1]], np.float32
    )
    with localcontext(prec=60):
        s = [Decimal(float(g)) + (k == 2) for k, g in enumerate(dual[0])]
        odds = [Decimal(float(a)).exp() for a in z[0]]
        p = [o / sum(odds) for o in odds]
        exact = float(
            relative_entropy(s, p) - sum(s) + sum(p)
        )  # the rounded s need not sum to one
    assert float(rows("softmax", "fenchel_young")(z, dual, y)[0]) == pytest.approx(
        exact, rel=1e-4
    )
    assert abs(naive_gap("softmax", z, dual, y)[0] / exact - 1) > 1e-3


def test_gap_of_softmax_keeps_its_digits_where_the_label_is_all_but_excluded():
    share = (
        np.arange(6) * 2.0**-24
    )  # of the label; what a float32 dual near -1 can hold
    dual = np.stack([share - 1, 1 - share], axis=1).astype(np.float32)
    z, y = np.tile(np.array([0.0, 17.0], np.float32), (6, 1)), np.zeros(6, np.int32)
    with localcontext(prec=60):
        p = 1 / (1 + Decimal(17).exp())
        exact = [
            relative_entropy((s, 1 - s), (p, 1 - p))
            for s in map(Decimal, map(float, share))
        ]
    np.testing.assert_allclose(
        alone("softmax", "fenchel_young")(z, dual, y), np.array(exact, float), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "z", "share", "width"),
    [("squared", 0.3, 0.7007, 1.0), ("hinge", 0.79, 0.707, 0.3)],
)
def test_gap_of_quadratic_losses_keeps_its_digits_in_float32(name, z, share, width):
    z, dual, y = (np.array([v], np.float32) for v in (z, -share, 1.0))
    exact = (1 - float(z[0]) + width * float(dual[0])) ** 2 / (2 * width)
    assert float(rows(name, "fenchel_young")(z, dual, y)[0]) == pytest.approx(
        exact, rel=1e-4
    )
    assert abs(naive_gap(name, z, dual, y)[0] / exact - 1) > 1e-3
