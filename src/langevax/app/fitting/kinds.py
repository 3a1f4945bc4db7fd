"""The kinds of models that `langevax fit` fits; each says what differs from the others, and `run` does the rest."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from langevax.app.evaluation.comparison import Comparison, Refit
from langevax.app.evaluation.holdout import Relevance, TrainTestSplit
from langevax.app.evaluation.metrics import METRICS, Metric
from langevax.app.fit import FitOptions
from langevax.app.fitting.data import FitData
from langevax.app.fitting.processes import ProcessGroup
from langevax.app.folder import Folder
from langevax.app.output import Output
from langevax.app.report.contents import LawContents


class ModelKind(ABC):
    """A kind of model: its training, its evidence beside scores, and its words."""

    word: ClassVar[str]
    """What it is called in a sentence."""
    waiting: ClassVar[str]
    """What is done before the first step."""

    def __init__(self, options: FitOptions, name: str, how_chosen: str):
        self.options = options
        self.name = name
        """Of it beside other methods."""
        self.how_chosen = how_chosen
        """Its settings, in a few words."""

    @abstractmethod
    def check(self, data: FitData, group: ProcessGroup | None) -> None:
        """Raise `BadInput` where it cannot be fitted to these rows."""

    def warnings(self, data: FitData) -> tuple[str, ...]:
        """Return sentences to read before the training."""
        return ()

    @abstractmethod
    def fit(
        self,
        data: FitData,
        folder: Folder,
        resume: bool,
        anyway: bool,
        group: ProcessGroup | None,
    ) -> tuple[Any, float, tuple[str, ...]]:
        """Return the fitted estimator, the seconds it took, and its warnings as sentences."""

    @abstractmethod
    def training(
        self, model: Any, seconds: float, data: FitData
    ) -> tuple[tuple[str, str], ...]:
        """Return how it was trained, in labels and sentences."""

    @abstractmethod
    def refit(self, model: Any, data: FitData) -> Refit:
        """Return how the fitted model is fitted on other rows, with the settings that it chose."""

    def metrics(self, split: TrainTestSplit) -> tuple[Metric, ...]:
        """Return what it is measured by, beside the other methods."""
        return METRICS[split.task]

    def law(
        self, model: Any, data: FitData, refit: Refit, comparison: Comparison
    ) -> LawContents | None:
        """Return what is known of a predictive law and of its coefficients; None of a network."""
        return None

    @abstractmethod
    def advice(
        self, data: FitData, comparison: Comparison, law: LawContents | None
    ) -> tuple[str, ...]:
        """Return sentences beside those on its worth."""

    def certificate(self, output: Output, model: Any, search: Path) -> dict[str, Any]:
        """Return the numbers of a certificate, whose search is left in a file; empty where there is none."""
        return {}

    @abstractmethod
    def guarantee(self, model: Any, certificate: dict[str, Any], data: FitData) -> str:
        """Return what is known of how far its training could still go, in a sentence."""

    @abstractmethod
    def contents(
        self, model: Any, data: FitData, relevance: Relevance
    ) -> dict[str, Any]:
        """Return fields of `FitContents` that only this kind has."""

    @abstractmethod
    def record(self, model: Any, law: LawContents | None) -> dict[str, Any]:
        """Return fields of result.json that only this kind has."""

    @abstractmethod
    def settings(self, model: Any) -> dict[str, Any]:
        """Return the parameters of the fitted estimator, and what fitting chose."""

    @abstractmethod
    def how_to_go_on(self, folder: Folder) -> str:
        """Return the message after an interruption."""
