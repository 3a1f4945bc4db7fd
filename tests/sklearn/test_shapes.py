"""Networks on the patterns in curves: the features, their directions, the choice of the encoder, which part spoke."""

import functools

import numpy as np
import pytest

from langevax import Run
from langevax.sklearn import (
    CurveCoefficients,
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    MeanFieldClassifier,
    MeanFieldRegressor,
    RandomConvolutions,
    load,
)
from langevax.sklearn.inputs.convolutions import (
    PATTERNS,
    Convolutions,
    spaced_dilations,
)
from tests.sentences import refuses

SMALL = {
    "num_particles": 100,
    "num_steps": 300,
    "random_state": 0,
    "run": Run(progress=False),
}
LENGTH, WIDTH = 80, 6


@functools.cache
def pulses(n=60):
    """(curves, labels, places): noise with an upright triangle or its mirror image anywhere."""
    random = np.random.default_rng(0)
    places, labels = random.integers(10, LENGTH - 10, n), np.arange(n) % 2
    ramp = np.arange(WIDTH) / (WIDTH - 1) - 0.5
    X = 0.2 * random.normal(size=(n, LENGTH))
    for x, place, label in zip(X, places, labels, strict=True):
        x[place : place + WIDTH] += 3 * (ramp if label else ramp[::-1])
    return X, np.where(labels, "rising", "falling"), places


@functools.cache
def fitted():
    X, y, _ = pulses()
    return classifier("auto").fit(X[:40], y[:40])


def classifier(encoder, **settings):
    return FunctionalMeanFieldClassifier(
        encoder, MeanFieldClassifier("mfld", **SMALL | settings)
    )


def dense_features(convolutions, X):
    """The definition, one sum at a time."""
    features, biases = [], iter(convolutions.biases)
    for i, (d, count) in enumerate(
        zip(convolutions.dilations, convolutions.counts, strict=True)
    ):
        for k, large in enumerate(PATTERNS):
            weights = np.where(np.isin(np.arange(9), large), 2.0, -1.0)
            own = [next(biases) for _ in range(count)]
            responses = []
            for x in X[:, convolutions.channels[i, k]].sum(1):
                at = {t: x[t] for t in range(len(x))}
                inside = (
                    [t for t in range(len(x)) if 4 * d <= t < len(x) - 4 * d]
                    if (i + k) % 2
                    else range(len(x))
                )
                responses.append(
                    [
                        sum(
                            w * at.get(t + (j - 4) * d, 0)
                            for j, w in enumerate(weights)
                        )
                        for t in inside
                    ]
                )
            features += [np.mean(np.array(responses) > bias, axis=1) for bias in own]
    return np.stack(features, 1)


def test_features_are_shares_of_places_where_a_pattern_responds_above_a_bias():
    X = np.round(np.random.default_rng(1).normal(size=(2, 2, 20)) * 8).astype(
        np.float32
    )  # sums are exact
    fit = Convolutions.fit(X)
    few = Convolutions(
        fit.dilations,
        np.minimum(fit.counts, 2),
        fit.channels,
        fit.biases[: 84 * 2 * len(fit.counts)],
    )
    np.testing.assert_allclose(few(X), dense_features(few, X), atol=1e-6)


def test_features_are_those_of_minirocket():
    # aeon 1.6.0, MiniRocket(random_state=0) fitted to the first curve
    t = np.linspace(0, 1, 60)
    X = np.stack([np.sin(20 * t**2), np.cos(30 * t) * t])[:, None].astype(np.float32)
    convolutions = Convolutions.fit(X[:1])
    features, places = convolutions(X), [0, 1000, 2500, 5000, 7777, 9995]
    np.testing.assert_array_equal(convolutions.counts, [41, 27, 15, 11, 11, 11, 3])
    np.testing.assert_allclose(
        convolutions.biases[places],
        [0.62330645, 0.37788951, 0.58877683, 0.70293415, -4.50058460, 0.93552059],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        features.sum(1), [5006.9, 4997.5933], atol=0.2
    )  # one place is 1/60
    np.testing.assert_allclose(
        features[1, places] * 60, [23, 23, 10, 20, 60, 0], atol=1e-4
    )


@pytest.mark.parametrize(
    ("length", "counts"),
    [
        (150, [30, 15, 12, 12, 4, 8, 8, 4, 4, 4, 3, 3, 3, 3, 3, 3]),
        (251, [27, 12, 12, 8, 8, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3]),
    ],
)
def test_dilations_are_those_of_minirocket(length, counts):
    assert spaced_dilations(length, 119)[1].tolist() == counts  # aeon 1.6.0


def test_a_pattern_counts_wherever_it_occurs():
    X = np.zeros((3, 1, 200), np.float32)
    X[0, 0, 90:94] = X[1, 0, 110:114] = [1, 2, 3, 4]
    X[2, 0, 90:94] = [4, 3, 2, 1]
    convolutions = Convolutions.fit(X)
    one, shifted, mirrored = convolutions(X)
    near = (
        np.repeat(convolutions.dilations, 84 * convolutions.counts) < 10
    )  # whose taps stay inside the curve
    np.testing.assert_allclose(shifted[near], one[near], atol=1e-6)
    assert np.abs(mirrored[near] - one[near]).max() > 0.01


def test_few_curves_are_seen_in_the_span_of_their_features():
    X, _, _ = pulses()
    encoder = RandomConvolutions().fit(X[:40])
    columns = encoder.transform(X)
    assert columns.shape == (60, 39)  # 39 directions of 40 centred rows
    curves = encoder._standardised(encoder._values(encoder._read(X, False)))
    features = encoder._features(curves) - encoder.feature_means_
    features /= encoder.feature_scales_
    inner = features @ features[:40].T
    np.testing.assert_allclose(columns @ columns[:40].T, inner, atol=1e-6)


def test_many_curves_are_seen_in_their_principal_directions():
    X = pulses()[0]
    every, few = (
        RandomConvolutions(num_directions=k).fit_transform(X) for k in (128, 10)
    )
    np.testing.assert_allclose(few, every[:, :10], atol=1e-9)
    assert (np.diff((every**2).sum(0)) < 0).all()


@pytest.mark.slow
def test_repeated_curves_and_curves_of_weight_zero_teach_the_encoder_nothing():
    X, y, _ = pulses()
    expected = RandomConvolutions().fit(X[:20]).transform(X[30:])
    repeated = RandomConvolutions().fit(np.concatenate([X[5:20], X[:20]]))
    np.testing.assert_array_equal(repeated.transform(X[30:]), expected)
    model = classifier(RandomConvolutions(), num_steps=20)
    model.fit(X[:30], y[:30], sample_weight=np.arange(30) < 20)
    np.testing.assert_array_equal(model.encoder_.transform(X[30:]), expected)


@pytest.mark.slow
def test_auto_takes_convolutions_where_shapes_shift():
    X, y, _ = pulses()
    smooth, patterns = fitted().encoder_errors_
    assert patterns < 0.7 * smooth
    assert fitted().score(X[40:], y[40:]) >= 0.9
    basis = classifier(CurveCoefficients()).fit(X[:40], y[:40])
    assert basis.encoder_errors_ is None
    assert basis.score(X[40:], y[40:]) < 0.8


@pytest.mark.slow
def test_auto_takes_the_basis_where_a_level_counts():
    random = np.random.default_rng(0)
    levels, t = random.uniform(-1, 1, size=(40, 1)), np.linspace(0, 1, 40)
    X = levels + np.sin(9 * t + random.uniform(0, 6, size=(40, 1)))
    model = FunctionalMeanFieldRegressor(
        estimator=MeanFieldRegressor(num_particles=100, random_state=0)
    )
    model.fit(X, levels[:, 0])
    assert isinstance(model.encoder_, CurveCoefficients)
    assert np.argmin(model.encoder_errors_) == 0
    assert model.estimator_.solver_ == "path"


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [CurveCoefficients(), RandomConvolutions()])
def test_the_part_with_the_planted_bump_speaks_for_the_output(encoder):
    random, t = np.random.default_rng(0), np.linspace(0, 1, 90)
    heights = random.uniform(0, 1, 50)
    bump = np.exp(-(((t - 0.7) / 0.03) ** 2))
    X = 0.05 * random.normal(size=(50, 90)) + 2 * heights[:, None] * bump
    model = FunctionalMeanFieldRegressor(encoder, MeanFieldRegressor("mfld", **SMALL))
    model.fit(X[:40], heights[:40])
    times, effects = model.part_effects(X[40:], num_parts=11)
    assert times[np.abs(effects).mean(0).argmax()] == pytest.approx(0.7)
    others = np.abs(np.delete(effects, 7, axis=1)).mean()
    assert np.abs(effects[:, 7]).mean() > 3 * others
    assert np.corrcoef(effects[:, 7], heights[40:])[0, 1] > 0.9


@pytest.mark.slow
def test_the_part_that_speaks_is_where_the_shape_is_in_each_curve():
    X, y, places = pulses()
    times, effects = fitted().part_effects(X[40:], num_parts=12)
    signs = np.where(y[40:] == "rising", 1, -1)
    strongest = times[(signs[:, None] * effects).argmax(1)]
    near = np.abs(strongest - (places[40:] + WIDTH / 2) / LENGTH) < 0.13
    assert near.mean() > 0.7  # by chance 0.25


@pytest.mark.slow
def test_effects_of_several_classes_are_those_of_the_likeliest():
    t = np.linspace(0, 1, 40)
    X = np.concatenate(
        [
            np.exp(-(((t - place) / 0.05) ** 2)) * np.linspace(1, 2, 9)[:, None]
            for place in (0.2, 0.8)
        ]
    )
    X = np.concatenate([X, 0.1 * np.random.default_rng(0).normal(size=(9, 40))])
    model = classifier(CurveCoefficients()).fit(X, np.repeat(["a", "b", "c"], 9))
    times, effects = model.part_effects(X, num_parts=6)
    assert effects.shape == (27, 6)
    assert times[effects[:9].mean(0).argmax()] == pytest.approx(0.2)
    assert times[effects[9:18].mean(0).argmax()] == pytest.approx(0.8)


@pytest.mark.slow
def test_saved_models_predict_and_explain_alike(tmp_path):
    X, _, _ = pulses()
    model = fitted()
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(
        loaded.part_effects(X[:3], 4)[1], model.part_effects(X[:3], 4)[1]
    )


@pytest.mark.slow
def test_its_optimum_is_certified():
    X, y, _ = pulses()
    model = classifier(RandomConvolutions(), num_particles=50, num_steps=200)
    model.fit(X[:40], y[:40])
    assert model.estimator_.certificate(effort=1e8).trustworthy


@pytest.mark.slow
@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).normal(size=(8, 1)),  # one reading
        np.ones((8, 5)),
        np.random.default_rng(0).normal(size=(8, 2, 30)),
        [
            (
                np.sort(np.random.default_rng(i).uniform(size=6 + i)),
                np.arange(6.0 + i) + i,
            )
            for i in range(8)
        ],
    ],
    ids=["one reading", "constant curves", "two channels", "times of their own"],
)
def test_curves_of_every_form_are_accepted(X):
    model = classifier(RandomConvolutions(), num_steps=20)
    assert np.isfinite(model.fit(X, ["a", "b"] * 4).predict_proba(X)).all()


@pytest.mark.slow
def test_derivatives_are_channels_of_their_own():
    X, y, _ = pulses()
    encoder = RandomConvolutions(derivative=(0, 1), smoothing=None).fit(X[:20], y[:20])
    assert encoder.mean_values_.shape == (2, LENGTH)


@pytest.mark.parametrize(("level", "unit"), [(1e6, 1.0), (0.0, 1e-100), (0.0, 1e100)])
def test_level_and_unit_of_the_curves_change_no_pattern(level, unit):
    X = np.round(pulses()[0][:20] * 1024) / 1024
    expected = RandomConvolutions().fit_transform(X)
    columns = RandomConvolutions().fit_transform(level + unit * X)
    # a tie with a bias may fall on the other side
    np.testing.assert_allclose(
        columns @ columns.T,
        expected @ expected.T,
        atol=0.02 * np.abs(expected).max() ** 2,
    )


def test_refusals_name_a_remedy():
    X, y, _ = pulses()
    for value in (np.nan, np.inf):
        bad = np.where(np.arange(60)[:, None] == 1, value, X)
        with refuses(ValueError, f"1 {value} t=0"):
            FunctionalMeanFieldClassifier().fit(bad, y)
    with refuses(ValueError, "part_effects(X)"):
        fitted().weight_functions()
    with refuses(ValueError):
        fitted().slope_functions(X)
    with refuses(ValueError, "num_parts 2 1"):
        fitted().part_effects(X, num_parts=1)
    with refuses(TypeError, "num_parts"):
        fitted().part_effects(X, num_parts=2.5)
