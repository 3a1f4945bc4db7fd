"""Log-Sobolev constants of laws exp(-F / temperature), and what they make of a KL divergence.

A law nu satisfies the log-Sobolev inequality with alpha = `lsi_constant` if, for every rho,

    KL(rho || nu)  <=  J(rho || nu) / (2 alpha),      J = E_rho |grad log(rho / nu)|^2.

alpha belongs to the law and so contains the temperature; Langevin dynamics then has KL falling at least like
exp(-2 alpha temperature t). Kinoshita and Suzuki (NeurIPS 2022), Assumption 2, whose gamma is 1 / temperature and
whose L (Assumption 1) is `smoothness`. Books that write C_LSI mean 1 / alpha. All constants are lower bounds.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

ROUNDED = 1 + 1e-9
"""Times a largest number, up to which rounding may exceed it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The law exp(-F / temperature) as the theorems see it; one object, so that no bound can mix two scales.

    F is the mean potential of `dim` coordinates, a prior's quadratic part included. There is no default
    temperature: a posterior is either its mean problem at temperature 1 / n or its sum at temperature 1.

    >>> target = Target(smoothness=2.0, lsi_constant=50.0, temperature=0.01, dim=3)
    >>> target.condition_number
    4.0
    >>> target.rescaled(100)  # the sum over n = 100 rows in place of the mean
    Target(smoothness=200.0, lsi_constant=50.0, temperature=1.0, dim=3)
    """

    smoothness: float
    """L: the Hessian of *every* component of F has norm <= L, not only that of F itself."""
    lsi_constant: float
    """alpha of exp(-F / temperature), at most smoothness / temperature."""
    temperature: float
    dim: int

    def __post_init__(self) -> None:
        for name in ("smoothness", "lsi_constant", "temperature"):
            value = getattr(self, name)
            positive(**{name: value})
            object.__setattr__(self, name, float(value))  # NumPy's floats would spread
        if self.dim < 1 or self.dim != int(self.dim):
            raise ValueError(
                f"dim is {self.dim}; pass the number of coordinates, an integer >= 1."
            )
        largest = self.smoothness / self.temperature
        # a variance is at least temperature / L (Cramer and Rao) and at most 1 / alpha (Poincare)
        if self.lsi_constant > largest * ROUNDED:
            raise ValueError(
                f"lsi_constant is {self.lsi_constant}, but no law exceeds smoothness / "
                f"temperature = {largest}; pass smoothness of the mean potential and "
                "lsi_constant of exp(-potential / temperature)."
            )

    @property
    def condition_number(self) -> float:
        """kappa = smoothness / (temperature lsi_constant) >= 1."""
        return self.smoothness / (self.temperature * self.lsi_constant)

    def rescaled(self, factor: float) -> "Target":
        """The same law written as exp(-(factor F) / (factor temperature)).

        A chain keeps its iterates if its step size is divided by `factor`; KL bounds and steps agree.
        """
        positive(factor=factor)
        return Target(
            smoothness=self.smoothness * factor,
            lsi_constant=self.lsi_constant,
            temperature=self.temperature * factor,
            dim=self.dim,
        )


def strongly_log_concave(curvature: float, temperature: float) -> float:
    """alpha = curvature / temperature, for F with Hessian >= curvature everywhere: Bakry and Emery (1985).

    Exact for quadratics.

    >>> strongly_log_concave(2.0, temperature=0.01)
    200.0
    """
    positive(curvature=curvature, temperature=temperature)
    return float(curvature / temperature)


def holley_stroock(
    lsi_constant: float, oscillation: float, temperature: float
) -> float:
    """alpha = lsi_constant exp(-oscillation / temperature), for F = F_0 + U: Holley and Stroock (1987).

    `lsi_constant` is that of exp(-F_0 / temperature), and oscillation = sup U - inf U, in the units of F.

    >>> round(holley_stroock(1.0, oscillation=2.0, temperature=1.0), 6)  # F = x^2 / 2 + cos(k x), any k
    0.135335
    """
    positive(lsi_constant=lsi_constant, temperature=temperature)
    nonnegative(oscillation=oscillation)
    return float(lsi_constant * math.exp(-oscillation / temperature))


def product(*lsi_constants: float) -> float:
    """alpha of a product of independent laws: the smallest of theirs.

    >>> product(3.0, 0.5, 2.0)
    0.5
    """
    if not lsi_constants:
        raise ValueError("lsi_constants is empty; pass the constant of each factor.")
    for lsi_constant in lsi_constants:
        positive(lsi_constant=lsi_constant)
    return float(min(lsi_constants))


def lipschitz_image(lsi_constant: float, lipschitz: float) -> float:
    """alpha = lsi_constant / lipschitz^2, for the image of a law under a Lipschitz map.

    >>> lipschitz_image(1.0, lipschitz=2.0)  # N(0, 4) from N(0, 1)
    0.25
    """
    positive(lsi_constant=lsi_constant, lipschitz=lipschitz)
    return float(lsi_constant / lipschitz**2)


def logistic_smoothness(inputs: Float[np.ndarray, "n d"], precision: float) -> float:
    """L = max_i |x_i|^2 / 4 + precision, of every log(1 + exp(-y_i <x_i, theta>)) + precision |theta|^2 / 2 (derived).

    The largest row counts, not the spectral norm of the inputs, since variance reduction needs each component
    smooth. Write an intercept as a column of ones.

    >>> logistic_smoothness(np.array([[2.0, 0.0], [1.0, 1.0]]), precision=0.5)
    1.5
    """
    nonnegative(precision=precision)
    squares = np.sum(np.asarray(inputs, float) ** 2, axis=1)
    return float(np.max(squares) / 4 + precision)


def logistic_target(inputs: Float[np.ndarray, "n d"], prior_precision: float) -> Target:
    """Bayesian logistic regression with prior N(0, I / prior_precision), as the mean problem at temperature 1 / n.

    Its quadratic part has precision temperature * prior_precision, whether it is given to a problem as
    `precision` or as a regulariser. alpha = prior_precision (derived, by `strongly_log_concave`).

    >>> logistic_target(np.array([[2.0, 0.0], [1.0, 1.0]]), prior_precision=0.25)
    Target(smoothness=1.125, lsi_constant=0.25, temperature=0.5, dim=2)
    """
    positive(prior_precision=prior_precision)
    n, d = np.shape(inputs)
    temperature = 1 / n
    precision = temperature * prior_precision
    return Target(
        smoothness=logistic_smoothness(inputs, precision),
        lsi_constant=strongly_log_concave(precision, temperature),
        temperature=temperature,
        dim=d,
    )


def wasserstein_bound(kl: float, lsi_constant: float) -> float:
    """W_2(rho, nu) <= sqrt(2 KL(rho || nu) / alpha): Otto and Villani (2000). Equality for shifted Gaussians.

    >>> wasserstein_bound(2.0, lsi_constant=0.25)
    4.0
    """
    nonnegative(kl=kl)
    positive(lsi_constant=lsi_constant)
    return math.sqrt(2 * kl / lsi_constant)


def total_variation_bound(kl: float) -> float:
    """TV(rho, nu) = sup_A |rho(A) - nu(A)| <= sqrt(KL(rho || nu) / 2), and at most 1: Pinsker's inequality.

    >>> total_variation_bound(0.02)
    0.1
    """
    nonnegative(kl=kl)
    return min(1.0, math.sqrt(kl / 2))


def start_kl_bound(target: Target, potential: float, log_partition: float) -> float:
    """KL of the start N(x_0, (T / L) I): F(x_0) / T + log Z + (d / 2) log(L / (2 pi T)), for any x_0.

    `potential` is F(x_0), and log Z = log int exp(-F / T). Vempala and Wibisono (NeurIPS 2019) have T = 1 and x_0
    stationary, which is not needed (derived). A start at a point has infinite KL, and no bound.

    >>> target = Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=1)
    >>> start_kl_bound(target, potential=0.0, log_partition=math.log(2 * math.pi) / 2)
    0.0
    """
    d = target.dim
    temperature = target.temperature
    entropy = d / 2 * math.log(target.smoothness / (2 * math.pi * temperature))
    return float(potential / temperature + log_partition + entropy)


def start_kl_bound_lsi(target: Target, gradient_norm: float = 0.0) -> float:
    """The same without Z: (2 sqrt(d L T) + |grad F(x_0)|)^2 / (2 alpha T^2), which is 2 d kappa at a stationary x_0.

    Derived: the relative Fisher information of the start, from the Lipschitz constant L of grad F.

    >>> start_kl_bound_lsi(Target(smoothness=1.0, lsi_constant=0.5, temperature=1.0, dim=4))
    16.0
    """
    root = (
        2 * math.sqrt(target.dim * target.smoothness * target.temperature)
        + gradient_norm
    )
    return float(root**2 / (2 * target.lsi_constant * target.temperature**2))


def risk_gap_bound(target: Target, kl: float) -> float:
    """E_rho F - E_nu F <= sqrt(2 KL d L T / alpha) + L KL / alpha, for KL = KL(rho || nu) (derived).

    From E_nu |grad F|^2 = T E_nu tr Hess F <= T d L and `wasserstein_bound`; it mends the step of Theorem 3.

    >>> risk_gap_bound(Target(smoothness=1.0, lsi_constant=1.0, temperature=1.0, dim=4), kl=0.5)
    2.5
    """
    nonnegative(kl=kl)
    distance = wasserstein_bound(kl, target.lsi_constant)
    return (
        math.sqrt(target.dim * target.smoothness * target.temperature) * distance
        + target.smoothness * distance**2 / 2
    )


def gibbs_gap(dim: int, temperature: float) -> float:
    """E_nu F - min F = d T / 2 for quadratics, and an estimate where T is small (Laplace).

    >>> gibbs_gap(3, temperature=0.5)
    0.75
    """
    return float(dim * temperature / 2)


def gibbs_gap_bound(
    dim: int,
    temperature: float,
    smoothness: float,
    dissipativity: float,
    offset: float,
) -> float:
    """E_nu F - min F <= (d T / 2) log((e L / M) (b / (d T) + 1)), as Raginsky, Rakhlin, Telgarsky (COLT 2017).

    For L-smooth F with <grad F(x), x> >= M |x|^2 - b, M `dissipativity` and b `offset`. From the largest entropy
    at given second moment (derived, at any temperature). Equality for L = M, b = 0.

    >>> gibbs_gap_bound(3, temperature=0.5, smoothness=2.0, dissipativity=2.0, offset=0.0)
    0.75
    """
    positive(temperature=temperature, dissipativity=dissipativity)
    if dissipativity > smoothness:
        raise ValueError(
            f"dissipativity is {dissipativity}; pass a number <= smoothness "
            f"{smoothness}."
        )
    nonnegative(offset=offset)
    ratio = smoothness / dissipativity * (offset / (dim * temperature) + 1)
    return gibbs_gap(dim, temperature) * (1 + math.log(ratio))


def positive(**named: Any) -> None:
    """Raise unless every argument is finite and > 0 (an `inf` or a zero is a limit to be taken by a large number)."""
    for name, value in named.items():
        _within(name, value, "> 0", np.asarray(value, float) > 0)


def nonnegative(**named: Any) -> None:
    """Raise unless every argument is finite and >= 0."""
    for name, value in named.items():
        _within(name, value, ">= 0", np.asarray(value, float) >= 0)


def _within(
    name: str,
    value: Any,
    bound: str,
    good: np.ndarray,
) -> None:
    numbers = np.asarray(value, float)
    good = good & np.isfinite(numbers)
    if not good.all():
        worst = np.broadcast_to(numbers, good.shape)[~good].flat[0]
        raise ValueError(
            f"{name} must be finite and {bound}, got {worst}; pass numbers {bound}."
        )
