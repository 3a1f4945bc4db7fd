"""The dual that cooling reaches is the optimum of quadrature, and its Newton steps solve their equation."""

from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield import homotopy
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.homotopy import Newton, OutputCovariance, climb
from tests.meanfield.known_optima import smooth


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "temperature"), [("squared", 0.02), ("logistic", 0.01)]
)
def test_the_dual_is_nearly_the_optimum(loss, temperature):
    """What D lacks is less than a hundredth of what the untrained prior leaves.

    The clouds have the outputs of their law on average: of one cloud they have errors of .11, from the share of each mode.
    """
    problem, errors = smooth(loss, temperature), []
    for seed in range(4):
        with closing(problem.clouds(seed)) as clouds:
            ascent = climb(clouds, problem.risk, temperature, 2000)
        assert ascent.reached
        assert ascent.temperature == temperature
        assert 5 < len(ascent.path) < 60
        missing = problem.optimum - problem.lower(ascent.dual)
        assert -1e-4 < missing < 0.01 * (problem.prior_objective - problem.optimum)
        np.testing.assert_array_equal(ascent.path[-1], problem.tilt(ascent.dual))
        assert ascent.log_partition == pytest.approx(
            problem.log_partition(ascent.dual), abs=0.3
        )
        outputs = 3 * np.tanh(np.float64(ascent.cloud) * problem.risk.inputs[:, 0])
        expected = problem.grid.outputs(problem.grid.gibbs(ascent.dual))
        errors.append(outputs.mean(axis=0) - expected)
    assert np.abs(np.mean(errors, axis=0)).max() < 0.2


def test_an_ascent_goes_on_from_where_it_was():
    """From a dual at the last temperature no law of a hotter one is passed again."""
    problem = smooth("squared", 0.02)
    with closing(problem.clouds()) as clouds:
        first = climb(clouds, problem.risk, 0.02, 1000)
        again = climb(clouds, problem.risk, 0.02, 1000, start=first)
    assert again.reached
    assert np.isnan(again.log_partition)
    assert len(again.path) - len(first.path) <= homotopy.CLIMB.last_rounds + 3
    assert problem.optimum - problem.lower(again.dual) < 0.01 * (
        problem.prior_objective - problem.optimum
    )


def softmax_risk(weights=None, count=None):
    rng = np.random.default_rng(0)
    inputs, targets = (
        np.float32(rng.normal(size=(8, 2))),
        np.arange(8, dtype=np.int32) % 3,
    )
    neuron = neurons.TanhTanh(3.0, 3)
    return MeanFieldRisk(
        neuron, losses.softmax, inputs, targets, 0.1, weights=weights, count=count
    )


def test_the_covariance_is_that_of_particles_with_their_output_weights():
    """K of features and factors whose output weights are drawn, in NumPy; products and the matrix agree."""
    rng = np.random.default_rng(1)
    features, slopes = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    curvatures, temperature = rng.uniform(0.1, 1, size=(50, 2)), 0.3
    covariance = OutputCovariance(features, slopes, curvatures, temperature)
    signs = np.array(
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    )  # outer weights of these moments
    outer = slopes + signs[:, None] * np.sqrt(curvatures)
    outputs = (features[..., None] * outer[..., None, :]).reshape(4 * 50, 8)
    expected = np.cov(outputs.T, bias=True) / temperature
    np.testing.assert_allclose(covariance.mean, outputs.mean(0), atol=1e-12)
    np.testing.assert_allclose(covariance.matrix, expected, atol=1e-10)
    for shape in ((8,), (8, 3)):
        vectors = rng.normal(size=shape)
        np.testing.assert_allclose(covariance @ vectors, expected @ vectors, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("direct", [True, False])
def test_newton_solves_the_equation_of_the_best_dual(direct, monkeypatch):
    """u = z - K W (l'(u) - g) for softmax with row weights and padding, factorised or by conjugate gradients."""
    monkeypatch.setattr(homotopy, "DIRECT", 10**6 if direct else 0)
    weights = np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 0.0, 1.0])
    risk, temperature = softmax_risk(weights, count=7), 0.1
    law = GibbsLaw.of(risk, temperature)
    newton = Newton(risk, law, np.random.default_rng(0))
    cloud = jax.random.normal(jax.random.key(0), (300, law.size))
    assert newton.used.tolist() == [0, 1, 2, 3, 4, 5]
    rng = np.random.default_rng(2)
    dual = np.asarray(
        homotopy.project(
            risk,
            jnp.float32(rng.dirichlet(np.ones(3), 8) - np.eye(3)[np.arange(8) % 3]),
        )
    )
    tilt, features = (
        law.tilt(jnp.asarray(dual), temperature),
        np.asarray(law.features(cloud)),
    )
    target, response = newton.target(dual, features, tilt, temperature)
    np.testing.assert_array_equal(target[6:], dual[6:])

    activity = law.activity(tilt, cloud)
    used = np.float64(activity.features)[:, :6]
    covariance = OutputCovariance(
        used, np.float64(activity.slopes), np.float64(activity.curvatures), temperature
    )
    shares = np.repeat(np.asarray(risk.row_weights())[:6] / float(risk.size), 3)
    change = (target - dual)[:6].reshape(-1)
    u = covariance.mean - covariance.matrix @ (shares * change)
    slopes, _ = newton.derivatives(u)
    assert np.abs(change).max() > 0.05
    outputs = used.T @ response / len(cloud)
    np.testing.assert_allclose(outputs.reshape(-1), u, atol=1e-4)
    np.testing.assert_allclose(slopes, target[:6].reshape(-1), atol=2e-3)
