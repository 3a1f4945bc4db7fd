"""TwoPhaseReLURegressor: a teacher in the user's units, weights, the choice of decay, why it switched, few programs."""

import functools
import pickle
from typing import Any

import jax
import numpy as np
import pandas
import polars
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import TwoPhaseReLURegressor, load
from langevax.teacher_student import match_neurons
from tests.sentences import refuses, tells
from tests.sklearn.tables import diabetes

FEW: dict[str, Any] = {
    "num_particles": 3,
    "num_restarts": 2,
    "num_explore_steps": 40,
    "num_converge_steps": 80,
    "random_state": 0,
}
SETTINGS: dict[str, Any] = {
    "num_restarts": 6,
    "num_explore_steps": 300,
    "num_converge_steps": 1000,
    "random_state": 0,
}
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _seconds, **_: (
        compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
)


CHEAP = {name: FEW[name] for name in FEW if name != "random_state"} | {
    "weight_decay": 0.0
}  # its choice is tested below


@pytest.mark.slow
@pytest.mark.mostly_compiling
@parametrize_with_checks([TwoPhaseReLURegressor(**CHEAP)])
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def taught(noise):
    """Two neurons with biases on columns of very unlike units: (X, y, what y is without noise)."""
    rng = np.random.default_rng(0)
    X = np.array([1e3, 5.0, 0.0]) + np.array([200.0, 0.01, 1.0]) * rng.normal(
        size=(400, 3)
    )
    clean = 7.0 + TEACHER[0] @ np.maximum(
        TEACHER[1] @ np.column_stack([X, np.ones(400)]).T, 0
    )
    return X, clean + noise * rng.normal(size=400), clean


TEACHER = (
    np.array([4.0, -3.0]),
    np.array([[5e-3, 0.0, 0.5, -5.0], [0.0, 80.0, -0.6, -400.0]]),
)


@functools.cache
def fitted_teacher():
    """Not to be changed by a test."""
    X, y, _ = taught(0.1)
    return TwoPhaseReLURegressor(2, **SETTINGS).fit(
        pandas.DataFrame(X, columns=["far", "near", "unit"]), y
    )


def in_units(model):
    """The teacher in the units of the network's inputs and targets."""
    outer, inner = (np.asarray(leaf, np.float64) for leaf in TEACHER)
    units = model.units_
    weights, biases = inner[:, :3], inner[:, 3] if inner.shape[1] > 3 else 0.0
    biases = (biases + weights @ units.inputs.mean) / units.constant
    weights = weights * units.inputs.scale
    return outer / units.target_scale, np.column_stack([weights, biases])


@pytest.mark.slow
def test_a_teacher_is_found_in_the_users_units():
    """At the level of least squares: nine numbers, v^2 = 0.01, n = 400."""
    X, _, clean = taught(0.1)
    frame = pandas.DataFrame(X, columns=["far", "near", "unit"])
    assert np.mean((fitted_teacher().predict(frame) - clean) ** 2) < 3 * 9 * 0.01 / 400
    matching = match_neurons(fitted_teacher().network_, in_units(fitted_teacher()))
    assert matching.same_sign.all()
    assert np.degrees(matching.angles).max() < 3
    np.testing.assert_allclose(matching.sizes, 1, atol=0.03)
    assert fitted_teacher().weight_decay_ == 0
    assert fitted_teacher().num_positive_[fitted_teacher().best_restart_] == 1


@pytest.mark.slow
def test_records_of_a_fit_agree_with_one_another():
    model = fitted_teacher()
    assert model.history_["loss"].shape == (6, len(model.history_["steps"]))
    np.testing.assert_allclose(
        model.history_["loss"][:, -1], model.restart_losses_, rtol=1e-3
    )
    assert model.best_restart_ == np.argmin(model.restart_losses_)
    X, y, _ = taught(0.1)
    residual = y - model.predict(pandas.DataFrame(X, columns=["far", "near", "unit"]))
    assert residual.mean() == pytest.approx(0, abs=1e-5)
    assert np.mean(residual**2) / 2 / y.var() == pytest.approx(
        model.restart_losses_.min(), rel=1e-3
    )
    assert model.switch_step_ == 300
    tells(model.switch_reason_, "300 1e-05")
    assert model.converged_
    assert 300 < model.n_iter_ < 1300


@pytest.mark.slow
def test_a_weight_is_a_row_repeated_whatever_the_order():
    X, y = (a[:120] for a in diabetes())
    weights = np.arange(120) % 3
    order = np.random.default_rng(0).permutation(weights.sum())
    one = TwoPhaseReLURegressor(**FEW).fit(X, y, weights)
    many = TwoPhaseReLURegressor(**FEW).fit(
        np.repeat(X, weights, 0)[order], np.repeat(y, weights)[order]
    )
    assert one.held_out_ == many.held_out_ != {}
    residual = (y - one.predict(X)) / np.sqrt(np.cov(y, aweights=weights, bias=True))
    assert np.average(residual, weights=weights) == pytest.approx(0, abs=1e-5)
    assert np.average(residual**2, weights=weights) / 2 == pytest.approx(
        one.restart_losses_.min(), rel=1e-4
    )
    np.testing.assert_array_equal(one.predict(X), many.predict(X))


@pytest.mark.slow
def test_weight_decay_is_taken_where_noise_asks_for_it():
    X, y = diabetes()
    model = TwoPhaseReLURegressor(10, **SETTINGS).fit(X[:300], y[:300])
    assert model.weight_decay_ == 0.01 == min(model.held_out_, key=model.held_out_.get)
    bare = TwoPhaseReLURegressor(10, weight_decay=0.0, **SETTINGS).fit(X[:300], y[:300])
    assert bare.held_out_ == {}
    assert model.score(X[300:], y[300:]) > bare.score(X[300:], y[300:]) + 0.03 > 0.45
    assert np.sum(model.network_.inner**2) < 0.5 * np.sum(bare.network_.inner**2)


@pytest.mark.slow
def test_at_one_temperature_the_plateau_ends_exploration():
    X, y, _ = taught(0.1)
    settings = SETTINGS | {
        "annealing": 1.0,
        "weight_decay": 0.0,
        "num_explore_steps": 20_000,
    }
    model = TwoPhaseReLURegressor(2, **settings).fit(X, y)
    assert model.switch_step_ < 20_000
    tells(model.switch_reason_, f"6 {model.switch_step_:,}")
    short = TwoPhaseReLURegressor(2, **settings | {"num_explore_steps": 60}).fit(X, y)
    tells(short.switch_reason_, "60")


@pytest.mark.slow
def test_no_program_is_compiled_twice_for_folds_and_settings():
    """Five folds of two temperatures after one fit of the same bucket: nothing is compiled."""
    X, y = diabetes()
    model = make_pipeline(
        PolynomialFeatures(1, include_bias=False), TwoPhaseReLURegressor(**FEW)
    )
    grid = {"twophasereluregressor__temperature": [1e-3, 1e-4]}
    search = GridSearchCV(model, grid, cv=5, refit=False)
    model.fit(X[:353], y[:353])
    before = len(compiled)
    search.fit(X, y)
    assert len(compiled) == before
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_saved_pickled_and_cloned(tmp_path):
    X, y, _ = taught(0.1)
    frame = pandas.DataFrame(X, columns=["far", "near", "unit"])
    fitted_teacher().save(tmp_path / "m")
    for model in (load(tmp_path / "m"), pickle.loads(pickle.dumps(fitted_teacher()))):
        np.testing.assert_array_equal(
            model.predict(frame), fitted_teacher().predict(frame)
        )
        assert model.get_params() == fitted_teacher().get_params()
        assert (model.switch_reason_, model.held_out_, model.n_iter_) == (
            fitted_teacher().switch_reason_,
            fitted_teacher().held_out_,
            fitted_teacher().n_iter_,
        )
        np.testing.assert_array_equal(
            model.network_.inner, fitted_teacher().network_.inner
        )
        with refuses(ValueError, "feature"):
            model.predict(frame.rename(columns={"far": "other"}))
    again = clone(fitted_teacher()).fit(
        polars.DataFrame(X, schema=["far", "near", "unit"]), y
    )
    np.testing.assert_array_equal(again.predict(frame), fitted_teacher().predict(frame))


def test_neurons_are_of_the_columns_over_their_deviations():
    """The neuron of positive outer weight sees far and unit only."""
    outer, inner = fitted_teacher().network_
    far, near, unit, _ = inner[np.argmax(outer)]
    assert abs(near) < 0.1 * abs(far)
    assert far / unit == pytest.approx(5e-3 * 200 / 0.5, rel=0.1)


@pytest.mark.slow
def test_odd_tables():
    """Constant targets, few rows, one column, more neurons than columns, a constant column that changes later."""
    X = np.linspace(-1, 1, 12)[:, None]
    assert np.all(
        TwoPhaseReLURegressor(**FEW).fit(X, np.full(12, 7.25)).predict(X) == 7.25
    )
    model = TwoPhaseReLURegressor(
        **FEW | {"num_particles": 20, "num_converge_steps": 400}
    ).fit(X, np.abs(X[:, 0]))
    assert model.weight_decay_ == 0.01  # too few rows to choose by
    assert model.held_out_ == {}
    assert model.score(X, np.abs(X[:, 0])) > 0.8
    column = TwoPhaseReLURegressor(**FEW).fit(
        np.column_stack([X, np.full(12, 1e20)]), X[:, 0]
    )
    same, other = (
        column.predict(np.column_stack([X, np.full(12, value)]))
        for value in (1e20, -5.0)
    )
    np.testing.assert_array_equal(same, other)
    with refuses(ValueError, "2"):
        TwoPhaseReLURegressor(**FEW).fit(X[:1], [1.0])


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"num_particles": 0}, "'num_particles' 0"),
        ({"num_restarts": 1.5}, "'num_restarts' 1.5"),
        (
            {"relative_converge_step_size": 2.0},
            "'relative_converge_step_size' 0.0 2.0",
        ),
        ({"temperature": -1.0}, "'temperature' -1"),
        ({"annealing": 0.0}, "'annealing' 0"),
        (
            {"weight_decay": "loo"},
            "'weight_decay' 'auto' 'loo'",
        ),
        ({"weight_decay": -0.1}, "'weight_decay' -0.1"),
        ({"bound": None}, "'bound' None"),
    ],
)
def test_a_parameter_out_of_range_is_named_with_its_value(change, facts):
    with refuses((ValueError, TypeError), facts):
        TwoPhaseReLURegressor(**FEW | change).fit(np.eye(3), np.arange(3.0))
