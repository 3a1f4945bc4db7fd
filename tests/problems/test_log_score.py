"""The logarithmic score: its conjugate, coordinate step and gap against maxima found by SciPy, and its borders."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from langevax.problems import losses
from tests.problems.loss_cases import examples, rows
from tests.sentences import refuses

NAME, WEIGHT = "log score", 0.7
FEW = (-4.0, -0.5, -0.03)


def highest(concave, low, high):
    """The place and the height of the maximum in the logarithm of a positive number."""
    best = scipy.optimize.minimize_scalar(
        lambda log: -concave(np.exp(log)),
        bounds=(np.log(low), np.log(high)),
        method="bounded",
        options={"xatol": 1e-12},
    )
    return np.exp(best.x), -best.fun


def test_conjugate_is_the_supremum():
    with jax.enable_x64():
        dual = np.array(FEW)
        suprema = [
            highest(lambda z, g=g: g * z + WEIGHT * np.log(z), 1e-4, 1e4)[1]
            for g in FEW
        ]
        np.testing.assert_allclose(
            rows(NAME, "conjugate")(dual, 0 * dual), suprema, rtol=1e-12
        )


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_dual_step_is_the_maximiser(c):
    cases = [(z, g) for z in (1e-3, 0.4, 2.0, 50.0) for g in FEW]

    def place(z, g):
        """The best u = -s of -l*(u) + z u - (c/2) (u - g)^2, with l* as derived by hand."""
        return -highest(
            lambda s: WEIGHT * (1 + np.log(s / WEIGHT)) - z * s - c / 2 * (s + g) ** 2,
            1e-6,
            1e6,
        )[0]

    with jax.enable_x64():
        z, dual = np.array(cases).T
        step = rows(NAME, "dual_step")(z, dual, 0 * z, np.full(len(z), c))
        np.testing.assert_allclose(step, [place(*case) for case in cases], rtol=1e-6)


def test_dual_step_solves_its_quadratic_equation():
    with jax.enable_x64():
        z, dual, y = examples(NAME, np.float64)
        for c in (0.0, 0.01, 1.0, 1e4):
            u = rows(NAME, "dual_step")(z, dual, y, np.full(len(z), c))
            terms = np.stack(
                [c * u**2, -z * u, -c * dual * u, np.full(len(z), -WEIGHT)]
            )
            assert np.all(u < 0)
            np.testing.assert_allclose(
                terms.sum(axis=0) / np.abs(terms).sum(axis=0), 0, atol=1e-15
            )


def test_gap_keeps_its_digits_in_float32():
    z = np.array([1e-6, 0.02, 0.9, 1.0, 37.0, 1e5], np.float32)
    for factor in (0.3, 0.99, 1.01, 30.0):
        dual = (-WEIGHT * factor / z).astype(np.float32)
        with localcontext(prec=60):
            ratios = [
                -Decimal(float(g)) * Decimal(float(a)) / Decimal(WEIGHT)
                for g, a in zip(dual, z, strict=True)
            ]
            exact = np.array(
                [Decimal(WEIGHT) * (ratio - 1 - ratio.ln()) for ratio in ratios], float
            )
        np.testing.assert_allclose(
            rows(NAME, "fenchel_young")(z, dual, 0 * z), exact, rtol=1e-4
        )


def test_borders_are_infinite_and_outputs_that_underflow_are_floored():
    z, zero = np.float32([-1e-3, 0.0, 1.0]), np.zeros(3, np.float32)
    tiny = np.finfo(np.float32).tiny
    np.testing.assert_allclose(
        rows(NAME)(z, zero), [np.inf, -WEIGHT * np.log(tiny), 0], rtol=1e-6
    )
    dual = np.float32([-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(
        rows(NAME, "in_domain")(dual, zero), [True, False, False]
    )
    np.testing.assert_array_equal(
        np.isfinite(rows(NAME, "conjugate")(dual, zero)), [True, False, False]
    )
    np.testing.assert_array_equal(
        np.isfinite(rows(NAME, "fenchel_young")(zero + 1, dual, zero)),
        [True, False, False],
    )
    assert np.isinf(rows(NAME, "fenchel_young")(z, zero - 1, zero)[0])
    assert np.isnan(
        rows(NAME, "fenchel_young")(np.float32([np.nan]), np.float32([-1.0]), zero[:1])
    )
    np.testing.assert_array_equal(
        rows(NAME, "project")(np.float32([0.0, 2.0, -3.0]), zero), [-tiny, -tiny, -3]
    )
    assert np.isfinite(rows(NAME, "conjugate")(np.float32([-tiny]), zero[:1]))
    steepest = rows(NAME, "dual_step")(zero, zero, zero, zero)
    assert np.all(np.isfinite(steepest) & (steepest <= -WEIGHT / tiny))


def test_curvature_has_no_bound():
    assert losses.log_score.curvature == np.inf
    z, _, _ = examples(NAME, np.float32)
    local = jax.vmap(losses.log_score.local_curvature)(z, 0 * z)
    np.testing.assert_allclose(local, 1 / z**2, rtol=1e-6)


def test_weight_must_be_positive_and_may_be_an_array():
    with refuses(ValueError, "weight 0"):
        losses.LogScore(weight=0.0)
    one = jnp.ones(())
    assert float(losses.LogScore(jnp.asarray(0.5))(2 * one, one)) == pytest.approx(
        -0.5 * np.log(2)
    )
    assert losses.LogScore() == losses.log_score != losses.LogScore(0.5)
