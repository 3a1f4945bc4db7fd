"""Diagnostics of a fitted kernel Langevin estimator: convergence of the chains, and the draws."""

from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils.validation import check_is_fitted

from langevax.sampling.samples import MAX_RHAT, MIN_ESS
from langevax.sampling.summary_table import statistics
from langevax.sklearn.kernel_langevin.space import KernelSpace


class KernelLangevinDiagnostics:
    """Mixed into both estimators."""

    kernel_: Kernel
    coefficients_: np.ndarray
    inspected_: np.ndarray
    space_: KernelSpace
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
