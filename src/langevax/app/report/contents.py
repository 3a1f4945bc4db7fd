"""The contents of a report of a fit, as arrays and words: filled by `langevax fit`, drawn by `figures` and `page`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langevax.app.evaluation import Task
from langevax.app.evaluation.certainty import Calibration, Coverage
from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.holdout import Relevance
from langevax.app.evaluation.metrics import Measured


@dataclass(frozen=True)
class FittedCurve:
    """The network as a function of one input, frame by frame, with rows of the table."""

    grid: np.ndarray
    values: np.ndarray
    """(frame, grid): the mean prediction with the input set to each value of the grid."""
    data_x: np.ndarray
    data_y: np.ndarray
    x_label: str
    y_label: str
    x_dates: bool = False
    """Whether x is a date, in days since 1970."""


@dataclass(frozen=True)
class DecisionSurface:
    """The decisions of the network in a plane of two inputs, frame by frame, with rows of the table."""

    grid_x: np.ndarray
    grid_y: np.ndarray
    values: np.ndarray
    """(frame, grid_y, grid_x): of two classes, the probability of the second; else the index of the likeliest class."""
    classes: tuple[str, ...]
    data_x: np.ndarray
    data_y: np.ndarray
    data_class: np.ndarray
    """(row,) index into `classes`."""
    x_label: str
    y_label: str
    x_dates: bool = False
    """Whether x is a date, in days since 1970."""
    y_dates: bool = False


@dataclass(frozen=True)
class SlopeFunction:
    """The median of the slope beta(t) over training curves, frame by frame."""

    grid: np.ndarray
    values: np.ndarray
    """(frame, grid)."""
    time: str
    label: str
    """Of the channel."""
    response: str
    """What beta(t) is the slope of."""


@dataclass(frozen=True)
class ParticleMotion:
    """The particles in the plane of two weights and the function they represent, in at most 100 frames."""

    steps: np.ndarray
    x: np.ndarray
    """(frame, particle): weight of one input."""
    y: np.ndarray
    """(frame, particle): weight of another input."""
    outer: np.ndarray
    """(frame, particle): signed outer weight."""
    x_label: str
    y_label: str
    outer_label: str
    fit: FittedCurve | DecisionSurface | SlopeFunction


@dataclass(frozen=True)
class LabelledCurves:
    """Curves of one class, or of one third of the targets."""

    name: str
    curves: list[tuple[np.ndarray, np.ndarray]]
    """(times, values) of each."""


@dataclass(frozen=True)
class ChannelCurves:
    """A sample of the training curves of one channel, by class or from the lowest targets to the highest."""

    label: str
    groups: tuple[LabelledCurves, ...]
    ordered: bool
    """Whether the groups are thirds of the targets."""
    size: int
    """Number of all training curves."""


@dataclass(frozen=True)
class FunctionBand:
    """The distribution of many functions of one channel, at each time of a grid."""

    label: str
    grid: np.ndarray
    median: np.ndarray
    half: np.ndarray
    """(2, grid): first and third quartile."""
    central: np.ndarray
    """(2, grid): quantiles 0.05 and 0.95."""
    prior: np.ndarray | None = None
    """(grid,): 90 % of draws from the prior lie within this distance of zero."""


@dataclass(frozen=True)
class ExplainedCurve:
    """A held-out curve, and how much each of its parts spoke for its prediction."""

    name: str
    """Its id, or the number of its row."""
    outcome: str
    """What was observed and predicted, in words."""
    channels: tuple[tuple[np.ndarray, np.ndarray], ...]
    """(times, values) of each channel."""
    times: np.ndarray
    """(part,): the middles of the parts."""
    effects: np.ndarray
    """(part,): the output minus that without the part; of classes, of the predicted one."""


@dataclass(frozen=True)
class CurveContents:
    """Results of a fit on curves; tuples have an entry for each channel."""

    time: str
    """Name of the times."""
    response: str
    """What the slopes are of: the target, or the log odds of a class."""
    observed: tuple[ChannelCurves, ...]
    encoded: tuple[ChannelCurves, ...]
    """The curves as inputs of the network, where these differ: differentiated, or interpolated."""
    slopes: tuple[FunctionBand, ...] = ()
    """beta(t) over the training curves; empty where the inputs are patterns, as are the weights."""
    weights: tuple[FunctionBand, ...] = ()
    """theta(t) over the neurons."""
    parts: tuple[ExplainedCurve, ...] = ()
    """Some held-out curves, in the order in which they are drawn."""


@dataclass(frozen=True)
class ColumnReading:
    """A column of the table as it was read."""

    name: str
    role: str
    """"target", "input" or "left out"."""
    kind: str
    """"numbers", "words" or "dates"."""
    read: int
    """Cells that were read as this kind."""
    unreadable: int
    """Cells with something else, which count as missing."""
    missing: int
    """Empty cells, and words that stand for missing values."""
    values: str
    """A summary of the values read."""
    remarks: tuple[str, ...] = ()
    """Decisions on this column."""


@dataclass(frozen=True)
class TableReading:
    """The table as it was read; of curves, without columns."""

    rows: int
    description: str
    """What was read, in a sentence."""
    columns: tuple[ColumnReading, ...] = ()
    """In the order of the file, the target first."""
    remarks: tuple[str, ...] = ()
    """Decisions on the whole file."""
    leaks: tuple[str, ...] = ()
    """Sentences on columns that may leak the target."""


@dataclass(frozen=True)
class Effect:
    """The mean prediction over held-out rows, with one column set to a low and to a high value."""

    column: str
    low: str
    high: str
    at_low: float
    at_high: float
    at_middle: float | None = None
    """With the column at its median; None of words and of positions in a cycle."""


@dataclass(frozen=True)
class FarOffRow:
    """A row whose prediction is far off."""

    row: str
    """Its number below the header, counted from 1, or its id."""
    observed: str
    predicted: str


@dataclass(frozen=True)
class Coefficient:
    """The slope of one input, with an interval of 95 %."""

    column: str
    """With its word, of an indicator."""
    per: str
    """What the ratio or slope is per: an amount of the column, or the word that it is compared with."""
    value: float
    """A ratio or a slope, per `per`."""
    low: float
    high: float
    slope: float
    """Per unit of the input, in units of the target or of the logarithm."""
    error: float
    """Its standard error."""


@dataclass(frozen=True)
class LawContents:
    """A regression that predicts by a law of its coefficients: what Bayes loses beside it, and the coefficients."""

    bayes: str
    """What Bayes loses, in a sentence."""
    shares: np.ndarray
    """(share,) of Bayes, from 1 down."""
    gain: np.ndarray
    """(share,) mean log density over that of Bayes, nats a row."""
    gain_error: np.ndarray
    p_eff: np.ndarray
    """(share,) effective number of parameters."""
    chosen: int
    """Index into `shares`."""
    about_curve: str
    """How gains were measured."""
    densities: tuple[tuple[str, Measured], ...]
    """Mean log density of the rows scored: by the law, by Bayes, and by a law without columns."""
    effect: str
    """What a coefficient is: a rate ratio, an odds ratio or a slope."""
    is_ratio: bool
    """Whether coefficients are ratios, 1 for an absent effect."""
    response: str
    """Of what."""
    coefficients: tuple[Coefficient, ...]
    about_coefficients: str
    """How to read them, and what their intervals are."""
    checked: str = ""
    """How the fit was found to have converged, in a sentence."""


@dataclass(frozen=True)
class FitContents:
    """Everything in the report of a fit, in reading order."""

    table: str
    target: str
    task: Task
    summary: tuple[str, ...]
    """What the fit is worth, in sentences: the first has the number that matters."""
    comparison: Comparison
    reading: TableReading
    certainty: str
    """How sure the predictions are, in a sentence; empty where nothing is known."""
    coverage: Coverage | None
    calibration: Calibration | None
    """Of classes."""
    optimum: str
    """What the certificate says, in a sentence."""
    certificate: dict[str, Any]
    """The fields `CERTIFIED`, of a regression `CERTIFIED_LAW`, of `langevax.app.evaluation.holdout`; empty without one."""
    motion: ParticleMotion | None
    """None of a regression."""
    relevance: Relevance
    effects: tuple[Effect, ...] = ()
    """Of the columns that matter most; empty for more than two classes, and of curves."""
    far_off: tuple[FarOffRow, ...] = ()
    """The rows scored whose predictions are furthest off, the worst first."""
    classes: tuple[str, ...] = ()
    """Empty for regression."""
    class_counts: tuple[int, ...] = ()
    """Rows of each class in the table."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Every setting needed to repeat the fit, nested by one level at most."""
    command: str = ""
    """The command line that repeats the fit."""
    predict_command: str = ""
    """The command line that predicts for another table."""
    versions: dict[str, str] = field(default_factory=dict)
    curves: CurveContents | None = None
    """Of a fit on curves; the inputs are then coefficients, whose relevance is not drawn."""
    num_training: int = 0
    """Rows that the model was trained on."""
    unit: str = "row"
    """What a row is called."""
    cautions: tuple[str, ...] = ()
    """Warnings of the fit, at the top of the page: what is wrong in a first sentence, then the evidence."""
    training: tuple[tuple[str, str], ...] = ()
    """How the model was trained, in labels and sentences, as the terminal prints them."""
    law: LawContents | None = None
    """Of a regression."""
