"""The choice by networks on folds: the temperature with its reasons, and the networks themselves, for intervals."""

from typing import NamedTuple

import numpy as np

from langevax.sklearn.network_outputs import HeldOut
from langevax.sklearn.training import Network

SLACK = {"numbers": 0.25, "classes": 0.5}
"""Standard errors above the least loss up to which a hotter temperature is taken: less costs classes, more numbers."""


class LinearModelWarning(UserWarning):
    """Ridge or logistic regression predicts the rows left out better than the network, by two standard errors."""


class Choice(NamedTuple):
    """The network with its output scale, its temperature, and the losses these were chosen by."""

    network: Network
    temperature: float
    history: dict[str, np.ndarray]
    """Over output scales and temperatures: "output_scale", "temperature", "loss" of the rows left out, and its standard
    "error"; "excess" over the least and the standard error of that, "excess_error"."""
    chosen: int
    """Place in the history."""
    held_out: HeldOut
    outputs: np.ndarray
    """(n,) or (n, C): at each row, of the network trained without it."""
    places: np.ndarray
    """(n,) of these rows among all."""
    above_linear: tuple[float, float]
    """Mean loss above that of a linear model trained on the same folds, and its standard error."""
    untrained_loss: float
    """Mean loss of outputs 0."""
    base_loss: float
    """Mean loss of `base_rate`, above which a classifier takes no temperature where another one is not."""
    slack: float
    """Standard errors above the least loss up to which the hottest temperature is taken."""

    @property
    def losses(self) -> dict[str, float]:
        """Mean loss on the rows left out, its standard error, and that of a linear model."""
        loss, error = (
            float(self.history[name][self.chosen]) for name in ("loss", "error")
        )
        return {
            "loss": loss,
            "loss_error": error,
            "linear_loss": loss - self.above_linear[0],
        }

    def reason(self) -> str:
        """Return why this temperature."""
        losses = self.losses
        reason = (
            "the hottest whose mean loss on the rows left out of "
            f"{int(self.held_out.fold.max()) + 1} folds, {losses['loss']:.3g} +- "
            f"{losses['loss_error']:.2g}, is within {self.slack:g} standard errors of "
            f"the least of {len(self.history['loss'])} tried"
        )
        hotter = self.history["temperature"] > self.temperature
        if np.any(
            hotter
            & (self.history["excess"] <= self.slack * self.history["excess_error"])
        ):
            reason += (
                f" and at most that of the shares of the classes, {self.base_loss:.3g}"
            )
        if self.chosen == 0:
            reason += "; it is the hottest of them, at which the network predicts little more than a constant"
        if self.chosen == len(self.history["loss"]) - 1:
            reason += "; it is the coldest of them, and a colder one may be better"
        if self.held_out.lines is not None:
            reason += "; the network is trained on the residuals of ridge regression, whose predictions are added"
        return f"{reason}."

    @property
    def linear_is_ahead(self) -> bool:
        """Return whether a linear model has the smaller mean loss on the rows left out."""
        return self.above_linear[0] > 0

    def warning(self, negligible: float = 0.003) -> str | None:
        """Return what to say where a linear model is better by two standard errors, and by a share of the loss."""
        above, error = self.above_linear
        if (
            above <= max(2 * error, negligible * self.untrained_loss)
            or self.untrained_loss == 0
        ):
            return None
        return (
            "a linear model predicts the rows left out better: the network's mean loss "
            f"there is higher by {above:.3g} +- {error:.2g}; compare with RidgeCV or "
            "LogisticRegressionCV on this table."
        )
