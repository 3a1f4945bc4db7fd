"""The result of `learning_coefficient`: an estimate, what its error is made of, and reasons to doubt it."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from langevax._typing import PyTree
from langevax.run.result import datatree_type, draws_dataset
from langevax.sampling.tolerances import MAX_RHAT, MIN_ESS

if TYPE_CHECKING:
    import xarray

MAX_EXCESS = 3.0
"""Standard errors by which the largest of some means may differ from its known value."""


@dataclass(frozen=True, repr=False)
class LearningCoefficient:
    """A local learning coefficient: (E L(w) - L(params)) / T under exp(-L(w) / T - localization / 2 |w - params|^2).

    L is the mean loss over `num_rows` rows, T the `temperature`: n beta = 1 / T.
    """

    value: float
    standard_error: float
    """The root of the sum of squares of `errors`."""
    errors: dict[str, float]
    """`monte_carlo`; `baseline`, by how much a loss lower than that of `params` was met nearby, for which `value` may be
    too low; and `rounding`, that of the mean loss. All in units of the coefficient."""
    chains: Float[np.ndarray, " chain"]
    """The estimate of each chain."""
    trace: Float[np.ndarray, "chain draw"]
    """(L(w) - L(params)) / T at each draw; `value` is its mean, corrected by control variates."""
    warnings: tuple[str, ...]
    effective_draws: float
    r_hat: float
    loss: float
    """L(params)."""
    lowest_loss: float
    """The lowest mean loss that was met, by descent from `params` or by a chain."""
    params: PyTree[np.ndarray]
    """The parameters at which the coefficient is that of."""
    temperature: float
    localization: float
    num_rows: int
    num_parameters: int
    method: str
    acceptance: float
    evaluations: int
    """Gradients of single rows, all passes counted: descent, curvature, warm-up, sampling and records."""
    seconds: float
    localization_effect: float = math.nan
    """By how much `value` falls where the localization grows by a factor e: from the same draws, as a covariance."""

    def __repr__(self) -> str:
        return (
            f"LearningCoefficient({self.value:.4g} ± {self.standard_error:.2g}; "
            f"{self.num_parameters:,} parameters, {self.num_rows:,} rows, temperature "
            f"{self.temperature:.3g}, localization {self.localization:.3g}; "
            f"{self.method}, {self.effective_draws:,.0f} effective draws, "
            f"{self.evaluations:,} row gradients)"
        )

    @property
    def wbic(self) -> float:
        """n E L: Watanabe's criterion where T is log(n)/n, in nats of all rows; smaller is better."""
        return self.num_rows * (self.loss + self.temperature * self.value)

    def to_datatree(self) -> "xarray.DataTree":
        """Return the group `posterior`, with the draws of the coefficient; all numbers are attributes."""
        draws = {"learning_coefficient": self.trace}
        groups = {"posterior": draws_dataset(draws, *self.trace.shape)}
        tree = datatree_type().from_dict(groups)
        numbers = {
            name: value for name, value in vars(self).items() if np.isscalar(value)
        }
        tree.attrs |= numbers | {"wbic": self.wbic, "warnings": list(self.warnings)}
        return tree


def doubts(
    value: float,
    errors: dict[str, float],
    r_hat: float,
    ess: float,
    excess: float,
    effect: tuple[float, float],
    share: float = 0.02,
    much: float = 0.1,
) -> tuple[str, ...]:
    """Return the sentences of `LearningCoefficient.warnings`.

    `share` is that of the value, or of one unit, above which an error that is not the chains' is large. `effect` is by
    how much the value falls where the default localization grows by a factor e, with its error.
    """
    sentences = []
    gap = errors["baseline"]
    large = share * max(value, 1.0)
    if gap > max(large, errors["monte_carlo"]):
        sentences.append(
            f"a loss near params is lower by {gap:.3g} units of the coefficient, which "
            "is too small by as much: params is not a minimum; train further."
        )
    if errors["rounding"] > large:
        sentences.append(
            f"rounding of the mean loss is {errors['rounding']:.2g} units of the "
            "coefficient; subtract a constant from each row's loss, or use float64 by "
            "jax.enable_x64()."
        )
    if excess > MAX_EXCESS:
        sentences.append(
            f"a mean that is known exactly is off by {excess:.1f} standard errors: the "
            "chains have missed a part of the distribution, or pass between its parts "
            "too rarely; raise num_samples or localization."
        )
    if not r_hat <= MAX_RHAT:
        sentences.append(
            f"chains disagree: R-hat of the loss is {r_hat:.3f} > {MAX_RHAT}; raise "
            "num_samples or localization."
        )
    if not ess >= MIN_ESS:
        sentences.append(
            f"the chains have {ess:.0f} effective draws of the loss; raise num_samples."
        )
    if effect[0] - 2 * effect[1] > much * value:
        sentences.append(
            "the localization is a part of this estimate: half of it would raise the "
            f"coefficient by about {math.log(2) * effect[0]:.2g}; pass a smaller one, "
            "or a lower temperature, and see where it changes little."
        )
    return tuple(sentences)
