"""Networks on the patterns in curves: the features, their span, the choice of the encoder, which part spoke."""

import functools
import itertools

import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from langevax.sklearn import (
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    load,
)
from langevax.sklearn.inputs.competing_kernels import GROUPS, KERNELS, CompetingKernels
from langevax.sklearn.inputs.convolutions import (
    PATTERNS,
    Convolutions,
    spaced_dilations,
)
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.inputs.shapes import CurveShapes
from langevax.sklearn.inputs.span import MOST_DIRECTIONS

SMALL = {"num_particles": 100, "num_steps": 300, "random_state": 0, "progress": False}
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
    return FunctionalMeanFieldClassifier("mfld", **SMALL).fit(X[:40], y[:40])


def columns_of(X, used=None):
    encoder = CurveShapes(CurveCoefficients(centre=False))
    return encoder, encoder.fit_transform(X, used)


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


def test_the_winning_kernel_of_each_place_gets_its_response_and_the_losing_one_a_point():
    X = np.random.default_rng(2).normal(size=(3, 2, 40)).astype(np.float32)
    X[2, :, 5:30] = 1.0  # nothing responds
    kernels = CompetingKernels.fit(X)
    features = (
        kernels(X).reshape(3, -1, 2, 2, KERNELS, GROUPS).transpose(1, 2, 5, 0, 3, 4)
    )
    for i, j, g in itertools.product(
        range(len(kernels.weights)), range(2), (0, GROUPS - 1)
    ):
        curves = (X if j == 0 else np.diff(X))[:, kernels.channels[i, j, g]].sum(1)
        for x, (won, lost) in zip(curves, features[i, j, g], strict=True):
            at, totals = dict(enumerate(x)), np.zeros((2, KERNELS))
            for t in range(len(x)):
                taps = [at.get(t + (k - 4) * 2**i, 0) for k in range(9)]
                responses = kernels.weights[i, j, g].astype(np.float64) @ np.array(taps)
                totals[0, responses.argmax()] += responses.max()
                totals[1, responses.argmin()] += responses.min() < -1e-4
            np.testing.assert_allclose([won**2, lost**2], totals / len(x), atol=1e-5)


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


@pytest.mark.slow
def test_coordinates_of_the_span_keep_all_inner_products_with_training_curves():
    X, _, _ = pulses()
    encoder, columns = columns_of(X[:40])
    features = encoder.features_of(
        encoder._standardised(encoder.reader.values(X, encoder.points_))
    )
    features = (features - encoder.feature_means_) / encoder.feature_scales_
    np.testing.assert_allclose(
        columns @ columns.T, features[:40] @ features[:40].T, atol=1e-6
    )
    assert columns.shape == (40, 40)  # 39 directions of 40 centred rows
    assert (columns[:, -1] == 0).all()
    new = encoder.transform(X[40:])
    np.testing.assert_allclose(
        new @ columns.T, features[40:] @ features[:40].T, atol=1e-6
    )
    np.testing.assert_allclose((new**2).sum(1), (features[40:] ** 2).sum(1), rtol=1e-5)
    assert (new[:, -1] > 0.1).all()
    np.testing.assert_allclose(encoder.transform(X[:40]), columns, atol=1e-6)


@pytest.mark.slow
def test_weights_outside_of_the_span_keep_the_law_of_the_prior_and_reach_new_curves():
    model = fitted()
    outside = model.clouds_[
        ..., model.neuron_.input_weights(len(model.standardiser_.mean))
    ][..., -1]
    assert abs(outside.mean()) < 0.15
    assert 0.85 < outside.std() < 1.15
    assert np.isfinite(model.standardiser_.scale).all()
    columns = model.encoder_.transform(pulses()[0][40:])
    without = columns * np.append(np.ones(columns.shape[1] - 1), 0)
    assert np.abs(model._outputs(columns) - model._outputs(without)).max() > 0.01


@pytest.mark.slow
def test_repeated_curves_and_curves_of_weight_zero_teach_the_encoder_nothing():
    X, _, _ = pulses()
    encoder, _ = columns_of(X[:20])
    repeated, _ = columns_of(np.concatenate([X[5:20], X[:20]]))
    unused, _ = columns_of(X[:30], np.arange(30) < 20)
    expected = encoder.transform(X[30:])
    np.testing.assert_array_equal(repeated.transform(X[30:]), expected)
    np.testing.assert_array_equal(unused.transform(X[30:]), expected)


def test_more_curves_than_directions_are_seen_in_the_principal_ones(monkeypatch):
    assert MOST_DIRECTIONS >= 500
    monkeypatch.setattr("langevax.sklearn.inputs.span.MOST_DIRECTIONS", 10)
    encoder, columns = columns_of(pulses()[0][:40])
    assert not encoder.exact_
    assert columns.shape == (40, 11)
    assert (columns[:, -1] == 0).all()
    assert (np.diff((columns[:, :-1] ** 2).sum(0)) < 0).all()


@pytest.mark.slow
def test_many_curves_are_seen_in_few_directions(monkeypatch):
    (X, y, _), full = pulses(), fitted()
    monkeypatch.setattr("langevax.sklearn.encoder_choice.FEW_DIRECTIONS", 20)
    model = FunctionalMeanFieldClassifier("mfld", **SMALL).fit(X[:40], y[:40])
    columns = model.encoder_.transform(X)
    assert full.encoder_.exact_
    assert not model.encoder_.exact_
    np.testing.assert_array_equal(columns[:, :20], full.encoder_.transform(X)[:, :20])
    assert (columns[:, 20:] == 0).all()
    assert model.network_.inputs.shape == (40, 21)
    assert (
        model.encoder_errors_["convolutions"]
        <= 1.03 * full.encoder_errors_["convolutions"]
    )
    assert model.score(X[40:], y[40:]) >= 0.9
    assert model.part_effects(X[:2], 4)[1].shape == (2, 4)
    model.attach_rows(X[:40], y[:40])


@pytest.mark.slow
@pytest.mark.parametrize(("target", "directions"), [(0, 1), (1, 2), (3, 39)])
def test_all_directions_are_seen_where_few_have_clearly_larger_errors(
    monkeypatch, target, directions
):
    X = pulses()[0][:40]
    monkeypatch.setattr("langevax.sklearn.encoder_choice.FEW_DIRECTIONS", 1)
    model = FunctionalMeanFieldRegressor(
        "mfld", encoder="convolutions", temperature=0.01, **SMALL | {"num_steps": 20}
    )
    model.fit(X, columns_of(X)[1][:, target])
    assert model.encoder_.num_directions == directions
    assert model.encoder_.exact_ == (directions == 39)
    assert model.network_.inputs.shape == (40, directions + 1)


def test_a_certificate_of_many_columns_takes_as_long_as_one_of_few(monkeypatch):
    def effort_of(model):
        allowed = []
        monkeypatch.setattr(
            "langevax.sklearn.inspection.certify",
            lambda *_, effort, **options: allowed.append(effort) or 1 / 0,
        )
        for options in ({}, {"cpu_seconds": 5.0}, {"effort": 7.0}):
            with pytest.raises(ZeroDivisionError):
                model.certificate(**options)
        return allowed

    assert effort_of(fitted()) == [3e9, None, 7.0]
    monkeypatch.setattr("langevax.sklearn.encoded.NARROW", 10)
    assert effort_of(fitted()) == [3e9 / 4, None, 7.0]


@pytest.mark.slow
def test_auto_takes_convolutions_where_shapes_shift():
    X, y, _ = pulses()
    model = fitted()
    errors = model.encoder_errors_
    assert errors["convolutions"] < 0.7 * errors["basis"]
    assert model.score(X[40:], y[40:]) >= 0.9
    basis = FunctionalMeanFieldClassifier("mfld", encoder="basis", **SMALL).fit(
        X[:40], y[:40]
    )
    assert basis.encoder_errors_ is None
    assert basis.score(X[40:], y[40:]) < 0.8


@pytest.mark.slow
def test_auto_takes_the_basis_where_a_level_counts():
    random = np.random.default_rng(0)
    levels, t = random.uniform(-1, 1, size=(40, 1)), np.linspace(0, 1, 40)
    X = levels + np.sin(9 * t + random.uniform(0, 6, size=(40, 1)))
    model = FunctionalMeanFieldRegressor(**SMALL).fit(X, levels[:, 0])
    assert isinstance(model.encoder_, CurveCoefficients)
    assert model.encoder_errors_["basis"] < model.encoder_errors_["convolutions"]
    assert model.solver_ == "psdca"


def test_the_default_solver_is_dual_ascent_on_few_columns_only():
    model = FunctionalMeanFieldClassifier()
    assert [model._solver_name(columns) for columns in (64, 65)] == ["psdca", "mfld"]
    assert model.set_params(warm_start=True)._solver_name(3) == "mfld"
    assert model.set_params(solver="pda")._solver_name(3) == "pda"


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["basis", "convolutions"])
def test_the_part_with_the_planted_bump_speaks_for_the_output(encoder):
    random, t = np.random.default_rng(0), np.linspace(0, 1, 90)
    heights = random.uniform(0, 1, 50)
    bump = np.exp(-(((t - 0.7) / 0.03) ** 2))
    X = 0.05 * random.normal(size=(50, 90)) + 2 * heights[:, None] * bump
    model = FunctionalMeanFieldRegressor("mfld", encoder=encoder, **SMALL).fit(
        X[:40], heights[:40]
    )
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
    model = FunctionalMeanFieldClassifier("mfld", encoder="basis", **SMALL).fit(
        X, np.repeat(["a", "b", "c"], 9)
    )
    times, effects = model.part_effects(X, num_parts=6)
    assert effects.shape == (27, 6)
    assert times[effects[:9].mean(0).argmax()] == pytest.approx(0.2)
    assert times[effects[9:18].mean(0).argmax()] == pytest.approx(0.8)


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
    few = {"num_particles": 50, "num_steps": 200, "random_state": 0}
    model = FunctionalMeanFieldClassifier(encoder="convolutions", **few).fit(
        X[:40], y[:40]
    )
    assert model.certificate(effort=3e8).trustworthy


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
    channels = 2 if isinstance(X, np.ndarray) and X.ndim == 3 else 1
    model = FunctionalMeanFieldClassifier(
        "mfld", encoder="convolutions", channels=channels, **SMALL | {"num_steps": 20}
    )
    assert np.isfinite(model.fit(X, ["a", "b"] * 4).predict_proba(X)).all()


@pytest.mark.slow
def test_derivatives_are_channels_of_their_own():
    X, y, _ = pulses()
    model = FunctionalMeanFieldClassifier(
        "mfld",
        encoder="convolutions",
        derivative=(0, 1),
        smoothing=None,
        **SMALL | {"num_steps": 20},
    )
    assert model.fit(X[:20], y[:20]).encoder_.mean_values_.shape == (2, LENGTH)


@pytest.mark.parametrize(("level", "unit"), [(1e9, 1.0), (0.0, 1e-140), (0.0, 1e140)])
def test_level_and_unit_of_the_curves_change_no_pattern(level, unit):
    X = np.round(pulses()[0][:20] * 1024) / 1024
    expected, columns = columns_of(X)[1], columns_of(level + unit * X)[1]
    # a tie with a bias may fall on the other side
    np.testing.assert_allclose(
        columns @ columns.T,
        expected @ expected.T,
        atol=0.02 * np.abs(expected).max() ** 2,
    )


def test_refusals_name_a_remedy():
    X, y, _ = pulses()
    for unit in (1e300, 1e-300):
        with pytest.raises(
            ValueError,
            match="whose square no number represents; divide all curves by it",
        ):
            FunctionalMeanFieldClassifier().fit(unit * X, y)
    for value in (np.nan, np.inf):
        with pytest.raises(
            ValueError,
            match=f"curve 1 of X is {value} at t=0; fill the gaps, or pass missing=",
        ):
            FunctionalMeanFieldClassifier().fit(
                np.where(np.arange(60)[:, None] == 1, value, X), y
            )
    with pytest.raises(ValueError, match="encoder"):
        FunctionalMeanFieldClassifier(encoder="rocket").fit(X, y)
    with pytest.raises(
        ValueError, match=r"call part_effects\(X\), or fit with encoder='basis'"
    ):
        fitted().weight_functions()
    with pytest.raises(ValueError, match="neither weight functions nor slopes"):
        fitted().slope_functions(X)
    with pytest.raises(ValueError, match="num_parts must be at least 2, got 1"):
        fitted().part_effects(X, num_parts=1)
    with pytest.raises(TypeError, match="num_parts must be an int"):
        fitted().part_effects(X, num_parts=2.5)


CONVOLUTIONAL = FunctionalMeanFieldClassifier(
    "mfld", encoder="convolutions", num_particles=32, num_steps=100
)
READ_BY_THE_ENCODER = {
    "check_classifiers_train",
    "check_dict_unchanged",
    "check_dtype_object",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
}
"""Checks of what the encoder does to columns; the others are those of every classifier of curves."""


def checks_of_columns():
    for model, check in estimator_checks_generator(CONVOLUTIONAL):
        check_name = getattr(check, "func", check).__name__
        if check_name in READ_BY_THE_ENCODER:
            yield pytest.param(model, check, id=check_name)


@pytest.mark.slow
@pytest.mark.mostly_compiling
@pytest.mark.parametrize(("estimator", "check"), list(checks_of_columns()))
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)
