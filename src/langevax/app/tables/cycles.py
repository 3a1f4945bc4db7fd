"""Positions of dates in the year, the week and the day, as inputs beside the date where they help to predict.

A position is the sine and the cosine of an angle, so that 31 December is beside 1 January. A cycle is tried where the
training rows span more than one of it, and used where it lowers the error of a kernel machine on folds of these rows:
by more than twice the standard error of the difference, and by a share that is worth an input.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from scipy.linalg import solve

from langevax.app.tables.records import Decision

Cycle = Literal["year", "week", "day"]
PERIODS: dict[Cycle, float] = {"year": 365.2425, "week": 7.0, "day": 1.0}
"""In days."""
PARTS: dict[Cycle, str] = {
    "year": "the time of the year",
    "week": "the day of the week",
    "day": "the time of day",
}
STEPS = 96  # of a cycle, to which positions are rounded: a date that is the same each year drifts by leap years
FEWEST_POSITIONS = (
    3  # of a cycle that occur; two are a straight line, which the date has already
)
FEWEST_ROWS, MOST_ROWS = 50, 800  # by which cycles are judged
MOST_TRIED = 12  # cycles of all columns
FOLDS = 5
RIDGES = (0.01, 0.1, 1.0)  # of the kernel machine, the best of which counts
STANDARD_ERRORS, LEAST_GAIN = 2.0, 0.01  # the second: of the squared error


def candidates(days: np.ndarray) -> tuple[Cycle, ...]:
    """Return the cycles of which days since 1970, without missing ones, span more than one.

    Example:
        >>> candidates(np.arange(40.0)), candidates(np.arange(400.0)), candidates(7.0 * np.arange(9))
        (('week',), ('year', 'week'), ())
        >>> candidates(np.arange("1980", "2020", dtype="M8[Y]").astype("M8[D]").astype(float))
        ()
    """
    if not len(days):
        return ()
    span = float(days.max() - days.min())

    def positions(period: float) -> int:
        return len(np.unique((days % period / period * STEPS).round() % STEPS))

    # on which day of the week the date of a year falls says nothing
    yearly = span > PERIODS["year"] and positions(PERIODS["year"]) < FEWEST_POSITIONS
    return tuple(
        cycle
        for cycle, period in PERIODS.items()
        if span > period
        and positions(period) >= FEWEST_POSITIONS
        and not (yearly and cycle == "week")
    )


def position(days: np.ndarray, cycle: Cycle) -> np.ndarray:
    """Return (n, 2) sine and cosine of the position in a cycle.

    Example:
        >>> position(np.array([0.0, 0.25, 7.5]), "day").round(6).tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]]
    """
    angle = 2 * np.pi * (days % PERIODS[cycle]) / PERIODS[cycle]
    return np.stack([np.sin(angle), np.cos(angle)], 1)


def helpful_cycles(
    inputs: np.ndarray,
    targets: np.ndarray,
    dates: Mapping[str, pl.Series],
    num_classes: int = 0,
    random_state: int = 0,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, tuple[Cycle, ...]], list[Decision]]:
    """Return the cycles of each column of dates that help to predict, and decisions on all that were tried.

    Args:
        inputs: encoded training rows, without cycles.
        targets: numbers, or indices of classes.
        dates: the columns of dates of these rows, in days since 1970.
        num_classes: 0 for regression.
        random_state: of the choice of rows and folds.
        groups: (row,) rows of one group are in the same fold; None: each on its own.
    """
    tried: list[tuple[str, Cycle]] = [
        (name, cycle)
        for name, days in dates.items()
        for cycle in candidates(days.drop_nulls().to_numpy())
    ]
    if not tried or len(targets) < FEWEST_ROWS:
        return {}, []
    rows = np.random.default_rng(random_state).permutation(len(targets))[:MOST_ROWS]
    outputs = (
        np.eye(num_classes)[targets[rows]]
        if num_classes
        else np.asarray(targets, float)[rows, None]
    )
    outputs = outputs - outputs.mean(0)
    current = inputs[rows]
    fold = (np.arange(len(rows)) if groups is None else groups[rows]) % FOLDS
    errors = kernel_errors(current, outputs, fold)
    used: dict[str, dict[Cycle, float]] = {name: {} for name in dates}
    for name, cycle in tried[:MOST_TRIED]:
        days = dates[name].fill_null(dates[name].median()).to_numpy()[rows]
        wider = np.hstack([current, position(days, cycle)])
        with_cycle = kernel_errors(wider, outputs, fold)
        gain = errors - with_cycle
        noise = STANDARD_ERRORS * gain.std() / np.sqrt(len(gain))
        if gain.mean() > max(noise, LEAST_GAIN * errors.mean()):
            used[name][cycle] = float(gain.mean() / errors.mean())
            current, errors = wider, with_cycle
    decisions = [
        _decision(name, used[name], [c for n, c in tried[:MOST_TRIED] if n == name])
        for name in dates
    ]
    return {name: tuple(gains) for name, gains in used.items() if gains}, [
        d for d in decisions if d is not None
    ]


def _decision(
    name: str, gains: Mapping[Cycle, float], tried: Sequence[Cycle]
) -> Decision | None:
    on = " and ".join(
        f"{PARTS[cycle]} (by {100 * gain:.2g} %)" for cycle, gain in gains.items()
    )
    off = " and ".join(PARTS[cycle] for cycle in tried if cycle not in gains)
    judge = "the error of a kernel machine on folds of the training rows"
    if on:
        which, verb = ("is", "lowers") if len(gains) == 1 else ("are", "lower")
        rest = f"; {off} would not" if off else ""
        sentence = f"beside the date, {on} {which} an input, which {verb} {judge}{rest}"
    elif off:
        sentence = (
            f"the date is used as one number, since {off} would not lower {judge}"
        )
    else:
        return None
    return Decision("dates", f"Column {name!r}: {sentence}.", name)


def kernel_errors(
    inputs: np.ndarray, outputs: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Return the squared error of each row by a kernel machine that was fitted without the row's fold."""
    kernel = _kernel(inputs)
    best = np.full(len(inputs), np.inf)
    for ridge in RIDGES:
        errors = np.empty(len(inputs))
        for k in np.unique(fold):
            held, own = fold == k, fold != k
            level = outputs[own].mean(0)
            system = kernel[np.ix_(own, own)] + ridge * np.eye(int(own.sum()))
            weights = solve(system, outputs[own] - level, assume_a="pos")
            errors[held] = (
                (outputs[held] - level - kernel[np.ix_(held, own)] @ weights) ** 2
            ).sum(1)
        if errors.mean() < best.mean():
            best = errors
    return best


def _kernel(inputs: np.ndarray) -> np.ndarray:
    """Return a Gaussian kernel plus a linear one, of standardised inputs."""
    deviation = inputs.std(0)
    x = (inputs - inputs.mean(0))[:, deviation > 0] / deviation[deviation > 0]
    products = x @ x.T / max(1, x.shape[1])
    squares = np.diag(products)
    return np.exp(products - (squares[:, None] + squares[None, :]) / 2) + products


__all__ = [
    "PERIODS",
    "Cycle",
    "candidates",
    "helpful_cycles",
    "kernel_errors",
    "position",
]
