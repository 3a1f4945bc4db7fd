"""Every check of scikit-learn's common suite; fewer draws than by default, which no check looks at."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from langevax.sklearn import KernelLangevinClassifier, KernelLangevinRegressor

pytestmark = [pytest.mark.slow, pytest.mark.mostly_compiling]

FEW = {"num_samples": 40, "num_chains": 2}


@parametrize_with_checks(
    [KernelLangevinRegressor(**FEW), KernelLangevinClassifier(**FEW)]
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)
