"""What a fitted two-phase network shows: which neurons it learned, whether they are a teacher's, how training went."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from langevax.figures import theme
from langevax.sklearn.plots import new_axes
from langevax.teacher_student import Matching, ReLUNetwork, match_neurons

SIGNS = {1: "+", 0: "0", -1: "\u2212"}
SHOWN = 12  # columns of a picture of the neurons, those of the largest weights


class Inspection:
    """Mixed into the estimator."""

    network_: ReLUNetwork
    history_: dict[str, np.ndarray]
    switch_step_: int
    switch_reason_: str
    best_restart_: int
    units_: Any

    def match(self, teacher: Any) -> Matching:
        """Which neuron learned which of the teacher's, in the units of the network's inputs and targets.

        Args:
            teacher: (outer (k,), inner (k, d) or (k, d + 1)) on the columns as they are, with biases last if any.

        Raises:
            ValueError: a teacher of other columns.

        Example:
            >>> from langevax.sklearn import TwoPhaseReLURegressor
            >>> from langevax.teacher_student import orthogonal_teacher, teach
            >>> import jax
            >>> teacher = orthogonal_teacher(2, 3)
            >>> X, y = (np.asarray(array) for array in teach(teacher, 300, noise=0.02, key=jax.random.key(0)))
            >>> matching = TwoPhaseReLURegressor(2, random_state=0).fit(X, y).match(teacher)
            >>> bool(matching.same_sign.all()), bool(np.degrees(matching.angles).max() < 5)
            (True, True)
        """
        check_is_fitted(self)
        outer, inner = (np.asarray(leaf, np.float64) for leaf in teacher)
        d = len(self.units_.inputs.mean)
        if inner.ndim != 2 or inner.shape[1] not in (d, d + 1):
            raise ValueError(
                f"the inner weights of the teacher have shape {inner.shape}, but the model was fitted on {d} columns; "
                f"pass (neurons, {d}), or (neurons, {d + 1}) with biases last."
            )
        biases = inner[:, d] if inner.shape[1] > d else np.zeros(len(inner))
        used = np.where(np.isfinite(self.units_.inputs.scale), self.units_.inputs.scale, 0.0)
        biases = (biases + inner[:, :d] @ self.units_.inputs.mean) / self.units_.constant
        size = self.units_.target_scale or 1.0
        return match_neurons(self.network_, (outer / size, np.column_stack([inner[:, :d] * used, biases])))

    def plot_trajectory(self, axes: Any = None) -> Any:
        """The training loss of every restart through both phases, the one taken in colour, and why they switched."""
        from matplotlib.ticker import LogLocator, StrMethodFormatter

        check_is_fitted(self)
        axes, steps, losses = new_axes(axes), self.history_["steps"], self.history_["loss"]
        others = [losses[restart] for restart in range(len(losses)) if restart != self.best_restart_]
        for loss in others:
            axes.plot(steps, loss, color=theme.GREY, linewidth=0.8, alpha=0.6)
        label = f"the one taken of {len(losses)} restarts" if others else None
        axes.plot(steps, losses[self.best_restart_], color=theme.OKABE_ITO[0], label=label, zorder=3)
        axes.axvline(self.switch_step_, color=theme.INK, linestyle="--", linewidth=0.8)
        above = {"xy": (self.switch_step_, 1), "xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate("explore", xytext=(-4, 3), ha="right", **above)
        axes.annotate("converge", xytext=(4, 3), ha="left", **above)
        axes.set(xlabel="step", ylabel="half the mean square error", yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter("")
        axes.set_title("Training", loc="left")
        if others:
            axes.legend(loc="upper right", frameon=True, edgecolor="none", framealpha=1)
        return axes

    def plot_neurons(self, axes: Any = None) -> Any:
        """Weights of every neuron as colours: one row a neuron, those that push up first, largest first.

        The columns of the largest weights, at most twelve, and the bias; for columns in units of their deviation and
        targets in units of theirs.
        """
        check_is_fitted(self)
        axes = new_axes(axes)
        names, signs, weights = self._neurons()
        limit = float(np.abs(weights).max()) or 1.0
        image = axes.imshow(weights, cmap=theme.DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(signs)), [SIGNS[int(sign)] for sign in signs])
        axes.set_ylabel("neurons that push up (+) and down (\u2212)")
        axes.set_title("The neurons", loc="left")
        axes.grid(visible=False)
        axes.figure.colorbar(image, ax=axes, label="inner weight")
        return axes

    def _neurons(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Names of columns, signs, and weights (neurons, columns) of standardised columns, in the picture's order."""
        outer, inner = (np.asarray(leaf, np.float64) for leaf in self.network_)
        weights = inner * self.units_.constant  # prepared columns are the standardised ones times 1 / sqrt(d)
        order = np.lexsort((-np.linalg.norm(weights, axis=1), -np.sign(outer)))
        weights, d = weights[order], weights.shape[1] - 1
        shown = np.sort(np.argsort(-np.abs(weights[:, :d]).max(0), kind="stable")[:SHOWN])
        given = getattr(self, "feature_names_in_", [f"x{j}" for j in range(d)])
        names = [str(given[j]) for j in shown]
        return [*names, "bias"], np.sign(outer[order]), weights[:, [*shown, d]]
