"""Checks of scikit-learn's common suite; fewer draws than by default, which no check looks at.

All of them on the regressor, and on the classifier those that read classes: the rest is the same code.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import KernelLangevinClassifier, KernelLangevinRegressor
from tests.sklearn.checks import own_checks

pytestmark = [pytest.mark.slow, pytest.mark.mostly_compiling]

FEW = {"num_samples": 40, "num_chains": 2}
OF_CHAINS = FEW | {"kernel": "rbf", "num_modes": 8, "num_warmup": 40, "thinning": 1}
"""Of labels, which are sampled by chains: so few modes and steps that compiling takes most of the time."""


@parametrize_with_checks([KernelLangevinRegressor(**FEW)])
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "check"),
    list(
        own_checks(
            KernelLangevinClassifier(**OF_CHAINS),
            KernelLangevinRegressor(),
            also={
                "check_estimators_dtypes",
                "check_sample_weight_equivalence_on_dense_data",
            },
        )
    ),
)
@pytest.mark.filterwarnings(
    "ignore::langevax.sampling.SamplingWarning"
)  # of so few steps
def test_scikit_learn_accepts_labels(estimator, check):
    check(estimator)
