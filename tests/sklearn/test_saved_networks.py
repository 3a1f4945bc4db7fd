"""Loaded networks predict as the fitted ones do, without JAX and scikit-learn, and are estimators for all else."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pandas
import pytest
from sklearn.base import clone, is_classifier

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, ModelError, load
from langevax.sklearn.saved import read
from langevax.sklearn.saved_networks import SavedNetwork
from tests.sentences import refuses
from tests.sklearn.tables import (
    QUICK,
    diabetes,
    fitted_regressor,
    iris,
)

PREDICT = """
import json, sys
import numpy as np
from langevax.sklearn import load

def answers(file, methods):
    model = load(file)
    rows = np.load(sys.argv[1])[file]
    return {name: getattr(model, name)(rows).tolist() for name in methods}

asked = json.loads(sys.argv[2])
said = {file: answers(file, methods) for file, methods in asked.items()}
assert not {"jax", "sklearn", "scipy"} & {*sys.modules}, "slow imports"
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return models by file, the rows to predict at, and what each of them predicts."""
    folder = tmp_path_factory.mktemp("models")
    X, y = diabetes()
    labels = np.where(iris()[1] == "setosa", "setosa", "other")
    folds = QUICK | {"validation": "folds"}
    two = MeanFieldRegressor(**folds).fit(X[:100], np.c_[y, -y][:100])
    column = MeanFieldRegressor(**QUICK).fit(X[:100], y[:100, None])
    line = MeanFieldRegressor(**folds, linear_part=True).fit(X, y)
    pieces = MeanFieldRegressor(**QUICK, scaling="pieces").fit(X, y)
    robust = MeanFieldRegressor(**QUICK, scaling="robust").fit(X, y)
    binary = MeanFieldClassifier(**folds, threshold="balanced").fit(iris()[0], labels)
    three = MeanFieldClassifier(**folds).fit(*iris())
    interval = ["predict", "predict_interval"]
    sets = ["predict", "predict_proba", "predict_set"]
    kinds = {
        "two": (two, X, interval),
        "column": (column, X, ["predict"]),
        "line": (line, X, interval),
        "pieces": (pieces, X, ["predict"]),
        "robust": (robust, X, ["predict"]),
        "binary": (binary, iris()[0], sets),
        "three": (three, iris()[0], sets),
    }
    kinds = {str(folder / name): kind for name, kind in kinds.items()}
    for file, (model, _, _) in kinds.items():
        model.save(file)
    return kinds


@pytest.mark.slow
def test_predictions_are_those_of_the_fit_without_jax_and_scikit_learn(
    models, tmp_path
):
    np.savez(tmp_path / "rows.npz", **{file: X for file, (_, X, _) in models.items()})
    asked = {file: methods for file, (_, _, methods) in models.items()}
    command = [sys.executable, "-c", PREDICT, str(tmp_path / "rows.npz")]
    answer = subprocess.run(
        [*command, json.dumps(asked)], capture_output=True, text=True, check=False
    )
    assert not answer.returncode, answer.stderr
    said = json.loads(answer.stdout)
    for file, (model, X, methods) in models.items():
        for name in methods:
            expected = getattr(model, name)(X)
            loaded = np.array(said[file][name])
            if expected.dtype.kind == "f":
                tolerance = 1e-5 * np.abs(expected).max()
                np.testing.assert_allclose(loaded, expected, atol=tolerance, rtol=1e-5)
            else:
                np.testing.assert_array_equal(loaded, expected)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    fitted_regressor().save(path)
    return path


def is_saved(model):
    return issubclass(type(model), SavedNetwork)


def test_it_becomes_the_estimator_when_more_is_asked_of_it(file):
    X, y = diabetes()
    fitted = fitted_regressor()
    for ask in (
        lambda model: model.score(X, y) == pytest.approx(fitted.score(X, y)),
        lambda model: model.get_params() == fitted.get_params(),
        lambda model: repr(model) == repr(fitted),
        lambda model: isinstance(model, MeanFieldRegressor),
        lambda model: not is_classifier(model),
        lambda model: clone(model).get_params() == fitted.get_params(),
        lambda model: copy.deepcopy(model).temperature_ == fitted.temperature_,
        lambda model: type(pickle.loads(pickle.dumps(model))) is MeanFieldRegressor,
        lambda model: model.set_params(run=None) is model,
        lambda model: "certificate" in dir(model),
    ):
        model = load(file)
        model.predict(X)
        assert is_saved(model)
        assert ask(model)
        assert model.get_params()["random_state"] == 0
        assert type(model) is MeanFieldRegressor
        np.testing.assert_array_equal(model.predict(X), fitted.predict(X))


def test_what_is_set_is_kept(file):
    model = load(file)
    model.target_mean_ = np.float64(0)
    assert model.target_mean_ == 0
    assert model.target_scale_ == fitted_regressor().target_scale_


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((3, 9)),
        np.ones(10),
        np.ones((0, 10)),
        np.float64(1),
        np.full((2, 10), np.nan),
        np.full((2, 10), 1j),
        np.full((2, 10), "word"),
    ],
)
def test_what_is_no_table_of_the_fit_is_refused_as_by_the_estimator(file, rows):
    with pytest.raises(ValueError) as ours:  # noqa: PT011 the sentence is compared
        load(file).predict(rows)
    with pytest.raises(type(ours.value)) as expected:
        fitted_regressor().predict(rows)
    assert str(ours.value) == str(expected.value)


def test_other_tables_are_converted_by_the_estimator(file):
    X, _ = diabetes()
    expected = fitted_regressor().predict(X)
    for table in (X.tolist(), pandas.DataFrame(X), X.astype(object)):
        model = load(file)
        np.testing.assert_array_equal(model.predict(table), expected)
        assert not is_saved(model)


def test_a_file_that_lacks_what_predictions_need_is_refused(file, tmp_path):
    from langevax.sklearn.persistence import write

    header, arrays, _ = read(file)
    del header["fitted"]["clouds_"], header["parameters"]
    write(tmp_path / "m", header, arrays)
    with refuses(ModelError, "'parameters'"):
        load(tmp_path / "m").predict(diabetes()[0])
