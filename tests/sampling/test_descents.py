"""Descents: they end in the minima, from anywhere, and cost little."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import langevax
from langevax.sampling.descents import descend, descend_steeply

RNG = np.random.default_rng(0)
CENTRES = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 9.0]])


def wells(x):
    """Three wells of curvatures 1, 100 and 0.04."""
    squares = jnp.sum((x - CENTRES.astype(x.dtype)) ** 2, axis=1)
    return -jnp.logaddexp(
        jnp.logaddexp(-squares[0] / 2, 2 - 50 * squares[1]), -squares[2] / 50
    )


def valley(x):
    return (1 - x[0]) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2


def descents_of(law, starts, temperature=1.0):
    return descend(
        langevax.Function(law),
        np.asarray(starts),
        jnp.zeros(np.shape(starts)[1]),
        temperature,
    )


def test_about_a_normal_law_the_first_step_ends_in_the_mode():
    """The step to the mode, and the one that changes nothing."""
    starts = RNG.normal(size=(20, 5)) * np.repeat([3.0, 1000.0], 10)[:, None]
    descents = descents_of(lambda x: jnp.sum(x**2) / 2, starts)
    np.testing.assert_allclose(descents.ends, 0, atol=1e-3)
    assert descents.evaluations <= 60


def test_any_number_of_descents_is_one_program():
    traces = []

    def law(x):
        traces.append(x)
        return jnp.sum(x**2) / 2

    problem = langevax.Function(law)
    descend(problem, RNG.normal(size=(3, 2)), jnp.zeros(2), 1.0)
    count = len(traces)
    descend(problem, RNG.normal(size=(140, 2)), jnp.zeros(2), 1.0)
    descend_steeply(problem, jnp.float32(RNG.normal(size=(4, 2))), 1.0)
    assert len(traces) == count > 0


def test_the_ends_are_minima():
    """Within 0.02 standard deviations of a centre, whatever its curvature; each is met."""
    starts = np.concatenate(
        [CENTRES + 0.5 * RNG.normal(size=(8, 1, 2)), 20 * RNG.normal(size=(4, 3, 2))]
    )
    ends = descents_of(wells, starts.reshape(-1, 2)).ends
    minima = np.array(
        [
            minimize(
                lambda x: float(wells(jnp.asarray(x, jnp.float32))),
                c,
                method="Nelder-Mead",
            ).x
            for c in CENTRES
        ]
    )
    errors = np.linalg.norm(ends[:, None] - minima, axis=2) / [1, 0.1, 5]
    assert errors.min(1).max() < 0.02
    assert set(errors.argmin(1)) == {0, 1, 2}


@pytest.mark.parametrize("temperature", [1.0, 1e-4])
def test_a_curved_valley_is_followed(temperature):
    starts = [[-1.2, 1.0], [3.0, -2.0], [-30.0, 20.0]]
    descents = descents_of(lambda x: temperature * valley(x), starts, temperature)
    np.testing.assert_allclose(descents.ends, 1, atol=0.02)
    assert descents.evaluations <= len(starts) * 60


def test_steps_grow_where_the_curvature_is_negative():
    """log(1 + x^2) is concave beyond 1; the starts are up to 1,000 from the minimum."""
    ends = descents_of(
        lambda x: jnp.log1p(jnp.sum(x**2)), [[1000.0, 0.0], [30.0, -40.0], [2.0, 0.0]]
    ).ends
    np.testing.assert_allclose(ends, 0, atol=0.01)


def test_starts_without_a_density_stay():
    law = lambda x: jnp.where(x[0] > 0, jnp.sum((x - 1) ** 2), jnp.inf)
    descents = descents_of(law, [[-1.0, 0.0], [3.0, 4.0], [0.1, -2.0]])
    np.testing.assert_allclose(descents.ends, [[1, 1], [1, 1], [-1, 0]], atol=1e-3)
    np.testing.assert_allclose(descents.values, [0, 0, np.inf], atol=1e-5)


def test_steep_descents_end_where_a_step_lowers_the_potential_by_little():
    """From 1e6 to about d; a draw of the law is left after a step; the minimum is not searched for."""
    law = lambda x: (
        1e6 * jnp.exp(-x[0])
        + (x[0] - 400) ** 2 / 2e4
        + 1e-6 * x[0] ** 4
        + jnp.sum(x[1:] ** 2) / 2
    )
    starts = jnp.array([[0.0, *[3.0] * 9], [jnp.nan, *[0.0] * 9], [1.0, *[-3.0] * 9]])
    ends, evaluations = descend_steeply(langevax.Function(law), starts, 1.0)
    assert all(law(end) < 30 for end in ends[:2])
    assert np.isnan(ends[2, 0])
    assert evaluations < 150
    typical = jnp.asarray(RNG.normal(size=(1, 10)), jnp.float32)
    valley = lambda x: jnp.sum(x**2) / 2 + jnp.sum(x**4) / 40
    end, few = descend_steeply(langevax.Function(valley), typical, 1.0)
    assert few <= 4
    assert valley(end[0]) > 0.01
