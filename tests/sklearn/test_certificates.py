"""Certificates of fitted networks: the interval, budgets, loaded models, refusals, pictures."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_wine

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, load
from tests.sentences import refuses, tells
from tests.sklearn.tables import QUICK, diabetes, fitted_regressor


@pytest.mark.slow
def test_a_regression_is_certified():
    """Diabetes, a hundred steps of a hundred neurons: an interval below .05 of a variance of 1."""
    certificate = fitted_regressor().certificate(effort=5e8)
    assert certificate.trustworthy
    assert 0 < certificate.width < 0.05
    assert certificate.num_descents > 2000
    tells(certificate.verdict)


@pytest.mark.slow
def test_three_classes_are_certified():
    """Wine, softmax: each row's shares stay on the simplex."""
    X, y = load_wine(return_X_y=True)
    model = MeanFieldClassifier(num_particles=200, num_steps=300, random_state=0).fit(
        X, y
    )
    certificate = model.certificate(effort=2e8)
    assert certificate.trustworthy
    assert 0 < certificate.unknown_share < 0.25
    np.testing.assert_allclose(certificate.dual.sum(1), 0, atol=1e-5)


@pytest.mark.slow
def test_the_search_for_wells_begins_at_the_particles_of_the_fit(monkeypatch):
    model, handed = fitted_regressor(), {}
    monkeypatch.setattr(
        "langevax.sklearn.inspection.certify",
        lambda risk, *_, **options: handed.update(options) or 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        model.certificate()
    (cloud,) = handed["clouds"]
    loss = model.network_.risk(model.temperature_).value(jnp.asarray(cloud))
    assert float(loss) == pytest.approx(model.history_["loss"][-1], rel=1e-4)


@pytest.mark.slow
def test_a_certificate_goes_on_from_the_end_of_a_path(monkeypatch, tmp_path):
    """From the dual of the last networks' outputs, whether the model was loaded or not."""
    X, y = (part[:100] for part in diabetes())
    settings = {"temperature": 0.3, "validation": None, "random_state": 0}
    model = MeanFieldRegressor(num_particles=64, **settings).fit(X, y)
    model.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors").attach_rows(X, y)
    handed = []
    monkeypatch.setattr(
        "langevax.sklearn.inspection.certify",
        lambda *_, **options: handed.append(options["dual"]) or 1 / 0,
    )
    for one in (model, loaded):
        with pytest.raises(ZeroDivisionError):
            one.certificate()
    assert np.corrcoef(handed[0][model.row_places_], model.dual_)[0, 1] > 0.99
    np.testing.assert_array_equal(handed[0], handed[1])


@pytest.fixture(scope="module")
def with_duplicates():
    """A fit of weighted rows, some of them twice and one with weight 0, and a short certificate of it."""
    X, y = diabetes()
    X, y = np.concatenate([X[:100], X[:10]]), np.concatenate([y[:100], y[:10]])
    weights = np.ones(110)
    weights[[0, 3, 5, 103]] = [0.0, 2.0, 0.5, 3.0]
    model = MeanFieldRegressor(**QUICK, temperature=0.3).fit(X, y, weights)
    return model, model.certificate(effort=3e6), (X, y, weights)


@pytest.mark.slow
def test_entries_of_a_certificate_are_those_of_the_rows_passed(with_duplicates):
    model, certificate, (X, _, weights) = with_duplicates
    assert (
        certificate.outputs.shape
        == certificate.dual.shape
        == certificate.row_shares.shape
        == (110,)
    )
    assert certificate.row_shares.sum() == pytest.approx(1)
    assert certificate.row_shares[0] == 0
    assert certificate.row_shares[3] + certificate.row_shares[103] == pytest.approx(
        5 / weights.sum()
    )
    np.testing.assert_array_equal(certificate.outputs[1:10], certificate.outputs[101:])
    outputs = model.outputs(X)
    square = np.average((outputs - certificate.outputs)[1:] ** 2, weights=weights[1:])
    assert certificate.output_error(outputs) == pytest.approx(
        (np.sqrt(square) + np.sqrt(2 * certificate.width)) ** 2, rel=1e-5
    )
    with refuses(ValueError, "outputs (110,) (5,)"):
        certificate.output_error(outputs[:5])


@pytest.mark.slow
def test_a_loaded_model_is_certified_on_its_rows(with_duplicates, tmp_path):
    model, certificate, (X, y, weights) = with_duplicates
    model.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    with refuses(AttributeError, "model.attach_rows(X"):
        loaded.certificate()
    with refuses(ValueError):
        loaded.attach_rows(X, y)
    again = loaded.attach_rows(X, y, weights).certificate(effort=certificate.effort)
    assert (again.lower_bound, again.upper_bound) == (
        certificate.lower_bound,
        certificate.upper_bound,
    )


@pytest.mark.slow
def test_ten_times_too_cold_is_not_certified_by_a_small_effort():
    """Four seeds: the intervals overlap, and the verdict says that effort lacks."""
    X, y = diabetes()
    cold = {"temperature": fitted_regressor().temperature_ / 10, "scaling": "columns"}
    model = MeanFieldRegressor(**QUICK | cold).fit(X[:300], y[:300])
    certificates = [
        model.certificate(effort=1e8, random_state=seed) for seed in range(4)
    ]
    for certificate in certificates:
        assert not certificate.trustworthy
        starts = ("Not certified: between ", "Upper end only, at most ")
        assert certificate.verdict.startswith(starts)
        assert "raise effort" in certificate.verdict
    assert max(c.lower_bound for c in certificates) < min(
        c.upper_bound for c in certificates
    )


def test_a_picture_is_drawn_on_the_axes_given():
    figure, axes = plt.subplots()
    assert fitted_regressor().plot_particles(axes=axes) is axes
    assert axes.get_title(loc="left") or axes.get_title()
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    plt.close(figure)
