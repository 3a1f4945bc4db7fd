"""Curves as coefficients: closed forms, grids of all kinds, few and noisy values, weights as functions, bad input."""

import functools
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax import spaces
from langevax.sklearn import CurveCoefficients, RandomConvolutions
from tests.sentences import refuses

GRID = np.linspace(0, 1, 101)
FINE = np.linspace(0, 1, 401)
K = 8


def pair_of(function, grid=GRID):
    """The curve and its negative, whose mean is 0."""
    values = function(grid)
    return np.stack([values, -values])


def coefficients(function, **parameters):
    """Unscaled coefficients of one curve."""
    parameters = {"decay": 0.0, "num_modes": K} | parameters
    return CurveCoefficients(**parameters).fit_transform(pair_of(function))[0]


def represented(encoder, curves, grid=GRID):
    """The curves that the coefficients of one channel represent."""
    (scales,) = encoder.scales_
    return encoder.weight_functions(encoder.transform(curves) / scales**2, grid)


def on(grid, curves):
    """Curves at other times than those of the training table."""
    return [(grid, x) for x in curves]


def unit(k, size=1.0):
    return size * np.eye(K)[k]


@functools.cache
def waves(grid_points=101, n=20):
    """Smooth curves of two random numbers each."""
    t = np.linspace(0, 1, grid_points)
    phases, rates = np.random.default_rng(0).uniform(size=(2, n, 1))
    return np.sin(3 * t + phases) + 0.3 * np.cos(9 * t * rates)


@functools.cache
def sparse(n=60, noise=0.1, seed=0):
    """Curves `a + b sin(2 pi t)` seen at 4 to 9 times of their own, with noise; their values on GRID."""
    rng = np.random.default_rng(seed)
    truth = [
        (
            rng.normal(),
            rng.normal(),
            rng.choice(1001, rng.integers(4, 10), replace=False),
        )
        for _ in range(n)
    ]
    pairs = []
    for a, b, places in truth:
        t = np.sort(places) / 1000
        pairs.append(
            (t, a + b * np.sin(2 * np.pi * t) + noise * rng.normal(size=len(t)))
        )
    pairs[0] = (
        np.array([0.0, 0.4, 1.0]),
        truth[0][0] + truth[0][1] * np.sin(2 * np.pi * np.array([0.0, 0.4, 1.0])),
    )
    return pairs, np.stack([a + b * np.sin(2 * np.pi * GRID) for a, b, _ in truth])


@parametrize_with_checks(
    [
        CurveCoefficients(),
        CurveCoefficients("components", derivative=(0, 1), smoothing=None),
        RandomConvolutions(),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_accepts_it(estimator, check):
    if check.func.__name__ == "check_fit2d_1feature" and estimator.smoothing is None:
        return  # one value has no derivative: refused, in words of our own
    if (
        check.func.__name__ in ("check_fit2d_1sample",)
        and getattr(estimator, "basis", None) == "components"
    ):
        return  # one curve has no components: refused likewise
    check(estimator)


@pytest.mark.parametrize(
    ("basis", "function", "expected"),
    [
        ("cosine", lambda t: np.cos(3 * np.pi * t), unit(3, np.sqrt(0.5))),
        ("cosine", lambda t: np.full_like(t, 2.0), unit(0, 2.0)),
        ("fourier", lambda t: np.sin(4 * np.pi * t), unit(4, np.sqrt(0.5))),
        ("fourier", lambda t: np.cos(2 * np.pi * t), unit(1, np.sqrt(0.5))),
        (
            spaces.Cosine(K),
            lambda t: np.cos(2 * np.pi * t),
            unit(2, np.sqrt(0.5)),
        ),
    ],
)
def test_coefficients_of_the_bases_own_functions(basis, function, expected):
    np.testing.assert_allclose(coefficients(function, basis=basis), expected, atol=1e-6)


def test_coefficients_of_a_line_in_cosines():
    """Integral of sqrt(2) t cos(k pi t) is -2 sqrt(2) / (k pi)^2 for odd k."""
    k = np.arange(1, K)
    expected = np.append(
        0.5, np.where(k % 2 == 1, -2 * np.sqrt(2) / (np.pi * k) ** 2, 0.0)
    )
    np.testing.assert_allclose(coefficients(lambda t: t), expected, atol=1e-6)


@pytest.mark.parametrize(("smoothing", "error"), [(None, 1e-6), (1e-4, 0.02)])
@pytest.mark.parametrize("derivative", [1, 2])
def test_derivatives_of_a_cubic(derivative, smoothing, error):
    """(t^3 + t/2)' = 3 t^2 + 1/2 and (t^3 + t/2)'' = 6 t, in cosines, over a length of 2."""
    coefficients_of_slopes = coefficients(
        lambda t: t**3 + t / 2,
        derivative=derivative,
        smoothing=smoothing,
        grid=2 * GRID,
    )
    k = np.arange(1, K)
    sign = (-1.0) ** k
    waves = 6 * sign if derivative == 1 else 6 * (sign - 1)
    means = {1: 1.5, 2: 3.0}
    expected = np.append(means[derivative], np.sqrt(2) * waves / (np.pi * k) ** 2)
    np.testing.assert_allclose(
        coefficients_of_slopes, expected / 2**derivative, atol=error
    )


def test_decay_multiplies_by_the_deviations_of_the_prior():
    plain, scaled = (
        CurveCoefficients(num_modes=K, decay=decay).fit_transform(waves())
        for decay in (0.0, 3.0)
    )
    np.testing.assert_allclose(scaled, plain * np.arange(1, K + 1) ** -1.5, atol=1e-12)


def test_components_are_uncorrelated_scores_of_decreasing_variance():
    encoder = CurveCoefficients("components", num_modes=5, decay=0.0)
    covariance = np.cov(encoder.fit_transform(waves()).T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-10)
    assert (np.diff(np.diag(covariance)) < 0).all()


@pytest.mark.parametrize("derivative", [0, 1, 2, (0, 2)])
@pytest.mark.parametrize("basis", ["cosine", "components"])
def test_a_grid_four_times_finer_changes_nothing(basis, derivative):
    encoder = CurveCoefficients(basis, num_modes=16, derivative=derivative)
    coarse = encoder.fit_transform(waves())
    fine = encoder.transform(on(FINE, waves(401)))
    assert np.linalg.norm(fine - coarse) < 1e-4 * np.linalg.norm(coarse)


def test_a_fit_on_a_finer_grid_gives_the_same_coefficients():
    coarse, fine = (
        CurveCoefficients(num_modes=16, derivative=2).fit_transform(waves(m))
        for m in (101, 401)
    )
    assert np.linalg.norm(fine - coarse) < 1e-4 * np.linalg.norm(coarse)


def test_an_irregular_grid_gives_what_a_regular_one_gives():
    grid = np.sort(np.append([0, 1], np.random.default_rng(1).uniform(size=120)))
    regular = coefficients(lambda t: np.sin(5 * t))
    encoder = CurveCoefficients(num_modes=K, decay=0.0, grid=grid)
    np.testing.assert_allclose(
        encoder.fit_transform(pair_of(lambda t: np.sin(5 * t), grid))[0],
        regular,
        atol=1e-4,
    )


def test_pairs_on_one_grid_are_a_table():
    table = CurveCoefficients().fit_transform(waves())
    np.testing.assert_array_equal(
        CurveCoefficients().fit_transform([(GRID, x) for x in waves()]), table
    )


def test_pairs_with_many_times_of_their_own_give_what_a_table_gives():
    rng = np.random.default_rng(2)
    pairs = []
    for phase in np.linspace(0, 2, 12):
        t = np.sort(np.append([0, 1], rng.uniform(size=80)))
        pairs.append((t, np.sin(4 * t + phase)))
    table = np.stack([np.sin(4 * GRID + phase) for phase in np.linspace(0, 2, 12)])
    expected = CurveCoefficients(num_modes=K).fit_transform(table)
    from_pairs = CurveCoefficients(num_modes=K).fit_transform(pairs)
    assert np.linalg.norm(from_pairs - expected) < 2e-3 * np.linalg.norm(expected)


def test_sparse_noisy_curves_are_recovered():
    """From 4 to 9 noisy values each; the noise is learned too."""
    pairs, truth = sparse()
    encoder = CurveCoefficients(num_modes=16).fit(pairs)
    assert 0.05 < encoder.fits_[0].noise < 0.14
    error = represented(encoder, pairs) - truth
    assert np.sqrt(np.mean(error**2)) < 0.26 * np.std(truth)


def test_new_sparse_curves_have_the_law_of_the_training_curves():
    encoder = CurveCoefficients(num_modes=16).fit(sparse()[0])
    pairs, truth = sparse(seed=1)
    error = represented(encoder, pairs) - truth
    assert np.sqrt(np.mean(error**2)) < 0.33 * np.std(truth)


def test_pairs_can_follow_a_table():
    encoder = CurveCoefficients(num_modes=K).fit(waves())
    times = [
        np.append(0, np.sort(np.random.default_rng(i).uniform(size=60)))
        for i in range(3)
    ]
    from_pairs = encoder.transform(
        [(t, np.interp(t, FINE, x)) for t, x in zip(times, waves(401), strict=False)]
    )
    np.testing.assert_allclose(from_pairs, encoder.transform(waves())[:3], atol=0.01)


def test_a_fit_survives_pickling_and_cloning():
    encoder = CurveCoefficients(spaces.Cosine(6), missing="interpolate").fit(
        sparse()[0]
    )
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(
        copy.transform(sparse()[0]), encoder.transform(sparse()[0])
    )
    assert clone(encoder).basis.num_modes == 6


def test_a_table_can_follow_pairs():
    encoder = CurveCoefficients(num_modes=16).fit(sparse()[0])
    _, truth = sparse(seed=1)
    assert np.std(represented(encoder, truth) - truth) < 0.05


def test_noise_is_smoothed_before_it_is_differentiated():
    noisy = waves() + 0.02 * np.random.default_rng(3).normal(size=waves().shape)
    clean = CurveCoefficients(derivative=2, smoothing=None).fit_transform(waves())
    errors = [
        np.linalg.norm(
            CurveCoefficients(derivative=2, smoothing=smoothing).fit_transform(noisy)
            - clean
        )
        for smoothing in ("auto", 0.02, None)
    ]
    assert max(errors[:2]) < 0.3 * np.linalg.norm(clean)
    assert errors[2] > 10 * max(errors[:2])


def test_linear_weights_are_functions():
    """<w, z> is the mean over the domain of theta(t) x(t)."""
    encoder = CurveCoefficients(num_modes=K, grid=3 * FINE)
    z = encoder.fit_transform(waves(401))
    weights = np.random.default_rng(4).normal(size=K)
    theta = encoder.weight_functions(weights)
    inner = waves(401) * theta @ spaces.trapezoid_weights(FINE)
    np.testing.assert_allclose(z @ weights, inner, atol=1e-4)


def test_standard_normal_weights_are_functions_of_the_trace_class_prior():
    encoder = CurveCoefficients(num_modes=K).fit(waves())
    thetas = encoder.weight_functions(
        np.random.default_rng(5).normal(size=(4000, K)), spaces.Cosine(K, 64).grid
    )
    variances = np.var(
        np.asarray(spaces.Cosine(K, 64).analyze(jnp.asarray(thetas, jnp.float32))),
        axis=0,
    )
    np.testing.assert_allclose(variances, np.arange(1, K + 1) ** -2.0, rtol=0.1)


def test_channels_and_derivatives_stand_side_by_side_without_units():
    X = np.stack([waves(), 1000 * waves() ** 2], axis=1)
    encoder = CurveCoefficients(num_modes=3, derivative=(0, 1))
    z = encoder.fit_transform(X)
    assert list(encoder.get_feature_names_out()[[0, 3, 8, 11]]) == [
        "channel0_cosine0",
        "channel0_d1_cosine0",
        "channel1_cosine2",
        "channel1_d1_cosine2",
    ]
    np.testing.assert_array_equal(encoder.fit_transform([(GRID, x) for x in X]), z)
    np.testing.assert_array_equal(
        encoder.fit_transform([((GRID, x[0]), (GRID, x[1])) for x in X]), z
    )
    other_units = encoder.fit_transform(X * np.array([7.0, 0.01])[:, None])
    np.testing.assert_allclose(other_units, z, rtol=1e-3, atol=1e-5)
    assert encoder.weight_functions(np.ones(12)).shape == (4, 101)


def test_missing_values_are_interpolated_with_missing_interpolate():
    gaps = waves().copy()
    gaps[0, 40:43] = gaps[3, 0] = np.nan
    encoder = CurveCoefficients(missing="interpolate").fit(waves())
    np.testing.assert_allclose(
        encoder.transform(gaps), encoder.transform(waves()), atol=2e-3
    )
    pairs = [(GRID, x) for x in gaps]
    assert np.isfinite(
        CurveCoefficients(missing="interpolate").fit_transform(pairs)
    ).all()


def test_it_stands_in_a_pipeline():
    """A linear functional of curves is learned, and its function is found."""
    curves = waves(101, 200)
    y = curves @ (spaces.trapezoid_weights(GRID) * GRID)
    model = make_pipeline(CurveCoefficients(), Ridge(1e-6)).fit(curves[:150], y[:150])
    assert model.score(curves[150:], y[150:]) > 0.999


@pytest.mark.parametrize(
    ("parameters", "curves", "facts"),
    [
        ({}, np.where(np.eye(101)[:20] > 0, np.nan, waves()), "NaN"),
        (
            {},
            [(GRID[:3], [1.0, np.nan, 2.0])],
            "0 nan t=0.01 missing='interpolate'",
        ),
        (
            {"missing": "interpolate"},
            np.full((2, 5), np.nan),
            "0",
        ),
        ({"grid": GRID[::-1]}, waves(), "grid"),
        (
            {"grid": GRID[:50]},
            waves(),
            "grid 50 101",
        ),
        ({}, [([0.0, 0.0], [1.0, 2.0])], "0"),
        (
            {},
            [([0.0, 1.0], [1.0, 2.0, 3.0])],
            "0 2 (3,)",
        ),
        (
            {},
            [(GRID, waves()[:2]), (GRID, waves()[0])],
            "1 0 2",
        ),
        (
            {"basis": "wavelets"},
            waves(),
            "'basis' 'components' 'wavelets'",
        ),
        (
            {"basis": spaces.TensorProduct([spaces.Cosine(2)] * 2)},
            waves(),
            "2",
        ),
        ({"derivative": 3}, waves(), "derivative 0 1 2"),
        (
            {"derivative": 2, "smoothing": None},
            waves()[:, :2],
            "observed 2",
        ),
        ({"decay": -1.0}, waves(), "'decay' 0.0 inf -1.0"),
        (
            {"smoothing": "some"},
            waves(),
            "'smoothing' 'auto' 'some'",
        ),
        (
            {"missing": "drop"},
            waves(),
            "'missing' 'interpolate' 'drop'",
        ),
        (
            {"num_modes": 0},
            waves(),
            "'num_modes' 0",
        ),
    ],
)
def test_bad_input_is_refused_in_words(parameters, curves, facts):
    with refuses(ValueError, facts):
        CurveCoefficients(**parameters).fit(curves)


def test_a_query_outside_the_training_domain_is_refused():
    encoder = CurveCoefficients().fit(waves())
    with refuses(ValueError, "0 1.5 1"):
        encoder.transform(on(1.5 * GRID, waves()))
    with refuses(ValueError, "0 0.5 1"):
        encoder.transform(on(0.5 * GRID, waves()))
    with refuses(ValueError, "101"):
        encoder.transform(waves(401))


def test_channels_other_than_those_of_training_are_refused():
    encoder = CurveCoefficients(num_modes=4).fit([(GRID, x) for x in waves()])
    with refuses(ValueError, "2 1"):
        encoder.transform(np.stack([waves(), waves()], 1))


def test_the_domain_may_be_wider_than_that_of_the_training_curves():
    encoder = CurveCoefficients(num_modes=4, domain=(0.0, 2.0)).fit(sparse()[0])
    assert encoder.domain_ == (0.0, 2.0)
    assert encoder.times()[-1] == 2.0
    assert np.isfinite(encoder.transform(on(2 * GRID, waves()))).all()
