"""The mean-field estimators' parameters, their fit, and the outputs of the fitted network."""

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

import numpy as np
from jax import random
from jax.sharding import Mesh, NamedSharding
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from langevax._typing import PRNGKey
from langevax.meanfield.kernel_limit import LeaveOneOut
from langevax.meanfield.mfld import stop_at_plateau
from langevax.problems.neurons import TanhTanh
from langevax.run.options import Run, check_unsaved
from langevax.run.progress import report_to
from langevax.sklearn.column_maps import SCALINGS, Pieces, Scaling, Standardiser, Table
from langevax.sklearn.fold_choice import Choice, LinearModelWarning
from langevax.sklearn.fold_paths import (
    FOLD_PARTICLES,
    FoldSearch,
    SplitRows,
    best_search,
)
from langevax.sklearn.intervals import NetworkPredictions
from langevax.sklearn.learned_scales import LearnedScales, PreparedColumns
from langevax.sklearn.model_selection import (
    column_candidates,
    kernel_errors,
    kernel_problem,
)
from langevax.sklearn.network_outputs import LinearPart, outputs
from langevax.sklearn.parameters import (
    FLAG,
    SHARED,
    Auto,
    Number,
    RandomState,
    count,
    one_of,
    positive,
    run_of,
)
from langevax.sklearn.path_fit import follow_path
from langevax.sklearn.saved import saved_class
from langevax.sklearn.solvers import (
    BATCH_SHARE,
    FULL_BATCH,
    SOLVERS,
    Schedule,
)
from langevax.sklearn.table import SCALING_PHRASES, DistinctRows, RowEstimator, row_span
from langevax.sklearn.training import (
    Network,
    TrainingTask,
    late_clouds,
    root_key,
    train,
    whole_neurons,
    wide_enough,
)

Validation = Literal["folds"]
Stop = Literal["plateau"]
LARGER_SCALE = 3.0
"""Of outputs, in units of the automatic one, which is compared on folds."""
FEWEST_PARTICLES = 16
"""Of fewer, the weights of a path leave too few effective to say how far a step may go."""
MOST_PATH_ROWS = 20_000
"""Up to which all rows are kept together for the path; larger tables are visited in batches."""


class Trial(NamedTuple):
    """A training problem with the temperature chosen for it."""

    columns: PreparedColumns
    network: Network
    temperature: float
    choice: Choice | None
    """By which the temperature was chosen, unless it was passed."""
    linear: LinearPart | None
    """On whose residuals the network is trained."""


@saved_class
class Automatic(NamedTuple):
    """Values of "auto" for one kind of columns; by default those of a table."""

    output_scale: float = 10.0
    temperature_multiplier: float | None = None
    """Of the leave-one-out optimum; None: the mean curvature of the loss."""
    scaling: Scaling | None = None
    """None: chosen by leave-one-out errors."""
    closed_form: bool = False
    """Whether networks of folds, learned scales and a linear part are left out."""


@dataclass(eq=False, repr=False)
class MeanFieldEstimator(RowEstimator, NetworkPredictions):
    """A network of many neurons, trained by mean-field Langevin dynamics; see the regressor and the classifier."""

    solver: str = "auto"
    _: KW_ONLY
    num_particles: int = 500
    temperature: float | Auto = "auto"
    relative_step_size: float | Auto = "auto"
    num_steps: int | Auto = "auto"
    batch_size: int | Auto | None = "auto"
    output_scale: float | Auto = "auto"
    prior_precision: float = 1.0
    scaling: Scaling | Auto = "auto"
    learn_scales: bool | Auto = "auto"
    validation: Validation | Auto | None = "auto"
    stop: Stop | None = "plateau"
    run: Run | None = None
    sharding: Mesh | NamedSharding | None = None
    random_state: RandomState = None

    automatic_ = Automatic()
    """Set by estimators with an encoder, whose columns are of another kind."""
    relative_weights: ClassVar[bool] = True
    unsaved_attributes: ClassVar[tuple[str, ...]] = (
        "network_",
        "row_places_",
        "row_groups_",
        "row_columns_",
        "history_",
        "dual_",
        "path_",
        "leave_one_out_",
        "seconds_to_first_step_",
    )
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "solver": one_of("auto", "path", *SOLVERS),
        "num_particles": count(FEWEST_PARTICLES),
        "temperature": positive("auto"),
        "relative_step_size": [Number(Real, 0, 2, closed="neither"), *one_of("auto")],
        "num_steps": count(1, "auto"),
        "batch_size": [*count(1, "auto"), None],
        "output_scale": positive("auto"),
        "prior_precision": positive(),
        "scaling": one_of("auto", *SCALINGS),
        "learn_scales": [*FLAG, *one_of("auto")],
        "validation": [*one_of("auto", *get_args(Validation)), None],
        "stop": [*one_of(*get_args(Stop)), None],
        "sharding": [Mesh, NamedSharding, None],
        **SHARED,
    }

    def fit(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Choose the temperature and train.

        Args:
            X: (n, d) numbers, at least two rows; NumPy, pandas or polars.
            y: (n,), or (n, C) for several outputs of a regression.
            sample_weight: (n,) >= 0; a row of weight 2 counts as two rows. Weights that are not all whole numbers are
                relative; so are those of 20 distinct rows or more with a common divisor: a table twice is the table.
            groups: (n,) the patient, batch or site of each row, whose rows are alike beyond what `X` says. Rows of a
                group are left out together, so that temperature, scaling and intervals are those of new groups.

        Warns:
            ConvergenceWarning: the path does not reach the temperature, or a search finds neurons that outweigh its own.

        Raises:
            ValueError, TypeError: not numbers, NaN or infinity, fewer than two rows, a parameter out of range.
            CheckpointError: the checkpoint of `run` is of another fit, or holds one and its `resume` is False.
        """
        self._validate_params()
        rows = self._training_rows(X, y, sample_weight, groups)
        self.solver_: str = self._solver_name(len(rows.inputs))
        task = self._task(rows.targets, rows.weights)
        choice_key, path_key, run_key = random.split(root_key(self._seed()), 3)
        run = run_of(self.run)
        if self.solver_ == "path":
            check_unsaved(run, "solver='path', which takes seconds,")
        self.leave_one_out_: LeaveOneOut | None = None
        with report_to(run.progress) as report:
            trial = self._best_trial(rows, task, choice_key, path_key, report)
        columns, network, temperature, choice, self.linear_part_ = trial
        self.scaling_ = columns.scaling
        self.learned_scales_: LearnedScales | None = columns.learned
        self.standardiser_ = columns.standardiser
        self.scaling_reason_: str = self.scaling_sentence()
        self.temperature_: float = float(temperature)
        self._keep_rows(network, rows)
        self.output_scale_: float = float(network.task.neuron.scale)
        self._record_choice(choice, task)
        if self.solver_ == "path":
            self._follow_path(network, self.temperature_, run_key)
        else:
            self._train(network, self.temperature_, run_key)
        return self

    def _keep_rows(self, network: Network, rows: DistinctRows) -> None:
        """Set what is asked of the rows of training later; it is not part of a saved model."""
        self.network_: Network = network
        self.row_places_: np.ndarray = rows.places
        self.row_groups_: np.ndarray | None = rows.groups
        self.row_columns_: np.ndarray = rows.inputs

    def _follow_path(self, network: Network, temperature: float, key: PRNGKey) -> None:
        """Set the fitted attributes of the networks along a path down to the temperature."""
        with report_to(run_of(self.run).progress) as report:
            followed = follow_path(
                network, temperature, int(self.num_particles), key, report
            )
        neuron = wide_enough(network.task.neuron, followed.positions)
        self.neuron_ = neuron
        particles = whole_neurons(neuron, followed.positions)
        self.clouds_ = particles[-followed.num_last :].copy()
        self.particles_: np.ndarray = particles[-1].copy()
        self.history_: dict[str, Any] = followed.history | {"particles": particles}
        self.dual_: np.ndarray = self._of_rows(followed.dual)
        self.n_iter_: int = len(particles)
        self.converged_: bool = not followed.shortfall
        if followed.shortfall:
            warnings.warn(
                f"{followed.shortfall}; pass more particles, "
                f"num_particles={4 * int(self.num_particles)}, or a larger "
                "output_scale or temperature.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _train(self, network: Network, temperature: float, key: PRNGKey) -> None:
        """Set the fitted attributes of a run of the solver; particles are rotated back to the standardised columns.

        Averages are over the last half of the records.
        """
        schedule = self._schedule(len(network.inputs))
        risk = network.risk(temperature)
        num_particles = int(self.num_particles)
        antithetic = SOLVERS[schedule.solver].antithetic
        result = train(
            risk,
            temperature,
            schedule,
            risk.prior(temperature, num_particles, antithetic),
            key,
            stop=None if self.stop is None else stop_at_plateau,
            record_size=num_particles * network.inputs.shape[1],
            run=run_of(self.run),
            sharding=self.sharding,
        )
        values = result.positions
        assert result.trace is not None
        particles = network.rotated(values["particles"], back=True)
        duals = np.asarray(values["dual"])[:, : len(network.inputs)]
        self.neuron_ = network.task.neuron
        self.clouds_ = late_clouds(particles).copy()
        self.particles_ = particles[-1].copy()
        self.history_ = {
            "steps": result.trace.steps,
            "particles": particles,
            "dual": duals,
            "loss": np.asarray(values["loss"]),
        }
        self.dual_ = self._of_rows(duals[len(duals) // 2 :].mean(0))
        self.n_iter_ = int(result.steps)
        self.seconds_to_first_step_: float = result.seconds_to_first_step
        self.relative_step_size_: float = schedule.relative_step_size
        self.converged_ = self.n_iter_ < schedule.num_steps

    def _of_rows(self, dual: np.ndarray) -> np.ndarray:
        """Return the dual vector of the rows passed, 0 at those of weight 0, from that of distinct rows."""
        return np.append(dual, np.zeros_like(dual[:1]), axis=0)[self.row_places_]

    def _best_trial(
        self,
        rows: DistinctRows,
        task: TrainingTask,
        choice_key: PRNGKey,
        path_key: PRNGKey,
        report: Callable[[str, float], None],
    ) -> Trial:
        """Return the columns, the scale, the temperature and the linear part that are best on folds, if compared."""
        linear = self._linear_option()
        # on some hundred rows, threads cost twenty times as much as they save
        with threadpool_limits(1, "blas"):
            candidates = self._prepared(rows, task, choice_key)
            passed = self._passed_temperature()
            plain = self._plain_columns(rows)
            line_of = plain if linear is True else None
            if self._search() is None:
                columns = candidates[0]
                network = self._network(rows, task, columns.standardiser)
                if passed is None:
                    passed = self._closed_form(rows, network, columns, choice_key)
                return self._trial(rows, network, columns, line_of, passed)
            split = SplitRows.of(task.labels, rows.copies, rows.groups)
            searches = [
                FoldSearch(
                    self._network(rows, task, columns.standardiser),
                    plain(rows.inputs),
                    split,
                    path_key,
                    FOLD_PARTICLES,
                    columns,
                    line_of,
                    passed,
                )
                for columns in candidates
            ]
            best = best_search(searches, report)
            if isinstance(self.output_scale, str):
                larger = best.network.rescaled(LARGER_SCALE)
                best = best_search([best, replace(best, network=larger)], report)
            choice = best.choice()
            if linear == "auto" and choice.linear_is_ahead:
                other = replace(best, line_of=plain)
                others = other.choice()
                if others.losses["loss"] < choice.losses["loss"]:
                    best, choice = other, others
        temperature = choice.temperature if passed is None else passed
        return self._trial(
            rows, best.network, best.columns, best.line_of, temperature, choice
        )

    def _closed_form(
        self,
        rows: DistinctRows,
        network: Network,
        columns: PreparedColumns,
        key: PRNGKey,
    ) -> float:
        """Return the temperature of the kernel limit, whose errors are kept."""
        problem = kernel_problem(rows, network.task, self.prior_precision, key)
        errors = kernel_errors(problem, columns)
        self.leave_one_out_ = errors
        multiplier = self.automatic_.temperature_multiplier
        multiplier = multiplier or network.task.curvature(errors.error)
        return multiplier * errors.alpha / float(rows.weights.sum())

    def _trial(
        self,
        rows: DistinctRows,
        network: Network,
        columns: PreparedColumns,
        line_of: Standardiser | None,
        temperature: float,
        choice: Choice | None = None,
    ) -> Trial:
        """Return the training problem without its linear part, where `line_of` makes the columns of one."""
        line = None
        if line_of is not None:
            inputs = line_of(rows.inputs)
            line = LinearPart.fit(line_of, inputs, network.task.targets, rows.weights)
            own = line.of_columns(inputs)
            network = replace(network, task=network.task.without(own))
        return Trial(columns, network, float(temperature), choice, line)

    def _passed_temperature(self) -> float | None:
        """Return the temperature, unless it is to be chosen."""
        temperature = self.temperature
        return None if isinstance(temperature, str) else float(temperature)

    def _plain_columns(self, rows: DistinctRows) -> Standardiser:
        """Return what makes the columns of linear models."""
        scaling: Scaling = "global" if self._scalings() == ("global",) else "columns"
        return Standardiser.fit(rows.inputs, rows.weights, scaling)

    def attach_rows(
        self,
        X: Table,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Return a loaded model's training rows to it, which a certificate needs and a saved model does not hold.

        Args:
            X, y, sample_weight, groups: as they were passed to `fit`.

        Raises:
            ValueError: other rows than those of the fit.
        """
        check_is_fitted(self)
        other = copy.copy(self)
        rows = other._training_rows(X, y, sample_weight, groups)
        self._check_same_rows(other)
        task = other._task(rows.targets, rows.weights)
        neuron = replace(self.neuron_, scale=self.output_scale_)
        task = task._replace(neuron=neuron)
        if self.linear_part_ is not None:
            task = task.without(self.linear_part_(rows.inputs))
        self._keep_rows(self._network(rows, task, self.standardiser_), rows)
        return self

    def _fitted_network(self) -> Network:
        check_is_fitted(self)
        if not hasattr(self, "network_"):
            raise AttributeError(
                "a model that was loaded has no training rows; pass them to "
                "model.attach_rows(X, y)."
            )
        return self.network_

    def outputs(self, X: Table) -> np.ndarray:
        """Return the network's outputs, (n,) or (n, C) float32, before they become predictions."""
        return self._outputs(self._columns(X))

    def staged_outputs(self, X: Table) -> Iterator[np.ndarray]:
        """Yield the outputs of the particles at each step of `history_["steps"]`."""
        columns = self.standardiser_(self._columns(X))
        for cloud in self.history_["particles"]:
            yield outputs(self.neuron_, cloud, columns)

    def _record_choice(self, choice: Choice | None, task: TrainingTask) -> None:
        """Set what the networks of the folds say, and warn where a linear model is ahead of them."""
        self.path_: dict[str, np.ndarray] | None = (
            None if choice is None else choice.history
        )
        self.held_out_ = None
        self.scores_ = None
        self.held_out_scores_: dict[str, float] = {}
        self.temperature_reason_: str | None = None
        if choice is None:
            return
        targets = task.targets[choice.places]
        self.held_out_ = choice.held_out
        self.scores_ = self._scores(choice.outputs, targets)
        self.held_out_scores_ = choice.losses | self._held_out_scores(
            choice.outputs, targets, choice.held_out.weights
        )
        if self._passed_temperature() is None:
            self.temperature_reason_ = choice.reason()
        if warning := choice.warning():
            warnings.warn(warning, LinearModelWarning, stacklevel=3)

    def _prepared(
        self,
        rows: DistinctRows,
        task: TrainingTask,
        key: PRNGKey,
    ) -> list[PreparedColumns]:
        """Return how the columns may be scaled; first comes what is taken where no networks are compared."""
        learned = (self.learn_scales is True,)
        if self.learn_scales == "auto" and self._search() is not None:
            learned = (False, True)
        problem = kernel_problem(rows, task, self.prior_precision, key)
        return column_candidates(problem, self._scalings(), learned)

    def _linear_option(self) -> bool | Auto:
        """Return whether the network is trained on the residuals of a linear model."""
        return False

    def _network(
        self,
        rows: DistinctRows,
        task: TrainingTask,
        standardiser: Standardiser,
    ) -> Network:
        """Return the training problem on standardised columns."""
        inputs = standardiser(rows.inputs)
        precision = float(self.prior_precision)
        network = Network(task, inputs, rows.weights, precision, span=row_span(inputs))
        return network if self.sharding is None else network.split_over(self.sharding)

    def _solver_name(self, num_rows: int) -> str:
        """Return the solver for a table of so many rows."""
        if self.solver != "auto":
            return self.solver
        of_steps = (self.relative_step_size, self.num_steps, self.batch_size)
        steps = any(value != "auto" for value in of_steps)
        large = num_rows > MOST_PATH_ROWS or self.sharding is not None
        return "mfld" if steps or large else "path"

    def _scalings(self) -> tuple[Scaling, ...]:
        """Return the scalings that may be taken."""
        if self.scaling != "auto":
            return (self.scaling,)
        only = self.automatic_.scaling
        return SCALINGS if only is None else (only,)

    def _search(self) -> Validation | None:
        """Return the search that chooses the temperature, if any."""
        if self.validation != "auto":
            return self.validation
        passed = self.automatic_.closed_form or self.temperature != "auto"
        return None if passed else "folds"

    def _schedule(self, n: int) -> Schedule:
        """Return steps, their relative size and the batch; large tables are visited in batches."""
        solver = SOLVERS[self.solver_]
        batch_size = self.batch_size
        if isinstance(batch_size, str):
            batch_size = None if n * int(self.num_particles) <= FULL_BATCH else 512
        if not solver.batches or (batch_size is not None and batch_size >= n):
            batch_size = None
        relative = self.relative_step_size
        num_steps = self.num_steps
        if isinstance(relative, str):
            relative = solver.relative_step_size * (
                1.0 if batch_size is None else BATCH_SHARE
            )
        if isinstance(num_steps, str):
            num_steps = solver.num_steps(n, batch_size)
        return Schedule(self.solver_, int(num_steps), float(relative), batch_size)

    def _make_neuron(self, num_outputs: int | None) -> TanhTanh:
        scale = self.output_scale
        if isinstance(scale, str):
            scale = self.automatic_.output_scale
        return TanhTanh(float(scale), num_outputs)

    def scaling_sentence(
        self, columns: Sequence[str] | None = None, most: int = 3
    ) -> str:
        """Return how the columns are scaled, and which count most.

        Args:
            columns: (d,) their names, where `fit` received an array.
            most: how many of those that count most are named.
        """
        phrase = SCALING_PHRASES[self.scaling_]
        if self.learned_scales_ is None:
            return f"{phrase}, all of the same weight."
        scales = self.learned_scales_.scales
        names = self._network_columns(
            self._column_names() if columns is None else columns
        )
        largest = ", ".join(
            f"{names[j]} ({scales[j]:.2g})"
            for j in np.argsort(-scales, kind="stable")[:most]
        )
        return (
            f"{phrase}; each then has a weight learned from the targets, about 1 on "
            f"average, largest for {largest}."
        )

    def _network_columns(self, columns: Sequence[str]) -> Sequence[str]:
        column_map = self.standardiser_.column_map
        return column_map.names(columns) if isinstance(column_map, Pieces) else columns

    @abstractmethod
    def _scores(self, z: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return by how much the targets (n, ...) of the loss differ from outputs (n, ...), for intervals or sets."""

    @abstractmethod
    def _held_out_scores(
        self,
        z: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
    ) -> dict[str, float]:
        """Return scores by name of outputs (n, ...) at rows that the networks were trained without."""

    @abstractmethod
    def _task(self, targets: np.ndarray, weights: np.ndarray) -> TrainingTask:
        """Return neuron, loss and targets of the training problem."""
