"""An interval that holds the least objective of all networks of a kind: an upper end proved, a lower end by search.

    P(q) = (1 / n) sum_i W_i l(E_q h(., x_i)) + T KL(q || prior)

**Upper end.** A walk on a frozen plan from any law of known density to p_g has E Z^ = Z, and the law q of a particle
drawn by its weights has KL(q || p_g) <= log Z - E log Z^ (data processing on the extended target of Andrieu, Doucet,
Holenstein, JRSS B 2010). With e the exponent of `gibbs_law`,

    min P <= loss(E sum_k W_k h_k) + T (E sum_k W_k e_k - E log Z^)

whatever modes the walk missed: all are means over independent runs, and the only error is that of a mean. For disjoint
cells A_k with shares l_k, chosen on half of the runs and judged on the other,

    min P <= loss(sum_k l_k z_k) + T sum_k l_k (log l_k + e_k - E log Z^(A_k)).

**Lower end.** D(g) = -(1 / n) sum_i W_i l*(g_i) - T log Z <= min P asks for log Z from above, which no sampler can give
without finding every mode. It is the largest of forward walks from the prior, backward walks from the cloud, and the
wells that descents find. A well that none of the descents entered is what the lower end does not know.

The dual comes from `homotopy.climb`. Everything tried is kept: the highest lower end and the lowest upper end.
"""

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from langevax import checks
from langevax._typing import PRNGKey
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.duality_gap import check_problem
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.homotopy import DIRECT, RowRisk
from langevax.meanfield.interval_search import TRUSTED, IntervalSearch, close
from langevax.problems.mean_field import MeanFieldRisk
from langevax.renamed import refuse_former
from langevax.run.options import Run, check_unsaved
from langevax.run.progress import report_to

DEFAULT_EFFORT = 3e9
"""Gradients of one neuron at one row: about half a minute on one core."""


@dataclass(frozen=True)
class Certificate:
    """An interval for `min P`, the least training objective of all networks of this kind at this temperature."""

    lower_bound: float
    """Lower end at 95 %, unless a well exists that no search entered."""
    upper_bound: float
    """Upper end at 95 %, whatever the walks missed."""
    prior_objective: float
    """P of the untrained prior."""
    trustworthy: bool
    verdict: str
    """The interval in a sentence, or why it says too little and what to do."""
    dual: np.ndarray
    """The dual of the lower end."""
    outputs: np.ndarray
    """The outputs at the training rows of the law of the upper end."""
    num_descents: int
    """Descents that searched for wells."""
    work: int
    """Gradients of one neuron at one row."""
    cpu_seconds: float
    effort: float
    """What was allowed: `certify` with this effort and key repeats the result, whatever `cpu_seconds` was."""
    row_shares: np.ndarray
    """W_i / n of the rows of `dual` and `outputs`, which add up to 1."""
    history: tuple[tuple[int, float, float], ...] = ()
    """(work, lower end, upper end) each time that the interval became narrower."""

    @property
    def width(self) -> float:
        """Upper minus lower end."""
        return self.upper_bound - self.lower_bound

    @property
    def unknown_share(self) -> float:
        """The width, of what the untrained prior leaves above the lower end; 1 where no lower end is known."""
        if not math.isfinite(self.lower_bound):
            return 1.0
        return self.width / max(
            self.prior_objective - self.lower_bound, np.finfo(float).tiny
        )

    def __repr__(self) -> str:
        return (
            f"Certificate({self.verdict} {self.unknown_share:.2g} of what the "
            f"untrained prior leaves; {self.work:.2g} neuron gradients in "
            f"{self.cpu_seconds:.1f} CPU seconds; dual {self.dual.shape})"
        )

    def output_error(self, outputs: Float[ArrayLike, "n ..."]) -> float:
        """Squared loss: bound the mean square distance of a network's outputs from the optimum's.

        (|outputs - certified outputs| + sqrt(2 width))^2 in root mean squares, since P is strongly convex in the
        outputs.

        Args:
            outputs: of the network at the rows of `outputs`.

        Raises:
            ValueError: outputs of another shape.
        """
        if np.shape(outputs) != self.outputs.shape:
            raise ValueError(
                f"outputs must have shape {self.outputs.shape}, got "
                f"{np.shape(outputs)}; pass those at the rows that were certified."
            )
        apart = np.asarray(outputs, np.float64) - self.outputs
        distance = math.sqrt(
            self.row_shares @ np.sum(apart.reshape(len(apart), -1) ** 2, 1)
        )
        return (distance + math.sqrt(2 * max(self.width, 0))) ** 2


@refuse_former
def certify(
    risk: MeanFieldRisk,
    temperature: float,
    *,
    key: PRNGKey,
    effort: float | None = None,
    cpu_seconds: float | None = None,
    clouds: Sequence[Float[ArrayLike, "particles size"]] = (),
    dual: Float[ArrayLike, "n ..."] | None = None,
    run: Run = Run(),
) -> Certificate:
    """Bound the least objective of all networks of this kind from both sides.

    Args:
        risk: the mean loss with its prior, of a bounded neuron.
        temperature: that of the training, T.
        effort: gradients of one neuron at one row that this call may spend; `DEFAULT_EFFORT` (3e9) by default, about
            half a minute on one core. It ends sooner where the interval is narrow.
        cpu_seconds: instead of `effort`, converted by a rate that is measured; `effort` of the result repeats it.
        clouds: particles of trained networks, from which wells are searched for as well.
        dual: (n,) or (n, C) of a training, whose law the first of `clouds` is of: the climb goes on from there. None
            begins at the prior.
        run: a `langevax.Run`; nothing is saved. The share that `progress` shows is that of the effort.

    Raises:
        ValueError: an unbounded neuron, a risk without a prior, an effort that is not positive, both `effort` and
            `cpu_seconds`, clouds of another width or not finite, a dual of another shape or without clouds, a
            checkpoint.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> certificate = langevax.meanfield.certify(risk, 0.1, key=jax.random.key(0))
        >>> certificate.trustworthy, certificate.width < 0.01
        (True, True)
    """
    check_problem(risk, temperature, key)
    if effort is not None and cpu_seconds is not None:
        raise ValueError(
            f"effort={effort} and cpu_seconds={cpu_seconds} are two budgets; pass one "
            "of them."
        )
    checks.number("effort", DEFAULT_EFFORT if effort is None else effort, positive=True)
    checks.number(
        "cpu_seconds", 1.0 if cpu_seconds is None else cpu_seconds, positive=True
    )
    check_unsaved(run, "a certificate")
    risk.prior(temperature, 1)  # refuses a risk without a prior
    began = time.process_time()
    law = GibbsLaw.of(risk, float(temperature))
    num_rows = int(np.count_nonzero(np.asarray(risk.row_weights()) > 0))
    moves = Clouds(law, num_rows, key)
    trained = [_inner(risk, law, cloud) for cloud in clouds]
    with blas_threads(risk), report_to(run.progress) as report:
        search = IntervalSearch(risk, float(temperature), moves, report, trained)
        try:
            if dual is not None:
                search.go_on_from(dual)
            search.allow(DEFAULT_EFFORT if effort is None else effort, cpu_seconds)
            close(search)
        finally:
            moves.close()
    return _certificate(search, time.process_time() - began)


def blas_threads(risk: RowRisk) -> AbstractContextManager[Any]:
    """Give the linear algebra of a certificate one thread, where its matrices are small and threadpoolctl is installed.

    On two shared cores, threads that wait for each other took three quarters of the processor time of a table.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with scikit-learn
        return nullcontext()
    outputs = risk.max_size * int(np.prod(risk.neuron.output_shape))
    return threadpool_limits(1 if outputs <= DIRECT else None, "blas")


def _inner(risk: MeanFieldRisk, law: GibbsLaw, cloud: ArrayLike) -> np.ndarray:
    """Return the coordinates of particles that are left, in units of the prior's deviations."""
    particles = np.asarray(cloud)
    if particles.ndim != 2 or particles.shape[1] != risk.particle_size:
        raise ValueError(
            f"each of clouds must have shape (particles, {risk.particle_size}), got "
            f"{particles.shape}; pass positions of trained networks."
        )
    checks.finite(
        "clouds",
        jnp.asarray(particles),
        remedy="pass the positions of a finite network",
    )
    if law.output_weight is not None:
        particles = np.asarray(risk.neuron.split(jnp.asarray(particles))[1])  # pyright: ignore[reportAttributeAccessIssue]
    return particles / np.asarray(law.deviations)


def _certificate(search: IntervalSearch, seconds: float) -> Certificate:
    lower = search.lower[0] if search.lower is not None else -math.inf
    upper = search.upper[0] if search.upper is not None else math.inf
    trusted = math.isfinite(upper - lower) and search.narrow(TRUSTED)
    nothing = np.zeros(search.output_shape)
    return Certificate(
        lower_bound=lower,
        upper_bound=upper,
        prior_objective=search.prior_objective,
        trustworthy=trusted,
        verdict=_verdict(search, lower, upper, trusted),
        dual=search.lower[1] if search.lower is not None else nothing,
        outputs=search.upper[1].outputs if search.upper is not None else nothing,
        num_descents=search.descents,
        work=search.clouds.work,
        cpu_seconds=seconds,
        effort=search.effort,
        row_shares=_row_shares(search.risk),
        history=search.history,
    )


def _verdict(
    search: IntervalSearch,
    lower: float,
    upper: float,
    trusted: bool,
) -> str:
    width = max(upper - lower, np.finfo(float).eps)
    places = max(0, 1 - math.floor(math.log10(width))) if math.isfinite(width) else 3
    between = f"between {lower:.{places}f} and {upper:.{places}f}"
    if trusted:
        promise = "95 % each end"
        # D(0) needs no search
        if search.lower is not None and np.any(search.lower[1]):
            promise += "; the lower one " + (
                "unless a well was missed that holds less than "
                f"{3 / search.descents:.1%} of {search.descents:,} searches"
                if search.descents
                else "by walks alone, since none of the searches for wells ended in one"
            )
        return f"The least training objective lies {between} ({promise})."
    refusal = search.refusal.format(more=f"raise effort (it was {search.effort:.0e})")
    if not math.isfinite(lower):
        return (
            f"Not certified: at most {upper:.3g}, with no lower end, since {refusal}."
        )
    if not search.is_two_sided():
        return (
            f"Upper end only, at most {upper:.3g}: no lower end is known that is "
            f"better than that of any network, {search.bound_of_any:.3g}; raise effort "
            f"(it was {search.effort:.0e})."
        )
    share = (upper - lower) / max(search.prior_objective - lower, np.finfo(float).tiny)
    return (
        f"Not certified: {between}, {min(share, 1):.0%} of what the untrained prior "
        f"leaves, since {refusal}."
    )


def _row_shares(risk: RowRisk) -> np.ndarray:
    weights = np.asarray(risk.row_weights(), np.float64)
    return weights / weights.sum()
