"""Certificates of fitted networks: the interval, the path along training, refusals, pictures."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_wine

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, inspection
from tests.sklearn.tables import QUICK, diabetes, fitted_regressor


@pytest.mark.slow
def test_a_regression_is_certified():
    """Diabetes, a hundred steps of a hundred neurons: an interval below .05 of a variance of 1."""
    certificate = fitted_regressor().certificate()
    assert certificate.trustworthy
    assert 0 < certificate.width < 0.05
    assert certificate.num_descents > 2000
    assert "The least training objective lies between" in certificate.verdict


@pytest.mark.slow
def test_three_classes_are_certified():
    """Wine, softmax: each row's shares stay on the simplex."""
    X, y = load_wine(return_X_y=True)
    model = MeanFieldClassifier(num_particles=200, num_steps=300, random_state=0).fit(X, y)
    certificate = model.certificate()
    assert certificate.trustworthy
    assert 0 < certificate.unknown_share < 0.25
    np.testing.assert_allclose(certificate.dual[: len(model.network_.inputs)].sum(1), 0, atol=1e-5)


@pytest.mark.slow
def test_along_training_the_optimum_stays_in_the_band():
    """D rises, the last point is the certificate itself, and all bands share its upper end."""
    model = fitted_regressor()
    final = model.certificate()
    path = model.certificate_path(4, final)
    assert path.steps[-1] == model.n_iter_
    assert path.lower_bound[-1] == final.lower_bound
    assert path.gap[-1] == pytest.approx(final.width)
    np.testing.assert_allclose(path.lower_bound + path.gap, final.upper_bound)
    errors = path.lower_bound_error[:-1]  # the last is an end, not an estimate
    assert np.all(np.diff(path.lower_bound[:-1]) > -4.5 * (errors[1:] + errors[:-1]))
    assert np.all(path.lower_bound[:-1] - 4.5 * errors < final.upper_bound)
    assert path.gap[0] > path.gap[-1]


@pytest.mark.slow
def test_ten_times_too_cold_is_not_certified_by_a_small_effort():
    """Four seeds: the intervals overlap, and the verdict says that effort lacks."""
    X, y = diabetes()
    cold = {"temperature": fitted_regressor().temperature_ / 10, "scaling": "columns"}
    model = MeanFieldRegressor(**QUICK | cold).fit(X[:300], y[:300])
    certificates = [model.certificate(effort=1e8, random_state=seed) for seed in range(4)]
    for certificate in certificates:
        assert not certificate.trustworthy
        assert certificate.verdict.startswith("Not certified: between ")
        assert "raise effort" in certificate.verdict
    assert max(c.lower_bound for c in certificates) < min(c.upper_bound for c in certificates)


def _small(certify, *arguments, effort, **options):
    return certify(*arguments, effort=1e4, **options)


@pytest.mark.parametrize("name", ["plot_particles", "plot_training", "plot_certificate", "plot_leave_one_out"])
def test_pictures_are_drawn_on_the_axes_given(name, monkeypatch):
    monkeypatch.setattr(inspection, "certify", functools.partial(_small, inspection.certify))
    figure, axes = plt.subplots()
    assert getattr(fitted_regressor(), name)(axes=axes) is axes
    assert axes.get_title(loc="left") or axes.get_title()
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    plt.close(figure)


def test_a_choice_that_was_not_made_has_no_figure():
    X, y = diabetes()
    model = MeanFieldRegressor(**QUICK, temperature=0.05, scaling="columns").fit(X[:300], y[:300])
    assert model.leave_one_out_ is None
    with pytest.raises(ValueError, match="leave-one-out chose neither temperature nor scaling"):
        model.plot_leave_one_out()
