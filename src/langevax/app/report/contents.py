"""The contents of a report of a fit, as arrays and words: filled by `langevax fit`, drawn by `figures` and `page`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langevax.app.evaluation.certainty import Calibration
from langevax.app.evaluation.comparison import Comparison
from langevax.app.evaluation.holdout import Relevance
from langevax.app.evaluation.metrics import Measured


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


@dataclass(frozen=True)
class CurveContents:
    """Results of a fit on curves."""

    time: str
    """Name of the times."""
    response: str
    """What the slopes are of: the target, or the log odds of a class."""
    slopes: tuple[FunctionBand, ...] = ()
    """beta(t) over the training curves, for each channel; empty where the inputs are patterns."""


@dataclass(frozen=True)
class CoolingContents:
    """Mean losses of a network at falling temperatures."""

    temperature: np.ndarray
    """(tried,) of networks trained without a fold of the rows each."""
    loss: np.ndarray
    """(tried,) of the rows left out."""
    error: np.ndarray
    """(tried,) standard error of the difference from the least."""
    chosen: int
    trained_temperature: np.ndarray
    """(networks,) of those that were trained on all rows; empty where only one temperature was."""
    trained_loss: np.ndarray
    """(networks,) of these rows."""


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
    summary: tuple[str, ...]
    """What the fit is worth, in sentences: the first has the number that matters."""
    comparison: Comparison
    reading: TableReading
    certainty: str
    """How sure the predictions are, in a sentence; empty where nothing is known."""
    calibration: Calibration | None
    """Of classes."""
    optimum: str
    """What the certificate says, in a sentence."""
    certificate: dict[str, Any]
    """The fields `CERTIFIED` of `langevax.app.evaluation.holdout`; empty without one."""
    relevance: Relevance
    effects: tuple[Effect, ...] = ()
    """Of the columns that matter most; empty for more than two classes, and of curves."""
    far_off: tuple[tuple[str, ...], ...] = ()
    """Number below the header or id, target and prediction of the rows scored that are furthest off, the worst first, and
    where it is known the row that moved the prediction most."""
    classes: tuple[str, ...] = ()
    """Empty for regression."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Every setting needed to repeat the fit, in groups."""
    command: str = ""
    """The command line that repeats the fit."""
    predict_command: str = ""
    """The command line that predicts for another table."""
    versions: dict[str, str] = field(default_factory=dict)
    curves: CurveContents | None = None
    """Of a fit on curves; the inputs are then coefficients, whose relevance is not drawn."""
    unit: str = "row"
    """What a row is called."""
    cautions: tuple[str, ...] = ()
    """Warnings of the fit, at the top of the page: what is wrong in a first sentence, then the evidence."""
    training: tuple[tuple[str, str], ...] = ()
    """How the model was trained, in labels and sentences, as the terminal prints them."""
    law: LawContents | None = None
    """Of a regression."""
    cooling: CoolingContents | None = None
    """Of a network whose temperature was chosen on folds."""
