"""Uses of the kernel Langevin estimators, and mistakes in their input."""

import pickle

import jax
import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from langevax import likelihoods
from langevax.sampling import ToleranceError
from langevax.sklearn import KernelLangevinClassifier, KernelLangevinRegressor, load
from tests.sentences import refuses, tells
from tests.sklearn.tables import diabetes, iris

QUICK = {"num_samples": 50, "random_state": 0}
KERNEL = ConstantKernel(1.0) * RBF(
    0.3
)  # of columns that `diabetes` has scaled to norm 1
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _seconds, **_: (
        compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
)


def rows(n=120):
    X, y = diabetes()
    return X[:n], y[:n]


@pytest.mark.slow
def test_defaults_on_tables_score_and_have_nothing_to_warn_of():
    X, y = diabetes()
    model = KernelLangevinRegressor(random_state=0).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.5
    assert model.warnings_ == []
    assert model.coefficients_.shape == (4, 500, len(model.eigenvalues_))
    assert model.coefficients_.dtype == np.float32
    low, high = model.interval(X[300:], 0.9, noise=True).T
    assert 0.83 < np.mean((low < y[300:]) & (y[300:] < high)) < 0.96
    X, y = iris()
    classifier = KernelLangevinClassifier(random_state=0).fit(X[:100], y[:100])
    assert classifier.score(X[100:], y[100:]) > 0.93
    np.testing.assert_allclose(classifier.predict_proba(X).sum(1), 1)
    assert classifier.interval(X[:5]).shape == (5, 3, 2)
    assert classifier.sample_functions(X[:5], 7).shape == (7, 5, 3)


@pytest.mark.slow
def test_few_draws_are_reported():
    settings = {"num_samples": 10, "thinning": 1, "num_warmup": 1, "random_state": 0}
    model = KernelLangevinRegressor(KERNEL, loss="student", noise=30.0, **settings)
    model.fit(*rows())
    words = " ".join(model.warnings_)
    assert "chains disagree" in words
    tells(words, "num_samples")


@pytest.mark.slow
def test_the_seed_decides_all():
    X, y = rows()
    same, again, other = (
        KernelLangevinRegressor(**QUICK | {"random_state": s}).fit(X, y)
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(same.coefficients_, again.coefficients_)
    np.testing.assert_array_equal(same.interval(X), again.interval(X))
    assert np.any(same.coefficients_ != other.coefficients_)


@pytest.mark.slow
def test_order_and_repetition_of_rows_do_not_matter():
    X, y = rows(40)
    weights = np.arange(40) % 3
    weighted = KernelLangevinRegressor(**QUICK).fit(X, y, weights)
    repeated = KernelLangevinRegressor(**QUICK).fit(
        np.repeat(X, weights, axis=0)[::-1], np.repeat(y, weights)[::-1]
    )
    np.testing.assert_array_equal(weighted.coefficients_, repeated.coefficients_)


@pytest.mark.slow
def test_units_of_the_targets_do_not_matter():
    X, y = rows()
    for loss in ("squared", "student"):
        here, there = (
            KernelLangevinRegressor(loss=loss, **QUICK).fit(X, t)
            for t in (y, 1e-3 * y + 1e4)
        )
        np.testing.assert_allclose(
            (there.predict(X) - 1e4) * 1e3, here.predict(X), rtol=1e-3
        )
        assert there.noise_ == pytest.approx(1e-3 * here.noise_, rel=1e-3)


@pytest.mark.slow
def test_folds_and_settings_share_their_programs():
    """Five folds of two noises after one fit of the same bucket: nothing is compiled."""
    X, y = diabetes()
    KernelLangevinRegressor(KERNEL, noise=55.0, num_modes=50, **QUICK).fit(
        X[:353], y[:353]
    ).predict(X[:80])
    before = len(compiled)
    search = GridSearchCV(
        KernelLangevinRegressor(KERNEL, num_modes=50, **QUICK),
        {"noise": [50.0, 60.0]},
        cv=5,
        refit=False,
    )
    search.fit(X, y)
    assert len(compiled) == before
    assert np.all(search.cv_results_["mean_test_score"] > 0.4)


@pytest.mark.long
def test_large_tables_go_in_batches():
    """Above 4096 rows, unless the loss is squared; the fit is as good."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (6000, 2))
    truth = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
    y = truth + 0.5 * rng.normal(size=6000)
    settings = {"kernel": ConstantKernel(1.0) * RBF(0.7), "noise": 0.5, **QUICK}
    for loss, method in (("squared", "exact"), ("student", "langevin, SVRG")):
        model = KernelLangevinRegressor(loss=loss, **settings).fit(X, y)
        assert model.history_["method"] == method
        mean, deviation = model.predict(X[:200], return_std=True)
        assert np.mean((mean - truth[:200]) ** 2) < 0.01
        assert 0.3 < np.sqrt(np.mean(((mean - truth[:200]) / deviation) ** 2)) < 1.5


@pytest.mark.slow
def test_a_tolerance_draws_until_means_are_known():
    settings = {
        "kernel": KERNEL,
        "noise": 50.0,
        "num_modes": 8,
        "num_samples": 100,
        "random_state": 0,
    }
    model = KernelLangevinRegressor(tolerance=0.05, **settings).fit(*rows())
    assert model.coefficients_.shape[1] > 1000
    with refuses(ToleranceError, "num_samples"):
        KernelLangevinRegressor(tolerance=1e-4, **settings | {"num_samples": 10}).fit(
            *rows()
        )


def test_it_lives_in_pipelines_pickles_and_frames():
    X, y = rows()
    frame = pandas.DataFrame(X, columns=[f"c{j}" for j in range(10)])
    model = KernelLangevinRegressor(**QUICK).fit(frame, y)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).interval(frame), model.interval(frame)
    )
    assert list(model.feature_names_in_) == list(frame.columns)
    assert (
        make_pipeline(StandardScaler(), clone(model)).fit(frame, y).score(frame, y)
        > 0.3
    )


@pytest.mark.slow
def test_a_rare_class_is_a_class_and_one_class_is_too_few():
    X, y = iris()
    rare = np.where(y[:100] == "setosa", "virginica", y[:100])
    rare[0] = "setosa"
    model = KernelLangevinClassifier(**QUICK).fit(X[:100], rare)
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]
    with refuses(ValueError, "y"):
        KernelLangevinClassifier(**QUICK).fit(X, np.zeros(150))


@pytest.mark.slow
def test_a_constant_target_has_no_noise_to_learn():
    X, _ = rows()
    with refuses(ValueError, "y (7.25) noise='auto'"):
        KernelLangevinRegressor(**QUICK).fit(X, np.full(120, 7.25))
    model = KernelLangevinRegressor(KERNEL, noise=0.1, **QUICK).fit(
        X, np.full(120, 7.25)
    )
    np.testing.assert_allclose(model.predict(X), 7.25, atol=0.1)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"loss": "hinge"}, "'loss' 'huber' StudentT 'hinge'"),
        ({"length_scale": "each"}, "length_scale GaussianProcessRegressor"),
        (
            {"kernel": "linear"},
            "'kernel' 'matern' 'linear'",
        ),
        (
            {"kernel": KERNEL + WhiteKernel()},
            "WhiteKernel",
        ),
        ({"kernel": ConstantKernel(0.0) * RBF()}, "kernel"),
        ({"noise": 0.0}, "'noise' 0.0"),
        ({"noise": "low"}, "'noise' 'auto' 'low'"),
        (
            {"num_modes": 1000},
            "num_modes 1000 120",
        ),
        ({"num_modes": 2.5}, "'num_modes' 2.5"),
        ({"num_samples": 3}, "'num_samples' 3"),
        ({"num_chains": 1}, "'num_chains' 1"),
        ({"num_warmup": 0}, "'num_warmup' 0"),
        ({"tolerance": 0.0}, "'tolerance' 0.0"),
    ],
)
def test_a_parameter_out_of_range_is_named_with_its_value(change, facts):
    with refuses((ValueError, TypeError), facts):
        KernelLangevinRegressor(**QUICK | change).fit(*rows())


def test_other_mistakes_are_named():
    X, y = rows()
    model = KernelLangevinRegressor(KERNEL, noise=50.0, **QUICK).fit(X, y)
    with refuses(ValueError, "3 KernelLangevinRegressor 10"):
        model.predict(np.zeros((2, 3)))
    with refuses(ValueError, "coverage 0 1 1.5"):
        model.interval(X, 1.5)
    with refuses(ValueError, "2"):
        model.fit(X[:1], y[:1])


@pytest.mark.slow
def test_a_saved_model_comes_back_without_pickle(tmp_path):
    X, y = rows()
    model = KernelLangevinRegressor(loss="huber", **QUICK).fit(
        pandas.DataFrame(X, columns=list("abcdefghij")), y
    )
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.get_params() == model.get_params()
    assert isinstance(loaded, KernelLangevinRegressor)
    frame = pandas.DataFrame(X, columns=list("abcdefghij"))
    np.testing.assert_allclose(
        loaded.interval(frame, noise=True), model.interval(frame, noise=True), rtol=1e-9
    )
    np.testing.assert_allclose(
        loaded.sample_functions(frame, 2, 0),
        model.sample_functions(frame, 2, 0),
        atol=1e-4,
    )
    assert loaded.warnings_ == model.warnings_
    X, y = iris()
    classifier = KernelLangevinClassifier(**QUICK).fit(X[:100], y[:100])
    classifier.save(tmp_path / "classes")
    np.testing.assert_array_equal(
        load(tmp_path / "classes").predict(X), classifier.predict(X)
    )


@pytest.mark.slow
def test_losses_are_words_or_objects(tmp_path):
    X, y = rows()
    settings = {"kernel": "rbf", "noise": 50.0, **QUICK}
    words = KernelLangevinRegressor(loss="student", **settings).fit(X, y)
    student = likelihoods.StudentT(1.0)
    objects = KernelLangevinRegressor(loss=student, **settings).fit(X, y)
    np.testing.assert_array_equal(objects.coefficients_, words.coefficients_)
    light = KernelLangevinRegressor(
        loss=likelihoods.StudentT(1.0, degrees=50.0), **settings
    ).fit(X, y)
    widths = [
        np.diff(model.interval(X, 0.99, noise=True)).mean()
        for model in (light, objects)
    ]
    assert widths[0] < 0.8 * widths[1]
    light.save(tmp_path / "model")
    np.testing.assert_allclose(
        load(tmp_path / "model").interval(X, noise=True), light.interval(X, noise=True)
    )


def test_kernels_that_a_file_cannot_hold_are_refused(tmp_path):
    X, y = rows()
    model = KernelLangevinRegressor(KERNEL, noise=50.0, **QUICK).fit(X, y)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.kernel == KERNEL
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    other = KernelLangevinRegressor(RationalQuadratic(), noise=50.0, **QUICK)
    with refuses(ValueError, "RationalQuadratic JSON"):
        other.fit(X, y).save(tmp_path / "other")
