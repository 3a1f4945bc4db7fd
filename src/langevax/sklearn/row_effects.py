"""Effects of single rows of training on predictions, and predictions without rows, from one training.

In closed form (`langevax.meanfield.response`): a network at its optimum responds to the weights of its rows by one
product of matrices. Columns, output scale and linear part are taken as given, and the temperature in
loss_1 + ... + loss_n + n T KL, where rows leave the sum and n T stays.
"""

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from langevax import checks
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.homotopy import derivatives
from langevax.meanfield.response import LawSample, Response
from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.column_maps import Table
from langevax.sklearn.intervals import Scored
from langevax.sklearn.network_outputs import activations, outputs
from langevax.sklearn.training import Network, root_key
from langevax.trees import in_double

PARTICLES_A_PARAMETER = 4
"""Of fewer, their covariance has too few directions even for what is corrected."""
FAR = 0.5
"""Variance of the log ratio of two laws beyond which a linear response is not trusted."""
MOST_NUMBERS = 2**27
"""Of the particles' outputs at rows that are held at once, 1 GB."""


class LeftOut(NamedTuple):
    """Each row of training as the network predicts it without it; without its group, where the fit had groups."""

    predictions: np.ndarray
    """(n,) or (n, C) in the units of the targets; for classes (n, C) probabilities. NaN for rows of weight 0."""
    residuals: np.ndarray
    """Target less prediction; for classes (n,) one less the probability of the row's own."""
    leverages: np.ndarray
    """(n,) in [0, 1) for one output: by how much the output at a row follows a small change of its target."""
    changes: np.ndarray
    """(n,) root mean square over the rows of training of the change of `outputs` without the row."""
    effective_parameters: float
    """Sum of the leverages: about so many parameters does the network spend on these rows."""
    unsure: np.ndarray
    """(n,) booleans: rows whose removal changes the network too much for a linear response."""
    reason: str
    """Why, in a sentence."""


class RowEffects(MeanFieldEstimator):
    """Leave-one-out, influence and removal of training rows, of a network that solver="path" fitted."""

    def leave_one_out(self) -> LeftOut:
        """Return what each row of training is predicted to be without it, or without its group, with no further training.

        Raises:
            ValueError: a fit by steps, which is not at its optimum; more rows than are held at once.
            AttributeError: a model that was loaded, which has no training rows; `attach_rows` returns them.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X, y = load_diabetes(return_X_y=True)
            >>> model = MeanFieldRegressor(temperature=0.2, random_state=0).fit(X, y)
            >>> left_out = model.leave_one_out()
            >>> bool(np.abs(left_out.residuals).mean() > np.abs(y - model.predict(X)).mean()), int(left_out.unsure.sum())
            (True, 0)
        """
        rows = self.row_response()
        far = rows.far(rows.of_parts)[rows.part]
        reason = rows.doubt()
        if reason:
            far[:] = True
        elif far.any():
            reason = (
                f"{self._passed(far).sum()} rows hold the network so much that it is "
                "too different without them; refit without a row by without(row).refit()"
            )
        line = self._line(self.row_columns_)
        z = rows.left_out() + line
        targets = rows.network.task.targets
        if self.linear_part_ is not None:
            targets = targets + line
        return LeftOut(
            self._passed(self._in_units(z)),
            self._passed(self._residuals(z, targets)),
            self._passed(rows.leverages),
            self._passed(rows.response.sizes(rows.of_parts)[rows.part]),
            float(rows.leverages.sum()),
            self._passed(far),
            reason,
        )

    def influence(self, X: Table, *, of_outputs: bool = False) -> np.ndarray:
        """Return (m, n) or (m, n, C): by how much each prediction changes without each row of training.

        Predictions are in the units of the targets; of classes they are the probabilities of `predict_proba`.

        Args:
            X: (m, d) as for `predict`.
            of_outputs: whether changes are those of `outputs(X)`, which for classes are on the scale of logits.

        Raises:
            ValueError, AttributeError: as in `leave_one_out`, whose `unsure` says which rows not to trust.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X, y = load_diabetes(return_X_y=True)
            >>> model = MeanFieldRegressor(temperature=0.2, random_state=0).fit(X, y)
            >>> influence = model.influence(X[:2])
            >>> strongest = np.abs(influence[0]).argmax()  # without this row the first prediction changes most
            >>> influence.shape
            (2, 442)
        """
        rows = self.row_response()
        columns = self._columns(X)
        z = self._outputs(columns) + self._line(columns)
        changes = rows.changes(self.standardiser_(columns), rows.of_each())
        if not of_outputs:
            before = self._in_units(z)
            changes = np.stack([self._in_units(z + one) - before for one in changes])
        return self._passed(np.moveaxis(changes, 0, 1), axis=1)

    def without(self, rows: Sequence[int] | np.ndarray) -> "Without":
        """Return the network without rows of training: its predictions at once, and a refit where it is asked for.

        Args:
            rows: places of rows as they were passed to `fit`, or (n,) booleans.

        Raises:
            ValueError: places that there are not; or as in `leave_one_out`.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X, y = load_diabetes(return_X_y=True)
            >>> model = MeanFieldRegressor(temperature=0.2, random_state=0).fit(X, y)
            >>> changed = model.without([0, 1, 2]).predict(X) - model.predict(X)
        """
        self.row_response()
        number = len(self.row_places_)
        places = np.asarray(rows)
        if places.dtype == bool and places.shape == (number,):
            places = np.flatnonzero(places)
        whole = places.dtype.kind in "iu" and places.ndim == 1 and places.size > 0
        if not whole or places.min() < 0 or places.max() >= number:
            raise ValueError(
                f"rows must be places from 0 to {number - 1} of rows that fit received, "
                f"or {number} booleans, got {checks.shown(rows)}; pass at least one."
            )
        return Without(self, np.unique(places))

    def row_response(self) -> "RowResponse":
        """Return the response to the distinct rows, computed once a fit."""
        network = self._fitted_network()
        if self.solver_ != "path":
            raise ValueError(
                "the effects of rows are those of a network at its optimum, and "
                f"solver={self.solver_!r} ends before; fit with solver='path'."
            )
        held = vars(self).get("_row_response")
        if held is None or held.network is not network:
            self._row_response = held = RowResponse(self, network)
        return held

    def _scored_by_response(self) -> Scored:
        rows = self.row_response()
        if reason := rows.doubt():
            raise ValueError(
                "method='jackknife+' needs predictions without each row, but "
                f"{reason}; pass method='cv+'."
            )
        targets = rows.network.task.targets

        def left_out(columns: np.ndarray) -> np.ndarray:
            changes = rows.changes(self.standardiser_(columns), rows.of_parts)
            return changes + self._outputs(columns) + self._line(columns)

        return Scored(
            self._scores(rows.left_out(), targets),
            rows.network.weights,
            rows.part,
            rows.network.task.labels,
            left_out,
        )

    @abstractmethod
    def _residuals(self, z: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return by how much the targets of the loss are off outputs."""

    def _passed(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Return what distinct rows have at the rows passed: NaN, or False, at those of weight 0."""
        absent = np.zeros_like(values.take([0], axis))
        if absent.dtype.kind == "f":
            absent += np.nan
        return np.append(values, absent, axis).take(self.row_places_, axis)


class RowResponse:
    """The response of a fitted network to its distinct rows."""

    def __init__(self, model: RowEffects, network: Network):
        self.network = network
        self.neuron = model.neuron_
        self.temperature = model.temperature_
        self.particles = model.particles_
        self.converged: bool = model.converged_
        clouds = model.clouds_.reshape(-1, model.clouds_.shape[-1])
        self.outputs: np.ndarray = outputs(self.neuron, clouds, network.inputs)
        """(n,) or (n, C), of the network."""
        n = len(network.inputs)
        self.rows: float = float(network.weights.sum())
        self.weights: np.ndarray = in_double(network.weights) / self.rows
        used = model.row_places_ >= 0
        self.copies: np.ndarray = np.bincount(model.row_places_[used], minlength=n)
        """Rows passed to `fit` that each is."""
        targets = network.task.targets
        with jax.enable_x64():
            gradients, curvatures = derivatives(
                network.task.loss,
                in_double(self.outputs),
                in_double(targets) if targets.dtype.kind == "f" else targets,
            )
        law = GibbsLaw.of(network.exact().risk(1.0), 1.0)
        tilt = law.tilt(jnp.asarray(gradients, law.dtype), self.temperature)
        features = self._features(network.inputs)
        self.slopes, self.spreads = law.factors(features @ np.asarray(tilt))
        self.response = Response.of(
            self._root(network.inputs),
            in_double(gradients).reshape(n, -1),
            in_double(curvatures),
            self.weights,
        )
        self.leverages = self.response.leverages
        groups = np.arange(n) if model.row_groups_ is None else model.row_groups_
        self.part: np.ndarray = np.unique(groups, return_inverse=True)[1]
        """(n,) place of the part of the rows that each leaves with: itself, or its group."""

    def of_each(self) -> np.ndarray:
        """Return (rank, n) shifts where one copy of each row leaves."""
        return self.response.shifts(self.weights / self.copies)

    @cached_property
    def of_parts(self) -> np.ndarray:
        """(rank, parts) shifts where each part leaves."""
        if len(self.part) == self.part.max() + 1:
            return self.of_each()
        parts = [np.flatnonzero(self.part == k) for k in range(self.part.max() + 1)]
        removed = [self.response.shift(part, self.weights[part]) for part in parts]
        return np.stack(removed, axis=1)

    def of_rows(self, places: np.ndarray) -> np.ndarray:
        """Return (rank, 1) the shift where these rows leave together, each as often as it is named."""
        distinct, counts = np.unique(places, return_counts=True)
        removed = counts * (self.weights / self.copies)[distinct]
        return self.response.shift(distinct, removed)[:, None]

    def changes(self, inputs: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Return (k, m) or (k, m, C): changes of the outputs at standardised inputs by each of the shifts."""
        half = self.response.halved(self._root(inputs))
        return self._shaped(self.response.changes(half, shifts))

    def left_out(self) -> np.ndarray:
        """Return (n,) or (n, C): the output at each row without it, or without its group."""
        along = self.of_parts[:, self.part]
        own = np.einsum("pi,pic->ic", along, self.response.half)
        return self.outputs + self._shaped(own)

    def far(self, shifts: np.ndarray) -> np.ndarray:
        """Return which shifts move the law farther than is linear."""
        return np.sum(shifts**2, axis=0) > FAR * self.temperature

    def doubt(self) -> str:
        """Return why no linear response can be trusted here, or an empty text."""
        parameters = float(self.leverages.sum())
        size = len(self.particles)
        if not self.converged:
            return "the network is not at its optimum, as the warning of its fit says"
        if parameters > self.rows / 2:
            return (
                f"the network spends {parameters:.3g} effective parameters on "
                f"{self.rows:.6g} rows, more than one for two of them"
            )
        if parameters * PARTICLES_A_PARAMETER > size:
            least = 100 * math.ceil(parameters * PARTICLES_A_PARAMETER / 100 + 1)
            return (
                f"{size} neurons are too few for {parameters:.3g} effective "
                f"parameters; fit with num_particles={least}"
            )
        return ""

    def _features(self, inputs: np.ndarray) -> np.ndarray:
        return activations(self.neuron.num_outputs or 1, self.particles, inputs)

    def _root(self, inputs: np.ndarray) -> np.ndarray:
        numbers = self.slopes.size * len(inputs) * self.slopes.shape[1]
        if numbers > MOST_NUMBERS:
            raise ValueError(
                f"{len(inputs):,} rows times {len(self.slopes):,} neurons of "
                f"{self.slopes.shape[1]} outputs are more than are held at once; ask "
                "for fewer rows, or fit fewer of them."
            )
        cloud = LawSample(self._features(inputs), self.slopes, self.spreads)
        return cloud.root(self.temperature)

    def _shaped(self, z: np.ndarray) -> np.ndarray:
        return z[..., 0] if self.neuron.num_outputs is None else z


class Without:
    """A network without some rows of its training: predictions in closed form, and a refit.

    Attributes:
        trustworthy: whether the response is linear enough; `reason` says why not.
    """

    def __init__(self, model: RowEffects, rows: np.ndarray):
        self._effects = effects = model.row_response()
        places = model.row_places_[rows]
        self._model = model
        self._rows = rows
        self._places: np.ndarray = places[places >= 0]
        self._shift = effects.of_rows(self._places)
        self.reason: str = effects.doubt()
        if not self.reason and effects.far(self._shift)[0]:
            self.reason = "without these rows the network is too different"
        self.trustworthy: bool = not self.reason

    def predict(self, X: Table) -> np.ndarray:
        """Return what the network without the rows predicts; for classes (m, C) probabilities."""
        model = self._model
        columns = model._columns(X)
        z = model._outputs(columns) + model._line(columns)
        inputs = model.standardiser_(columns)
        return model._in_units(z + self._effects.changes(inputs, self._shift)[0])

    def refit(self) -> Any:
        """Return a model trained without the rows, with the columns, scale, linear part and n T of this one."""
        effects = self._effects
        gone = np.bincount(self._places, minlength=len(effects.copies))
        weights = effects.network.weights * (1 - gone / effects.copies)
        stays = weights > 0
        if stays.sum() < 2:
            raise ValueError("rows leave fewer than two rows of training; name fewer.")
        network = effects.network.subset(np.flatnonzero(stays))
        network = replace(network, weights=weights[stays])
        model = copy.copy(self._model)
        places = np.append(np.where(stays, np.cumsum(stays) - 1, -1), -1)
        model.row_places_ = places[model.row_places_]
        model.row_places_[self._rows] = -1
        model.network_ = network
        model.row_columns_ = model.row_columns_[stays]
        if model.row_groups_ is not None:
            model.row_groups_ = model.row_groups_[stays]
        for name in ("data_sha256_", "_row_response"):
            vars(model).pop(name, None)
        model.held_out_ = model.scores_ = model.path_ = model.temperature_reason_ = None
        model.held_out_scores_ = {}
        model.temperature_ *= effects.rows / float(network.weights.sum())
        model._follow_path(network, model.temperature_, root_key(model._seed()))
        return model
