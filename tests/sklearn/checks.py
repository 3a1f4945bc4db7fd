"""Checks of scikit-learn's common suite, without those that another estimator of the same code has passed."""

from collections.abc import Container, Iterator
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator


def name_of(check: Any) -> str:
    return getattr(check, "func", check).__name__


def own_checks(model: Any, beside: Any, also: Container[str] = ()) -> Iterator[Any]:
    """Yield (estimator, check) of those that the suite of `beside` lacks, and of the ones named."""
    common = {name_of(check) for _, check in estimator_checks_generator(beside)}
    for estimator, check in estimator_checks_generator(model, mark="skip"):
        name = name_of(check)
        if name not in common or name in also:
            yield pytest.param(estimator, check, id=f"{type(model).__name__}-{name}")
