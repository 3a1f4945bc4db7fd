"""Drawn functions as datasets and figures: coordinates, moments and bands of the draws themselves."""

import numpy as np
import pytest

import langevax
from langevax import spaces
from tests.sentences import refuses

RNG = np.random.default_rng(0)


def problem(basis, noise=0.1, mean=0.0):
    prior = spaces.GaussianPrior(basis, np.arange(1.0, basis.num_modes + 1) ** -2)
    return langevax.inverse_problem(
        lambda f: np.asarray(f, float)[:2] ** 3,
        np.ones(2),
        noise,
        prior,
        prior_mean=mean,
    )


def square_mesh():
    """Nodes of a square that are linked along its sides, by a diagonal mass matrix."""
    place = np.stack(
        np.meshgrid(np.arange(3.0), np.arange(3.0), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    distances = np.abs(place[:, None] - place).sum(-1)
    links = (distances == 1).astype(float)
    return spaces.FiniteElements(
        stiffness=np.diag(links.sum(1)) - links, mass=np.ones(9), dim=2, num_modes=4
    )


@pytest.mark.slow
def test_a_curve_has_its_points_and_moments_of_the_draws():
    target = problem(spaces.Cosine(3, 5, (0.0, 2.0)), mean=1.0)
    positions = RNG.normal(size=(2, 50, 3))
    fields = target.fields(positions, coverage=0.8)
    values = np.asarray(target.functions(positions))
    assert fields["function"].dims == ("chain", "draw", "x")
    np.testing.assert_allclose(fields["x"], [0.2, 0.6, 1.0, 1.4, 1.8])
    np.testing.assert_allclose(fields["mean"], values.mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(
        fields["standard_deviation"], values.std((0, 1)), atol=1e-6
    )
    np.testing.assert_allclose(
        fields["low"], np.quantile(values, 0.1, (0, 1)), atol=1e-6
    )
    np.testing.assert_allclose(
        fields["high"], np.quantile(values, 0.9, (0, 1)), atol=1e-6
    )
    assert float(fields["mean"].sel(x=0.6)) == pytest.approx(
        values[..., 1].mean(), abs=1e-6
    )


@pytest.mark.slow
def test_a_product_has_an_axis_for_each_factor():
    basis = spaces.TensorProduct([spaces.Cosine(2, 4), spaces.Cosine(2, 3)])
    fields = problem(basis).fields(positions := RNG.normal(size=(2, 5, 4)))
    assert fields["function"].dims == ("chain", "draw", "x", "y")
    i, j = 2, 1
    point = np.array([[float(fields["x"][i]), float(fields["y"][j])]])
    expected = positions @ np.asarray(basis.evaluate(point))[0]
    np.testing.assert_allclose(fields["function"][:, :, i, j], expected, atol=1e-5)


def test_a_mesh_has_an_axis_of_its_nodes():
    target, positions = problem(square_mesh()), RNG.normal(size=(2, 5, 4))
    fields = target.fields(positions)
    assert fields["mean"].dims == ("node",)
    np.testing.assert_array_equal(fields["node"], np.arange(9))
    np.testing.assert_allclose(
        fields["mean"], target.functions(positions).mean((0, 1)), atol=1e-6
    )


def test_mistakes_are_named():
    target, positions = problem(square_mesh()), RNG.normal(size=(2, 5, 4))
    with refuses(ValueError, "positions 1"):
        target.fields(positions[0])
    with refuses(ValueError, "coverage 1 90"):
        target.fields(positions, coverage=90)
