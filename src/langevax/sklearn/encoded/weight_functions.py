"""What a network on curves has learned, as functions: the weights of its neurons, and which parts of a curve matter."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from langevax.figures import theme
from langevax.sklearn.plots import new_axes
from langevax.sklearn.training import slopes

SHOWN = 200  # times of a picture, where the curves have no grid in common
HEADROOM = 0.3
INNER, OUTER = (0.25, 0.75), (0.05, 0.95)


class WeightFunctions:
    """Questions to a fitted estimator on curves."""

    encoder_: Any
    standardiser_: Any
    clouds_: np.ndarray
    neuron_: Any

    def weight_functions(self, grid: Any = None) -> np.ndarray:
        """theta(t) of every neuron at the end, each turned so that its outer weight is positive.

            neuron(x) = R tanh(|a|) tanh(mean over D of theta (x - mean) + b)

        Args:
            grid: (G,) times; the training grid where it is not given, 200 times where the curves share none.

        Returns:
            (N, G), or (N, blocks, G) for several channels or derivatives.
        """
        check_is_fitted(self)
        weights, pull = self._weights_and_pull()  # type: ignore[attr-defined]
        signs = np.where(pull < 0, -1.0, 1.0)[:, None]
        return self.encoder_.weight_functions(signs * weights / self.standardiser_.scale, self._times(grid))

    def slope_functions(self, X: Any, grid: Any = None) -> np.ndarray:
        """beta(t) of every curve: how the output answers to a small change of the curve there.

            output(x + e) - output(x) = mean over D of beta e        for small e

        Functional linear regression has one beta for all curves. In units of the targets for a regression, of the
        log odds for two classes, and those of the class that answers most for several.

        Args:
            X: curves.
            grid: (G,) times at which beta is wanted, as in `weight_functions`.

        Returns:
            (n, G), or (n, blocks, G) for several channels or derivatives.
        """
        columns = self._columns(X)  # type: ignore[attr-defined]
        found = slopes(self.neuron_, self.clouds_.reshape(-1, self.clouds_.shape[-1]), self.standardiser_(columns))
        found = found / self.standardiser_.scale * np.reshape(getattr(self, "target_scale_", 1.0), (-1, 1))
        strongest = np.abs(found).sum((0, 2)).argmax()
        return self.encoder_.weight_functions(found[:, strongest], self._times(grid))

    def plot_weight_functions(self, block: int = 0, grid: Any = None, axes: Any = None) -> Any:
        """Weight functions of the neurons: their median, and bands of half and of nine tenths of them; the prior's
        band of nine tenths is dashed. Each neuron is turned so that its outer weight is positive.

        Args:
            block: which, for several channels or derivatives.
            grid: (G,) times.
            axes: of yours, or None for new ones.

        Example:
            >>> import matplotlib
            >>> matplotlib.use("agg")
            >>> from langevax.sklearn import FunctionalMeanFieldRegressor
            >>> X = np.random.default_rng(0).normal(size=(30, 20)).cumsum(1)
            >>> model = FunctionalMeanFieldRegressor(num_modes=8, num_steps=60, random_state=0).fit(X, X[:, -1])
            >>> model.plot_weight_functions().get_xlabel()
            't'
        """
        thetas, times = self.weight_functions(grid), self._times(grid)
        thetas = thetas if thetas.ndim == 2 else thetas[:, block]
        axes, colour = new_axes(axes), theme.METHODS["MFLD"][0]
        for (low, high), alpha, share in ((OUTER, 0.15, "9 in 10 neurons"), (INNER, 0.35, "half of them")):
            edges = np.quantile(thetas, (low, high), axis=0)
            axes.fill_between(times, *edges, color=colour, alpha=alpha, linewidth=0, label=share)
        axes.plot(times, np.median(thetas, axis=0), color=colour, linewidth=1.6, label="median")
        spread = 1.645 * self._prior_deviation(times, block)
        for sign, label in ((1, "9 in 10 of the prior"), (-1, None)):
            axes.plot(times, sign * spread, color=theme.GREY, linestyle="--", linewidth=1.0, label=label)
        return _finished(axes, r"weight function $\theta(t)$", "What the neurons look at")

    def plot_slopes(self, X: Any, block: int = 0, grid: Any = None, axes: Any = None) -> Any:
        """Which parts of these curves matter: the median of beta(t) over them, and bands of half and of nine tenths."""
        betas, times = self.slope_functions(X, grid), self._times(grid)
        betas = betas if betas.ndim == 2 else betas[:, block]
        axes, colour = new_axes(axes), theme.OKABE_ITO[0]
        for (low, high), alpha, share in ((OUTER, 0.15, "9 in 10 curves"), (INNER, 0.35, "half of them")):
            edges = np.quantile(betas, (low, high), axis=0)
            axes.fill_between(times, *edges, color=colour, alpha=alpha, linewidth=0, label=share)
        axes.plot(times, np.median(betas, axis=0), color=colour, linewidth=1.6, label="median")
        return _finished(axes, r"answer of the output $\beta(t)$", "Which parts of the curve matter")

    def _times(self, grid: Any) -> np.ndarray:
        if grid is None and self.encoder_.grid_ is None:
            left, right = self.encoder_.domain_
            return np.linspace(left, right, SHOWN)
        return np.asarray(self.encoder_.grid_ if grid is None else grid, np.float64)

    def _prior_deviation(self, times: np.ndarray, block: int) -> np.ndarray:
        """Of theta(t) under the prior."""
        units = np.sqrt(float(self.prior_variance)) * np.eye(len(self.standardiser_.scale))  # type: ignore[attr-defined]
        thetas = self.encoder_.weight_functions(units / self.standardiser_.scale, times)
        thetas = thetas if thetas.ndim == 2 else thetas[:, block]
        return np.sqrt(np.sum(thetas**2, axis=0))


def _finished(axes: Any, label: str, title: str) -> Any:
    """With room for the legend above the bands."""
    low, high = axes.get_ylim()
    axes.axhline(0, color=theme.INK, linewidth=0.8, zorder=0)
    axes.set(xlabel="t", ylabel=label, title=title, ylim=(low, high + HEADROOM * (high - low)))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useMathText=True)
    axes.legend(loc="upper center", ncols=2, frameon=False)
    return axes
