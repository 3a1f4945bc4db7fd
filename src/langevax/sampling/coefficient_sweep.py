"""A learning coefficient over a grid of temperatures and localizations, and where on it the estimate is stable.

The coefficient of a minimum alone depends on neither, so that an estimate that keeps changing with them is one of the
law at this temperature and localization. An estimate counts as stable where

    |value - value of a neighbour| + 2 standard errors of the difference  <=  tolerance * value

for all neighbours on the grid: noise cannot make an estimate stable, only hide that it is.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jax import random
from jaxtyping import Array, Bool, Float, Key

from langevax import checks
from langevax._typing import PyTree
from langevax.problems.problem import Problem, Scalar
from langevax.sampling.coefficient import BLUE, GREY, LearningCoefficient
from langevax.sampling.learning_coefficient import learning_coefficient
from langevax.sampling.summary_table import SummaryTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPERATURES, LOCALIZATIONS = (0.5, 1.0, 2.0), (0.1, 0.3, 1.0, 3.0, 10.0)
"""Factors of "auto"."""
NUM_ERRORS = 2
"""Standard errors by which a change may be larger than it was measured."""
OWN = ("temperature", "localization", "checkpoint", "resume")
"""Options of `learning_coefficient` that belong to a single estimate."""


@dataclass(frozen=True, repr=False)
class CoefficientSweep:
    """Learning coefficients of one minimum over a grid of temperatures and localizations."""

    temperatures: Float[np.ndarray, " t"]
    localizations: Float[np.ndarray, " g"]
    values: Float[np.ndarray, "t g"]
    """nan where the estimate was refused."""
    standard_errors: Float[np.ndarray, "t g"]
    changes: Float[np.ndarray, "t g"]
    """Largest change to a neighbour on the grid, as a share of the value."""
    errors_of_changes: Float[np.ndarray, "t g"]
    """Two standard errors of that change, as a share of the value."""
    tolerance: float
    results: tuple[tuple[LearningCoefficient | None, ...], ...]
    refusals: tuple[str, ...]
    """Sentences of the estimates that were refused."""

    @property
    def is_stable(self) -> Bool[np.ndarray, "t g"]:
        """True where no neighbour differs by more than the tolerance, nor the estimate has a warning."""
        quiet = np.array(
            [
                [result is not None and not result.warnings for result in row]
                for row in self.results
            ]
        )
        return (self.changes + self.errors_of_changes <= self.tolerance) & quiet

    @property
    def conclusion(self) -> str:
        """A sentence that says where the estimate is stable, or why it is not."""
        stable = np.argwhere(self.is_stable)
        if len(stable):
            low, high = (
                self.localizations[stable[:, 1].min()],
                self.localizations[stable[:, 1].max()],
            )
            cold, hot = (
                self.temperatures[stable[:, 0].min()],
                self.temperatures[stable[:, 0].max()],
            )
            values = self.values[self.is_stable]
            return (
                f"Stable to {self.tolerance:.0%} at {len(stable)} of {self.values.size} points, at localizations from "
                f"{low:.3g} to {high:.3g} and temperatures from {cold:.3g} to {hot:.3g}, where it lies between "
                f"{values.min():.4g} and {values.max():.4g}."
            )
        if np.any(self.changes <= self.tolerance):
            return (
                f"Not known to be stable to {self.tolerance:.0%} anywhere: estimates are too noisy or have warnings; "
                "raise num_samples."
            )
        return (
            f"Stable to {self.tolerance:.0%} nowhere: the estimate depends on temperature and localization, and is one "
            "of the law at these, not of the minimum alone."
        )

    def __repr__(self) -> str:
        pairs = [(t, g) for t in self.temperatures for g in self.localizations]
        names = [f"temperature {t:.3g}, localization {g:.3g}" for t, g in pairs]
        columns = {
            "value": self.values,
            "standard_error": self.standard_errors,
            "change": self.changes,
        }
        table = SummaryTable(
            names, {name: array.ravel() for name, array in columns.items()}
        )
        return f"{table!r}\n{self.conclusion}"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw the estimates against the localization, a line for each temperature; filled where they are stable."""
        drawn: Any = axes
        if axes is None:
            with checks.needs("plot", "a plot"):
                import matplotlib.pyplot as plt
            drawn = plt.subplots(figsize=(4.8, 3.8), layout="constrained")[1]
        for index, temperature in enumerate(self.temperatures):
            shade = 0.35 + 0.65 * index / max(1, len(self.temperatures) - 1)
            line: dict[str, Any] = {
                "color": BLUE,
                "alpha": shade,
                "label": f"temperature {temperature:.3g}",
            }
            drawn.errorbar(
                self.localizations,
                self.values[index],
                self.standard_errors[index],
                linewidth=1.2,
                **line,
            )
        rows, columns = np.nonzero(self.is_stable)
        drawn.scatter(
            self.localizations[columns],
            self.values[rows, columns],
            color=BLUE,
            label="stable",
            zorder=3,
        )
        drawn.set(xlabel="localization", ylabel="learning coefficient", xscale="log")
        drawn.grid(color=GREY, alpha=0.2)
        drawn.legend()
        return drawn


def coefficient_sweep(
    loss: Problem | Callable[[PyTree, PyTree], Scalar],
    params: PyTree,
    data: PyTree = None,
    *,
    key: Key[Array, ""],
    temperatures: Sequence[float] | Literal["auto"] = "auto",
    localizations: Sequence[float] | Literal["auto"] = "auto",
    tolerance: float = 0.1,
    **options: Any,
) -> CoefficientSweep:
    """Estimate a local learning coefficient over a grid of temperatures and localizations, and say where it is stable.

    Args:
        loss, params, data, key: of `learning_coefficient`.
        temperatures: of the mean loss, increasing; "auto" is a half, one and two of log(n) / n.
        localizations: increasing; "auto" is 0.1, 0.3, 1, 3 and 10 times the choice of `learning_coefficient`.
        tolerance: largest change of a stable estimate to its neighbours on the grid, two standard errors included, as
            a share of its value.
        options: other options of `learning_coefficient`, such as `num_samples`, `select` or `descend`.

    Returns:
        A `CoefficientSweep`: `.values`, `.is_stable`, `.conclusion`, `.plot()`. An estimate that is refused, such as
        one of chains that leave the basin, is nan and its sentence is in `.refusals`.

    Raises:
        TypeError, ValueError: an invalid argument, or no estimate at all.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rows = jnp.linspace(-1.0, 1.0, 100)
        >>> loss = lambda w, x: (w * x) ** 2 / 2
        >>> grid = {"temperatures": (0.02, 0.04), "localizations": (0.1, 0.3), "num_samples": 100}
        >>> sweep = langevax.sampling.coefficient_sweep(loss, jnp.array(0.0), rows, key=jax.random.key(0), **grid)
        >>> sweep.values.shape, bool(sweep.is_stable.all())
        ((2, 2), True)
    """
    checks.typed_key(key)
    checks.number("tolerance", tolerance, positive=True)
    for name in OWN:
        if name in options:
            raise TypeError(
                f"{name} belongs to a single estimate; call learning_coefficient with it, or leave it out."
            )
    chosen = [
        None if checks.is_auto(values) else _increasing(name, values)
        for name, values in (
            ("temperatures", temperatures),
            ("localizations", localizations),
        )
    ]
    if any(values is None for values in chosen):
        middle = learning_coefficient(
            loss, params, data, key=random.fold_in(key, 0), **options
        )
        own = (
            middle.temperature * np.array(TEMPERATURES),
            middle.localization * np.array(LOCALIZATIONS),
        )
        chosen = [
            default if values is None else values
            for values, default in zip(chosen, own, strict=True)
        ]
    heats, strengths = (np.asarray(values) for values in chosen)
    flat: list[LearningCoefficient | None] = []
    refusals: list[str] = []
    for number, (heat, strength) in enumerate(itertools.product(heats, strengths), 1):
        point = {"temperature": float(heat), "localization": float(strength)}
        try:
            flat.append(
                learning_coefficient(
                    loss,
                    params,
                    data,
                    key=random.fold_in(key, number),
                    **point,
                    **options,
                )
            )
        except ValueError as error:
            flat.append(None)
            refusals.append(
                f"temperature {heat:.3g}, localization {strength:.3g}: {error}"
            )
    if len(refusals) == len(flat):
        raise ValueError(
            f"no point of the grid has an estimate; the first: {refusals[0]}"
        )
    shape = len(heats), len(strengths)
    values, errors = (
        np.reshape(
            [getattr(result, name) if result else np.nan for result in flat], shape
        )
        for name in ("value", "standard_error")
    )
    changes, errors_of_changes = _largest_changes(values, errors)
    return CoefficientSweep(
        heats,
        strengths,
        values,
        errors,
        changes,
        errors_of_changes,
        float(tolerance),
        tuple(
            tuple(flat[start : start + shape[1]])
            for start in range(0, len(flat), shape[1])
        ),
        tuple(refusals),
    )


def _increasing(name: str, values: Any) -> Float[np.ndarray, " k"]:
    numbers = checks.real_array(name, values)
    checks.number(name, numbers, positive=True)
    if numbers.ndim != 1 or np.any(np.diff(numbers) <= 0):
        raise ValueError(
            f"{name} must increase, got {checks.shown(values)}; pass for instance (0.1, 0.3, 1.0)."
        )
    return numbers


def _largest_changes(
    values: Float[np.ndarray, "t g"], errors: Float[np.ndarray, "t g"]
) -> tuple[Float[np.ndarray, "t g"], Float[np.ndarray, "t g"]]:
    """Return the change to the neighbour with the largest bound, and its error; infinite beside a refused estimate."""
    changes, errors_of_changes = np.zeros_like(values), np.zeros_like(values)
    for axis in (0, 1):
        first, second = (np.moveaxis(a, axis, 0) for a in (values, errors))
        for here, there in (
            (slice(1, None), slice(None, -1)),
            (slice(None, -1), slice(1, None)),
        ):
            with np.errstate(divide="ignore", invalid="ignore"):
                change = np.abs(first[here] - first[there]) / np.abs(first[here])
                noise = (
                    NUM_ERRORS
                    * np.hypot(second[here], second[there])
                    / np.abs(first[here])
                )
            change = np.where(np.isfinite(change), change, np.inf)
            noise = np.where(np.isfinite(noise), noise, 0.0)
            largest, its_error = (
                np.moveaxis(a, axis, 0)[here] for a in (changes, errors_of_changes)
            )
            is_larger = change + noise > largest + its_error
            largest[is_larger], its_error[is_larger] = (
                change[is_larger],
                noise[is_larger],
            )
    return changes, errors_of_changes
