"""Diagnostics of a fitted kernel Langevin estimator: convergence of the chains, number of modes, the draws."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils.validation import check_is_fitted, validate_data

from langevax import checks
from langevax.run.datatree import datatree_type
from langevax.sampling.samples import MAX_RHAT, MIN_ESS
from langevax.sampling.summary_table import statistics
from langevax.sklearn.kernel_langevin.space import KernelSpace
from langevax.sklearn.table import DistinctRows, Table, subsample

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Resolution:
    """Change of the posterior of the function when the basis has more modes, the same seed otherwise."""

    num_modes: int
    more_modes: int
    max_change: float
    """Of the mean, in posterior standard deviations, largest over rows."""
    rms_change: float
    sd_ratio: float
    """Median over rows of the standard deviation with more modes, over that with fewer."""
    chance: float
    """Root mean square change between two runs of as many effective draws by chance."""

    def __str__(self) -> str:
        if self.more_modes == self.num_modes:
            return f"There are no more than these {self.num_modes} modes above rounding: the basis is complete."
        verdict = (
            "the basis is long enough"
            if self.rms_change < 0.1 + 2 * self.chance
            else "raise num_modes"
        )
        return (
            f"With {self.more_modes} modes instead of {self.num_modes} the mean moves by {self.rms_change:.2f} "
            f"posterior standard deviations (root mean square; {self.chance:.2f} by chance; {self.max_change:.2f} at "
            f"most), and the deviations are {self.sd_ratio:.2f} times as large: {verdict}."
        )


class KernelLangevinDiagnostics:
    """Mixed into both estimators."""

    kernel_: Kernel
    coefficients_: np.ndarray
    inspected_: np.ndarray
    space_: KernelSpace
    rows_: DistinctRows
    history_: dict[str, Any]

    def summary(self) -> dict[str, np.ndarray]:
        """Summarise the function at `inspected_`, 64 training rows or fewer: mean, sd, mcse_mean, ess_bulk, r_hat.

        Each is (k,) or (k, C), in the units of the scaled targets, or log odds; so is ess_tail. They are the numbers of
        `Samples.summary`.
        """
        values = self._inspected_values()
        flat = values.reshape(*values.shape[:2], -1)
        columns = statistics(
            [str(number) for number in range(flat.shape[2])], flat
        ).columns
        return {
            name: numbers.reshape(values.shape[2:]) for name, numbers in columns.items()
        }

    @property
    def warnings_(self) -> list[str]:
        """Signs of poor convergence, in sentences; empty where there are none."""
        table = self.summary()
        warnings = list(self.history_.get("doubts", []))
        worst = float(np.max(table["r_hat"]))
        fewest = float(np.min(table["ess_bulk"]))
        if not worst <= MAX_RHAT:
            warnings.append(
                f"chains disagree: R-hat of the function at a training row is {worst:.3f} > {MAX_RHAT}; raise "
                "thinning or num_warmup, or look for several modes of the posterior."
            )
        if not fewest >= MIN_ESS:
            warnings.append(
                f"the function at a training row has {fewest:.0f} effective draws; raise num_samples or thinning."
            )
        return warnings

    def resolution(self, X: Table | None = None, most_rows: int = 1000) -> Resolution:
        """Fit again with twice the modes, or all above rounding, and compare at the rows of X.

        Args:
            X: (n, d); None for the training rows.
            most_rows: of the training rows.

        Raises:
            AttributeError: a loaded model, which has no training rows.
        """
        check_is_fitted(self)
        if not hasattr(self, "rows_"):
            raise AttributeError(
                "a loaded model has no training rows to be fitted again on; call fit first."
            )
        if X is None:
            X = self.rows_.inputs[subsample(len(self.rows_.inputs), most_rows)]
        else:
            X = validate_data(self, X, dtype=np.float64, reset=False)
        num_modes = len(self.space_.eigenvalues)
        more_modes = min(2 * num_modes, self.space_.available)
        if more_modes == num_modes:
            return Resolution(num_modes, num_modes, 0.0, 0.0, 1.0, 0.0)
        this: Any = self
        other: Any = copy.copy(self)
        other.space_ = other._space(self.rows_, this.space_.standardiser, more_modes)
        other._record(other._sampled(other.space_))
        (mean, sd), (more_mean, more_sd) = this._moments(X), other._moments(X)
        effective = [
            float(np.median(model.summary()["ess_bulk"])) for model in (self, other)
        ]
        change = np.abs(more_mean - mean) / more_sd
        return Resolution(
            num_modes,
            more_modes,
            float(change.max()),
            float(np.sqrt(np.mean(change**2))),
            float(np.median(more_sd / sd)),
            float(np.sqrt(sum(1 / count for count in effective))),
        )

    def to_datatree(self) -> "xarray.DataTree":
        """Return ArviZ's layout: group `posterior` with `coefficients` and `f`, the function at `inspected_`."""
        with checks.needs("xarray", "to_datatree"):
            import xarray

        values = self._inspected_values()
        outputs = ["output"] * (self.coefficients_.ndim - 3)
        chains, draws, modes = self.coefficients_.shape[:3]
        dataset = xarray.Dataset(
            {
                "coefficients": (
                    ["chain", "draw", "mode", *outputs],
                    self.coefficients_,
                ),
                "f": (["chain", "draw", "row", *outputs], values.astype(np.float32)),
            },
            {
                "chain": np.arange(chains),
                "draw": np.arange(draws),
                "mode": np.arange(modes),
            },
        )
        tree = datatree_type().from_dict({"posterior": dataset})
        tree.attrs.update(self.history_)
        return tree

    def _inspected_values(self) -> np.ndarray:
        """Return the drawn functions at `inspected_`, (chain, draw, k) or (chain, draw, k, C)."""
        check_is_fitted(self)
        features = self.space_.features(self.inspected_)
        return np.einsum(
            "kn,cdn...->cdk...",
            features,
            self.coefficients_.astype(np.float64),
            optimize=True,
        )
