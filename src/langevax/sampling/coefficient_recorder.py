"""Learning coefficients along a training: a callback for any loop, whose estimates are kept in a file.

A training that is interrupted and goes on with the same file estimates what is missing alone: the key of an estimate
follows from its step, so that the file is that of an uninterrupted training. The coefficient is defined only at a
minimum; elsewhere the refusal of `learning_coefficient` is recorded in its place.
"""

import json
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import random
from jaxtyping import Float, Int, Key

from langevax import checks
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.problems.problem import Problem, Scalar
from langevax.run import identity
from langevax.run.checkpoint import write_atomically
from langevax.sampling.coefficient import LearningCoefficient
from langevax.sampling.learning_coefficient import learning_coefficient
from langevax.sampling.summary_table import SummaryTable

FORMAT = 1
OWN = ("key", "checkpoint", "resume")
"""Options of `learning_coefficient` that follow from the step and the file."""


@dataclass(frozen=True)
class RecordedCoefficient:
    """One estimate of a `CoefficientRecorder`."""

    step: int
    value: float
    """nan where the estimate was refused."""
    standard_error: float
    loss: float
    """Mean loss at the parameters."""
    warnings: tuple[str, ...]
    refusal: str
    """The sentence of a refused estimate, otherwise empty."""


class CoefficientRecorder:
    """Callback that records local learning coefficients along a training, and keeps them in a file.

    Args:
        loss, data: of `learning_coefficient`.
        key: of all estimates; that of step t is `jax.random.fold_in(key, t)`.
        file: JSON, written after each estimate; where it is there, its estimates are not made again. None keeps them in
            memory.
        options: other options of `learning_coefficient`, such as `num_samples`, `localization`, `select` or `descend`,
            with which the coefficient is that of the minimum below the parameters. Pass a `localization`, so that all
            estimates have the same.

    Raises:
        TypeError, ValueError: an invalid argument; a file of another loss, other data or options.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rows, options = jnp.linspace(-1.0, 1.0, 50), {"num_samples": 50, "num_warmup": 50, "localization": 1.0}
        >>> loss = lambda w, x: (w * x) ** 2 / 2
        >>> record = langevax.sampling.CoefficientRecorder(loss, rows, key=jax.random.key(0), **options)
        >>> w = 1.0
        >>> for step in range(3):
        ...     w = 0.001 * w  # a training
        ...     record(step, jnp.asarray(w))
        >>> record.steps.tolist(), bool(abs(record.values[-1] - 0.5) < 0.1)
        ([0, 1, 2], True)
    """

    def __init__(
        self,
        loss: Problem | Callable[[PyTree, PyTree], Scalar],
        data: PyTree = None,
        *,
        key: Key[jax.Array, ""],
        file: str | os.PathLike[str] | None = None,
        **options: Any,
    ):
        checks.typed_key(key)
        for name in OWN:
            if name in options:
                raise TypeError(
                    f"{name} follows from the step and the file; leave it out."
                )
        self.loss, self.data, self.key, self.options = loss, data, key, options
        self.file: Path | None = None if file is None else Path(file)
        self.records: list[RecordedCoefficient] = []
        self._identity = identity.of(
            {"loss": loss, "data": data, "key": key, "options": options}
        )
        if self.file is not None and self.file.exists():
            self.records = self._read(self.file)

    def __call__(self, step: int, params: PyTree) -> None:
        """Record the coefficient at `params`, unless that of this step is recorded already."""
        number = operator.index(step)
        if any(record.step == number for record in self.records):
            return
        key = random.fold_in(self.key, number)
        try:
            result = learning_coefficient(
                self.loss, params, self.data, key=key, **self.options
            )
        except ValueError as error:
            if "local minimum" not in str(error) and "finite" not in str(error):
                raise
            record = RecordedCoefficient(
                number, float("nan"), float("nan"), float("nan"), (), str(error)
            )
        else:
            record = _record(number, result)
        self.records = sorted([*self.records, record], key=lambda one: one.step)
        if self.file is not None:
            self._write(self.file)

    @property
    def steps(self) -> Int[np.ndarray, " k"]:
        """The steps with an estimate, or a refusal."""
        return np.array([record.step for record in self.records], int)

    @property
    def values(self) -> Float[np.ndarray, " k"]:
        """The coefficients, nan where refused."""
        return np.array([record.value for record in self.records], float)

    @property
    def standard_errors(self) -> Float[np.ndarray, " k"]:
        """The standard error of each."""
        return np.array([record.standard_error for record in self.records], float)

    def __repr__(self) -> str:
        names = [f"step {record.step:,}" for record in self.records]
        columns = {
            "loss": np.array([record.loss for record in self.records], float),
            "value": self.values,
            "standard_error": self.standard_errors,
        }
        sentences = [
            f"step {one.step:,}: {s}"
            for one in self.records
            for s in (*one.warnings, one.refusal)
            if s
        ]
        return "\n".join([repr(SummaryTable(names, columns)), *sentences])

    def _write(self, file: Path) -> None:
        records = [
            {**vars(one), "warnings": list(one.warnings)} for one in self.records
        ]
        content = {
            "format": FORMAT,
            "langevax": __version__,
            "identity": self._identity._asdict(),
            "records": records,
        }
        write_atomically(file, json.dumps(content, indent=1).encode())

    def _read(self, file: Path) -> list[RecordedCoefficient]:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            saved = identity.RunIdentity(**content["identity"])
            records = [
                RecordedCoefficient(**{**one, "warnings": tuple(one["warnings"])})
                for one in content["records"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(file)!r} holds no recorded coefficients ({error}); pass another file."
            ) from error
        refused, _ = self._identity.compare(saved)
        changed = [
            f"the code of {name} differs"
            for name in saved.functions
            if self._is_other(saved, name)
        ]
        if refused or changed:
            raise ValueError(
                f"{str(file)!r} holds coefficients of another call ({'; '.join([*refused, *changed])}); pass another "
                "file, or what it was written with."
            )
        return records

    def _is_other(self, saved: identity.RunIdentity, name: str) -> bool:
        same_python = saved.versions.get("Python") == self._identity.versions.get(
            "Python"
        )
        return same_python and saved.functions[name] != self._identity.functions.get(
            name
        )


def _record(step: int, result: LearningCoefficient) -> RecordedCoefficient:
    return RecordedCoefficient(
        step, result.value, result.standard_error, result.loss, result.warnings, ""
    )
