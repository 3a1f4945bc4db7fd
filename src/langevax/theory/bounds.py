"""Upper bounds on KL and on risk for LD, SVRG-LD and SARAH-LD, with the steps they ask for.

All bound the chain  x <- x - step_size v + sqrt(2 step_size temperature) xi  (the explicit integrator) against
exp(-F / temperature), and have one form. With L `smoothness`, alpha `lsi_constant`, T `temperature`, d `dim`:

    KL(rho_k || nu)  <=  exp(-alpha T step_size k) KL(rho_0 || nu)  +  slope step_size,      step_size <= cap

| theorem | source | cap | slope alpha T / (d L^2) |
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

from langevax.theory.lsi import (
    ROUNDED,
    Target,
    gibbs_gap_bound,
    nonnegative,
    positive,
    risk_gap_bound,
)
from langevax.theory.moments import batch_variance_factor


class Theorem(NamedTuple):
    """The form that all theorems share: exp(-rate step_size k) KL_0 + slope step_size, for step_size <= cap."""

    rate: float
    cap: float
    slope: float

    def kl_bound(
        self,
        step_size: float,
        num_steps: int,
        start_kl: float,
    ) -> float:
        """Bound KL after `num_steps`."""
        self._check(step_size, start_kl)
        return float(
            math.exp(-self.rate * step_size * num_steps) * start_kl
            + self.slope * step_size
        )

    def step_size(self, accuracy: float | None = None) -> float:
        """Return the largest step of the theorem; with an accuracy (KL), at most the one whose bias is half of it."""
        if accuracy is None:
            return self.cap
        positive(accuracy=accuracy)
        return min(self.cap, float(accuracy / (2 * self.slope)))

    def steps_needed(
        self,
        step_size: float,
        start_kl: float,
        accuracy: float,
    ) -> int:
        """Return the fewest steps after which `kl_bound` is at most `accuracy`."""
        self._check(step_size, start_kl)
        left = accuracy - self.slope * step_size
        half = self.step_size(accuracy)
        if left <= 0:
            raise ValueError(
                f"step_size is {step_size}, too long for accuracy {accuracy}; pass at "
                f"most {half}."
            )
        return (
            math.ceil(math.log(start_kl / left) / (self.rate * step_size))
            if start_kl > left
            else 0
        )

    def _check(self, step_size: float, start_kl: float) -> None:
        positive(step_size=step_size)
        nonnegative(start_kl=start_kl)
        if step_size > self.cap * ROUNDED:
            raise ValueError(
                f"step_size is {step_size}, above the theorem's largest; pass at most "
                f"{self.cap}."
            )


def ld(target: Target) -> Theorem:
    """LD, by Theorem 4.2.7 of Chewi's book: smooth F, log-Sobolev law.

    >>> theorem = ld(Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=1))
    >>> round(theorem.kl_bound(0.01, num_steps=1000, start_kl=2.0), 6)
    0.060091
    >>> theorem.steps_needed(0.01, start_kl=2.0, accuracy=0.12)
    351
    """
    return _theorem(target, 1 / (4 * target.smoothness), 6)


def vempala_wibisono(target: Target) -> Theorem:
    """LD, by Theorem 1 of Vempala and Wibisono: the assumptions of `ld`, weaker constants.

    Their step for an accuracy is (alpha T / (4 L^2)) min(1, accuracy / (4 d)).

    >>> theorem = vempala_wibisono(Target(smoothness=2.0, lsi_constant=1.0, temperature=0.5, dim=3))
    >>> theorem.step_size(), theorem.step_size(accuracy=6.0)
    (0.03125, 0.015625)
    """
    return _theorem(
        target, target.lsi_constant * target.temperature / (4 * target.smoothness**2), 8
    )


def svrg(
    target: Target,
    batch_size: int,
    period: int,
    size: int,
    replace: bool = False,
) -> Theorem:
    """SVRG-LD, by Theorem 1, for T <= 1 and batch_size >= period.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> theorem = svrg(target, batch_size=9, period=1, size=9)  # Xi = 0
    >>> theorem.kl_bound(0.001, 10**6, start_kl=2.0), theorem.step_size(accuracy=0.0896)
    (0.448, 0.0001)
    """
    if batch_size < period:
        raise ValueError(
            f"batch_size is {batch_size} and period {period}; Theorem 1 needs "
            "batch_size >= period."
        )
    xi = _batch_factor(target, batch_size, period, size, replace)
    cap = vempala_wibisono(target).cap / (4 * math.sqrt(6) * period)
    return _theorem(target, cap, 224 / 3 * (2 + 3 * xi + 2 * period * xi))


def sarah(
    target: Target,
    batch_size: int,
    period: int,
    size: int,
    replace: bool = False,
) -> Theorem:
    """SARAH-LD, by Theorem 2, for T <= 1 and any batch_size.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=3)
    >>> theorem = sarah(target, batch_size=9, period=1, size=9)  # Xi = 0
    >>> theorem.kl_bound(0.001, 10**6, start_kl=2.0), theorem.step_size(accuracy=0.0128)
    (0.064, 0.0001)
    """
    xi = _batch_factor(target, batch_size, period, size, replace)
    cap = vempala_wibisono(target).cap / (4 * math.sqrt(2) * period)
    return _theorem(target, cap, 32 / 3 * (2 + xi + 2 * period * xi))


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

    and the step of `svrg` for it. `gibbs_gap_bound` is then <= 0.302 gap and `risk_gap_bound` <= 0.375 gap.
    Where F has several local minima, alpha falls like exp(-barrier beta): no polynomial time is promised.

    >>> plan = optimization_plan(0.1, 2, 1.0, 1.0, 0.0, lsi_constant=lambda temperature: 1 / temperature, size=100)
    >>> plan.beta, plan.accuracy
    (80.0, 1.0)
    """
    positive(gap=gap)
    gibbs_gap_bound(dim, 1.0, smoothness, dissipativity, offset)  # checks its arguments
    spread = 4 * dim / gap * (1 + math.log(smoothness / dissipativity))
    beta = float(max(spread, 8 * dim * offset / gap**2, 1.0, 2 / dissipativity))
    temperature = 1 / beta
    target = Target(
        smoothness=smoothness,
        lsi_constant=lsi_constant(temperature),
        temperature=temperature,
        dim=dim,
    )
    accuracy = float(target.lsi_constant * gap / (8 * smoothness))
    batch_size = math.isqrt(size) if batch_size is None else batch_size
    period = math.isqrt(size) if period is None else period
    step_size = svrg(target, batch_size, period, size).step_size(accuracy)
    gap_bound = gibbs_gap_bound(
        dim, temperature, smoothness, dissipativity, offset
    ) + risk_gap_bound(target, accuracy)
    return OptimizationPlan(
        beta, step_size, accuracy, gap_bound, target, batch_size, period
    )


def _theorem(target: Target, cap: float, constant: float) -> Theorem:
    """slope = constant d L^2 / (alpha T)."""
    rate = target.lsi_constant * target.temperature
    return Theorem(rate, cap, constant * target.dim * target.smoothness**2 / rate)


def _batch_factor(
    target: Target,
    batch_size: int,
    period: int,
    size: int,
    replace: bool,
) -> float:
    for name, value in (("batch_size", batch_size), ("period", period), ("size", size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; pass an integer >= 1.")
    if (
        target.temperature > 1
    ):  # no loss of generality: the bounds do not change under rescaling
        raise ValueError(
            f"temperature is {target.temperature}; the theorem is stated for at most "
            "1. Pass target.rescaled(1 / temperature) and step_size * temperature: the "
            "same law and chain, written with F / temperature."
        )
    return batch_variance_factor(size, batch_size, replace=replace)
