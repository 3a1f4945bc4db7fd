"""`predictive`: the best predictive distribution of a user's own model, chosen between Bayes and the best score."""

import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jax import random
from jax.core import Tracer

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.predictive_law.law import CLOSED_FORM, PredictiveLaw, law_at
from langevax.predictive_law.law_problem import (
    LawProblem,
    PredictiveWarning,
    check_dependence,
    check_draws,
    check_proper,
    check_rows,
)
from langevax.predictive_law.models import NamedModel, flat_draws, model_of
from langevax.predictive_law.path import (
    SNAPSHOTS,
    PredictivePath,
    cross_validated,
    evenly_spaced,
    run_path,
)
from langevax.renamed import refuse_former
from langevax.sampling import Samples

SHARES = (1.0, 0.5, 0.2, 0.1, 0.05)
"""The path of a density: at a = 0 a law may put mass on spikes at single rows (Kiefer and Wolfowitz 1956)."""
SHARES_OF_COUNTS = (*SHARES, 0.0)


@refuse_former
def predictive(
    model: Any,
    *data: Any,
    key: PRNGKey,
    draws: PyTree | Samples | None = None,
    start: PyTree | None = None,
    posterior_shares: Sequence[float] | Literal["auto"] = "auto",
    num_particles: int = 256,
    num_folds: int | None = None,
) -> PredictiveLaw:
    """Return the distribution of the parameters whose mixture predicts new rows best, Bayes where Bayes is right.

    The distributions q on a path minimise J_a(q) = sum_i [-(1-a) log E_q p_i - a E_q log p_i] + KL(q || prior): a = 1 is the
    posterior, a = 0 scores the mixture alone. That with the largest a within one standard error of the best
    leave-one-out score is chosen. Rows must be exchangeable given the parameters: one parameter for each row
    is not a memory between rows, and time series gain heavy tails at best.

    Args:
        model: a NumPyro model, with its arguments as `data`; or a PyMC model, without `data`; or `log_prior(position)`,
            with `log_likelihood(position, row)` and the rows as `data`; or a `langevax.posterior`, whose rows may have
            weights: each is then left out with all of its own. The prior must be proper.
        data: see `model`.
        key: a typed JAX key.
        draws: posterior draws, a pytree with one leading axis such as `mcmc.get_samples()`, or what `langevax.sample`
            or, of a PyMC model, its own `sample` returns; at least `num_particles` of them. None draws them by
            `langevax.sample`.
        start: a position from which `sample` starts if `draws` is None; not needed for a NumPyro or PyMC model.
        posterior_shares: of the posterior in the objective of each distribution, decreasing from 1. "auto" is 1, 0.5,
            0.2, 0.1 and 0.05, and 0 as well where all that a NumPyro or PyMC model observes is discrete. For other
            models of counts and classes, add 0; a density with a free scale needs a share of at least 0.05.
        num_particles: particles that move; four snapshots of each are kept.
        num_folds: refits, by whose scores of the rows they leave out the share is chosen. None: by leave-one-out in
            closed form, which a warning calls unsafe where there are more effective parameters than a fifth of the
            rows.

    Returns:
        `PredictiveLaw`: `.posterior_share`, `.path`, `.log_score(new)`, `.positions`, `.compare()`.

    Raises:
        TypeError, ValueError: an invalid argument; a model that is not a sum over rows, or with an improper prior;
            discrete parameters; a row without density under all draws; too few draws.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> y = jnp.concatenate([jnp.full(30, -2.0), jnp.full(30, 2.0)]) + jnp.linspace(-1, 1, 60)
        >>> log_prior = lambda m: -(m**2) / 8
        >>> log_likelihood = lambda m, row: -((row - m) ** 2) / 2 - jnp.log(2 * jnp.pi) / 2
        >>> draws = y.mean() + jax.random.normal(jax.random.key(1), (1000,)) / jnp.sqrt(60.25)
        >>> options = {"draws": draws, "posterior_shares": (1.0, 0.3, 0.1), "num_folds": None}
        >>> fit = langevax.predictive(log_prior, log_likelihood, y, key=jax.random.key(0), **options)
        >>> fit.posterior_share < 1, fit.compare().nats > 0.2
        (True, True)
    """
    if isinstance(key, Tracer):
        raise TypeError(
            "predictive chooses, refits and warns outside of jax.jit, vmap and grad; "
            "call it from there."
        )
    checks.typed_key(key)
    checks.positive_int("num_particles", num_particles, minimum=16)
    num_particles = int(num_particles)  # not an integer of few bits
    if num_folds is not None:
        checks.positive_int("num_folds", num_folds, minimum=2)
    row_model = model_of(model, data)
    finite_sum = row_model.finite_sum
    shares = SHARES if row_model.has_density_floor else SHARES_OF_COUNTS
    if not checks.is_auto(posterior_shares):
        shares = _checked_shares(posterior_shares)
    sample_key, path_key, fold_key = random.split(key, 3)
    points, position = flat_draws(row_model, draws, start, key=sample_key)
    if len(points) < num_particles:
        raise ValueError(
            f"draws has {len(points)} rows, but num_particles is {num_particles}; pass "
            "more draws, or fewer particles."
        )
    began = time.perf_counter()
    problem = LawProblem.of(finite_sum, position, num_particles)
    _check_size(problem.size, num_folds)
    few = evenly_spaced(points, min(len(points), SNAPSHOTS * num_particles))
    logs = problem.log_likelihoods(few)
    check_rows(logs)
    check_dependence(problem, logs)
    named = isinstance(row_model, NamedModel)
    check_proper(problem, points, "the prior of model" if named else "log_prior")
    if draws is not None:
        check_draws(problem, evenly_spaced(points, num_particles))
    levels = run_path(problem, points, shares, num_particles, key=path_key)
    held_out = None
    method = CLOSED_FORM
    if num_folds is not None:
        held_out = cross_validated(
            problem, points, shares, num_particles, num_folds, key=fold_key
        )
        method = f"{num_folds} folds"
    path = PredictivePath.of(levels, num_particles, held_out, problem.row_weights)
    points = levels[path.chosen].points
    seconds = time.perf_counter() - began
    law = law_at(row_model, problem, points, path, method, seconds)
    if law.warnings:
        warnings.warn(" ".join(law.warnings), PredictiveWarning, stacklevel=3)
    return law


def _check_size(size: int, num_folds: int | None) -> None:
    """Raise unless there are rows for every fold."""
    rows = f"data has {size} row{'s' * (size > 1)}"
    if size < 2:
        raise ValueError(
            f"{rows}, and leaving it out would leave none; pass at least two."
        )
    if num_folds is not None and size < num_folds:
        raise ValueError(
            f"{rows}, but num_folds is {num_folds}; pass more rows, fewer folds, or "
            "num_folds=None."
        )


def _checked_shares(shares: Any) -> tuple[float, ...]:
    """Return the shares of the path; raise unless they fall from 1 and stay within [0, 1]."""
    values = checks.plain_array("posterior_shares", shares)
    checks.number("posterior_shares", values)
    if values.ndim != 1 or values[0] != 1 or np.any(np.diff(values) >= 0):
        raise ValueError(
            "posterior_shares must decrease from 1 to at least 0, got "
            f"{checks.shown(shares)}; pass (1, 0.3, 0.1)."
        )
    return tuple(map(float, values))
