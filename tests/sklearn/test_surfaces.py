"""Surfaces as coefficients: closed forms, finer images, weights as surfaces, bad input."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import SurfaceCoefficients


def surfaces(height=24, width=16, n=12):
    """Smooth ones, (n, height, width)."""
    s, t = ((np.arange(size) + 0.5) / size for size in (height, width))
    a, b = np.random.default_rng(0).uniform(1, 3, size=(2, n, 1, 1))
    return np.sin(a * s[:, None] + t * b) + s[:, None] * t**2


@parametrize_with_checks([SurfaceCoefficients()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("basis", "wave"), [("cosine", np.pi), ("fourier", 2 * np.pi)])
def test_coefficients_of_a_product_of_waves(basis, wave):
    s, t = ((np.arange(size) + 0.5) / size for size in (20, 30))
    image = np.cos(wave * s)[:, None] * np.cos(wave * t)
    encoder = SurfaceCoefficients(num_modes=16, basis=basis, decay=0.0)
    means = dict(
        zip(
            encoder.fit(image[None]).get_feature_names_out(), encoder.mean_, strict=True
        )
    )
    assert means.pop(f"{basis}_1_1") == pytest.approx(0.5, abs=1e-9)
    np.testing.assert_allclose(list(means.values()), 0, atol=1e-9)


def test_a_finer_image_has_the_same_coefficients():
    encoder = SurfaceCoefficients(num_modes=20)
    coarse, fine = (
        encoder.fit_transform(surfaces()),
        encoder.transform(surfaces(96, 64)),
    )
    assert np.linalg.norm(fine - coarse) < 3e-3 * np.linalg.norm(coarse)


def test_tables_and_images_are_the_same():
    images = surfaces()
    from_table = SurfaceCoefficients((24, 16)).fit_transform(images.reshape(12, -1))
    np.testing.assert_array_equal(
        from_table, SurfaceCoefficients().fit_transform(images)
    )


def test_linear_weights_are_surfaces():
    images, encoder = surfaces(), SurfaceCoefficients(num_modes=10)
    z, weights = encoder.fit_transform(images), np.random.default_rng(1).normal(size=10)
    theta = encoder.weight_functions(weights)
    np.testing.assert_allclose(
        z @ weights, ((images - images.mean(0)) * theta).mean((1, 2)), atol=1e-12
    )


def test_all_modes_give_the_images_back():
    encoder = SurfaceCoefficients(num_modes=24 * 16)
    z = encoder.fit_transform(surfaces())
    assert z.shape == (12, 24 * 16)
    np.testing.assert_allclose(encoder.inverse_transform(z), surfaces(), atol=1e-9)


@pytest.mark.parametrize(
    ("parameters", "images", "message"),
    [
        (
            {"shape": (5, 5)},
            np.ones((3, 24)),
            r"shape=\(5, 5\) does not fit the 24 columns",
        ),
        ({"shape": (0, 5)}, np.ones((3, 24)), "shape must be at least 1"),
        (
            {"basis": "components"},
            np.ones((3, 4, 4)),
            "'basis' parameter .*'cosine'.* Got 'components'",
        ),
        ({"decay": np.nan}, np.ones((3, 4, 4)), "'decay' parameter .* Got nan"),
        ({}, np.full((3, 4, 4), np.nan), "NaN"),
    ],
)
def test_bad_input_is_refused_in_words(parameters, images, message):
    with pytest.raises(ValueError, match=message):
        SurfaceCoefficients(**parameters).fit(images)
