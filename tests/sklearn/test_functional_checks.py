"""Every check of scikit-learn's common suite on the estimators of curves, given as plain tables.

The choice of a temperature is that of tables, whose checks are at the default parameters.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import (
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    MeanFieldClassifier,
    MeanFieldRegressor,
)

pytestmark = [pytest.mark.slow, pytest.mark.mostly_compiling]

SHORT = {
    "temperature": 0.01,
    "num_particles": 32,
    "num_steps": 400,
}  # their scores pass by .15


@parametrize_with_checks(
    [
        FunctionalMeanFieldRegressor(estimator=MeanFieldRegressor(**SHORT)),
        FunctionalMeanFieldClassifier(estimator=MeanFieldClassifier(**SHORT)),
    ]
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)
