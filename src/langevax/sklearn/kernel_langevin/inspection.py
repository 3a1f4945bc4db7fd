"""What a fitted kernel Langevin estimator says of itself: do chains agree, are the modes enough, what was drawn."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from langevax.sklearn.table import Table

if TYPE_CHECKING:
    import xarray

GOOD_RHAT, FEW = 1.01, 100  # above which, and effective draws below which, `warnings_` says so
MOST_ROWS = 1000  # that `resolution` looks at where none are given


@dataclass(frozen=True)
class Resolution:
    """How much the posterior of the function changes when the basis is made longer, the same seed otherwise."""

    num_modes: int
    longer: int
    max_change: float
    """Of the mean, in posterior standard deviations, at the row where it is greatest."""
    rms_change: float
    sd_ratio: float
    """Median over rows of the standard deviation with more modes, over that with fewer."""
    chance: float
    """The rms change that two runs of as many effective draws show by chance."""

    def __str__(self) -> str:
        if self.longer == self.num_modes:
            return f"There are no more than these {self.num_modes} modes above rounding: nothing is cut off."
        verdict = "the basis is long enough" if self.rms_change < 0.1 + 2 * self.chance else "raise num_modes"
        return (
            f"With {self.longer} modes instead of {self.num_modes} the mean moves by {self.rms_change:.2f} posterior "
            f"standard deviations (root mean square; {self.chance:.2f} by chance; {self.max_change:.2f} at most), and "
            f"the deviations are {self.sd_ratio:.2f} times as large: {verdict}."
        )


class Inspection:
    """Mixed into both estimators."""

    coefficients_: np.ndarray
    inspected_: np.ndarray
    space_: Any
    rows_: Any
    seed_: int
    history_: dict[str, Any]

    def summary(self) -> dict[str, np.ndarray]:
        """Of the function at 64 training rows or fewer, `inspected_`: mean, sd, mcse_mean, ess_bulk, r_hat.

        Each is (k,) or (k, C), in the units of the scaled targets, or log odds. R-hat is rank-normalised and split, as
        in ArviZ, which computes it (Vehtari et al. 2021).
        """
        from arviz_stats.base.array import array_stats

        check_is_fitted(self)
        features = self.space_.features(self.inspected_)
        values = np.einsum("kn,cdn...->cdk...", features, self.coefficients_.astype(np.float64), optimize=True)
        shape, columns = values.shape[2:], values.reshape(*values.shape[:2], -1)
        axes: dict[str, Any] = {"chain_axis": 0, "draw_axis": 1}
        found = {
            "mean": columns.mean((0, 1)),
            "sd": columns.std((0, 1)),
            "mcse_mean": array_stats.mcse(columns, **axes),
            "ess_bulk": array_stats.ess(columns, **axes),
            "r_hat": array_stats.rhat(columns, **axes),
        }
        return {name: np.asarray(numbers).reshape(shape) for name, numbers in found.items()}

    @property
    def warnings_(self) -> list[str]:
        """What speaks against the draws, in words; empty where nothing does."""
        table, found = self.summary(), []
        worst, fewest = float(np.max(table["r_hat"])), float(np.min(table["ess_bulk"]))
        if not worst <= GOOD_RHAT:
            found.append(
                f"chains disagree: R-hat of the function at a training row is {worst:.3f} > {GOOD_RHAT}; raise "
                "thinning or warmup, or look for several modes of the posterior."
            )
        if not fewest >= FEW:
            found.append(
                f"the function at a training row has {fewest:.0f} effective draws; raise num_samples or thinning."
            )
        return found

    def resolution(self, X: Table = None) -> Resolution:
        """Fit again with twice the modes, or all there are above rounding, and compare at the rows of X.

        Args:
            X: (n, d); the training rows where it is not given, a thousand at most.

        Raises:
            AttributeError: a loaded model, which has no training rows.
        """
        from langevax.sklearn.kernel_langevin.evidence import some_rows

        check_is_fitted(self)
        if not hasattr(self, "rows_"):
            raise AttributeError("a loaded model has no training rows to be fitted again on; call fit first.")
        if X is None:
            X = self.rows_.inputs[some_rows(len(self.rows_.inputs), MOST_ROWS)]
        else:
            X = validate_data(self, X, dtype=np.float64, reset=False)
        num_modes = len(self.space_.eigenvalues)
        longer = min(2 * num_modes, self.space_.available)
        if longer == num_modes:
            return Resolution(num_modes, num_modes, 0.0, 0.0, 1.0, 0.0)
        other: Any = copy.copy(self)
        other.space_ = other._space(self.rows_, self.space_.standardiser, longer)
        other._keep(other._sampled(other.space_, self.rows_, self.seed_))
        (mean, sd), (more_mean, more_sd) = self._moments(X), other._moments(X)  # pyright: ignore[reportAttributeAccessIssue]
        effective = [float(np.median(one.summary()["ess_bulk"])) for one in (self, other)]
        change = np.abs(more_mean - mean) / more_sd
        return Resolution(
            num_modes,
            longer,
            float(change.max()),
            float(np.sqrt(np.mean(change**2))),
            float(np.median(more_sd / sd)),
            float(np.sqrt(sum(1 / count for count in effective))),
        )

    def to_datatree(self) -> "xarray.DataTree":
        """ArviZ's layout: group `posterior` with `coefficients` and `f`, the function at the rows `inspected_`."""
        import xarray

        check_is_fitted(self)
        features = self.space_.features(self.inspected_)
        values = np.einsum("kn,cdn...->cdk...", features, self.coefficients_.astype(np.float64), optimize=True)
        outputs = ["output"] * (self.coefficients_.ndim - 3)
        chains, draws, modes = self.coefficients_.shape[:3]
        dataset = xarray.Dataset(
            {
                "coefficients": (["chain", "draw", "mode", *outputs], self.coefficients_),
                "f": (["chain", "draw", "row", *outputs], values.astype(np.float32)),
            },
            {"chain": np.arange(chains), "draw": np.arange(draws), "mode": np.arange(modes)},
        )
        tree = xarray.DataTree.from_dict({"posterior": dataset})
        tree.attrs.update(self.history_)
        return tree
