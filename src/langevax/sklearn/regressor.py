"""Regression by a mean-field network."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from langevax.problems import losses
from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.inspection import Inspection
from langevax.sklearn.table import Table, weighted_moments
from langevax.sklearn.training import Task


class MeanFieldRegressor(RegressorMixin, Inspection, MeanFieldEstimator):
    """Least squares by a two-layer network in the mean-field limit, without early stopping or tuning.

    Minimises over laws q of neurons theta, by Langevin dynamics on `num_particles` of them
    (Nitanda, Wu, Suzuki, AISTATS 2022),

        1/(2n) sum_i |E_q h(theta, x_i) - y_i|^2 + T KL(q || N(0, prior_variance I)),    h = R tanh(a) tanh(<w, x> + b)

    with columns and targets standardised. The problem is convex in q: `certificate()` says how far the fit is
    from its global optimum. The noise of temperature T does what early stopping does elsewhere.

    Args:
        solver: "mfld", "svrg-mfld", "underdamped", "pda", "psdca" or "fictitious-play": all minimise the same
            objective, and one certificate serves all. docs/solvers.md says by measurement when which is better.
        num_particles: neurons N; the seed-to-seed spread of predictions falls like N^-1/2.
        temperature: T, in units of the standardised targets' variance; "loo" takes the leave-one-out optimum of
            the kernel limit (kernel ridge with alpha = n T), known in closed form.
        step_size: in units of the inverse curvature, below 2; "auto" is 1.5, or 1 with batches.
        num_steps: at most so many; "auto" is 1000, or 10,000 with batches, of "mfld"; about as many passes over
            the table of the others, whose steps are rounds ("pda", "fictitious-play") or single rows ("psdca").
        batch_size: rows of one step, None for all; "auto" takes 512 where rows times neurons exceed 4 million.
        neuron: "tanh-tanh", or "tanh": h = R tanh(<w, x> + b), one output.
        output_scale: R. Towards 3 the network learns features more freely, towards 100 it becomes its kernel.
        prior_variance: of each weight, for inputs scaled to unit norm.
        scaling: columns by their own deviation, or by one for all ("global", for pixels); "loo" takes whichever
            predicts left-out rows better.
        validation: "path" chooses temperature and output scale (the one given, or three times that) by 3-fold
            cross-validation instead, on paths from hot to cold.
        stop_at_plateau: end once the dual vector no longer drifts.
        warm_start: go on from the last fit's particles.
        checkpoint: directory where the run is saved and from where an interrupted one goes on.
        devices: how many of JAX's devices share the particles, those of other processes among them
            (`langevax.run.process_group`); or {"particles": 2, "rows": 2}, where each has half of both; None: one. The
            numbers are the same up to the order of sums.
        progress: show a progress line; None shows it on a terminal after a second.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        particles_: (N, size) at the end: (a, w, b), w on standardised columns over sqrt(number of columns).
        dual_: (n,) or (n, C), mean over the last half of loss'(z_i): negative where the output is pulled up.
        history_: arrays over records: "steps", "particles", "dual" (of distinct rows), "loss".
        temperature_, n_iter_, converged_: T, steps made, and whether the plateau ended them.
        seconds_to_first_step_: what of the fit went into tracing and compiling, or loading, the training's programs.
        leave_one_out_: penalties and errors the temperature was chosen by.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = MeanFieldRegressor(num_particles=100, num_steps=100, random_state=0).fit(X[:300], y[:300])
        >>> 0.4 < model.score(X[300:], y[300:]) < 0.6
        True
    """

    def predict(self, X: Table) -> np.ndarray:
        """(n,) or (n, C), in the units of the targets."""
        return self._in_units(self.outputs(X))

    def staged_predict(self, X: Table) -> Iterator[np.ndarray]:
        """Predictions of the cloud at each step of `history_["steps"]`."""
        return map(self._in_units, self.staged_outputs(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _in_units(self, z: np.ndarray) -> np.ndarray:
        predictions = self.target_mean_ + self.target_scale_ * z
        return predictions[:, None] if self._column and predictions.ndim == 1 else predictions

    def _validated(self, X: Table, y: Any) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        return X, np.asarray(y, np.float64)

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        self._column = y.ndim == 2 and y.shape[1] == 1
        return y[:, 0] if self._column else y

    def _task(self, targets: np.ndarray, weights: np.ndarray) -> Task:
        self.target_mean_, deviation = weighted_moments(targets, weights)
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        standardised = (targets - self.target_mean_) / self.target_scale_
        num_outputs = None if targets.ndim == 1 else targets.shape[1]
        regressands = standardised.reshape(len(targets), -1)
        return Task(self._make_neuron(num_outputs), losses.squared, standardised.astype(np.float32), regressands, None)

    def _target_header(self) -> dict[str, Any]:
        mean, scale = np.asarray(self.target_mean_).tolist(), np.asarray(self.target_scale_).tolist()
        return {"mean": mean, "scale": scale, "column": self._column}

    def _restore_targets(self, header: dict[str, Any]) -> None:
        self.target_mean_, self.target_scale_ = np.array(header["mean"]), np.array(header["scale"])
        self._column = header["column"]
