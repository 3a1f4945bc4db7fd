"""Every check of scikit-learn's common suite on short fits; those that look at a fit's quality at the defaults too."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor

SHORT = {"temperature": 0.01, "num_particles": 32, "num_steps": 60}
AT_DEFAULTS = {
    "check_classifiers_train",
    "check_fit_idempotent",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
}
"""Checks that read scores and predictions. The others read types, shapes, parameters and messages."""


def name(check):
    return getattr(check, "func", check).__name__


@pytest.mark.slow
@pytest.mark.mostly_compiling
@parametrize_with_checks([MeanFieldRegressor(**SHORT), MeanFieldClassifier(**SHORT)])
@pytest.mark.filterwarnings("ignore::langevax.sklearn.LinearModelWarning")  # on made-up tables
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.long
@parametrize_with_checks([MeanFieldRegressor(), MeanFieldClassifier()])
@pytest.mark.filterwarnings("ignore::langevax.sklearn.LinearModelWarning")  # on made-up tables
def test_scikit_learn_accepts_its_defaults(estimator, check):
    if name(check) not in AT_DEFAULTS or getattr(check, "keywords", {}):
        pytest.skip("it does not read scores, or reads them as another form of it does")
    check(estimator)
