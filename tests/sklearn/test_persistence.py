"""Saved models: what is loaded, and the message for files that are not models."""

import json
import pickle
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sklearn.base import clone

from langevax import Run, __version__
from langevax.sklearn import MeanFieldRegressor, ModelError, load
from langevax.sklearn.persistence import write
from langevax.sklearn.saved import read
from langevax.storage import CONTENT, HASH, content_hash
from tests.sentences import refuses
from tests.sklearn.tables import (
    QUICK,
    diabetes,
    fitted_classifier,
    fitted_regressor,
    iris,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    fitted_regressor().save(path)
    return path


@pytest.fixture(scope="module")
def saved_bytes(file):
    return file.read_bytes()


@pytest.mark.slow
def test_a_loaded_regressor_predicts_the_same(file):
    X, _ = diabetes()
    model = load(file)
    np.testing.assert_array_equal(model.predict(X), fitted_regressor().predict(X))
    assert model.get_params() == fitted_regressor().get_params()
    assert model.temperature_ == fitted_regressor().temperature_


@pytest.mark.parametrize(
    "labels",
    [np.array(["a", "bb", "c"]), np.array([3, 1, 2]), np.array([1.0, 2.0, 4.0])],
)
def test_labels_keep_their_kind(tmp_path, labels):
    X, y = iris()
    targets = labels[np.searchsorted(np.unique(y), y)]
    model = fitted_classifier().__class__(**QUICK).fit(X[:100], targets[:100])
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").predict(X), model.predict(X))
    assert load(tmp_path / "m").predict(X).dtype == model.predict(X).dtype


@pytest.mark.slow
def test_names_of_columns_are_kept(tmp_path):
    X, y = diabetes()
    frame = pandas.DataFrame(X, columns=[f"c{j}" for j in range(10)])
    MeanFieldRegressor(**QUICK).fit(frame[:300], y[:300]).save(tmp_path / "m")
    with refuses(ValueError, "feature"):
        load(tmp_path / "m").predict(frame.rename(columns={"c0": "other"}))


def test_a_loaded_model_has_no_rows_to_be_certified_on(file):
    with refuses(AttributeError):
        load(file).certificate()


def test_truncated_missing_and_foreign_files_are_named(file, tmp_path):
    short = tmp_path / "short"
    short.write_bytes(file.read_bytes()[:-100])
    foreign = tmp_path / "foreign"
    save_file({"a": np.zeros(2)}, foreign)
    words = tmp_path / "words"
    words.write_text("no model at all")
    for path, facts in (
        (short, ""),
        (foreign, ""),
        (words, ""),
        ("none", ""),
    ):
        with refuses(ModelError, facts):
            load(path)


def test_a_file_of_another_version_is_refused_with_its_version(file, tmp_path):
    header, arrays, _ = read(file)
    save_file(
        arrays,
        tmp_path / "later",
        {CONTENT: json.dumps(header | {"format": 99, "version": "9.9"})},
    )
    with refuses(ModelError, "99 9.9"):
        load(tmp_path / "later")


def test_a_file_of_the_first_format_is_refused(file, tmp_path):
    _, arrays, _ = read(file)
    old = {
        "format": 1,
        "version": "0.1",
        "class": "MeanFieldRegressor",
        "parameters": {"temperature": "loo"},
    }
    save_file(arrays, tmp_path / "old", {CONTENT: json.dumps(old)})
    with refuses(ModelError, "1 0.1 3"):
        load(tmp_path / "old")


def test_how_a_fit_was_saved_and_shown_is_not_part_of_its_model(tmp_path):
    model = fitted_regressor()
    here = clone(model).set_params(run=Run(tmp_path / "run", resume=True))
    assert clone(here).get_params()["run"] == Run(tmp_path / "run", resume=True)
    for name, value in vars(model).items():
        if name.endswith("_"):
            setattr(here, name, value)
    here.save(tmp_path / "model")
    assert load(tmp_path / "model").run is None


def test_a_file_with_former_parameters_is_refused_by_their_name(file, tmp_path):
    header, arrays, _ = read(file)
    header["parameters"] |= {"checkpoint": None}
    write(tmp_path / "old", header, arrays)
    with refuses(ModelError, f"{__version__} MeanFieldRegressor 'checkpoint'"):
        load(tmp_path / "old").get_params()


def sealed(file, header, arrays):
    """Write a model file whose hash is that of its content, whatever that is."""
    text = json.dumps(header)
    save_file(arrays, file, {CONTENT: text, HASH: content_hash(text, arrays)})
    return file


@pytest.mark.slow
def test_numbers_that_are_not_finite_are_kept(tmp_path):
    model = fitted_regressor()
    constant = MeanFieldRegressor(**QUICK).fit(
        np.c_[diabetes()[0][:50], np.ones(50)], diabetes()[1][:50]
    )
    constant.save(tmp_path / "constant")
    assert np.isinf(load(tmp_path / "constant").standardiser_.scale[-1])
    assert np.isfinite(model.standardiser_.scale).all()


def test_a_model_card_has_the_hash_of_the_data_versions_and_scores_and_what_the_caller_adds(
    tmp_path,
):
    X, y = diabetes()
    model = MeanFieldRegressor(**QUICK).fit(X[:50], y[:50])
    model.save(tmp_path / "m", card={"command": "python fit.py"})
    card = load(tmp_path / "m").card_
    assert card["versions"]["langevax"] == __version__
    assert card["command"] == "python fit.py"
    assert (
        card["data_sha256"]
        == MeanFieldRegressor(**QUICK).fit(X[:50].tolist(), y[:50]).data_sha256_
    )
    assert (
        card["data_sha256"]
        != MeanFieldRegressor(**QUICK).fit(X[:50] + 1e-9, y[:50]).data_sha256_
    )
    again = load(tmp_path / "m")
    again.save(tmp_path / "again")
    assert load(tmp_path / "again").card_ == card
    assert not hasattr(again.fit(X[:50], y[:50]), "card_")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(saved_bytes, data):
    place, bit = (
        data.draw(st.integers(0, len(saved_bytes) - 1)),
        data.draw(st.integers(0, 7)),
    )
    refused_or_the_same(
        saved_bytes,
        saved_bytes[:place]
        + bytes([saved_bytes[place] ^ (1 << bit)])
        + saved_bytes[place + 1 :],
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_cut_spliced_or_overwritten_file_is_refused_or_changes_nothing(
    saved_bytes, data
):
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(saved_bytes))] * 2)))
    refused_or_the_same(
        saved_bytes,
        saved_bytes[:start] + data.draw(st.binary(max_size=64)) + saved_bytes[stop:],
    )


def refused_or_the_same(before, after):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        path.write_bytes(after)
        try:
            header, arrays, _ = read(path)
        except ModelError:
            return
        path.write_bytes(before)
        expected_header, expected, _ = read(path)
        assert header == expected_header
        assert all(
            np.array_equal(arrays[name], expected[name], equal_nan=True)
            for name in expected
        )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["array", "object", "list"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_crafted_header_is_refused_or_loads(saved_bytes, data):
    """The hash of a crafted file is right: what it holds is refused by itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        path.write_bytes(saved_bytes)
        header, arrays, _ = read(path)
        part: object = header
        while isinstance(part, dict | list) and part:
            keys = list(part) if isinstance(part, dict) else list(range(len(part)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(part[key], dict | list) or data.draw(st.booleans()):
                part[key] = data.draw(json_values)
                break
            part = part[key]
        with suppress(ModelError):
            load(sealed(path, header, arrays)).get_params()


def test_earlier_saves_stay_when_writing_fails(file, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr(
        "os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk is full"))
    )
    with refuses(OSError):
        fitted_regressor().save(file)
    assert file.read_bytes() == before


@pytest.mark.slow
def test_pickles_predict_and_certify():
    X, _ = diabetes()
    model = pickle.loads(pickle.dumps(fitted_regressor()))
    np.testing.assert_array_equal(model.predict(X), fitted_regressor().predict(X))
    assert model.certificate(effort=5e8).trustworthy
