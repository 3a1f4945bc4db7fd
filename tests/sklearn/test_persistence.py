"""Saved models: what comes back, and what is said of files that are none."""

import json
import pickle

import numpy as np
import pandas
import pytest
from safetensors.numpy import save_file

from langevax.sklearn import MeanFieldRegressor, ModelError, load
from langevax.sklearn.persistence import KEY, read
from tests.sklearn.tables import QUICK, diabetes, fitted_classifier, fitted_regressor, iris


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    fitted_regressor().save(path)
    return path


def test_a_loaded_regressor_predicts_the_same(file):
    X, _ = diabetes()
    model = load(file)
    np.testing.assert_array_equal(model.predict(X), fitted_regressor().predict(X))
    assert model.get_params() == fitted_regressor().get_params()
    assert model.temperature_ == fitted_regressor().temperature_


@pytest.mark.parametrize("labels", [np.array(["a", "bb", "c"]), np.array([3, 1, 2]), np.array([1.0, 2.0, 4.0])])
def test_labels_keep_their_kind(tmp_path, labels):
    X, y = iris()
    targets = labels[np.searchsorted(np.unique(y), y)]
    model = fitted_classifier().__class__(**QUICK).fit(X[:100], targets[:100])
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").predict(X), model.predict(X))
    assert load(tmp_path / "m").predict(X).dtype == model.predict(X).dtype


def test_names_of_columns_are_kept(tmp_path):
    X, y = diabetes()
    frame = pandas.DataFrame(X, columns=[f"c{j}" for j in range(10)])
    MeanFieldRegressor(**QUICK).fit(frame[:300], y[:300]).save(tmp_path / "m")
    with pytest.raises(ValueError, match="feature names should match"):
        load(tmp_path / "m").predict(frame.rename(columns={"c0": "other"}))


def test_a_loaded_model_has_no_rows_to_be_certified_on(file):
    with pytest.raises(AttributeError, match="no training rows"):
        load(file).certificate()


def test_truncated_missing_and_foreign_files_are_named(file, tmp_path):
    short = tmp_path / "short"
    short.write_bytes(file.read_bytes()[:-100])
    foreign = tmp_path / "foreign"
    save_file({"a": np.zeros(2)}, foreign)
    words = tmp_path / "words"
    words.write_text("no model at all")
    for path, message in (
        (short, "truncated"),
        (foreign, "not a model"),
        (words, "truncated or not"),
        ("none", "no file"),
    ):
        with pytest.raises(ModelError, match=message):
            load(path)


def test_a_file_of_another_version_is_refused_with_its_version(file, tmp_path):
    header, arrays = read(file)
    save_file(arrays, tmp_path / "later", {KEY: json.dumps(header | {"format": 99, "version": "9.9"})})
    with pytest.raises(ModelError, match=r"format 99, written by langevax 9\.9"):
        load(tmp_path / "later")


def test_a_file_of_the_first_format_is_refused(file, tmp_path):
    _, arrays = read(file)
    old = {"format": 1, "version": "0.1", "class": "MeanFieldRegressor", "parameters": {"temperature": "loo"}}
    save_file(arrays, tmp_path / "old", {KEY: json.dumps(old)})
    with pytest.raises(ModelError, match=r"format 1, written by langevax 0\.1; .* reads format 2: fit again"):
        load(tmp_path / "old")


def test_earlier_saves_stay_when_writing_fails(file, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk is full")))
    with pytest.raises(OSError, match="full"):
        fitted_regressor().save(file)
    assert file.read_bytes() == before


@pytest.mark.slow
def test_pickles_predict_and_certify():
    X, _ = diabetes()
    model = pickle.loads(pickle.dumps(fitted_regressor()))
    np.testing.assert_array_equal(model.predict(X), fitted_regressor().predict(X))
    assert model.certificate().trustworthy
