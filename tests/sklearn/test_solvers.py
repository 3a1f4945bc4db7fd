"""The solvers behind the estimators: scikit-learn's API checks, scores, one certificate, and what must be refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import _yield_api_checks

from langevax import Run, losses
from langevax.gradients import Full, Minibatch
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, load
from langevax.sklearn.solvers import SOLVERS, Schedule, algorithm
from tests.sklearn.tables import diabetes, fitted_on_overlapping, iris, overlapping

pytestmark = pytest.mark.mostly_compiling

OTHERS = [name for name in SOLVERS if name != "mfld"]
CHECKED = [
    (MeanFieldRegressor, "pda"),
    (MeanFieldClassifier, "psdca"),
]  # a dual of each round; a dual of each row
QUICK = {"num_particles": 20, "num_steps": 20, "run": Run(progress=False)}


def checks():
    """(estimator, check) of the API, for solvers that hold more than particles; the default passes the whole suite."""
    for kind, solver in CHECKED:
        estimator = kind(solver=solver, temperature=0.01, **QUICK)
        for check in _yield_api_checks(estimator):
            name = getattr(check, "__name__", None) or check.func.__name__
            yield pytest.param(estimator, check, id=f"{kind.__name__}-{solver}-{name}")


@pytest.mark.long
@pytest.mark.parametrize(("estimator", "check"), list(checks()))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_accepts_it(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.slow
@pytest.mark.parametrize("solver", OTHERS)
def test_every_solver_reaches_the_score_and_the_certificate_of_the_default(solver):
    """Diabetes, 300 rows in and 142 out: scores within 0.03 of mean-field Langevin's, an interval below 0.05."""
    X, y = diabetes()
    settings = {
        "temperature": reference().temperature_,
        "validation": None,
        "random_state": 0,
    }
    model = MeanFieldRegressor(solver=solver, num_particles=300, **settings).fit(
        X[:300], y[:300]
    )
    assert (
        abs(model.score(X[300:], y[300:]) - reference().score(X[300:], y[300:])) < 0.03
    )
    certificate = model.certificate(effort=3e8)
    assert certificate.trustworthy, certificate.verdict
    assert certificate.width < 0.05
    assert model.dual_.shape == (300,)
    assert np.all(np.diff(model.history_["steps"]) > 0)


@functools.cache
def reference():
    X, y = diabetes()
    return MeanFieldRegressor(num_particles=300, random_state=0).fit(X[:300], y[:300])


@pytest.mark.long
@pytest.mark.parametrize("solver", OTHERS)
def test_three_classes(solver):
    X, y = iris()
    model = MeanFieldClassifier(solver=solver, num_particles=100, random_state=0).fit(
        X[:100], y[:100]
    )
    assert model.score(X[100:], y[100:]) > 0.9
    assert model.dual_.shape == (100, 3)
    np.testing.assert_allclose(model.dual_.sum(1), 0, atol=1e-5)  # duals of softmax


@pytest.mark.slow
def test_a_saved_model_predicts_whatever_its_solver(tmp_path):
    X, y = diabetes()
    settings = QUICK | {
        "num_particles": 50,
        "random_state": 0,
    }  # the program of the next test
    model = MeanFieldRegressor(solver="psdca", **settings).fit(X[:100], y[:100])
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        load(tmp_path / "model.safetensors").predict(X), model.predict(X)
    )


@pytest.mark.slow
def test_folds_choose_the_temperature_of_any_solver():
    X, y = diabetes()
    settings = {
        "validation": "folds",
        "random_state": 0,
        "num_particles": 50,
        "run": Run(progress=False),
    }
    model = MeanFieldRegressor(solver="psdca", num_steps=3000, **settings).fit(
        X[:100], y[:100]
    )
    assert model.path_ is not None
    assert model.n_iter_ <= 3000
    assert model.score(X[100:], y[100:]) > 0.2


@functools.cache
def network():
    """Of a short fit; the solver has no part in its risk."""
    return (
        MeanFieldRegressor(**QUICK, validation=None, random_state=0)
        .fit(*diabetes())
        .network_
    )


@pytest.mark.parametrize(
    ("solver", "batch_size", "estimator"),
    [
        ("mfld", None, Full()),
        ("mfld", 64, Minibatch(64)),
        ("pda", 64, Minibatch(64)),
    ],
)
def test_batches_reach_the_gradient(solver, batch_size, estimator):
    risk = network().risk(0.01)
    assert risk.max_size == 448
    steps = algorithm(risk, 0.1, Schedule(solver, 10, 1.0, batch_size))
    assert getattr(steps, "inner", steps).gradient == estimator


@pytest.mark.slow
def test_a_frozen_dual_takes_other_steps_than_an_interacting_cloud():
    """Neurons that do not see each other bend by |dual| / bound of what a cloud of them does."""
    risk = network().exact().risk(0.01)  # the prior alone bends what is padding
    together = algorithm(risk, 0.1, Schedule("mfld", 10, 1.0, None)).step_size
    start = jnp.zeros(
        (20, risk.particle_size)
    )  # its dual is minus the standardised targets
    follow = algorithm(risk, 0.1, Schedule("pda", 10, 1.0, None))
    alone = follow.init(risk, start, jax.random.key(0))[0].step_size
    precision = float(risk.precision)
    bends = [1 / np.asarray(steps) - precision for steps in (together, alone)]
    used = np.asarray(risk.row_weights()) * np.abs(risk.targets)
    np.testing.assert_allclose(
        bends[1][0] / bends[0][0], used.sum() / 442 / 10, rtol=1e-4
    )  # of the outer weight
    assert np.all(bends[1] < 0.3 * bends[0])
    assert losses.squared.curvature == 1


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.long
def test_every_solver_learns_classes_that_overlap(solver):
    """One step size relative to the measured curvature serves all: within .01 of the .58 in log loss of the best.

    At the temperature that folds choose for the default solver.
    """
    X, y = overlapping()
    settings = {
        "temperature": fitted_on_overlapping().temperature_,
        "validation": None,
        "random_state": 0,
    }
    model = MeanFieldClassifier(solver=solver, **settings).fit(X[:400], y[:400])
    assert log_loss(y[400:], model.predict_proba(X[400:])) < 0.59
