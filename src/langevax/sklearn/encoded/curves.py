"""Mean-field networks on curves: the weights of a neuron are a function, and so is what it sees.

    h(theta, x) = R tanh(a) tanh(integral theta(t) (x - mean)(t) dt / |D| + b),    theta ~ N(0, C), C of finite trace

(Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022). In coordinates of unit prior variance, those of `CurveCoefficients`,
this is the network on tables, and all that is known of it holds: the objective, its dual, the certificate. Coordinates
beyond the first few see little of the curves, so that more modes, or a finer grid, change nothing.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.classifier import MeanFieldClassifier, probabilities
from langevax.sklearn.encoded.base import Encoded
from langevax.sklearn.encoded.weight_functions import WeightFunctions
from langevax.sklearn.inputs import CurveCoefficients
from langevax.sklearn.parameters import Automatic
from langevax.sklearn.regressor import MeanFieldRegressor
from langevax.spaces.basis import Basis

PATIENCE = 3.0  # directions in which curves hardly vary are learned late
ENCODING = ("basis", "num_modes", "grid", "derivative", "decay", "whiten", "channels", "smoothing", "missing")


class OnCurves(WeightFunctions, Encoded):
    """The parameters of both estimators on curves; `grid` of a prediction is where its table's columns lie."""

    def __init__(
        self,
        solver: str = "psdca",
        *,
        basis: Literal["cosine", "fourier", "legendre", "components"] | Basis = "cosine",
        num_modes: int = 32,
        grid: Any = None,
        derivative: int | tuple[int, ...] = 0,
        decay: float = 2.0,
        whiten: bool = False,
        channels: int = 1,
        smoothing: float | Literal["auto"] | None = "auto",
        missing: Literal["error", "interpolate"] = "error",
        num_particles: int = 1000,
        temperature: float | Literal["loo"] = "loo",
        step_size: float | Literal["auto"] = "auto",
        num_steps: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] | None = "auto",
        neuron: str = "tanh-tanh",
        output_scale: float | Literal["auto"] = "auto",
        prior_variance: float = 1.0,
        validation: Literal["path"] | None = None,
        stop_at_plateau: bool = True,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        devices: int | Mapping[str, int] | None = None,
        progress: bool | None = None,
        random_state: Any = None,
    ):
        MeanFieldEstimator.__init__(
            self,
            solver,
            num_particles=num_particles,
            temperature=temperature,
            step_size=step_size,
            num_steps=num_steps,
            batch_size=batch_size,
            neuron=neuron,
            output_scale=output_scale,
            prior_variance=prior_variance,
            scaling="global",
            validation=validation,
            stop_at_plateau=stop_at_plateau,
            warm_start=warm_start,
            checkpoint=checkpoint,
            devices=devices,
            progress=progress,
            random_state=random_state,
        )
        self.basis = basis
        self.num_modes = num_modes
        self.grid = grid
        self.derivative = derivative
        self.decay = decay
        self.whiten = whiten
        self.channels = channels
        self.smoothing = smoothing
        self.missing = missing

    def outputs(self, X: Any, grid: Any = None) -> np.ndarray:
        """The network's outputs, (n,) or (n, C), float32; `grid` (G,) is where a table's columns lie, if elsewhere."""
        return self._outputs(self._columns(X, grid=grid))

    def _make_encoder(self) -> CurveCoefficients:
        return CurveCoefficients(**{name: getattr(self, name) for name in ENCODING}, centre=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "interpolate"
        tags.input_tags.three_d_array = True
        return tags


class FunctionalMeanFieldRegressor(OnCurves, MeanFieldRegressor):
    """Least squares on curves, by a network whose weights are functions; trained to its global optimum.

    Minimises over laws q of neurons (a, theta, b), theta a function on the domain D of the curves,

        1/(2n) sum_i |E_q h(theta, x_i) - y_i|^2 + T KL(q || prior),    prior: theta ~ N(0, C), C of finite trace

    (Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022), targets standardised, curves centred and of mean square norm 1 once
    encoded. `certificate()` says how far the fit is from the global optimum, and neither grid nor number of modes
    changes it much: what there is to learn from a smooth curve is in its first modes.

    Args:
        solver: "psdca", the paper's dual ascent, a curve at a time, or another of `MeanFieldRegressor`.
        basis, num_modes, grid, derivative, decay, whiten, channels, smoothing, missing: of the encoder, see
            `CurveCoefficients`. Spectra want derivative=2: what tells of the target is in the bends, not in the level.
        num_particles, temperature, step_size, num_steps, batch_size, neuron, prior_variance, validation,
            stop_at_plateau, warm_start, checkpoint, devices, progress, random_state: see `MeanFieldRegressor`.
        output_scale: R; "auto" is 3, at which the few directions that matter in curves are learned.

    Attributes:
        encoder_: the fitted `CurveCoefficients`; its columns are what the network sees.
        particles_, dual_, history_, temperature_, n_iter_, converged_, leave_one_out_: see `MeanFieldRegressor`.

    Raises:
        ValueError, TypeError: what `CurveCoefficients` and `MeanFieldRegressor` refuse: curves of different lengths
            without times, a grid that does not increase, NaN, times outside the training domain.

    Example:
        >>> t = np.linspace(0, 1, 60)
        >>> heights, rates = np.random.default_rng(0).uniform(0.5, 1.5, size=(2, 80, 1))
        >>> X, y = heights * np.sin(4 * rates * t), (heights * rates)[:, 0]
        >>> model = FunctionalMeanFieldRegressor(grid=t, random_state=0).fit(X[:60], y[:60])
        >>> model.score(X[60:], y[60:]) > 0.9
        True
    """

    automatic = Automatic(output_scale=3.0, patience=PATIENCE, proposal="pcnl")

    def predict(self, X: Any, grid: Any = None) -> np.ndarray:
        """(n,) or (n, C), in the units of the targets; `grid` (G,) is where a table's columns lie, if elsewhere."""
        return self._in_units(self.outputs(X, grid))


class FunctionalMeanFieldClassifier(OnCurves, MeanFieldClassifier):
    """Classes of curves, by a network whose weights are functions; see `FunctionalMeanFieldRegressor`.

    The loss is that of `MeanFieldClassifier`. temperature="loo" is 0.15 times the leave-one-out optimum, which goes by
    squares and was too hot for labels of a few dozen curves; output_scale="auto" is 10.

    Example:
        >>> t = np.linspace(0, 1, 60)
        >>> phases = np.random.default_rng(0).uniform(0, 2, size=(80, 1))
        >>> X, y = np.sin(4 * t + phases), np.where(phases[:, 0] < 1, "early", "late")
        >>> model = FunctionalMeanFieldClassifier(grid=t, random_state=0).fit(X[:60], y[:60])
        >>> model.score(X[60:], y[60:]) > 0.9
        True
    """

    automatic = Automatic(output_scale=10.0, temperature_multiplier=0.15, patience=PATIENCE, proposal="pcnl")

    def decision_function(self, X: Any, grid: Any = None) -> np.ndarray:
        """The network's outputs: (n,), positive for `classes_[1]`, or (n, C)."""
        return self.outputs(X, grid)

    def predict_proba(self, X: Any, grid: Any = None) -> np.ndarray:
        """(n, C), rows summing to one."""
        return probabilities(self.outputs(X, grid))

    def predict(self, X: Any, grid: Any = None) -> np.ndarray:
        """(n,) labels."""
        return self._labels(self.outputs(X, grid))
