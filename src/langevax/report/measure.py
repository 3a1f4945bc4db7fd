"""Measure a fitted mean-field estimator on a split table: what the page of a fit, and the command line, tell of it."""

import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, r2_score

from langevax.meanfield import Certificate
from langevax.report.contents import Band, Relevance, Score
from langevax.report.peers import peers
from langevax.report.split import Split

MOST_SHUFFLED_ROWS, SHUFFLES, FEW_SHUFFLES, MANY_COLUMNS = 500, 5, 2, 40
CERTIFIED = ("gap", "standard_error", "unbiased_gap", "lower_bound", "lower_bound_error", "upper_bound")
CERTIFIED += ("trustworthy", "verdict", "surviving_ancestors", "temperatures", "polish_steps")
PACKAGES = ("langevax", "jax", "numpy", "scikit-learn")


def predictions(model: Any, split: Split, inputs: np.ndarray) -> np.ndarray:
    """Numbers, or indices into the split's classes."""
    if split.classes:
        return np.asarray(model.predict_proba(inputs)).argmax(1)
    return np.asarray(model.predict(inputs))


def score_of(split: Split, observed: np.ndarray, predicted: np.ndarray) -> float:
    """R2, or accuracy."""
    return float(accuracy_score(observed, predicted) if split.classes else r2_score(observed, predicted))


def peer_scores(split: Split, seed: int, each: Callable[[str, float], None] = lambda name, value: None) -> list[Score]:
    """Every peer, fitted and scored on the same rows; `each` hears of them as they come."""
    scores = []
    for name, peer in peers(split.task, seed).items():
        began = time.perf_counter()
        peer.fit(split.train_inputs, split.train_targets)
        seconds = time.perf_counter() - began
        value = score_of(split, split.test_targets, peer.predict(split.test_inputs))
        scores.append(Score(name, value, seconds, note=peer.note_))
        each(name, value)
    return scores


def relevance_of(model: Any, split: Split, seed: int) -> Relevance:
    """By how much the held-out score falls when a column of the table is shuffled, its indicators with it.

    scikit-learn shuffles a table whose entries are row numbers, one column per table column; the inputs are
    then put together from the rows named, so that a column of words moves as a whole.
    """
    rows = np.random.default_rng(seed).permutation(len(split.test))[:MOST_SHUFFLED_ROWS]
    inputs, observed = split.test_inputs[rows], split.test_targets[rows]
    groups = list(split.groups.values())

    def score(model: Any, numbers: np.ndarray, observed: np.ndarray) -> float:
        shuffled = np.empty_like(inputs)
        for column, places in enumerate(groups):
            shuffled[:, places] = inputs[numbers[:, column]][:, places]
        return score_of(split, observed, predictions(model, split, shuffled))

    found: Any = permutation_importance(
        model,
        np.tile(np.arange(len(rows))[:, None], (1, len(groups))),
        observed,
        scoring=score,
        n_repeats=FEW_SHUFFLES if len(groups) > MANY_COLUMNS else SHUFFLES,
        random_state=seed,
    )
    return Relevance(tuple(split.groups), np.asarray(found.importances_mean), np.asarray(found.importances_std))


def band_of(model: Any, certificate: Certificate | None, points: int, seed: int) -> Band:
    """Certificates at some steps of the training, the last of them given; of none, that one alone."""
    if certificate is not None and points > 1:
        return Band(**model.certificate_path(points, certificate, random_state=seed)._asdict())
    known = [] if certificate is None else [certificate]
    return Band(
        steps=np.array([model.n_iter_ for _ in known], int),
        lower_bound=np.array([end.lower_bound for end in known]),
        lower_bound_error=np.array([end.lower_bound_error for end in known]),
        gap=np.array([end.gap for end in known]),
        gap_error=np.array([end.standard_error for end in known]),
        trustworthy=np.array([end.trustworthy for end in known], bool),
    )


def certified(certificate: Certificate) -> dict[str, Any]:
    """A certificate's numbers and words, without its dual."""
    return {name: getattr(certificate, name) for name in CERTIFIED}


def versions() -> dict[str, str]:
    """Of Python and of what computed the fit."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
