"""Functions that a network on curves has learned: weights of its neurons, and which parts of a curve matter."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from langevax import checks
from langevax.sklearn.inputs.curve_values import AnyCurves
from langevax.sklearn.inputs.curves import CurveCoefficients, CurveEncoder
from langevax.sklearn.training import slopes


class WeightFunctions:
    """Functions of a fitted estimator on curves."""

    encoder_: Any
    estimator_: Any

    def weight_functions(self, grid: ArrayLike | None = None) -> np.ndarray:
        """Return theta(t) of every neuron at the end, its sign chosen so that the outer weight is positive.

            neuron(x) = R tanh(|a|) tanh(mean over D of theta (x - mean) + b)

        Args:
            grid: (G,) times; None uses the training grid, or 200 times where the curves share none.

        Returns:
            (N, G), or (N, blocks, G) for several channels or derivatives.

        Raises:
            ValueError: the encoder is not `CurveCoefficients`: the weights of others are not functions of t.
        """
        encoder = self._basis_encoder()
        network = self.estimator_
        weights, outer = network._inner_and_outer_weights()
        signs = np.where(outer < 0, -1.0, 1.0)[:, None]
        return encoder.weight_functions(
            signs * weights / network.standardiser_.scale, grid
        )

    def slope_functions(
        self, X: AnyCurves, grid: ArrayLike | None = None
    ) -> np.ndarray:
        """Return beta(t) of every curve: the response of the output to a small change of the curve at t.

            output(x + e) - output(x) = mean over D of beta e        for small e

        Functional linear regression has one beta for all curves. In units of the targets for a regression, of the
        log odds for two classes, and those of the class that responds most for several.

        Args:
            X: curves.
            grid: (G,) times, as in `weight_functions`.

        Returns:
            (n, G), or (n, blocks, G) for several channels or derivatives.

        Raises:
            ValueError: the encoder is not `CurveCoefficients`: weights of other features are not functions of t.
        """
        encoder = self._basis_encoder()
        network = self.estimator_
        columns = network.standardiser_(self.encode(X))  # type: ignore[attr-defined]
        cloud = network.clouds_.reshape(-1, network.clouds_.shape[-1])
        gradients = slopes(network.neuron_, cloud, columns)
        units = np.reshape(getattr(network, "target_scale_", 1.0), (-1, 1))
        gradients = gradients / network.standardiser_.scale * units
        strongest = np.abs(gradients).sum((0, 2)).argmax()
        return encoder.weight_functions(gradients[:, strongest], grid)

    def part_effects(
        self, X: AnyCurves, num_parts: int = 16
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return how much each part of each curve spoke for its output, by either of the encoders of curves.

        The output minus that of the same curve with the mean training curve in its place around one time, all channels
        at once: of the parts with smooth windows around evenly spaced times, which add up to 1. Effects of parts do
        not add up to the output where it takes several of them.

        Args:
            X: n curves in any of the forms that `fit` accepts.
            num_parts: P, at least 2.

        Returns:
            times (P,), and effects (n, P): in units of the targets for a regression, of the log odds for two classes,
            and of the likeliest class's output above the mean of all for several; the mean over several targets'
            absolute effects.

        Raises:
            TypeError, ValueError: num_parts is not an integer >= 2, or the encoder is not one of curves.

        Example:
            >>> from langevax.sklearn import CurveCoefficients, FunctionalMeanFieldRegressor, MeanFieldRegressor
            >>> X = np.random.default_rng(0).normal(size=(40, 20)).cumsum(1)
            >>> network = MeanFieldRegressor(num_steps=200, random_state=0)
            >>> model = FunctionalMeanFieldRegressor(CurveCoefficients(), network).fit(X, X[:, -1])
            >>> times, effects = model.part_effects(X, num_parts=5)
            >>> int(np.abs(effects).mean(0).argmax())  # the last values
            4
        """
        check_is_fitted(self)
        checks.positive_int("num_parts", num_parts, minimum=2)
        encoder = self.encoder_
        network = self.estimator_
        if not isinstance(encoder, CurveEncoder):
            raise ValueError(
                f"a {type(encoder).__name__} does not read curves as functions, whose "
                "parts can be replaced; fit with CurveCoefficients or "
                "RandomConvolutions."
            )
        whole = network.outputs(encoder.transform(X))
        parts = encoder.without_parts(X, num_parts)
        changes = np.stack([whole - network.outputs(columns) for columns in parts], 1)
        changes = changes.astype(np.float64) * getattr(network, "target_scale_", 1.0)
        if changes.ndim == 3 and hasattr(self, "classes_"):
            strongest = whole.argmax(1)
            changes = changes[np.arange(len(whole)), :, strongest] - changes.mean(2)
        elif changes.ndim == 3:
            changes = np.abs(changes).mean(2)
        return np.linspace(*encoder.domain_, num_parts), changes

    def _basis_encoder(self) -> CurveCoefficients:
        check_is_fitted(self)
        if isinstance(self.encoder_, CurveCoefficients):
            return self.encoder_
        raise ValueError(
            f"a {type(self.encoder_).__name__} has neither weight functions nor "
            "slopes; call part_effects(X), or fit with encoder=CurveCoefficients()."
        )
