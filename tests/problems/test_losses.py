"""Losses: their values, derivatives and curvature, and what is equal to what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from langevax.problems import losses
from tests.problems.loss_cases import (
    ALL,
    KNOWN,
    MARGIN,
    alone,
    each_bent_loss,
    each_loss,
    each_scalar_loss,
    examples,
    rows,
    slopes,
)
from tests.sentences import refuses


@pytest.mark.parametrize("name", KNOWN)
def test_derivative_is_the_gradient_of_the_value(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        np.testing.assert_allclose(
            rows(name, "derivative")(z, y), slopes(name)(z, y), rtol=1e-12, atol=1e-14
        )


@each_loss
def test_values_match_the_textbook_formulas(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        m = None if name == "softmax" else y * z
        textbook = {
            "squared vector": lambda: np.sum((z - y) ** 2, axis=1) / 2,
            "logistic": lambda: np.logaddexp(0, -m),
            "hinge": lambda: np.where(
                m >= 1, 0, np.where(m <= 0.7, 0.85 - m, (1 - m) ** 2 / 0.6)
            ),
            "softmax": lambda: (
                scipy.special.logsumexp(z, axis=1) - z[np.arange(len(y)), y]
            ),
            "log score": lambda: -0.7 * np.log(z),
        }[name]()
        np.testing.assert_allclose(rows(name)(z, y), textbook, rtol=1e-12, atol=1e-13)


@each_bent_loss
def test_curvature_is_the_largest_second_derivative(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        if name == "softmax":  # the sharpest place: two classes at even odds
            z[0] = [0.0, 0.0, -50.0, -50.0]
        elif name in MARGIN:
            z[:2] = 0.0, 0.9 * y[1]
        hessians = jax.jit(jax.vmap(jax.hessian(ALL[name])))(z, y)
        largest = np.max(
            np.linalg.eigvalsh(np.reshape(hessians, (len(z), z[0].size, z[0].size)))
        )
        assert largest == pytest.approx(ALL[name].curvature, rel=1e-12)


@each_loss
def test_local_curvature_bounds_the_second_derivative_of_each_row_and_of_their_mean(
    name,
):
    """By autodiff. Where the label is right it is attained by a margin; a wrong one counts as undecided."""
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        loss, outputs = ALL[name], z[0].size
        hessians = np.asarray(jax.jit(jax.vmap(jax.hessian(loss)))(z, y)).reshape(
            len(z), outputs, outputs
        )
        bounds = np.asarray(jax.jit(jax.vmap(loss.local_curvature))(z, y)).reshape(
            len(z), outputs
        )
        assert np.all(np.abs(hessians).sum(2) <= bounds + 1e-12)
        weights = np.linspace(0.5, 1.5, len(z))[:, None]
        mean = np.average(hessians, axis=0, weights=weights[:, 0])
        assert (
            np.linalg.eigvalsh(mean)[-1]
            <= np.max(np.average(bounds, axis=0, weights=weights[:, 0])) + 1e-12
        )
        right = {
            "squared vector": lambda: np.full(len(z), True),
            "logistic": lambda: y * z > 0,
            "hinge": lambda: y * z > 1,
            "softmax": lambda: (
                scipy.special.softmax(z, axis=1)[np.arange(len(y)), y] >= 0.5
            ),
            "log score": lambda: z > 0,
        }[name]()
        assert right.sum() > 20
        np.testing.assert_allclose(
            bounds[right], np.abs(hessians[right]).sum(2), rtol=1e-9, atol=1e-12
        )
        if name in MARGIN:
            np.testing.assert_allclose(bounds[y * z < 0], loss.curvature, rtol=1e-12)
        if name == "softmax":
            wrong = np.flatnonzero(~right)
            np.testing.assert_allclose(
                bounds[wrong, y[wrong]], loss.curvature, rtol=1e-12
            )


def test_softmax_of_two_classes_is_logistic():
    with jax.enable_x64():
        z, dual, y = examples("logistic", np.float64)
        label = np.where(y > 0, 0, 1)
        pair = (
            np.stack([z * y, -z * y], axis=1)[
                np.arange(len(z))[:, None], np.stack([label, 1 - label], axis=1)
            ]
            / 2
        )
        duals = np.stack([dual, -dual], axis=1)
        np.testing.assert_allclose(
            alone("softmax", "__call__")(pair, label),
            rows("logistic")(z, y),
            rtol=1e-12,
        )
        gap, expected = (
            alone("softmax", "fenchel_young")(pair, duals, label),
            rows("logistic", "fenchel_young"),
        )
        np.testing.assert_allclose(gap, expected(z, dual, y), rtol=1e-9, atol=1e-20)


def test_linear_has_its_target_as_the_only_dual():
    y, other, z, c = (
        np.float32([[1, -2]]),
        np.float32([[1, 2]]),
        np.float32([[3, 4]]),
        np.float32([1]),
    )
    assert rows("linear")(z, y) == -5.0
    np.testing.assert_array_equal(rows("linear", "derivative")(z, y), y)
    np.testing.assert_array_equal(rows("linear", "project")(other, y), y)
    np.testing.assert_array_equal(rows("linear", "dual_step")(z, other, y, c), y)
    assert (
        rows("linear", "fenchel_young")(z, y, y)
        == rows("linear", "conjugate")(y, y)
        == 0.0
    )
    assert rows("linear", "fenchel_young")(z, other, y) == np.inf


def test_losses_are_compared_by_value():
    assert losses.Squared() == losses.squared
    assert (
        losses.SmoothedHinge(0.5)
        == losses.SmoothedHinge(width=0.5)
        != losses.smoothed_hinge
    )
    assert losses.Logistic() != losses.Squared()
    assert hash(losses.SmoothedHinge(0.5)) == hash(losses.SmoothedHinge(0.5))
    assert hash(losses.Softmax()) == hash(losses.softmax)


def test_a_traced_width_of_another_precision_follows_the_position():
    @jax.jit
    def everything(loss, z, dual, y):
        return (
            loss(z, y),
            loss.conjugate(dual, y),
            loss.dual_step(z, dual, y, 2.0),
            loss.fenchel_young(z, dual, y),
        )

    z, dual, y = (np.float32(v) for v in (0.8, -0.4, 1.0))
    with jax.enable_x64():
        actual = everything(
            losses.SmoothedHinge(jnp.asarray(0.3, jnp.float64)), z, dual, y
        )
        assert {v.dtype for v in actual} == {np.dtype(np.float32)}
        value, conjugate, step, gap = actual
        z, dual, y, c = (np.array([v], np.float64) for v in (z, dual, y, 2.0))
        np.testing.assert_allclose([value], rows("hinge")(z, y), rtol=1e-5)
        np.testing.assert_allclose(
            [conjugate], rows("hinge", "conjugate")(dual, y), rtol=1e-5
        )
        np.testing.assert_allclose(
            [step], rows("hinge", "dual_step")(z, dual, y, c), rtol=1e-5
        )
        np.testing.assert_allclose(
            [gap], rows("hinge", "fenchel_young")(z, dual, y), rtol=1e-5
        )


@each_scalar_loss
def test_integer_targets_serve_where_numbers_do(name):
    z, dual, y = examples(name, np.float32, count=20)
    y = np.where(y > 0, 1, -1).astype(np.int32)
    actual, expected = (
        alone(name, "fenchel_young")(z, dual, y),
        rows(name, "fenchel_young"),
    )
    np.testing.assert_allclose(
        actual, expected(z, dual, y.astype(np.float32)), rtol=1e-5, atol=1e-12
    )


def test_width_must_be_positive():
    with refuses(ValueError, "width 0"):
        losses.SmoothedHinge(width=0.0)
