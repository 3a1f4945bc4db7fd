"""Every check of scikit-learn's common suite; fewer draws than by default, which no check looks at."""

import pytest
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from langevax.sklearn import KernelLangevinClassifier, KernelLangevinRegressor

pytestmark = [pytest.mark.slow, pytest.mark.mostly_compiling]

FEW = {"num_samples": 40, "num_chains": 2}


TELLING = {
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_readonly_memmap_input",
    "check_regressors_train",
    "check_sample_weights_list",
}
"""Checks that reach what a length scale per column does otherwise."""


def of_other_fits():
    for options in ({"length_scale": "each"},):
        for model, check in estimator_checks_generator(
            KernelLangevinRegressor(**options, **FEW)
        ):
            name = getattr(check, "func", check).__name__
            if name in TELLING:
                yield pytest.param(model, check, id=f"{next(iter(options))}-{name}")


@parametrize_with_checks(
    [KernelLangevinRegressor(**FEW), KernelLangevinClassifier(**FEW)]
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # checks of optional array libraries
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("model", "check"), list(of_other_fits()))
def test_scikit_learn_accepts_other_fits(model, check):
    check(model)
