"""The kinds of models that `langevax fit` fits; each says what differs from the others, and `run` does the rest."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from langevax.app.evaluation.comparison import Comparison, Refit
from langevax.app.evaluation.metrics import METRICS, Metric
from langevax.app.fitting.prepared import FitData
from langevax.app.folder import Folder
from langevax.app.options import FitOptions
from langevax.app.output import Output
from langevax.app.report.contents import CoolingContents, CurveContents, LawContents


class Fit(ABC):
    """A model of a kind, fitted to rows: its training, its evidence beside scores, and its words."""

    word: ClassVar[str]
    """What it is called in a sentence."""
    name: str
    """What it is called beside other methods."""
    how_chosen: str
    """How its settings are chosen, in a few words."""
    model: Any
    """The fitted estimator, from `train` on."""
    seconds: float

    def __init__(self, options: FitOptions, data: FitData):
        self.options = options
        self.data = data
        self.cautions: list[str] = []
        """Warnings of the training, as sentences."""

    @staticmethod
    @abstractmethod
    def caution(message: str, category: type[Warning]) -> str | None:
        """Return a warning of the training as what is wrong, then the evidence; None of others."""

    @abstractmethod
    def check(self) -> None:
        """Raise `BadInput` where it cannot be fitted to these rows."""

    @abstractmethod
    def train(self, folder: Folder) -> None:
        """Fit the estimator; what is saved on the way is in the folder."""

    @contextmanager
    def cautious(self, *kinds: type[Warning]) -> Iterator[None]:
        """Collect warnings of these kinds as sentences; others are shown when the block has ended."""
        with warnings.catch_warnings(record=True) as caught:
            for kind in kinds:
                warnings.simplefilter("always", kind)
            yield
        for one in caught:
            sentence = self.caution(str(one.message), one.category)
            if sentence is None:
                warnings.warn(one.message, one.category, stacklevel=3)
            else:
                self.cautions.append(sentence)

    @abstractmethod
    def training(self) -> list[tuple[str, str]]:
        """Return how it was trained, in labels and sentences."""

    @abstractmethod
    def refit(self) -> Refit:
        """Return how the model is fitted on other rows, with the settings that it chose."""

    def metrics(self) -> tuple[Metric, ...]:
        """Return what it is measured by, beside the other methods."""
        return METRICS[self.data.split.task]

    def law(self, refit: Any, comparison: Comparison) -> LawContents | None:
        """Return what is known of a predictive law and of its coefficients; None of a network."""
        return None

    def advice(self, comparison: Comparison, law: LawContents | None) -> list[str]:
        """Return sentences beside those on its worth."""
        return []

    @abstractmethod
    def certificate(self, output: Output) -> dict[str, Any]:
        """Return the numbers of a certificate, empty where none is wanted."""

    @abstractmethod
    def guarantee(self, certificate: dict[str, Any]) -> str:
        """Return what is known of how far its training could still go, in a sentence."""

    def cooling(self) -> CoolingContents | None:
        """Return the losses at all temperatures tried; None where these are not known."""
        return None

    def curves(self) -> CurveContents | None:
        """Return the curves and the functions that were learned from them; None of rows."""
        return None

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """Return fields of result.json that only this kind has."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the parameters of the fitted estimator, and what fitting chose."""
