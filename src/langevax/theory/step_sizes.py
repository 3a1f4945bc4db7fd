"""The largest step size that the theorem on a method allows, by the method's name."""

import math

from langevax.theory import bounds
from langevax.theory.lsi import Target

METHODS = ("Full", "SVRG", "SARAH")
"""Gradient estimators with a theorem: Chewi's for `Full`, Kinoshita and Suzuki's (NeurIPS 2022) for the others."""


def theorem_step_size(
    method: str,
    target: Target | None,
    temperature: float,
    size: int,
    batch_size: int | None = None,
    period: int | None = None,
    replace: bool = False,
    accuracy: float | None = None,
) -> float:
    """The step of overdamped Langevin dynamics with the gradients of `method`, one of METHODS; see `bounds`.

    `temperature` is that of the law asked for, which must be the target's own.

    Raises:
        ValueError: no constants, constants of another temperature, or a method without a theorem.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=2)
    >>> theorem_step_size("Full", target, 1.0, size=100, accuracy=0.1) == bounds.ld_step_size(target, 0.1)
    True
    """
    if target is None:
        raise ValueError(
            "step_size='theorem' needs theorem_constants: smoothness and log-Sobolev constant as a "
            "langevax.theory.lsi.Target, such as logistic_target gives; or pass step_size='auto'."
        )
    if not math.isclose(target.temperature, temperature, rel_tol=1e-5):
        raise ValueError(f"theorem_constants are for temperature {target.temperature}, but this law has {temperature}.")
    if method == "Full":
        return bounds.ld_step_size(target, accuracy)
    if method not in METHODS or batch_size is None or period is None:
        raise ValueError(f"there is no theorem for {method} gradients; take full, SVRG or SARAH ones, or 'auto'.")
    rule = bounds.svrg_step_size if method == "SVRG" else bounds.sarah_step_size
    return rule(target, batch_size, period, size, replace, accuracy)
