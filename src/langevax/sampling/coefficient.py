"""The result of `learning_coefficient`: an estimate, what its error is made of, and reasons to doubt it."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from langevax import checks
from langevax._typing import PyTree
from langevax.renamed import refuse_former
from langevax.sampling.tolerances import CONFIDENCE, MAX_RHAT, MIN_ESS

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
    bias_estimate: float
    """Bias that was measured and is left in `value`: minus the baseline's, since the sampling itself is exact."""
    errors: dict[str, float]
    """`monte_carlo`; `baseline`, by how much a loss lower than that of `params` was met nearby; and `rounding`, that of
    the mean loss. All in units of the coefficient."""
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
    """Of those that move."""
    method: str
    acceptance: float
    evaluations: int
    """Gradients of single rows, all passes counted: descent, curvature, warm-up, sampling and records."""
    seconds: float
    observed: Float[np.ndarray, "chain draw k"] | None = None
    """What `observe` returned at each draw, flattened."""
    localization_effect: float = math.nan
    """By how much `value` falls where the localization grows by a factor e: from the same draws, as a covariance."""

    def __repr__(self) -> str:
        doubts = (
            f"; {len(self.warnings)} warning{'s' * (len(self.warnings) > 1)}"
            if self.warnings
            else ""
        )
        return (
            f"LearningCoefficient({self.value:.4g} ± {self.standard_error:.2g}; {self.num_parameters:,} parameters, "
            f"{self.num_rows:,} rows, temperature {self.temperature:.3g}, localization {self.localization:.3g}; "
            f"{self.method}, {self.effective_draws:,.0f} effective draws, {self.evaluations:,} row gradients{doubts})"
        )

    @refuse_former
    def interval(self, coverage: float = CONFIDENCE) -> tuple[float, float]:
        """Return the two-sided normal confidence interval of this coverage.

        Example:
            >>> import jax, jax.numpy as jnp, langevax
            >>> rows = jnp.linspace(-1.0, 1.0, 50)
            >>> loss = lambda w, x: (w * x) ** 2 / 2
            >>> result = langevax.learning_coefficient(loss, jnp.array(0.0), rows, key=jax.random.key(0))
            >>> low, high = result.interval()
            >>> low < result.value < high
            True
        """
        checks.fraction("coverage", coverage)
        width = float(ndtri(0.5 + coverage / 2)) * self.standard_error
        return self.value - width, self.value + width

    def covariances(
        self, num_stretches: int = 5
    ) -> tuple[Float[np.ndarray, "k k"], Float[np.ndarray, "k k"]]:
        """Return the covariances of what was observed under the law, and their standard errors.

        With l_i the loss of row i and phi anything observed, -Cov(phi, l_i) / (n T) is by how much the mean of phi
        grows with the weight of row i: its Bayesian influence function, and with l_i - L its susceptibility. Errors are
        between stretches of chains, `num_stretches` of each.

        Raises:
            ValueError: nothing was observed.

        Example:
            >>> import jax, jax.numpy as jnp, langevax
            >>> rows = jnp.linspace(-1.0, 1.0, 50)
            >>> loss = lambda w, x: (w * x) ** 2 / 2
            >>> of_rows = lambda w: jax.vmap(loss, (None, 0))(w, rows[-2:])
            >>> options = {"key": jax.random.key(0), "observe": of_rows, "num_samples": 200, "num_warmup": 100}
            >>> values, errors = langevax.learning_coefficient(loss, jnp.array(0.0), rows, **options).covariances()
            >>> values.shape, bool(values[0, 1] > 3 * errors[0, 1])
            ((2, 2), True)
        """
        if self.observed is None:
            raise ValueError(
                "nothing was observed; pass observe to learning_coefficient."
            )
        length = max(1, self.observed.shape[1] // num_stretches)
        centred = self.observed - self.observed.mean((0, 1))
        stretches = [
            chain[start : start + length].T @ chain[start : start + length] / length
            for chain in centred
            for start in range(0, length * (chain.shape[0] // length), length)
        ]
        flat = centred.reshape(-1, centred.shape[-1])
        return flat.T @ flat / len(flat), np.std(stretches, axis=0, ddof=1) / np.sqrt(
            len(stretches)
        )

    @property
    def wbic(self) -> float:
        """n E L: Watanabe's criterion where T is log(n)/n, in nats of all rows; smaller is better."""
        return self.num_rows * (self.loss + self.temperature * self.value)

    def to_datatree(self) -> "xarray.DataTree":
        """Return the groups `posterior`, with the draws of the coefficient, and `summary`; the rest are attributes."""
        with checks.needs("xarray", "to_datatree"):
            import xarray

        chains, draws = self.trace.shape
        coordinates = {"chain": np.arange(chains), "draw": np.arange(draws)}
        draws_of: dict[str, Any] = {
            "learning_coefficient": (["chain", "draw"], self.trace)
        }
        if self.observed is not None:
            draws_of["observed"] = (["chain", "draw", "observable"], self.observed)
        posterior = xarray.Dataset(draws_of, coordinates)
        summary = xarray.Dataset(
            {
                "value": self.value,
                "standard_error": self.standard_error,
                "error": ("source", list(self.errors.values())),
                "chain_value": ("chain", self.chains),
            },
            {"source": list(self.errors), "chain": np.arange(chains)},
        )
        tree = xarray.DataTree.from_dict({"posterior": posterior, "summary": summary})
        numbers = {
            name: value for name, value in vars(self).items() if np.isscalar(value)
        }
        tree.attrs |= numbers | {"wbic": self.wbic, "warnings": list(self.warnings)}
        return tree


def dependence(
    value: float,
    effect: tuple[float, float],
    is_automatic: bool,
    share: float = 0.1,
) -> tuple[str, ...]:
    """Return the sentence for an estimate of which this share depends on the default localization.

    `effect` is by how much it falls where the localization grows by a factor e, with its error.
    """
    size, error = effect
    if not is_automatic or not size - 2 * error > share * value:
        return ()
    return (
        f"the localization is a part of this estimate: half of it would raise the coefficient by about "
        f"{math.log(2) * size:.2g}; pass a smaller one, or a lower temperature, and see where it changes little.",
    )


def doubts(
    value: float,
    errors: dict[str, float],
    lower_by_chain: bool,
    r_hat: float,
    ess: float,
    excess: float,
    share: float = 0.02,
) -> tuple[str, ...]:
    """Return the sentences of `LearningCoefficient.warnings`.

    `share` is that of the value, or of one unit, above which an error that is not the chains' is large.
    """
    sentences = []
    gap = errors["baseline"]
    large = share * max(value, 1.0)
    if gap > max(large, errors["monte_carlo"]):
        finder = "a chain" if lower_by_chain else "descent from params"
        sentences.append(
            f"{finder} met a loss that is lower by {gap:.3g} units of the coefficient, which is too small by as much: "
            "params is not a minimum; train further, or pass descend=True."
        )
    if errors["rounding"] > large:
        sentences.append(
            f"rounding of the mean loss is {errors['rounding']:.2g} units of the coefficient; subtract a constant from "
            "each row's loss, or use float64 by jax.enable_x64()."
        )
    if excess > MAX_EXCESS:
        sentences.append(
            f"a mean that is known exactly is off by {excess:.1f} standard errors: the chains have missed a part of "
            "the law, or pass between its parts too rarely; raise num_samples or localization."
        )
    if not r_hat <= MAX_RHAT:
        sentences.append(
            f"chains disagree: R-hat of the loss is {r_hat:.3f} > {MAX_RHAT}; raise num_samples or localization."
        )
    if not ess >= MIN_ESS:
        sentences.append(
            f"the chains have {ess:.0f} effective draws of the loss; raise num_samples."
        )
    return tuple(sentences)
