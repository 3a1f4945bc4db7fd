"""What the mean-field estimators share: their parameters, the fit, the outputs, and how they are kept."""

import os
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from jax import random
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from langevax.run import Result
from langevax.sklearn import parameters, persistence
from langevax.sklearn.devices import sharing
from langevax.sklearn.path import anneal, validated
from langevax.sklearn.solvers import SOLVERS
from langevax.sklearn.table import Rows, Standardiser, Table, distinct_rows
from langevax.sklearn.training import Network, Task, kernel_choice, outputs, root_key, train

CLOUDS = 8  # kept for predictions, from the last half of the run


class MeanFieldEstimator(BaseEstimator):
    """A network of many neurons, trained by mean-field Langevin dynamics; see the regressor and the classifier."""

    automatic: ClassVar[parameters.Automatic] = parameters.Automatic()

    def __init__(
        self,
        solver: str = "mfld",
        *,
        num_particles: int = 500,
        temperature: float | Literal["loo"] = "loo",
        step_size: float | Literal["auto"] = "auto",
        num_steps: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] | None = "auto",
        neuron: str = "tanh-tanh",
        output_scale: float | Literal["auto"] = 10.0,
        prior_variance: float = 1.0,
        scaling: Literal["loo", "columns", "global"] = "loo",
        validation: Literal["path"] | None = None,
        stop_at_plateau: bool = True,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        devices: int | Mapping[str, int] | None = None,
        progress: bool | None = None,
        random_state: Any = None,
    ):
        self.solver = solver
        self.num_particles = num_particles
        self.temperature = temperature
        self.step_size = step_size
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.neuron = neuron
        self.output_scale = output_scale
        self.prior_variance = prior_variance
        self.scaling = scaling
        self.validation = validation
        self.stop_at_plateau = stop_at_plateau
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.devices = devices
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Table, y: Any, sample_weight: Any = None) -> Self:
        """Choose the temperature, train, keep what predicts.

        Args:
            X: (n, d) numbers, at least two rows; NumPy, pandas or polars.
            y: (n,), or (n, C) for several outputs of a regression.
            sample_weight: (n,) >= 0; a row of weight 2 counts as two rows, in the temperature too.

        Raises:
            ValueError, TypeError: no numbers, NaN or infinity, fewer than two rows, a parameter out of range.
            DivergenceError: the step size is too large.
        """
        given = self.get_params(deep=False)
        parameters.check(given | {"scaling": self.scaling})
        X, y = self._validated(X, y)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        rows = distinct_rows(X, self._encode(y, weights), weights)
        task = self._task(rows.targets, rows.weights)
        run = {"progress": self.progress} | sharing(self.devices, self.num_particles)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        choice_key, path_key, run_key = random.split(root_key(seed), 3)

        goes_on = self.warm_start and hasattr(self, "particles_")
        standardiser, temperature = self._choice(rows, task, goes_on, choice_key)
        network = Network(task, standardiser(rows.inputs), rows.weights, float(self.prior_variance))
        schedule = parameters.schedule(given, network, self.automatic)
        start = network.risk(temperature).prior(temperature, self.num_particles)
        if goes_on:
            start = network.turned(self._to_go_on_from(network))
        self.path_ = None
        if self.validation == "path":
            choice = validated(network, temperature, schedule, self.num_particles, path_key, **run)
            network, temperature, self.path_ = choice.network, choice.temperature, choice.history
            if not SOLVERS[self.solver].from_prior:
                start = [start, *anneal(network, choice.hotter, schedule, start, path_key, **run)][-1]
        kept = {} if self.checkpoint is None else {"checkpoint": self.checkpoint, "resume": True}
        risk = network.risk(temperature)
        result = train(risk, temperature, schedule, start, run_key, **kept, **run)
        self.standardiser_, self.temperature_ = standardiser, float(temperature)
        self._keep(network, result, rows.places)
        self.converged_ = self.n_iter_ < schedule.num_steps
        return self

    def outputs(self, X: Table) -> np.ndarray:
        """The network's outputs, (n,) or (n, C), before they become predictions; float32."""
        return self._outputs(self._columns(X))

    def staged_outputs(self, X: Table) -> Any:
        """The outputs of the cloud at each step of `history_["steps"]`, one after the other."""
        columns = self._columns(X)
        for cloud in self.history_["particles"]:
            yield outputs(self.neuron_, cloud, self.standardiser_(columns))

    def save(self, file: str | os.PathLike) -> None:
        """Write the fitted model as one safetensors file: arrays and a JSON header, without the training rows.

        `langevax.sklearn.load` reads it. A loaded model predicts; certificates need the rows it was fitted on.
        """
        check_is_fitted(self)
        persistence.write(file, *self._state())

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The JSON header and the arrays that `_restore` makes the model from."""
        arrays = {"clouds": self.clouds_, "particles": self.particles_}
        arrays |= {"input_mean": self.standardiser_.mean, "input_scale": self.standardiser_.scale}
        header = {
            "class": type(self).__name__,
            "parameters": {name: _plain(value) for name, value in self.get_params(deep=False).items()},
            "neuron": [self.neuron, float(self.neuron_.scale), *self.neuron_.output_shape],
            "temperature": self.temperature_,
            "n_iter": self.n_iter_,
            "feature_names": [str(name) for name in getattr(self, "feature_names_in_", ())],
            "targets": self._target_header(),
        }
        return header, arrays

    def _restore(self, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Become the model that `save` wrote."""
        self.clouds_, self.particles_ = arrays["clouds"], arrays["particles"]
        self.standardiser_ = Standardiser(arrays["input_mean"], arrays["input_scale"])
        name, scale, *shape = header["neuron"]
        self.neuron_ = parameters.make_neuron(name, scale, *(shape or [None]))
        self.temperature_, self.n_iter_ = header["temperature"], header["n_iter"]
        self.n_features_in_ = len(self.standardiser_.mean)
        if header["feature_names"]:
            self.feature_names_in_ = np.array(header["feature_names"], object)
        self._restore_targets(header["targets"])

    def _keep(self, network: Network, result: Result, places: np.ndarray) -> None:
        """Fitted attributes of the run, with particles turned back to the standardised columns."""
        values, n = result.positions, len(network.inputs)
        particles = network.turned(values["particles"], back=True)
        late = particles[len(particles) // 2 :]
        duals = np.asarray(values["dual"])[:, :n]
        assert result.trace is not None
        self.network_, self.neuron_ = network, network.task.neuron
        self.clouds_ = late[np.unique(np.linspace(0, len(late) - 1, CLOUDS).astype(int))]
        self.particles_ = particles[-1]
        self.history_ = {
            "steps": result.trace.steps,
            "particles": particles,
            "dual": duals,
            "loss": np.asarray(values["loss"]),
        }
        mean_dual = duals[len(duals) // 2 :].mean(0)
        self.dual_ = np.append(mean_dual, np.zeros_like(mean_dual[:1]), axis=0)[places]  # weight 0: place -1, no pull
        self.n_iter_, self.seconds_to_first_step_ = int(result.steps), result.seconds_to_first_step

    def _choice(self, rows: Rows, task: Task, goes_on: bool, key: Any) -> tuple[Standardiser, float]:
        """Standardiser and temperature: as given, or the kernel limit's leave-one-out optimum."""
        scalings: tuple[Any, ...] = ("columns", "global") if self.scaling == "loo" else (self.scaling,)
        self.leave_one_out_ = None
        if self.scaling == "loo" or self.temperature == "loo":
            standardiser, self.leave_one_out_ = kernel_choice(rows, task, self.prior_variance, scalings, key)
        else:
            standardiser = Standardiser.fit(rows.inputs, rows.weights, scalings[0])
        temperature = self.temperature
        if self.leave_one_out_ is not None and isinstance(temperature, str):
            temperature = self.automatic.temperature_multiplier * self.leave_one_out_.alpha / float(rows.weights.sum())
        return (self.standardiser_ if goes_on else standardiser), float(temperature)

    def _to_go_on_from(self, network: Network) -> np.ndarray:
        particles = self.particles_
        wanted = (self.num_particles, network.task.neuron.particle_size(network.inputs.shape[1]))
        if particles.shape != wanted:
            raise ValueError(
                f"warm_start goes on from particles of shape {particles.shape}, but this fit needs {wanted}; keep "
                "num_particles, the columns and the classes as they were, or set warm_start=False."
            )
        return particles

    def _make_neuron(self, num_outputs: int | None) -> Any:
        scale = self.automatic.output_scale if isinstance(self.output_scale, str) else float(self.output_scale)
        return parameters.make_neuron(self.neuron, scale, num_outputs)

    def _column_names(self) -> list[str]:
        """Of the columns that the network sees."""
        count = len(self.standardiser_.mean)
        return [str(name) for name in getattr(self, "feature_names_in_", [f"x{j}" for j in range(count)])]

    def _columns(self, X: Table) -> np.ndarray:
        """What a fitted network sees of X: (n, d) float64, checked by scikit-learn."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _outputs(self, columns: np.ndarray) -> np.ndarray:
        cloud = self.clouds_.reshape(-1, self.clouds_.shape[-1])
        return outputs(self.neuron_, cloud, self.standardiser_(columns))

    @abstractmethod
    def _validated(self, X: Table, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Checked by scikit-learn, X float64."""

    @abstractmethod
    def _encode(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """Targets as numbers, one row each, before equal rows are merged."""

    @abstractmethod
    def _task(self, targets: np.ndarray, weights: np.ndarray) -> Task:
        """Neuron, loss and targets of the training problem."""

    @abstractmethod
    def _target_header(self) -> dict[str, Any]:
        """What a saved model must remember of the targets, as JSON."""

    @abstractmethod
    def _restore_targets(self, header: dict[str, Any]) -> None: ...


def _plain(value: Any) -> Any:
    """A parameter as JSON: generators and paths become their words, tuples and arrays lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else None if callable(value) else str(value)
