"""Pictures of a fitted mean-field network, on matplotlib axes of yours or on new ones."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from langevax.figures import charts, theme


class Plots:
    """`plot_*` methods; each returns the axes it drew on."""

    history_: dict[str, np.ndarray]
    particles_: np.ndarray
    neuron_: Any
    temperature_: float
    standardiser_: Any

    def plot_particles(self, features: tuple[int, int] | None = None, axes: Any = None) -> Any:
        """The neurons in the plane of two weights, by default those the outputs depend on most.

        Example:
            >>> import matplotlib, numpy as np
            >>> matplotlib.use("agg")
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X = np.random.default_rng(0).normal(size=(60, 3))
            >>> model = MeanFieldRegressor(num_particles=50, num_steps=50, random_state=0).fit(X, X[:, 1] - X[:, 2])
            >>> model.plot_particles().get_xlabel() in ("weight of x1", "weight of x2")
            True
        """
        check_is_fitted(self)
        weights, pull = self._weights_and_pull()
        if features is None:
            slopes = np.abs(pull @ weights) / len(weights)
            features = tuple(np.argsort(-slopes, kind="stable")[[0, min(1, len(slopes) - 1)]])
        names = self._column_names()  # type: ignore[attr-defined]
        x, y = (weights[:, j] for j in features)
        labels = {"xlabel": f"weight of {names[features[0]]}", "ylabel": f"weight of {names[features[1]]}"}
        axes = new_axes(axes)
        charts.particles(axes, x, y, pull, outer_label="outer weight", title="The neurons", **labels)
        return axes

    def plot_training(self, axes: Any = None) -> Any:
        """The risk of the cloud along training; the shaded last half is what predicts and what is certified."""
        check_is_fitted(self)
        axes, steps = new_axes(axes), self.history_["steps"]
        axes.plot(steps, self.history_["loss"], color=theme.METHODS["MFLD"][0], marker="D", markevery=0.1)
        axes.axvspan(steps[len(steps) // 2], steps[-1], color=theme.METHODS["MFLD"][0], alpha=0.12, linewidth=0)
        axes.set(xlabel="step", ylabel="mean loss on the training rows", title="Training")
        return axes

    def plot_certificate(self, axes: Any = None, num_points: int = 6) -> Any:
        """The dual bound D with its error, and the band [D, D + gap] that holds the optimum, along training."""
        path = self.certificate_path(num_points)  # type: ignore[attr-defined]
        axes = new_axes(axes)
        charts.band(axes, path.steps, path.lower_bound, path.lower_bound_error, path.gap, path.trustworthy)
        axes.set(xlabel="step", ylabel="objective", title="The optimum lies in the band")
        return axes

    def plot_leave_one_out(self, axes: Any = None) -> Any:
        """Leave-one-out errors of the kernel limit over temperatures, and the temperature that was taken."""
        check_is_fitted(self)
        choice = getattr(self, "leave_one_out_", None)
        if choice is None:
            raise ValueError("temperature and scaling were given, so nothing was left out; fit with temperature='loo'.")
        axes = new_axes(axes)
        rows = choice.alpha / self.temperature_ if self.temperature_ else 1.0
        axes.semilogx(choice.alphas / rows, choice.errors, color=theme.INK)
        axes.plot(self.temperature_, choice.error, color=theme.METHODS["MFLD"][0], marker="D", linestyle="none")
        axes.set(xlabel="temperature $T$", ylabel="mean square error of rows left out", title="Choice of temperature")
        return axes

    def _weights_and_pull(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the columns (N, d), and each neuron's outer weight (N,): for several outputs the strongest."""
        size, num_columns = self.particles_.shape[1], len(self.standardiser_.mean)
        weights = self.particles_[:, self.neuron_.input_weights(num_columns)]
        outer = size - num_columns - 1
        if outer == 0:
            return weights, np.full(len(weights), float(self.neuron_.scale))
        pulls = self.neuron_.scale * np.tanh(self.particles_[:, :outer])
        return weights, pulls[np.arange(len(pulls)), np.abs(pulls).argmax(1)]


def new_axes(axes: Any) -> Any:
    """The axes given, or new ones in the house's style."""
    if axes is not None:
        return axes
    import matplotlib
    import matplotlib.pyplot as plt

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        return plt.subplots(figsize=(4.8, 3.8))[1]
