"""Upper bounds on KL and on risk for LD, SVRG-LD and SARAH-LD, with the steps they ask for.

All bound the chain  x <- x - step_size v + sqrt(2 step_size temperature) xi  (the explicit integrator) against
exp(-F / temperature), and have one form. With L `smoothness`, alpha `lsi_constant`, T `temperature`, d `dim`:

    KL(rho_k || nu)  <=  exp(-alpha T step_size k) KL(rho_0 || nu)  +  slope step_size,      step_size <= cap

| prefix | source | cap | slope alpha T / (d L^2) |
|---|---|---|---|
| `ld` | Chewi, Log-Concave Sampling, Theorem 4.2.7 | 1 / (4 L) | 6 |
| `vempala_wibisono` | Vempala and Wibisono (NeurIPS 2019), Theorem 1 | alpha T / (4 L^2) | 8 |
| `svrg` | Kinoshita and Suzuki (NeurIPS 2022), Theorem 1 | alpha T / (16 sqrt(6) L^2 m) | 224/3 (2 + 3 Xi + 2 m Xi) |
| `sarah` | the same, Theorem 2 | alpha T / (16 sqrt(2) L^2 m) | 32/3 (2 + Xi + 2 m Xi) |

m is `period`, Xi `moments.batch_variance_factor`, T their 1 / gamma; KL is in nats; F, T and 1 / step_size scale alike.
F need not be convex. The last two need T <= 1, and `svrg` batch_size >= period; their strict step_size < cap extends to
the cap, since KL is lower semicontinuous. They are stated without replacement; Xi = 1 / B with it is our reading.

Two deviations from print: Corollary 1.1 drops the bracket of Theorem 1, which steps for an accuracy keep here; and the
step of Theorem 3 has the wrong units, so `optimization_plan` derives its own. Truth lies far below all bounds.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from langevax.theory.lsi import Target, gibbs_gap_bound, require_positive, risk_gap_bound
from langevax.theory.moments import batch_variance_factor


def ld_kl_bound(target: Target, step_size: float, num_steps: int, start_kl: float) -> float:
    """KL after `num_steps` of LD, by Theorem 4.2.7 of Chewi's book: smooth F, log-Sobolev law.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=1)
    >>> round(ld_kl_bound(target, 0.01, num_steps=1000, start_kl=2.0), 6)
    0.060091
    """
    return _ld(target).kl_bound(step_size, num_steps, start_kl)


def ld_step_size(target: Target, accuracy: float | None = None) -> float:
    """Largest step of `ld_kl_bound`; with an accuracy (KL), at most the one whose bias is half of it.

    >>> target = Target(smoothness=2.0, lsi_constant=1.0, temperature=0.5, dim=3)
    >>> ld_step_size(target), round(ld_step_size(target, accuracy=0.144), 12)
    (0.125, 0.0005)
    """
    return _ld(target).step_size(accuracy)


def ld_steps_needed(target: Target, step_size: float, start_kl: float, accuracy: float) -> int:
    """Fewest steps after which `ld_kl_bound` is at most `accuracy`.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=1)
    >>> ld_steps_needed(target, step_size=0.01, start_kl=2.0, accuracy=0.12)
    351
    """
    return _ld(target).steps_needed(step_size, start_kl, accuracy)


def vempala_wibisono_kl_bound(target: Target, step_size: float, num_steps: int, start_kl: float) -> float:
    """KL after `num_steps` of LD, by Theorem 1 of Vempala and Wibisono: assumptions of `ld_kl_bound`, weaker constants.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=1)
    >>> round(vempala_wibisono_kl_bound(target, 0.01, num_steps=1000, start_kl=2.0), 6)
    0.080091
    """
    return _vempala_wibisono(target).kl_bound(step_size, num_steps, start_kl)


def vempala_wibisono_step_size(target: Target, accuracy: float | None = None) -> float:
    """(alpha T / (4 L^2)) min(1, accuracy / (4 d)): Vempala and Wibisono, after Theorem 1.

    >>> target = Target(smoothness=2.0, lsi_constant=1.0, temperature=0.5, dim=3)
    >>> vempala_wibisono_step_size(target), vempala_wibisono_step_size(target, accuracy=6.0)
    (0.03125, 0.015625)
    """
    return _vempala_wibisono(target).step_size(accuracy)


def vempala_wibisono_steps_needed(target: Target, step_size: float, start_kl: float, accuracy: float) -> int:
    """Fewest steps after which `vempala_wibisono_kl_bound` is at most `accuracy`.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=1)
    >>> vempala_wibisono_steps_needed(target, step_size=0.01, start_kl=2.0, accuracy=0.16)
    322
    """
    return _vempala_wibisono(target).steps_needed(step_size, start_kl, accuracy)


def svrg_kl_bound(
    target: Target,
    step_size: float,
    num_steps: int,
    start_kl: float,
    batch_size: int,
    period: int,
    size: int,
    replace: bool = False,
) -> float:
    """KL after `num_steps` of SVRG-LD: Theorem 1, for T <= 1 and batch_size >= period.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> svrg_kl_bound(target, 0.001, 10**6, start_kl=2.0, batch_size=9, period=1, size=9)  # Xi = 0
    0.448
    """
    return _svrg(target, batch_size, period, size, replace).kl_bound(step_size, num_steps, start_kl)


def svrg_step_size(
    target: Target, batch_size: int, period: int, size: int, replace: bool = False, accuracy: float | None = None
) -> float:
    """Largest step of Theorem 1; with an accuracy (KL), at most 3 alpha T accuracy / (448 d L^2 (2 + 3 Xi + 2 m Xi)).

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> svrg_step_size(target, batch_size=9, period=1, size=9, accuracy=0.0896)
    0.0001
    """
    return _svrg(target, batch_size, period, size, replace).step_size(accuracy)


def svrg_steps_needed(
    target: Target,
    step_size: float,
    start_kl: float,
    accuracy: float,
    batch_size: int,
    period: int,
    size: int,
    replace: bool = False,
) -> int:
    """Fewest steps after which `svrg_kl_bound` is at most `accuracy`.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> svrg_steps_needed(target, 0.0001, 2.0, accuracy=0.0896, batch_size=9, period=1, size=9)
    37987
    """
    return _svrg(target, batch_size, period, size, replace).steps_needed(step_size, start_kl, accuracy)


def sarah_kl_bound(
    target: Target,
    step_size: float,
    num_steps: int,
    start_kl: float,
    batch_size: int,
    period: int,
    size: int,
    replace: bool = False,
) -> float:
    """KL after `num_steps` of SARAH-LD: Theorem 2, for T <= 1 and any batch_size.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> sarah_kl_bound(target, 0.001, 10**6, start_kl=2.0, batch_size=9, period=1, size=9)  # Xi = 0
    0.064
    """
    return _sarah(target, batch_size, period, size, replace).kl_bound(step_size, num_steps, start_kl)


def sarah_step_size(
    target: Target, batch_size: int, period: int, size: int, replace: bool = False, accuracy: float | None = None
) -> float:
    """Largest step of Theorem 2; with an accuracy (KL), at most 3 alpha T accuracy / (64 d L^2 (2 + Xi + 2 m Xi)).

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> sarah_step_size(target, batch_size=9, period=1, size=9, accuracy=0.0128)
    0.0001
    """
    return _sarah(target, batch_size, period, size, replace).step_size(accuracy)


def sarah_steps_needed(
    target: Target,
    step_size: float,
    start_kl: float,
    accuracy: float,
    batch_size: int,
    period: int,
    size: int,
    replace: bool = False,
) -> int:
    """Fewest steps after which `sarah_kl_bound` is at most `accuracy`.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> sarah_steps_needed(target, 0.0001, 2.0, accuracy=0.0128, batch_size=9, period=1, size=9)
    57447
    """
    return _sarah(target, batch_size, period, size, replace).steps_needed(step_size, start_kl, accuracy)


class OptimizationPlan(NamedTuple):
    """Inverse temperature beta and step for a gap, and what they rest on: KL <= accuracy gives gap <= gap_bound."""

    beta: float
    step_size: float
    accuracy: float
    gap_bound: float
    target: Target
    batch_size: int
    period: int


def optimization_plan(
    gap: float,
    dim: int,
    smoothness: float,
    dissipativity: float,
    offset: float,
    lsi_constant: Callable[[float], float],
    size: int,
    batch_size: int | None = None,
    period: int | None = None,
) -> OptimizationPlan:
    """E F(x_k) - min F <= gap by SVRG-LD: the temperature of Theorem 3, and a safe step (derived).

    <grad F(x), x> >= M |x|^2 - b, with M `dissipativity` and b `offset`; `lsi_constant(temperature)` is alpha at a
    temperature; batch_size = period = sqrt(size) by default.

        beta = max(4 d / gap log(e L / M), 8 d b / gap^2, 1, 2 / M),        accuracy = alpha gap / (8 L)

    and the step of `svrg_step_size` for it. `gibbs_gap_bound` is then <= 0.302 gap and `risk_gap_bound` <= 0.375 gap.
    Where F has several local minima, alpha falls like exp(-barrier beta): no polynomial time is promised.

    >>> plan = optimization_plan(0.1, 2, 1.0, 1.0, 0.0, lsi_constant=lambda temperature: 1 / temperature, size=100)
    >>> plan.beta, plan.accuracy
    (80.0, 1.0)
    """
    require_positive("gap", gap)
    gibbs_gap_bound(dim, 1.0, smoothness, dissipativity, offset)  # checks its arguments
    spread = 4 * dim / gap * (1 + math.log(smoothness / dissipativity))
    beta = float(max(spread, 8 * dim * offset / gap**2, 1.0, 2 / dissipativity))
    temperature = 1 / beta
    target = Target(smoothness=smoothness, lsi_constant=lsi_constant(temperature), temperature=temperature, dim=dim)
    accuracy = float(target.lsi_constant * gap / (8 * smoothness))
    batch_size = math.isqrt(size) if batch_size is None else batch_size
    period = math.isqrt(size) if period is None else period
    step_size = svrg_step_size(target, batch_size, period, size, accuracy=accuracy)
    gap_bound = gibbs_gap_bound(dim, temperature, smoothness, dissipativity, offset) + risk_gap_bound(target, accuracy)
    return OptimizationPlan(beta, step_size, accuracy, gap_bound, target, batch_size, period)


class _Theorem(NamedTuple):
    """The form that all theorems share: exp(-rate step_size k) KL_0 + slope step_size, for step_size <= cap."""

    rate: float
    cap: float
    slope: float

    def kl_bound(self, step_size: float, num_steps: int, start_kl: float) -> float:
        self.check(step_size, start_kl)
        return float(math.exp(-self.rate * step_size * num_steps) * start_kl + self.slope * step_size)

    def step_size(self, accuracy: float | None) -> float:
        if accuracy is None:
            return self.cap
        require_positive("accuracy", accuracy)
        return min(self.cap, float(accuracy / (2 * self.slope)))

    def steps_needed(self, step_size: float, start_kl: float, accuracy: float) -> int:
        self.check(step_size, start_kl)
        left, half = accuracy - self.slope * step_size, self.step_size(accuracy)
        if left <= 0:
            raise ValueError(f"step_size is {step_size}, too long for accuracy {accuracy}; pass at most {half}.")
        return math.ceil(math.log(start_kl / left) / (self.rate * step_size)) if start_kl > left else 0

    def check(self, step_size: float, start_kl: float) -> None:
        require_positive("step_size", step_size)
        if step_size > self.cap * (1 + 1e-9):
            raise ValueError(f"step_size is {step_size}, above the theorem's largest; pass at most {self.cap}.")
        if not 0 <= start_kl < math.inf:
            raise ValueError(f"start_kl is {start_kl}; pass a finite number >= 0, as of `lsi.start_kl_bound`.")


def _theorem(target: Target, cap: float, constant: float) -> _Theorem:
    """slope = constant d L^2 / (alpha T)."""
    rate = target.lsi_constant * target.temperature
    return _Theorem(rate, cap, constant * target.dim * target.smoothness**2 / rate)


def _ld(target: Target) -> _Theorem:
    return _theorem(target, 1 / (4 * target.smoothness), 6)


def _vempala_wibisono(target: Target) -> _Theorem:
    return _theorem(target, target.lsi_constant * target.temperature / (4 * target.smoothness**2), 8)


def _svrg(target: Target, batch_size: int, period: int, size: int, replace: bool) -> _Theorem:
    if batch_size < period:
        raise ValueError(f"batch_size is {batch_size} and period {period}; Theorem 1 needs batch_size >= period.")
    xi = _batch_factor(target, batch_size, period, size, replace)
    cap = _vempala_wibisono(target).cap / (4 * math.sqrt(6) * period)
    return _theorem(target, cap, 224 / 3 * (2 + 3 * xi + 2 * period * xi))


def _sarah(target: Target, batch_size: int, period: int, size: int, replace: bool) -> _Theorem:
    xi = _batch_factor(target, batch_size, period, size, replace)
    cap = _vempala_wibisono(target).cap / (4 * math.sqrt(2) * period)
    return _theorem(target, cap, 32 / 3 * (2 + xi + 2 * period * xi))


def _batch_factor(target: Target, batch_size: int, period: int, size: int, replace: bool) -> float:
    for name, value in (("batch_size", batch_size), ("period", period), ("size", size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; pass an integer >= 1.")
    if target.temperature > 1:  # no loss of generality: the bounds do not change under rescaling
        raise ValueError(
            f"temperature is {target.temperature}; the theorem is stated for at most 1. Pass target.rescaled(1 / "
            "temperature) and step_size * temperature: the same law and chain, written with F / temperature."
        )
    return batch_variance_factor(size, batch_size, replace=replace)


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
    >>> theorem_step_size("Full", target, 1.0, size=100, accuracy=0.1) == ld_step_size(target, 0.1)
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
        return ld_step_size(target, accuracy)
    if method not in METHODS or batch_size is None or period is None:
        raise ValueError(f"there is no theorem for {method} gradients; take full, SVRG or SARAH ones, or 'auto'.")
    rule = svrg_step_size if method == "SVRG" else sarah_step_size
    return rule(target, batch_size, period, size, replace, accuracy)
