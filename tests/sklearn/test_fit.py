"""Fits: at the kernel limit, in units, with weights, in few programs, from where it stopped."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import polars
import pytest
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_linnerud,
    make_friedman1,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

import langevax
from langevax.meanfield.kernel_limit import features_of, prior_particles
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, base, training
from langevax.sklearn.mean_field import probabilities
from tests.sklearn.tables import (
    QUICK,
    STEPS,
    diabetes,
    fitted_classifier,
    fitted_on_overlapping,
    fitted_regressor,
    iris,
    overlapping,
)

compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _seconds, **_: (
        compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
)


@pytest.mark.long
def test_at_a_large_output_scale_it_is_its_kernel_machine():
    """Scale 100 and n T / scale^2 fixed: predictions meet kernel ridge with alpha = n T, K of 20,000 prior neurons.

    Twelve independent fits; their mean lies within 4.5 standard errors plus the 2 % that K's own draw leaves. A
    penalty wrong by a factor 2 would be seen.
    """
    X = np.random.default_rng(0).uniform(-1, 1, size=(60, 1))
    y, grid = np.sin(2 * X[:, 0]), np.linspace(-1, 1, 20)[:, None]
    alpha = 3.0  # of the kernel without output scale
    fits = []
    for seed in range(12):
        temperature = alpha * 100**2 / 60
        settings = {
            "output_scale": 100.0,
            "temperature": temperature,
            "scaling": "columns",
            "num_steps": 300,
        }
        fits.append(
            MeanFieldRegressor(num_particles=8000, random_state=seed, **settings).fit(
                X, y
            )
        )
    predictions = np.stack([fit.predict(grid) for fit in fits])

    def machine(alpha):
        columns = fits[0].standardiser_(np.concatenate([X, grid]))
        neuron = fits[0].neuron_
        d = columns.shape[1]
        particles = prior_particles(
            neuron, d, d, 1.0, 20_000, columns.dtype, key=jax.random.key(0)
        )
        features = features_of(neuron, particles, columns)
        features = np.asarray(features, float).T / np.sqrt(20_000)
        K, k = features[:60], features[60:]
        ridge = KernelRidge(alpha=alpha, kernel="linear").fit(
            K, (y - y.mean()) / y.std()
        )
        return y.mean() + y.std() * ridge.predict(k)

    expected = machine(alpha * 100**2)
    error = predictions.std(0, ddof=1) / np.sqrt(12)
    distance = np.abs(predictions.mean(0) - expected)
    assert np.all(distance < 4.5 * error + 0.02 * y.std())
    assert (
        np.max(
            np.abs(machine(2 * alpha * 100**2) - expected)
            / (4.5 * error + 0.02 * y.std())
        )
        > 1
    )


def test_the_temperature_is_the_penalty_over_the_sum_of_weights():
    """Kernel ridge with alpha = n T, where a row of weight 3 counts as three; all rows three times are the table."""
    X, y = diabetes()
    settings = QUICK | {"num_steps": 1}
    for weights, total in (
        (np.where(np.arange(300) < 150, 3.0, 1.0), 600),
        (np.full(300, 3.0), 300),
    ):
        model = MeanFieldRegressor(**settings).fit(X[:300], y[:300], weights)
        assert model.temperature_ == pytest.approx(model.leave_one_out_.alpha / total)


@pytest.mark.long
def test_the_spread_between_seeds_falls_like_one_over_the_root_of_the_width():
    """Eight seeds at 50, 200 and 800 neurons of one clouds' outputs: slope -1/2, give or take 0.15."""
    X, y = (a[:128] for a in diabetes())
    widths, spreads = [50, 200, 800], []
    for width in widths:
        settings = STEPS | {
            "num_particles": width,
            "temperature": 0.06,
            "scaling": "columns",
            "learn_scales": False,
        }
        fits = [
            MeanFieldRegressor(**settings | {"random_state": seed}).fit(X, y)
            for seed in range(8)
        ]
        last = [list(fit.staged_outputs(X[:50]))[-1] for fit in fits]
        spreads.append(np.sqrt(np.mean(np.var(last, axis=0, ddof=1))))
    slope = np.polyfit(np.log(widths), np.log(spreads), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.15)


@pytest.mark.slow
def test_no_program_is_compiled_twice_for_folds_and_settings():
    """Five folds of two temperatures after one fit of the same bucket: nothing is compiled."""
    X, y = diabetes()
    search = GridSearchCV(
        MeanFieldRegressor(**QUICK), {"temperature": [0.05, 0.1]}, cv=5, refit=False
    )
    MeanFieldRegressor(**QUICK).fit(X[:353], y[:353]).predict(X[:80])
    before = len(compiled)
    search.fit(X, y)
    assert len(compiled) == before
    assert np.all(search.cv_results_["mean_test_score"] > 0.4)


def test_units_of_the_targets_do_not_matter():
    """Kelvin or Fahrenheit: the same fit, also far from zero, float64."""
    X, y = diabetes()
    there = MeanFieldRegressor(**QUICK).fit(X[:300], 1e-3 * y[:300] + 1e6)
    np.testing.assert_allclose(
        (there.predict(X[300:]) - 1e6) * 1e3,
        fitted_regressor().predict(X[300:]),
        rtol=1e-3,
    )


@pytest.mark.slow
def test_several_outputs_are_fitted_at_once():
    X, y = load_linnerud(return_X_y=True)
    model = MeanFieldRegressor(**QUICK).fit(X, y)
    assert model.predict(X).shape == (20, 3)
    assert model.dual_.shape == (20, 3)
    single = MeanFieldRegressor(**QUICK).fit(X, y[:, [0]])
    assert single.predict(X).shape == (20, 1)


@pytest.mark.slow
def test_a_hot_fit_predicts_the_mean_and_a_cold_one_the_rows():
    X, y = diabetes()
    hot = MeanFieldRegressor(temperature=1e3, **QUICK).fit(X[:300], y[:300])
    assert np.std(hot.predict(X)) < 0.3 * np.std(fitted_regressor().predict(X))
    cold = MeanFieldRegressor(temperature=1e-4, **QUICK).fit(X[:300], y[:300])
    assert (
        cold.score(X[:300], y[:300]) > fitted_regressor().score(X[:300], y[:300]) + 0.05
    )


def test_dual_is_what_the_rows_still_pull():
    """Squared loss: z - y of standardised targets; 0 for a row of weight 0."""
    X, y = diabetes()
    weights = np.ones(300)
    weights[:5] = 0
    model = MeanFieldRegressor(**QUICK).fit(X[:300], y[:300], weights)
    np.testing.assert_array_equal(model.dual_[:5], 0)
    residuals = (model.predict(X[:300]) - y[:300]) / model.target_scale_
    assert np.corrcoef(model.dual_[5:], residuals[5:])[0, 1] > 0.99


@pytest.mark.slow
def test_frames_of_any_library_are_tables_with_names():
    X, y = diabetes()
    columns = [f"c{j}" for j in range(10)]
    expected = (
        MeanFieldRegressor(**QUICK).fit(X[:300], y[:300]).predict(X[300:])
    )  # by the programs that are used below
    for frame in (
        pandas.DataFrame(X, columns=columns),
        polars.DataFrame(X, schema=columns),
    ):
        model = MeanFieldRegressor(**QUICK).fit(frame[:300], y[:300])
        np.testing.assert_array_equal(model.predict(frame[300:]), expected)
        assert list(model.feature_names_in_) == columns
    assert (
        make_pipeline(PolynomialFeatures(1), clone(model))
        .fit(frame[:300], y[:300])
        .score(frame, y)
        > 0.4
    )


def test_labels_come_back_as_they_were_given():
    X, y = iris()
    model = fitted_classifier()
    assert model.score(X[100:], y[100:]) > 0.9
    assert set(model.predict(X)) <= set(y)
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(
        model.classes_[probabilities.argmax(1)], model.predict(X)
    )


def test_a_positive_output_speaks_for_the_second_class():
    outputs = np.array([-2.0, 0.0, 3.0])
    np.testing.assert_allclose(probabilities(outputs)[:, 1], 1 / (1 + np.exp(-outputs)))
    np.testing.assert_allclose(probabilities(outputs).sum(1), 1)


@pytest.mark.slow
def test_stages_end_at_the_last_cloud():
    X, _ = iris()
    model = fitted_classifier()
    stages = list(model.staged_predict_proba(X[:7]))
    assert len(stages) == len(model.history_["steps"])
    last = model.neuron_.mean(
        *map(jnp.asarray, (model.particles_, model.standardiser_(X[:7])))
    )
    np.testing.assert_allclose(stages[-1], jax.nn.softmax(last, axis=-1), rtol=1e-4)
    assert np.mean(np.abs(stages[0] - stages[-1])) > 0.05


@pytest.mark.slow
def test_longer_training_does_not_overfit_where_adam_does():
    """Friedman-1: the score of the last half stays within .02 between 300 and 2000 steps from the plateau on."""
    X, y = make_friedman1(400, 8, noise=2.0, random_state=0)
    scores = [
        MeanFieldRegressor(num_particles=100, num_steps=n, stop=None, random_state=0)
        .fit(X[:200], y[:200])
        .score(X[200:], y[200:])
        for n in (300, 2000)
    ]
    assert scores[1] > scores[0] - 0.02


@pytest.mark.slow
def test_a_plateau_ends_the_run():
    X, y = diabetes()
    model = MeanFieldRegressor(**QUICK | {"num_steps": 3000}).fit(X[:300], y[:300])
    assert model.converged_
    assert model.n_iter_ < 3000
    assert model.history_["steps"][-1] == model.n_iter_


@pytest.mark.slow
def test_classes_that_overlap_are_learned_by_default():
    """Log loss of logistic regression: .577."""
    X, y = overlapping()
    model = fitted_on_overlapping()
    assert model.converged_
    assert log_loss(y[400:], model.predict_proba(X[400:])) < 0.585


@pytest.mark.slow
def test_a_fit_that_settled_is_converged():
    assert (
        MeanFieldClassifier(temperature=1e-3, random_state=0)
        .fit(*load_breast_cancer(return_X_y=True))
        .converged_
    )
    assert MeanFieldRegressor(random_state=0).fit(*diabetes()).converged_


@pytest.mark.slow
def test_an_interrupted_fit_resumes_from_its_checkpoint(tmp_path):
    """To the last bit; another problem in the same directory is refused."""
    X, y = diabetes()
    settings = STEPS | {
        "run": langevax.Run(tmp_path / "run", resume=True),
        "stop": None,
    }
    MeanFieldRegressor(**settings | {"num_steps": 50, "batch_size": None}).fit(
        X[:300], y[:300]
    )
    with pytest.raises(langevax.CheckpointError):
        MeanFieldRegressor(**settings).fit(X[:200], y[:200])


@pytest.mark.parametrize(
    "validation", [None, pytest.param("auto", marks=pytest.mark.slow)]
)
def test_a_classifier_goes_on_from_its_checkpoint_bit_for_bit(tmp_path, validation):
    """Its step sizes are part of the checkpoint."""
    X, y = iris()
    settings = QUICK | {"num_steps": 44, "stop": None, "validation": validation}
    whole = MeanFieldClassifier(**settings).fit(X[:100], y[:100])
    saved = {"run": langevax.Run(tmp_path / "run", resume=True)}

    def interrupt(trace, _state):
        if len(trace.values["dual"]) >= 20:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "stop_at_plateau", interrupt)
        with pytest.raises(KeyboardInterrupt):
            MeanFieldClassifier(**settings | {"stop": "plateau"} | saved).fit(
                X[:100], y[:100]
            )
    resumed = MeanFieldClassifier(**settings | saved).fit(X[:100], y[:100])
    np.testing.assert_array_equal(resumed.particles_, whole.particles_)
    np.testing.assert_array_equal(resumed.dual_, whole.dual_)


@pytest.mark.slow
def test_batches_reach_what_all_rows_reach():
    X, y = diabetes()
    whole = MeanFieldRegressor(**QUICK | {"num_steps": 400}).fit(X[:300], y[:300])
    batches = (
        clone(whole)
        .set_params(batch_size=64, relative_step_size=1.0)
        .fit(X[:300], y[:300])
    )
    assert batches.score(X[300:], y[300:]) == pytest.approx(
        whole.score(X[300:], y[300:]), abs=0.03
    )


def test_a_network_predicts_by_clouds_of_the_last_half():
    assert len(training.late_clouds(np.zeros((100, 3, 2)))) == training.NUM_CLOUDS
    np.testing.assert_array_equal(training.late_clouds(np.arange(5)), [2, 3, 4])
