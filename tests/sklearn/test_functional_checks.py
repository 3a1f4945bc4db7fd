"""Checks of scikit-learn's common suite on the estimators of curves, given as plain tables.

All of them on the regressor, and on the classifier those that read classes: the rest is the same code. The choice of a
temperature is that of tables, whose checks are at the default parameters.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import (
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    MeanFieldClassifier,
    MeanFieldRegressor,
)
from tests.sklearn.checks import own_checks

pytestmark = [pytest.mark.slow, pytest.mark.mostly_compiling]

SHORT = {"temperature": 0.01, "num_particles": 32, "num_steps": 400}
"""Their scores pass by .15."""


@pytest.mark.long
@parametrize_with_checks(
    [FunctionalMeanFieldRegressor(estimator=MeanFieldRegressor(**SHORT))]
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "check"),
    list(
        own_checks(
            FunctionalMeanFieldClassifier(estimator=MeanFieldClassifier(**SHORT)),
            FunctionalMeanFieldRegressor(),
        )
    ),
)
def test_scikit_learn_accepts_labels(estimator, check):
    check(estimator)
