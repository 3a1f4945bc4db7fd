"""Conjugates of losses, their domains, and the way back into them."""

import jax
import numpy as np
import pytest
import scipy.optimize

from tests.problems.loss_cases import (
    MARGIN,
    each_loss,
    each_margin_loss,
    each_scalar_loss,
    examples,
    maximisers,
    rows,
    slopes,
)


@each_scalar_loss
def test_conjugate_is_the_supremum(name):
    y, share = np.array(
        [(y, share) for y in (-1.0, 1.0) for share in (0.03, 0.4, 0.8)]
    ).T
    with jax.enable_x64():

        def inner_minus_value(z):
            return -y * share * z - rows(name)(z, y)

        supremum = inner_minus_value(
            maximisers(inner_minus_value, np.full(6, -50.0), np.full(6, 50.0))
        )
        np.testing.assert_allclose(
            rows(name, "conjugate")(-y * share, y), supremum, rtol=0, atol=1e-10
        )


def test_conjugate_of_softmax_is_the_supremum():
    with jax.enable_x64():
        y, dual = np.int32([2]), np.array([[0.1, 0.2, -0.35, 0.05]])

        def negative(z):
            z = z[None]
            return rows("softmax")(z, y)[0] - np.vdot(dual, z), (
                slopes("softmax")(z, y) - dual
            )[0]

        best = scipy.optimize.minimize(negative, np.zeros(4), jac=True)
        assert rows("softmax", "conjugate")(dual, y)[0] == pytest.approx(
            -best.fun, abs=1e-9
        )


@each_margin_loss
def test_conjugate_is_finite_on_the_border_and_infinite_outside(name):
    dual, y = np.array([0.0, -1.0, 1e-3, -1.001], np.float32), np.ones(4, np.float32)
    np.testing.assert_array_equal(
        rows(name, "in_domain")(dual, y), [True, True, False, False]
    )
    np.testing.assert_array_equal(
        np.isfinite(rows(name, "conjugate")(dual, y)), [True, True, False, False]
    )
    np.testing.assert_array_equal(
        np.isfinite(rows(name, "fenchel_young")(y, dual, y)), [True, True, False, False]
    )


@pytest.mark.slow
def test_conjugate_of_softmax_is_finite_at_vertices_and_infinite_off_the_simplex():
    y, dual = (
        np.zeros(3, np.int32),
        np.float32([[-1, 1, 0, 0], [-0.9, 1, 0, 0], [-1.1, 1.1, 0, 0]]),
    )
    np.testing.assert_array_equal(
        rows("softmax", "conjugate")(dual, y), [0, np.inf, np.inf]
    )
    np.testing.assert_array_equal(
        rows("softmax", "fenchel_young")(dual, dual, y)[1:], [np.inf, np.inf]
    )


@each_loss
def test_derivatives_and_their_averages_are_feasible_in_float32(name):
    z, _, y = examples(name, np.float32)
    duals = rows(name, "derivative")(z, y)
    assert np.all(rows(name, "in_domain")(duals, y))
    weighted = sum(
        np.float32(k) * duals for k in range(1, 101)
    )  # as dual averaging does
    running = np.float32(2 / (100 * 101)) * weighted
    assert np.all(rows(name, "in_domain")(running, y))


@each_loss
def test_projection_keeps_feasible_duals_and_repairs_the_others(name):
    z, dual, y = examples(name, np.float32)
    np.testing.assert_allclose(rows(name, "project")(dual, y), dual, atol=3e-7)
    astray = dual + np.float32(0.3) * z
    repaired = rows(name, "project")(astray, y)
    assert np.all(rows(name, "in_domain")(repaired, y))
    if name in MARGIN:  # the nearest one
        np.testing.assert_array_equal(-y * repaired, np.clip(-y * astray, 0, 1))
