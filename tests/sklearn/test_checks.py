"""Every check of scikit-learn's common suite, at the default parameters."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor


@pytest.mark.slow
@parametrize_with_checks([MeanFieldRegressor(), MeanFieldClassifier()])
@pytest.mark.filterwarnings("ignore::langevax.sklearn.LinearModelWarning")  # on made-up tables
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)
