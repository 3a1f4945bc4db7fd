"""Checks of scikit-learn's common suite on short fits; those that look at a fit's quality at the defaults too.

All of them on the regressor, and on the classifier those that read classes or weights: the rest is the same code.
"""

import pytest
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from tests.sklearn.checks import name_of, own_checks

SHORT = {"temperature": 0.01, "num_particles": 32}
AT_DEFAULTS = {
    "check_classifiers_train",
    "check_fit_idempotent",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
}
"""Checks that read scores and predictions. The others read types, shapes, parameters and messages."""


def checks_at_defaults():
    for estimator in (MeanFieldRegressor(), MeanFieldClassifier()):
        for model, check in estimator_checks_generator(estimator):
            name = name_of(check)
            if name in AT_DEFAULTS and not getattr(check, "keywords", {}):
                yield pytest.param(
                    model, check, id=f"{type(estimator).__name__}-{name}"
                )


@pytest.mark.slow
@pytest.mark.mostly_compiling
@parametrize_with_checks([MeanFieldRegressor(**SHORT)])
@pytest.mark.filterwarnings(
    "ignore::langevax.sklearn.LinearModelWarning"
)  # on made-up tables
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.mostly_compiling
@pytest.mark.parametrize(
    ("estimator", "check"),
    list(
        own_checks(
            MeanFieldClassifier(**SHORT),
            MeanFieldRegressor(),
            also={
                "check_estimators_dtypes",
                "check_estimators_pickle",
                "check_sample_weight_equivalence_on_dense_data",
            },
        )
    ),
)
@pytest.mark.filterwarnings(
    "ignore::langevax.sklearn.LinearModelWarning"
)  # on made-up tables
def test_scikit_learn_accepts_labels(estimator, check):
    check(estimator)


@pytest.mark.long
@pytest.mark.parametrize(("estimator", "check"), list(checks_at_defaults()))
@pytest.mark.filterwarnings(
    "ignore::langevax.sklearn.LinearModelWarning"
)  # on made-up tables
def test_scikit_learn_accepts_its_defaults(estimator, check):
    check(estimator)
