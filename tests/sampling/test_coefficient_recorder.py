"""Coefficients along a training: against closed forms, from a file that goes on, and refusals that are recorded."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.sampling import CoefficientRecorder
from langevax.sampling import coefficient_recorder as module

X = np.float32(np.random.default_rng(0).normal(size=100))
SHORT = {"progress": False, "num_samples": 100, "num_warmup": 100, "localization": 1.0}
KEY = jax.random.key(0)


def square(w, x):
    return (w * x) ** 2 / 2


@pytest.mark.slow
def test_coefficients_are_those_of_the_closed_form_and_refusals_are_recorded(tmp_path):
    file = tmp_path / "coefficients.json"
    record = CoefficientRecorder(square, X, key=KEY, file=file, **SHORT)
    for step, w in ((8, 0.0), (0, 9.0), (4, 1e-4)):
        record(step, jnp.float32(w))
    moment, temperature = np.mean(X.astype(float) ** 2), np.log(100) / 100
    exact = moment / (moment + temperature) / 2
    assert record.steps.tolist() == [0, 4, 8]
    np.testing.assert_allclose(record.values, [np.nan, exact, exact], rtol=2e-3)
    assert "not a local minimum" in record.records[0].refusal
    assert "step 0: params is not a local minimum" in repr(record)


@pytest.mark.slow
def test_a_training_that_goes_on_estimates_what_is_missing(tmp_path, monkeypatch):
    file, calls = tmp_path / "coefficients.json", []
    whole = CoefficientRecorder(square, X, key=KEY, **SHORT)
    estimate = module.learning_coefficient

    def counted(*arguments, **options):
        calls.append(1)
        return estimate(*arguments, **options)

    monkeypatch.setattr(module, "learning_coefficient", counted)
    for steps in ((1,), (1, 2)):
        record = CoefficientRecorder(square, X, key=KEY, file=file, **SHORT)
        for step in steps:
            record(step, jnp.float32(0.0))
    assert len(calls) == 2
    for step in (1, 2):
        whole(step, jnp.float32(0.0))
    assert record.records == whole.records
    assert json.loads(file.read_text())["format"] == 1


def test_a_file_of_another_call_is_refused(tmp_path):
    file = tmp_path / "coefficients.json"
    CoefficientRecorder(square, X, key=KEY, file=file, **SHORT)(0, jnp.float32(0.0))
    for change in (
        {"data": X + 1},
        {"key": jax.random.key(1)},
        {"num_samples": 200},
        {"loss": lambda w, x: (w - x) ** 2},
    ):
        call = {"loss": square, "data": X, "key": KEY, "file": file, **SHORT} | change
        with pytest.raises(ValueError, match="holds coefficients of another call"):
            CoefficientRecorder(**call)
    file.write_text("{}")
    with pytest.raises(ValueError, match="holds no recorded coefficients"):
        CoefficientRecorder(square, X, key=KEY, file=file, **SHORT)
    with pytest.raises(TypeError, match="checkpoint follows from the step"):
        CoefficientRecorder(square, X, key=KEY, checkpoint="x")
    with pytest.raises(ValueError, match="num_samples"):
        CoefficientRecorder(square, X, key=KEY, num_samples=2)(0, jnp.float32(0.0))
