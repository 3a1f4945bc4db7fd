"""Laws of several seeds side by side: a law that one seed found is shown by others.

J_a is convex, so that the laws of all seeds at one share of Bayes have one minimiser, and its mean log score of the
training rows. Laws whose scores differ by more than their errors over particles cannot all be near it: one of them
lacks parameters that another one found, or still drifts. Laws that agree may all lack a mode that no draw reached,
which is what a certificate is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from langevax import checks
from langevax.predictive_law.path import SMALL_LAW_DRIFT, FittedLaw

MOST_STANDARD_ERRORS = 3
"""Of a difference, beyond which a law is not the one that it should be."""


@dataclass(frozen=True)
class LawAgreement:
    """Laws of several seeds at one share of Bayes, the first of them that which predicts."""

    bayes_share: float
    """That the first one chose, at which all are compared."""
    scores: Float[np.ndarray, " law"]
    """Mean log score of the training rows under each, in sample, nats a row."""
    score_errors: Float[np.ndarray, " law"]
    """Their standard errors over particles."""
    gains: Float[np.ndarray, " law"]
    """What each gains over Bayes on rows left out, nats a row."""
    chosen: Float[np.ndarray, " law"]
    """The share of Bayes that each seed chose."""

    @property
    def agree(self) -> bool:
        """True where no two scores differ by more than three standard errors, or a thousandth of a nat."""
        apart = np.abs(self.scores[:, None] - self.scores)
        errors = np.hypot(self.score_errors[:, None], self.score_errors)
        return bool(
            np.all(apart <= np.maximum(MOST_STANDARD_ERRORS * errors, SMALL_LAW_DRIFT))
        )

    def __str__(self) -> str:
        error = float(self.score_errors.max())
        number = len(self.scores)
        score = f"at a share of {self.bayes_share:g} of Bayes they score their rows by {_listed(self.scores)} nats"
        if not self.agree:
            return (
                f"Laws of {number} seeds differ: {score}, further apart than their errors of {error:.2g} allow. Some "
                "lack parameters that others found, or still drift; pass more num_particles, bayes_shares or draws."
            )
        chose = f"they chose shares of {_listed(self.chosen, 'g')}"
        if np.ptp(self.chosen) == 0:
            chose = f"all chose a share of {self.chosen[0]:g}"
        gained = (
            ""
            if self.bayes_share == 1
            else f", and gain {_listed(self.gains)} nats a row over Bayes"
        )
        return f"Laws of {number} seeds agree: {score}, within their errors of {error:.2g}{gained}; {chose}."


def _listed(numbers: Float[np.ndarray, " law"], form: str = ".3f") -> str:
    """Return numbers in words."""
    words = [f"{x:{form}}" for x in numbers]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def check_same_parameters(first: FittedLaw, others: Sequence[FittedLaw]) -> None:
    """Raise where others are not laws of the same parameters."""
    for law in others:
        if getattr(law, "points", np.zeros((0, 0))).shape[1:] != first.points.shape[1:]:
            raise ValueError(
                f"others must be laws of the same {first.points.shape[1]} parameters, got {checks.shown(law)}; pass "
                "what predictive returned for other keys."
            )


def agreement(first: FittedLaw, others: Sequence[FittedLaw]) -> LawAgreement:
    """Return how far the laws of other keys agree with the first."""
    share = first.bayes_share
    if not others:
        raise ValueError(
            "others holds no law; pass what predictive returned for other keys."
        )
    check_same_parameters(first, others)
    columns = []
    for law in (first, *others):
        path = law.path
        if path.scores.shape[1] != first.path.scores.shape[1]:
            raise ValueError(
                f"others must be laws of the same {first.path.scores.shape[1]} rows, got one of "
                f"{path.scores.shape[1]}; pass those of the same data."
            )
        shares = path.bayes_share.tolist()
        if share not in shares:
            raise ValueError(
                f"others has a law whose path {shares} lacks the share {share:g}; pass the same bayes_shares for all "
                "keys."
            )
        place = shares.index(share)
        numbers = (path.fit[place], path.fit_error[place], path.gain[place])
        columns.append((*numbers, law.bayes_share))
    return LawAgreement(share, *np.array(columns, float).T)
