"""Regression and classification of tables by a mean-field network."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval

from langevax import checks
from langevax.problems import losses
from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.column_maps import Table, weighted_moments
from langevax.sklearn.inspection import MeanFieldInspection
from langevax.sklearn.intervals import ClassSets, Intervals, class_scores, probabilities
from langevax.sklearn.parameters import FLAG, Auto, one_of
from langevax.sklearn.table import DistinctRows, LabelTargets, NumberTargets
from langevax.sklearn.training import TrainingTask


@dataclass(eq=False, repr=False)
class MeanFieldRegressor(NumberTargets, MeanFieldInspection, Intervals):
    """Least squares by a two-layer network in the mean-field limit, without early stopping or tuning.

    Minimises over laws q of neurons theta (Nitanda, Wu, Suzuki, AISTATS 2022)

        1/(2n) sum_i |E_q h(theta, x_i) - y_i|^2 + T KL(q || N(0, I / prior_precision)),
        h = R tanh(a) tanh(<w, x> + b)

    with columns and targets standardised. The problem is convex in q: `certificate()` bounds its
    global optimum from both sides. The temperature T does what early stopping does elsewhere.

    Args:
        solver: "path" follows the optimum while the temperature falls, by Newton's steps in the dual
            (`meanfield/network_path.py`); the last five networks of the path predict together. "mfld" (Langevin
            dynamics), "pda" and "psdca" train by steps at one temperature; docs/solvers.md compares them by
            measurement. All minimise the same objective, and one certificate serves all. "auto" is "path", and "mfld"
            where step size, steps, batches or `sharding` are passed, or rows are more than 20,000.
        num_particles: neurons N; the seed-to-seed spread of predictions falls like N^-1/2. A path adds more where its
            steps stay short.
        temperature: T, in units of the standardised targets' variance; "auto" chooses it as `validation` says.
        relative_step_size: of solvers by steps: in units of the inverse curvature, below 2, the limit up to which
            training is stable on every table; "auto" is 1.5, or 1 with batches.
        num_steps: of solvers by steps: at most so many; "auto" is 1000, or 10,000 with batches, of "mfld"; about as
            many passes over the table of the others, whose steps are rounds ("pda") or single rows ("psdca").
        batch_size: of "mfld": rows of one step, None for all; "auto" uses 512 where rows times neurons exceed 4 million.
        output_scale: R; "auto" is 10, or 30 where networks on folds are better for it. Towards 3 the network learns
            features more freely, towards 100 it becomes its kernel.
        prior_precision: inverse variance of each weight, for inputs scaled to unit norm.
        scaling: "columns" divides each column by its own deviation, "global" all columns by one, which suits pixels
            and is the only one that depends on the columns' units;
            "robust" first maps columns to bounded ones (`column_maps`), which suits heavy tails; "pieces" adds to each
            column of many values eight bounded ones, of the pieces between its quantiles, which suits jumps and bends;
            "auto" takes that of the best networks on folds, or where there are none, "columns" unless leave-one-out errors
            of the kernel limit, in closed form, are clearly better for another one.
            Other scalings are transformers of scikit-learn before this one.
        learn_scales: True multiplies columns by scales learned from the slopes of the kernel limit
            (`langevax.sklearn.learned_scales`), so that those on which the target depends count more; "auto" does where
            the networks of the folds are better for it.
        validation: "folds" follows the path of a network without each of 5 folds of the rows (of at most 2,000 of
            them), until losses on the rows left out have risen, and chooses the hottest temperature whose mean loss is
            within a quarter of a standard error of the least, or for classes half of one and at most that of their
            shares. What is left to choose of columns, output scale and linear part is compared so, and the intervals
            come from the same networks. None takes the leave-one-out optimum of the kernel limit (kernel ridge with
            alpha = n T). "auto" is "folds", or None where a temperature is passed.
        stop: of solvers by steps: "plateau" ends training once the dual vector no longer drifts, None after `num_steps`.
        linear_part: True trains the network on the residuals of a ridge regression, whose predictions are added; "auto"
            does where that regression predicts the rows left out of folds better than the network alone, and so do both
            together. A linear part goes on beyond the range of the rows.
        run: a `langevax.Run`: where the training is saved, whether a saved one goes on, and whether a progress line is
            shown; None is `Run()`. Another problem and other parameters are refused. A path saves nothing, and refuses
            a checkpoint. It is not part of a saved model.
        sharding: devices that share the particles, as `simulate` takes them: a mesh, such as
            `jax.make_mesh((4,), ("particles",))`, whose axis "rows" splits the rows if it has one; None: one device. The
            numbers are the same up to the order of sums. It is not part of a saved model.
        random_state: int or `numpy.random.RandomState`.

    Attributes:
        particles_: (N, size) at the end: (a, w, b), w on standardised columns over sqrt(number of columns).
        neuron_: of these particles; its scale is at least R, and larger where a neuron of a path needs it.
        clouds_: (clouds, N, size) late particles, which predict together.
        dual_: (n,) or (n, C), mean over the last networks, or the last half of the steps, of loss'(z_i): negative where
            the output is pulled up.
        history_: arrays over the networks of a path: "steps" (1, 2, ...), "temperature", "loss" and "particles"; by
            steps, over records: "steps", "loss", "particles" and "dual" (of distinct rows).
        temperature_, n_iter_: T, and networks on the path or steps made.
        solver_: the solver of the fit.
        converged_: whether the path reached T, and a search found no neurons that outweigh those of its end; or
            `stop` ended the steps.
        relative_step_size_: by steps: the one used.
        seconds_to_first_step_: by steps: seconds that went into tracing and compiling, or loading, the programs.
        leave_one_out_: penalties and errors of the kernel limit, which chose the temperature; None with folds, or where
            a temperature was passed.
        scaling_: the scaling chosen; `scaling_reason_` says it in a sentence, with the columns that count most.
        learned_scales_: `scales` (d,) of the columns, of mean square 1, and the ridge `penalties` at which they were
            learned; None where all columns count alike.
        linear_part_: the ridge regression that predictions have in them; None without. `outputs`, the dual vector and
            the certificate are of the network, on what it leaves.
        path_: of each temperature tried, by name: "output_scale", "temperature", the mean "loss" of the rows left out
            and its standard "error", the "excess" over the least and its "excess_error"; None without folds.
        temperature_reason_: why this temperature, in a sentence; None without folds.
        held_out_: the networks of the folds, which `predict_interval` needs.
        scores_: (n,) or (n, C) absolute errors on the rows left out, in deviations of the targets.
        held_out_scores_: on the rows left out: "loss" with "loss_error", "linear_loss" of ridge regression on the same
            folds, "r2" and "rmse"; of several outputs the mean "r2", and "rmse_0", "rmse_1", ... in the units of each.

    Warns:
        LinearModelWarning: ridge regression predicts the rows left out better by more than two standard errors.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = MeanFieldRegressor(num_particles=100, num_steps=100, random_state=0).fit(X[:300], y[:300])
        >>> 0.4 < model.score(X[300:], y[300:]) < 0.6
        True
    """

    _: KW_ONLY
    linear_part: bool | Auto = "auto"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        MeanFieldEstimator._parameter_constraints
        | {
            "linear_part": [*FLAG, *one_of("auto")],
        }
    )

    def staged_predict(self, X: Table) -> Iterator[np.ndarray]:
        """Yield the predictions of the particles at each of `history_["steps"]`."""
        line = self._line(self._columns(X))
        return (self._in_units(z + line) for z in self.staged_outputs(X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _linear_option(self) -> bool | Auto:
        closed_form = self.automatic_.closed_form and self.linear_part == "auto"
        return False if closed_form else self.linear_part

    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        self.single_column_ = y.ndim == 2 and y.shape[1] == 1
        return y[:, 0] if self.single_column_ else y

    def _scores(self, z: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.abs(targets - z)

    def _residuals(self, z: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return self._in_units(targets) - self._in_units(z)

    def _held_out_scores(
        self,
        z: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
    ) -> dict[str, float]:
        square = np.average((targets - z) ** 2, axis=0, weights=weights)
        variance = weighted_moments(targets, weights)[1] ** 2
        r2 = (
            np.mean(
                1 - square / np.where(variance > 0, variance, 1.0), where=variance > 0
            )
            if np.any(variance)
            else 0.0
        )
        rmse = self.target_scale_ * np.sqrt(square)
        if targets.ndim == 1:
            return {"r2": float(r2), "rmse": float(rmse)}
        return {"r2": float(r2)} | {
            f"rmse_{k}": float(error) for k, error in enumerate(rmse)
        }

    def _task(self, targets: np.ndarray, weights: np.ndarray) -> TrainingTask:
        self.target_mean_: np.ndarray
        self.target_mean_, deviation = weighted_moments(targets, weights)
        self.target_scale_: np.ndarray = np.where(deviation > 0, deviation, 1.0)
        standardised = (targets - self.target_mean_) / self.target_scale_
        neuron = self._make_neuron(None if targets.ndim == 1 else targets.shape[1])
        regressands = standardised.reshape(len(targets), -1)
        return TrainingTask(
            neuron, losses.squared, standardised.astype(np.float32), regressands, None
        )


@dataclass(eq=False, repr=False)
class MeanFieldClassifier(ClassSets, LabelTargets, MeanFieldInspection):
    """Classification by a two-layer network in the mean-field limit, without early stopping or tuning.

    Minimises over laws q of neurons theta (Nitanda, Wu, Suzuki, AISTATS 2022)

        1/n sum_i loss(E_q h(theta, x_i), y_i) + T KL(q || N(0, I / prior_precision)),
        h = R tanh(a) tanh(<w, x> + b)

    with the logistic loss for two classes and softmax, one weight `a` per class, for more.

    Args:
        solver, num_particles, temperature, relative_step_size, num_steps, batch_size, output_scale,
            prior_precision, scaling, learn_scales, validation, stop, run, sharding,
            random_state: see `MeanFieldRegressor`.
        class_weight: "balanced" gives all classes the same weight in the loss; {label: weight} multiplies the weights
            of rows, which still count as so many rows as before where one is left out. Probabilities are then those of
            a population with these weights: a class of 1 % may have .3 on average.
        threshold: of two classes, the probability of `classes_[1]` from which it is predicted: with costs of a false
            alarm and of a miss, alarm / (alarm + miss); "balanced" is that of the best balanced accuracy on the rows
            left out of folds. Probabilities stay as they are.

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.
        threshold_: the threshold in use.
        held_out_scores_: on the rows left out of folds: "loss" (log loss) with "loss_error", "linear_loss" of logistic
            regression, "base_loss" of the classes' shares, "accuracy".
        particles_, dual_, history_, temperature_, n_iter_, converged_, path_ and the others: see
            `MeanFieldRegressor`.

    Raises:
        ValueError: one class only, a weight of a label that there is not, a balanced threshold without folds.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = MeanFieldClassifier(num_particles=100, num_steps=100, random_state=0).fit(X[:400], y[:400])
        >>> model.score(X[400:], y[400:]) > 0.95
        True
    """

    _: KW_ONLY
    class_weight: Mapping[Any, float] | Literal["balanced"] | None = None
    threshold: float | Literal["balanced"] = 0.5

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = (
        MeanFieldEstimator._parameter_constraints
        | {
            "class_weight": [*one_of("balanced"), Mapping, None],
            "threshold": [Interval(Real, 0, 1, closed="neither"), *one_of("balanced")],
        }
    )

    def decision_function(self, X: Table) -> np.ndarray:
        """Return the network's outputs: (n,), positive for `classes_[1]`, or (n, C)."""
        return self.outputs(X)

    def staged_predict_proba(self, X: Table) -> Iterator[np.ndarray]:
        """Yield the probabilities by the particles at each of `history_["steps"]`."""
        return map(probabilities, self.staged_outputs(X))

    def staged_predict(self, X: Table) -> Iterator[np.ndarray]:
        """Yield the labels by the particles at each of `history_["steps"]`."""
        return map(self._labels, self.staged_outputs(X))

    def _training_rows(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None = None,
    ) -> DistinctRows:
        rows = super()._training_rows(X, y, sample_weight, groups)
        if self.class_weight is None:
            return rows
        labels = rows.targets.astype(int)
        weights = self.class_weight
        if isinstance(weights, str):
            totals = np.bincount(labels, rows.weights)
            factors = totals.sum() / (len(totals) * totals)
            if factors.max() > 2:
                rarest = int(factors.argmax())
                share = totals[rarest] / totals.sum()
                warnings.warn(
                    "class_weight='balanced' moves probabilities: they are those of "
                    "classes that are alike frequent, not of these rows, of which "
                    f"{share:.2g} are {self.classes_[rarest]!r}; leave class_weight "
                    "out, and pass threshold='balanced' to call the rare class more "
                    "often.",
                    stacklevel=3,
                )
        else:
            if unknown := [label for label in weights if label not in self.classes_]:
                raise ValueError(
                    f"class_weight names {unknown[0]!r}, which y does not hold; name "
                    "labels of y."
                )
            factors = np.array(
                [float(weights.get(label, 1.0)) for label in self.classes_.tolist()]
            )
            checks.number("class_weight", factors, positive=True)
            factors = factors / max(
                1.0, factors.min()
            )  # all rows twenty times are the rows
        return replace(
            rows, weights=rows.weights * factors[labels], multiplicities=rows.copies
        )

    def _scores(self, z: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return class_scores(z)[np.arange(len(z)), places_of(targets)]

    _residuals = _scores

    def _held_out_scores(
        self,
        z: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
    ) -> dict[str, float]:
        labels = places_of(targets)
        assert self.held_out_ is not None
        self.held_out_ = self.held_out_._replace(labels=labels)
        p = probabilities(z)
        shares = np.bincount(labels, weights, len(self.classes_)) / weights.sum()
        present = shares[shares > 0]
        if self.threshold == "balanced":
            self.threshold_ = balanced_threshold(p[:, 1], labels, weights)
        return {
            "base_loss": float(-np.sum(present * np.log(present))),
            "accuracy": float(np.average(p.argmax(1) == labels, weights=weights)),
        }

    def _task(self, targets: np.ndarray, weights: np.ndarray) -> TrainingTask:
        labels = targets.astype(np.int32)
        if self.threshold != 0.5 and len(self.classes_) > 2:
            raise ValueError(
                f"threshold={self.threshold!r} is for two classes, and y has "
                f"{len(self.classes_)}."
            )
        if self.threshold == "balanced" and not self._search():
            raise ValueError(
                "threshold='balanced' is chosen on folds; fit with validation='folds'."
            )
        self.threshold_: float = (
            0.5 if isinstance(self.threshold, str) else float(self.threshold)
        )
        if len(self.classes_) == 2:
            signs = 2.0 * labels - 1
            return TrainingTask(
                self._make_neuron(None),
                losses.logistic,
                signs.astype(np.float32),
                signs[:, None],
                labels,
                0.25,
            )
        one_hot = np.eye(len(self.classes_))[labels]
        centred = one_hot - np.average(one_hot, axis=0, weights=weights)
        return TrainingTask(
            self._make_neuron(len(self.classes_)),
            losses.softmax,
            labels,
            centred,
            labels,
            1.0,
        )


def places_of(targets: np.ndarray) -> np.ndarray:
    """Return (n,) places of the classes among `classes_`, of the loss's targets: signs or places."""
    return (targets > 0).astype(int) if targets.dtype.kind == "f" else targets


def balanced_threshold(p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the probability of class 1 above which calling it gives the best mean of both classes' shares of hits.

    Example:
        >>> balanced_threshold(np.array([0.125, 0.25, 0.5, 0.75]), np.array([0, 0, 1, 1]), np.ones(4))
        0.375
    """
    order = np.argsort(p)
    p = p[order]
    of_classes = np.bincount(labels, weights)
    shares = np.where(labels == 1, -weights, weights) / of_classes[labels]
    shares = shares[order]
    gains = np.where(np.append(np.diff(p) > 0, False), np.cumsum(shares), -np.inf)
    best = int(np.argmax(gains))
    return float((p[best] + p[best + 1]) / 2) if np.isfinite(gains[best]) else 0.5
