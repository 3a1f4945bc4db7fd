"""The certificate of a predictive law: an interval that holds the least J_a, and with it the score of the minimiser.

Both ends are those of a mean-field network's certificate, whose walks, cells and searches they share. The upper one is
J_a of a law whose density is known by walks on frozen plans, whatever these missed. The lower one is by convexity, with
the largest normaliser of walks from the prior, walks from the law back to it, walks around the law, and the wells that
descents find; parameters that none of these entered are what it does not know.

J_a(q) - min J_a is KL(q || minimiser) + (1-a) sum_i phi(z_i / z*_i), with phi(u) = u - 1 - log u. By Jensen's
inequality phi(exp x) is at most the width over (1-a) n for x the mean of log z_i - log z*_i, which bounds the score of
the minimiser.
"""

import math
import time
from dataclasses import dataclass, replace

import numpy as np
from jax import random
from jaxtyping import Float

from langevax import checks
from langevax._typing import PRNGKey
from langevax.log_weights import log_mean_exp
from langevax.meanfield.certificate import blas_threads
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.interval_search import TRUSTED, close
from langevax.predictive_law.law_problem import LawProblem
from langevax.predictive_law.law_search import LawSearch, search_of
from langevax.predictive_law.parameter_law import ParameterLaw, in_units_of_prior
from langevax.predictive_law.path import influences_of
from langevax.run.options import Run, check_unsaved
from langevax.run.progress import report_to

MOST_MISSING = 0.05
"""Share of the minimiser's mass where the law has next to no particle, above which it is refused."""
NOISE_OF_SCORE = 2
"""Standard errors by which the law's score may be outside of that of the minimiser."""
MORE = "raise effort (it was {effort:.0e})"
ANOTHER_LAW = (
    "pass more posterior_shares, more particles, draws of more chains, or another key."
)
"""What to do, in Python: the command line has its own words."""


@dataclass(frozen=True, repr=False)
class LawCertificate:
    """An interval for the least objective J_a at one share of Bayes, in nats, of all distributions of the parameters.

    J_a is that of all rows, with the log prior as the model writes it: a constant that this leaves out is left out.
    """

    lower_bound: float
    """Lower end at 95 %, unless parameters hold mass that no search entered."""
    upper_bound: float
    """Upper end at 95 %, whatever was missed."""
    bayes_objective: float
    """J_a of the posterior; too low where its likelihood of a row is below the smallest normal number."""
    posterior_share: float
    score_bounds: tuple[float, float]
    """Of the mean in-sample log score of the minimiser, nats a row; infinite for a share of 1."""
    law_score: float
    """Mean in-sample log score of the distribution that was certified, by its particles."""
    law_score_error: float
    """By their number."""
    num_rows: int
    trustworthy: bool
    verdict: str
    """The interval in a sentence, or why it says too little and what to do."""
    missing_share: float
    """Share of the minimiser's mass at parameters where the certified distribution has next to no particle: an estimate."""
    log_scores: Float[np.ndarray, " n"]
    """log z_i of the distribution of the upper end."""
    effective_draws: float
    """That the weights of its walks leave effective."""
    num_descents: int
    """Descents that searched for wells."""
    work: int
    """Gradients of the log likelihood of one row at one particle."""
    cpu_seconds: float
    effort: float
    history: tuple[tuple[int, float, float], ...] = ()
    """(work, lower end, upper end) each time that the interval became narrower."""

    @property
    def width(self) -> float:
        """Upper minus lower end: that of the upper end is within this KL divergence of the minimiser."""
        return self.upper_bound - self.lower_bound

    @property
    def unknown_share(self) -> float:
        """The width, of what the posterior leaves above the lower end."""
        return self.width / max(
            self.bayes_objective - self.lower_bound, np.finfo(float).tiny
        )

    def __str__(self) -> str:
        return self.verdict

    def __repr__(self) -> str:
        return (
            f"LawCertificate({self.verdict}\n"
            f"{self.effective_draws:,.0f} effective draws, {self.work:.2g} gradients "
            f"of rows in {self.cpu_seconds:.1f} CPU seconds)"
        )


def certify(
    problem: LawProblem,
    posterior_share: float,
    points: Float[np.ndarray, "particle d"],
    effort: float | None,
    run: Run,
    cpu_seconds: float | None = None,
    *,
    key: PRNGKey,
    default_effort: float = 1e9,
) -> LawCertificate:
    """Return the interval for the law's share of Bayes, from walks that start at its particles and at the prior."""
    checks.typed_key(key)
    check_unsaved(run, "a certificate of a predictive distribution")
    if effort is not None and cpu_seconds is not None:
        raise TypeError("effort and cpu_seconds are two budgets; pass one of them.")
    effort = default_effort if effort is None else effort
    checks.number("effort", effort, positive=True)
    if cpu_seconds is not None:
        checks.number("cpu_seconds", cpu_seconds, positive=True)
    if problem.weights is not None:
        raise ValueError(
            "the rows have weights, and a certificate counts every row once; fit it "
            "without them."
        )
    began = time.process_time()
    unit_key, search_key = random.split(key)
    tilted = ParameterLaw.of(problem, posterior_share, points)
    tilted = in_units_of_prior(tilted, points, key=unit_key)
    clouds = Clouds(tilted, problem.size, search_key)
    with report_to(run.progress) as report:
        search = search_of(tilted, points, clouds, report)
        with blas_threads(search.risk):
            try:
                search.allow(effort, cpu_seconds)
                close(search)
                missing = search.missing_share()
            finally:
                clouds.close()
    seconds = time.process_time() - began
    score = _score(problem, points)
    return _certificate(search, posterior_share, missing, seconds, *score)


def _certificate(
    search: LawSearch,
    share: float,
    missing: float,
    seconds: float,
    score: float,
    score_error: float,
) -> LawCertificate:
    references = np.asarray(search.tilted.references, np.float64)
    size = len(references)

    def nats(value: float) -> float:
        return size * value - float(references.sum())

    lower = -math.inf
    upper = math.inf
    outputs = np.ones(size)
    if search.lower is not None and not search.is_capped:
        lower = nats(search.lower[0])
    if search.upper is not None:
        upper = nats(search.upper[0])
        outputs = search.upper[1].outputs
    certified = references + np.log(np.maximum(outputs, np.finfo(float).tiny))
    bounds = -math.inf, math.inf
    if share < 1 and math.isfinite(upper - lower):
        down, up = _inverse((upper - lower) / (size * (1 - share)))
        bounds = float(certified.mean()) - up, float(certified.mean()) - down
    is_narrow = search.narrow(TRUSTED) and math.isfinite(lower)
    slack = NOISE_OF_SCORE * score_error
    is_near = bounds[0] - slack <= score <= bounds[1] + slack
    certificate = LawCertificate(
        lower_bound=lower,
        upper_bound=upper,
        bayes_objective=nats(search.prior_objective),
        posterior_share=share,
        score_bounds=bounds,
        law_score=score,
        law_score_error=score_error,
        num_rows=size,
        trustworthy=is_narrow and is_near and missing <= MOST_MISSING,
        verdict="",
        missing_share=missing,
        log_scores=certified,
        effective_draws=search.effective,
        num_descents=search.descents,
        work=search.clouds.work,
        cpu_seconds=seconds,
        effort=search.effort,
        history=tuple(
            (work, nats(low), nats(high)) for work, low, high in search.history
        ),
    )
    refusal = search.reason.format(more=MORE.format(effort=search.effort))
    verdict = _verdict(certificate, is_narrow, is_near, refusal)
    return replace(certificate, verdict=verdict)


def _score(
    problem: LawProblem, points: Float[np.ndarray, "particle d"]
) -> tuple[float, float]:
    """Return the mean in-sample log score of particles, and its error by their number."""
    logs = np.asarray(problem.log_likelihoods(points), np.float64)
    influences = influences_of(logs, len(logs))
    error = float(influences.std() / math.sqrt(len(influences)))
    return float(log_mean_exp(logs, axis=0).mean()), error


def _inverse(value: float) -> tuple[float, float]:
    """Return the negative and the positive root of e^x - 1 - x = value, by Lambert's function."""
    from scipy.special import lambertw

    value = max(value, np.finfo(float).eps)
    low, high = (
        -1 - value - float(lambertw(-math.exp(-1 - value), branch).real)
        for branch in (0, -1)
    )
    return low, high


def _verdict(
    certificate: LawCertificate,
    is_narrow: bool,
    is_near: bool,
    refusal: str,
) -> str:
    lower = certificate.lower_bound
    upper = certificate.upper_bound
    posterior_share = certificate.posterior_share
    width = max(upper - lower, np.finfo(float).eps)
    places = max(0, 1 - math.floor(math.log10(width))) if math.isfinite(width) else 1
    objective = f"the objective at a share of {posterior_share:g} of Bayes"
    between = f"between {lower:.{places}f} and {upper:.{places}f} nats"
    if math.isinf(lower):
        known = "unknown" if math.isinf(upper) else f"at most {upper:.1f} nats"
        return (
            f"Not certified: the least value of {objective} is {known}, and has no "
            f"lower end since {refusal}."
        )
    if not is_narrow:
        return (
            f"Not certified: the least value of {objective} lies {between}, too wide "
            f"since {refusal}."
        )
    basin = 3 / max(certificate.num_descents, 1)
    sentence = (
        f"{{}} the least value of {objective} lies {between} (95 % each end; the lower "
        f"one unless parameters were missed that hold less than {basin:.2%} of "
        f"{certificate.num_descents:,} searches); the posterior's is "
        f"{certificate.bayes_objective:.{places}f}."
    )
    low, high = certificate.score_bounds
    if posterior_share < 1:
        sentence += (
            f" The minimiser scores its own rows by {low:.3f} to {high:.3f} nats a "
            f"row, this distribution by {certificate.law_score:.3f} ± "
            f"{certificate.law_score_error:.3f}."
        )
    if certificate.missing_share > MOST_MISSING:
        return (
            f"{sentence.format('Not certified:')} It lacks parameters that hold about "
            f"{certificate.missing_share:.0%} of the minimiser's mass; {ANOTHER_LAW}"
        )
    if not is_near:
        return (
            f"{sentence.format('Not certified:')} This distribution is not the "
            f"minimiser; {ANOTHER_LAW}"
        )
    return (
        f"{sentence.format('Certified:')} This says nothing of how well it predicts "
        "new rows."
    )
