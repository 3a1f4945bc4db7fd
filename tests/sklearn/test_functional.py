"""Networks on curves and graphs: what they see, what their pictures say, refinement, files, bad input."""

import functools
import pickle

import numpy as np
import pytest
from scipy.interpolate import CubicSpline, make_interp_spline
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from langevax import spaces
from langevax.sklearn import (
    CurveCoefficients,
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    GraphFeatures,
    GraphMeanFieldClassifier,
    GraphMeanFieldRegressor,
    MeanFieldClassifier,
    MeanFieldRegressor,
    UnlikeTrainingWarning,
    load,
)
from langevax.sklearn.persistence import write
from langevax.sklearn.saved import ModelError, read
from tests.sentences import refuses, warns

pytestmark = pytest.mark.mostly_compiling

GRID = np.linspace(2.0, 4.0, 81)
FINE = np.linspace(2.0, 4.0, 321)
SMALL = {"num_particles": 64, "random_state": 0}


def regressor(settings=SMALL, encoder=CurveCoefficients, **of_encoder):
    return FunctionalMeanFieldRegressor(
        encoder(**of_encoder), MeanFieldRegressor(**settings)
    )


def on(grid, curves):
    """Curves at other times than those of the training table."""
    return [(grid, x) for x in curves]


@functools.cache
def waves(n=64):
    """(curves on GRID, target): the target is the bend at t = 3, times the height."""
    heights, rates, phases = np.random.default_rng(0).uniform(0.5, 1.5, size=(3, n, 1))
    X = heights * np.sin(3 * rates * (GRID - 2) + phases)
    return X, (heights * rates)[:, 0]


@functools.cache
def fitted(derivative=0):
    X, y = waves()
    return regressor(grid=GRID, derivative=derivative, num_modes=12).fit(X, y)


@functools.cache
def classifier():
    X, y = waves()
    model = FunctionalMeanFieldClassifier(
        CurveCoefficients(grid=GRID, num_modes=12), MeanFieldClassifier(**SMALL)
    )
    return model.fit(X, np.where(y > 1, "high", "low"))


@functools.cache
def molecules():
    """Rings and paths with an odd label, and how many nodes they have."""
    graphs = []
    for n in range(4, 24):
        labels = ["N", *"C" * (n - 1)]
        graphs += [([(i, (i + 1) % n, "single") for i in range(n)], labels)]
        graphs += [([(i, i + 1, "double") for i in range(n - 1)], labels)]
    return graphs, np.repeat(np.arange(4.0, 24.0), 2), np.tile(["ring", "path"], 20)


@pytest.mark.slow
def test_it_learns():
    X, y = waves()
    assert fitted().score(X, y) > 0.9
    assert classifier().score(X, np.where(y > 1, "high", "low")) > 0.9


@pytest.mark.slow
@pytest.mark.compiled_as_usual
def test_the_certificate_is_that_of_functions():
    X, y = waves()
    model = regressor(SMALL | {"num_particles": 256}, grid=GRID, num_modes=12)
    certificate = model.fit(X, y).estimator_.certificate(effort=4e8)
    assert 0 < certificate.unknown_share < 0.25
    assert not certificate.trustworthy  # the lower end is that of any network
    assert "Upper end only" in str(certificate)


@pytest.mark.parametrize("derivative", [0, 2])
@pytest.mark.slow
def test_a_grid_four_times_finer_changes_predictions_by_less_than_one_percent(
    derivative,
):
    X, y = waves()
    fine = CubicSpline(GRID, X.T)(FINE).T
    moved = fitted(derivative).predict(on(FINE, fine)) - fitted(derivative).predict(X)
    assert np.abs(moved).max() < 0.01 * y.std()


@pytest.mark.slow
def test_classes_on_another_grid():
    X, _ = waves()
    fine = CubicSpline(GRID, X.T)(FINE).T
    for ask in ("predict_proba", "decision_function"):
        here, there = (
            getattr(classifier(), ask)(X),
            getattr(classifier(), ask)(on(FINE, fine)),
        )
        np.testing.assert_allclose(there, here, atol=0.02 * np.abs(here).max())
    assert (
        classifier().predict(on(FINE, fine)) == classifier().predict(X)
    ).mean() > 0.95


@pytest.mark.parametrize("derivative", [0, 2])
def test_slope_functions_are_derivatives_of_the_output(derivative):
    """output(x + e) - output(x - e) = 2 mean of beta e^(derivative), for a smooth small e."""
    model, (X, _) = fitted(derivative), waves()
    e = 1e-3 * np.sin(2 * GRID)
    measured = (model.predict(X[:9] + e) - model.predict(X[:9] - e)) / 2
    interpolated = make_interp_spline(GRID, e, k=5)(FINE, nu=derivative)
    expected = (
        np.trapezoid(model.slope_functions(X[:9], FINE) * interpolated, FINE, axis=1)
        / 2
    )  # a mean over [2, 4]
    np.testing.assert_allclose(
        measured, expected, rtol=0.02, atol=0.002 * np.abs(expected).max()
    )


def test_weight_functions_make_the_neurons():
    """sum over neurons of R tanh |a| tanh(mean of theta (x - mean) + b) is the output of the cloud at the end."""
    model, (X, y) = fitted(), waves()
    network = model.estimator_
    a, b = network.particles_[:, 0], network.particles_[:, -1]
    thetas = model.weight_functions(FINE)
    curves = CubicSpline(GRID, X.T)(FINE).T
    mean = network.standardiser_.mean @ model.encoder_.weight_functions(
        np.eye(12) / model.encoder_.scales_[0] ** 2, FINE
    )
    inner = np.trapezoid(thetas[:, None] * (curves - mean), FINE, axis=-1) / 2
    outputs = network.neuron_.scale * np.mean(
        np.tanh(abs(a))[:, None] * np.tanh(inner + (np.sign(a) * b)[:, None]), axis=0
    )
    *_, last = network.staged_outputs(model.encode(X))
    np.testing.assert_allclose(outputs, last, atol=0.02)
    assert np.std(y) > 0.1


@pytest.mark.slow
def test_several_channels_and_derivatives_have_a_function_each():
    X, y = waves()
    both = np.stack([X, X[:, ::-1]], axis=1)
    settings = SMALL | {"num_steps": 64}
    model = regressor(settings, derivative=(0, 1), num_modes=6).fit(both, y)
    assert model.weight_functions().shape == (64, 4, 81)
    assert model.slope_functions(both[:3], FINE[:5] * 0.01).shape == (3, 4, 5)


def test_curves_with_times_of_their_own():
    X, y = waves()
    rng = np.random.default_rng(1)
    places = [
        np.sort(np.append(rng.choice(np.arange(1, 80), 30, replace=False), [0, 80]))
        for _ in X
    ]
    pairs = [(GRID[p], x[p]) for p, x in zip(places, X, strict=True)]
    model = regressor(num_modes=12).fit(pairs, y)
    assert model.score(pairs, y) > 0.9


@pytest.mark.slow
def test_the_same_network_behind_any_number_of_modes():
    X, y = waves()
    few, many = (
        regressor({"num_particles": 512, "random_state": 0}, num_modes=k).fit(X, y)
        for k in (8, 64)
    )
    assert (
        np.sqrt(np.mean((few.predict(X) - many.predict(X)) ** 2)) < 0.1 * y.std()
    )  # noise of the clouds: 0.04


@pytest.mark.slow
def test_parameters_of_the_encoder_are_searched():
    X, y = waves()
    model = regressor(SMALL | {"num_steps": 64})
    grid = {"encoder__num_modes": [2, 12], "estimator__output_scale": [3.0]}
    assert GridSearchCV(model, grid, cv=2).fit(X, y).best_params_ == {
        "encoder__num_modes": 12,
        "estimator__output_scale": 3.0,
    }


def test_the_settings_of_a_network_without_its_own_are_those_of_curves():
    network = fitted().estimator_
    assert (network.solver_, network.scaling_) == ("path", "global")
    assert (network.output_scale_, network.path_) == (3.0, None)


def test_any_transformer_is_an_encoder():
    X, y = waves()
    encoder = make_pipeline(StandardScaler(), PCA(5))
    network = MeanFieldRegressor(num_particles=500, random_state=0)
    model = FunctionalMeanFieldRegressor(encoder, network)
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.encode(X).shape == (64, 5)
    assert model.n_features_in_ == 81
    with refuses(ValueError, "part_effects"):
        model.weight_functions()
    with refuses(ValueError):
        model.part_effects(X)


def test_curves_of_another_unit_are_named():
    X, _ = waves()
    with warns(UnlikeTrainingWarning, "2 3 0"):
        fitted().predict(np.stack([1000 * X[0], X[1], -1000 * X[2]]))


@pytest.mark.parametrize("derivative", [0, 2])
def test_files_give_back_the_same_predictions(tmp_path, derivative):
    X, _ = waves()
    fitted(derivative).save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), fitted(derivative).predict(X))
    np.testing.assert_array_equal(
        loaded.weight_functions(), fitted(derivative).weight_functions()
    )
    assert loaded.n_features_in_ == 81
    assert loaded.encoder.grid == pytest.approx(GRID)


@pytest.mark.slow
def test_files_of_components_noise_and_own_times(tmp_path):
    X, y = waves()
    noisy = X + 0.05 * np.random.default_rng(2).normal(size=X.shape)
    model = regressor(
        basis="components", num_modes=5, smoothing=0.05, derivative=(0, 1)
    )
    model.set_params(estimator__num_steps=64).fit(noisy, y).save(tmp_path / "model")
    pairs = [(np.linspace(0, 1, 81), x) for x in noisy[:5]]
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict(pairs), model.predict(pairs)
    )


@pytest.mark.slow
def test_a_custom_basis_is_refused_before_anything_is_written(tmp_path):
    X, y = waves()
    model = regressor(SMALL | {"num_steps": 64}, basis=Own(6)).fit(X, y)
    with refuses(ValueError):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


class Own(spaces.Cosine):
    """Cosines that call themselves otherwise."""


@pytest.mark.slow
def test_graphs_are_learned_and_kept(tmp_path):
    graphs, sizes, kinds = molecules()
    settings = {"num_particles": 64, "random_state": 0}
    encoder = GraphFeatures(edge_labels="bond")
    numbers = GraphMeanFieldRegressor(encoder, MeanFieldRegressor(**settings))
    classes = GraphMeanFieldClassifier(encoder, MeanFieldClassifier(**settings))
    numbers.fit(graphs, sizes), classes.fit(graphs, kinds)
    assert numbers.score(graphs, sizes) > 0.95
    assert classes.score(graphs, kinds) > 0.95
    for model in (numbers, classes):
        model.save(tmp_path / "model")
        loaded = load(tmp_path / "model")
        np.testing.assert_array_equal(loaded.predict(graphs), model.predict(graphs))
        assert list(loaded.encoder_.get_feature_names_out()) == list(
            model.encoder_.get_feature_names_out()
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GraphMeanFieldRegressor, GraphMeanFieldClassifier])
def test_graph_estimators_keep_scikit_learns_contract(kind):
    """The common suite gives tables, which are no graphs; this is what of it does not."""
    graphs, sizes, kinds = molecules()
    targets = sizes if kind is GraphMeanFieldRegressor else kinds
    network = (
        MeanFieldRegressor if "Regressor" in kind.__name__ else MeanFieldClassifier
    )
    model = kind(
        GraphFeatures(edge_labels="bond"),
        network(num_particles=64, num_steps=200),
        random_state=0,
    )
    parameters = model.get_params(deep=False)
    assert list(parameters) == ["encoder", "estimator", "random_state"]
    assert clone(model).set_params(encoder__heat_times=4).encoder.heat_times == 4
    with refuses(ValueError, "'heat'"):
        model.set_params(heat=4)
    with pytest.raises(NotFittedError):
        model.predict(graphs)
    assert model.fit(graphs, targets) is model
    assert model.get_params(deep=False) == parameters
    assert not get_tags(model).input_tags.two_d_array
    there = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(there.predict(graphs), model.predict(graphs))
    np.testing.assert_array_equal(
        clone(model).fit(graphs, targets).predict(graphs), model.predict(graphs)
    )


def test_bad_input_is_refused_in_words():
    X, y = waves()
    graphs = GraphMeanFieldRegressor()
    cases = [
        ((regressor(grid=GRID[::-1]), X, y), "grid"),
        ((regressor(), np.where(np.arange(81) == 3, np.nan, X), y), "nan"),
        ((regressor(), X, y[:-1]), "64 63"),
        ((regressor({"output_scale": "big"}), X, y), "output_scale"),
        ((FunctionalMeanFieldRegressor("basis"), X, y), "encoder"),
        ((graphs, [([], "")] * 3, [1.0, 2.0, 3.0]), "0"),
        ((graphs, [([(0, 1)], "CO")] * 2, [1.0, 2.0, 3.0]), "2 3"),
    ]
    for (model, inputs, targets), facts in cases:
        with refuses((ValueError, TypeError), facts):
            model.fit(inputs, targets)
    with refuses(ValueError, "2 4"):
        fitted().predict(on(GRID + 1, X))
    with refuses(ValueError):
        fitted().predict([(GRID, np.where(GRID > 3, np.nan, X[0]))])


def test_the_encoder_is_saved_with_its_network(tmp_path):
    fitted().save(tmp_path / "model")
    header, arrays, _ = read(tmp_path / "model")
    encoder = header["fitted"]["encoder_"]
    assert encoder["object"] == "CurveCoefficients"
    assert encoder["attributes"]["bases_"]["list"][0]["object"] == "Cosine"
    np.testing.assert_array_equal(arrays[encoder["attributes"]["grid_"]["array"]], GRID)


def test_a_file_of_another_version_s_parameters_is_refused_by_name(tmp_path):
    fitted().save(tmp_path / "model")
    header, arrays, _ = read(tmp_path / "model")
    header["parameters"] = {"num_modes": 12}
    write(tmp_path / "old", header | {"version": "0.2.0"}, arrays)
    with refuses(ModelError, "0.2.0 'num_modes'"):
        load(tmp_path / "old")
