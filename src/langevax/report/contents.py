"""What a report of a fit holds: plain arrays and words, filled by whoever trained, drawn by `fit_page`."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from langevax.report.curve_contents import CurveContents, Slope


@dataclass(frozen=True)
class Score:
    """One method under the common split."""

    name: str
    value: float
    """R2, or accuracy, on the rows held out."""
    seconds: float
    """Of fitting, choice of its settings included."""
    ours: bool = False
    note: str = ""
    """How its settings were chosen, in a few words."""


@dataclass(frozen=True)
class Band:
    """The certificate along training: at each of k steps, D and the gap above it, with standard errors."""

    steps: np.ndarray
    lower_bound: np.ndarray
    lower_bound_error: np.ndarray
    gap: np.ndarray
    gap_error: np.ndarray
    trustworthy: np.ndarray
    """(k,) bool; a gap that is not trustworthy is drawn hollow and said to be so."""


@dataclass(frozen=True)
class Curve:
    """The function the network makes as one feature varies, frame by frame, over the rows as data."""

    grid: np.ndarray
    values: np.ndarray
    """(frame, grid): the mean prediction with that feature set to the grid's value."""
    data_x: np.ndarray
    data_y: np.ndarray
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Surface:
    """The decisions the network makes in a plane of two features, frame by frame, over the rows as data."""

    grid_x: np.ndarray
    grid_y: np.ndarray
    values: np.ndarray
    """(frame, grid_y, grid_x): two classes, the probability of the second; else the index of the likeliest class."""
    classes: tuple[str, ...]
    data_x: np.ndarray
    data_y: np.ndarray
    data_class: np.ndarray
    """(row,) index into `classes`."""
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Motion:
    """The particles as they move, and the fit they make: at most 100 frames."""

    steps: np.ndarray
    x: np.ndarray
    """(frame, particle): weight of one feature."""
    y: np.ndarray
    """(frame, particle): weight of another."""
    pull: np.ndarray
    """(frame, particle): signed outer weight, drawn on a diverging colour scale centred at 0."""
    x_label: str
    y_label: str
    pull_label: str
    fit: Curve | Surface | Slope


@dataclass(frozen=True)
class Relevance:
    """How much the held-out score falls when a column is shuffled: mean and standard deviation over shuffles."""

    names: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class FitContents:
    """Everything on the page of a fit, in reading order."""

    table: str
    target: str
    task: Literal["regression", "classification"]
    sentence: str
    """The one sentence with the number that matters."""
    score_name: str
    """"R2" or "accuracy"."""
    scores: tuple[Score, ...]
    certificate: dict[str, Any]
    """gap, standard_error, unbiased_gap, lower_bound, lower_bound_error, upper_bound, trustworthy, verdict,
    surviving_ancestors, temperatures, polish_steps."""
    band: Band
    motion: Motion
    relevance: Relevance
    observed: np.ndarray
    """(row held out,) numbers, or indices into `classes`."""
    predicted: np.ndarray
    classes: tuple[str, ...] = ()
    """Empty for regression."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Every setting that is needed to run it again, nested one level at most."""
    command: str = ""
    """The command line that makes this page again."""
    versions: dict[str, str] = field(default_factory=dict)
    curves: CurveContents | None = None
    """What a fit on curves learned; then columns are coefficients, whose relevance is not drawn."""
    unit: str = "row"
    """What a row is called."""
