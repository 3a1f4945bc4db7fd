"""The parameters of the kernel Langevin estimators: what they may be."""

import numbers
from typing import Any

from langevax import checks
from langevax.gradients import GradientEstimator
from langevax.sklearn.kernel_langevin.sampling import INTEGRATORS, Settings
from langevax.sklearn.kernel_langevin.space import kernel_of
from langevax.spaces import GaussianPrior

LOSSES = ("squared", "huber", "student")
STEPS = ("auto", "uniform", "informed")
GRADIENTS = ("auto", "full", "svrg")
COUNTS = {"num_modes": (1, True), "num_chains": (1, False), "num_samples": (4, False), "thinning": (1, True)}


def check(given: dict[str, Any]) -> None:
    """Raise ValueError or TypeError naming the first parameter that is out of range, its value and the remedy."""
    prior, kernel = given["prior"], kernel_of(given["kernel"])
    if prior is not None and not isinstance(prior, GaussianPrior):
        raise TypeError(f"prior must be a langevax.spaces.GaussianPrior or None, got {prior!r}.")
    if prior is not None and kernel != "auto":
        raise ValueError(
            "prior and kernel are both given, but a prior is one of its own kernel; leave one of them out."
        )
    if prior is not None and not _is(given["num_modes"], "auto"):
        raise ValueError(
            f"prior has its own {prior.num_modes} modes; leave num_modes out, or pass prior.with_modes(...)."
        )
    for name, choices in (("loss", LOSSES), ("integrator", tuple(INTEGRATORS)), ("steps", STEPS)):
        if name in given and given[name] not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {given[name]!r}.")
    gradient = given["gradient"]
    if not isinstance(gradient, GradientEstimator) and gradient not in GRADIENTS:
        listing = ", ".join(map(repr, GRADIENTS))
        raise ValueError(f"gradient must be one of {listing} or one of langevax.gradients, got {gradient!r}.")
    for name in ("noise", "step_size"):
        if name in given and not _is(given[name], "auto"):
            _positive(name, given[name])
    for name, (least, has_auto) in COUNTS.items():
        if not (has_auto and _is(given[name], "auto")):
            checks.positive_int(name, given[name], minimum=least)
    if not _is(given["warmup"], "auto"):
        checks.positive_int("warmup", given["warmup"], minimum=0)


def settings(given: dict[str, Any]) -> Settings:
    """Those that concern the chains."""
    return Settings(**{name: given[name] for name in Settings._fields})


def _is(value: Any, word: str) -> bool:
    return isinstance(value, str) and value == word


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number > 0 or 'auto', got {value!r}.")
    checks.number(name, float(value), positive=True)
