"""Certificates of fitted networks: the gap, the path along training, refusals, pictures."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_wine

from langevax.meanfield.certificate import REMEDY, Certificate
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, inspection
from tests.sklearn.tables import QUICK, diabetes, fitted_regressor


@pytest.mark.slow
def test_a_regression_is_certified():
    """Diabetes, a hundred steps of a hundred neurons: the polish alone makes a gap below .005 of a variance of 1."""
    certificate = fitted_regressor().certificate()
    assert certificate.trustworthy
    assert certificate.unbiased_gap < 0.005
    assert certificate.gap < 0.01
    assert certificate.polish_steps >= 1
    assert "of the global optimum" in certificate.verdict


def test_where_outputs_alternate_the_remedy_is_a_shorter_step(monkeypatch):
    doubtful = Certificate(
        gap=1.0,
        standard_error=0.1,
        unbiased_gap=None,
        lower_bound=0.0,
        lower_bound_error=0.1,
        upper_bound=1.0,
        trustworthy=False,
        verdict=f"Not certified: useless; {REMEDY}",
        surviving_ancestors=0.01,
        temperatures=9,
        dual=np.zeros(300),
        polish_steps=0,
    )
    monkeypatch.setattr(inspection, "certify", lambda *_arguments, **_options: doubtful)
    assert fitted_regressor().certificate().verdict == doubtful.verdict
    monkeypatch.setattr(fitted_regressor(), "outputs_alternate_", True)
    verdict = fitted_regressor().certificate().verdict
    assert "train longer" not in verdict
    assert "pass a smaller relative_step_size" in verdict


@pytest.mark.slow
def test_three_classes_are_certified():
    """Wine, softmax: without keeping each row's shares on the simplex the polish is refused and the gap is 0.03."""
    X, y = load_wine(return_X_y=True)
    model = MeanFieldClassifier(num_particles=200, num_steps=300, random_state=0).fit(X, y)
    certificate = model.certificate()
    assert certificate.trustworthy
    assert certificate.gap < 0.003
    np.testing.assert_allclose(certificate.dual[: len(model.network_.inputs)].sum(1), 0, atol=1e-5)


@pytest.mark.slow
def test_along_training_the_optimum_stays_in_the_band():
    """D rises, the last point is the certificate itself, and all bands share its upper end."""
    model = fitted_regressor()
    final = model.certificate()
    path = model.certificate_path(4, final)
    assert path.steps[-1] == model.n_iter_
    assert path.lower_bound[-1] == final.lower_bound
    assert path.gap[-1] == pytest.approx(final.gap)
    np.testing.assert_allclose(path.lower_bound + path.gap, final.upper_bound)
    assert np.all(np.diff(path.lower_bound) > -4.5 * (path.lower_bound_error[1:] + path.lower_bound_error[:-1]))
    assert path.gap[0] > 20 * path.gap[-1]


@pytest.mark.slow
def test_ten_times_too_cold_is_refused_by_every_one_of_twenty_seeds():
    X, y = diabetes()
    cold = {"temperature": fitted_regressor().temperature_ / 10, "scaling": "columns"}
    model = MeanFieldRegressor(**QUICK | cold).fit(X[:300], y[:300])
    for seed in range(20):
        certificate = model.certificate(num_particles=500, num_replicates=2, polish=0, random_state=seed)
        assert not certificate.trustworthy
        assert certificate.verdict.startswith("Not certified: ")


@pytest.mark.parametrize("name", ["plot_particles", "plot_training", "plot_certificate", "plot_leave_one_out"])
def test_pictures_are_drawn_on_the_axes_given(name):
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
