"""The search for both ends of a law's certificate: the interval of `meanfield`, for laws of parameters.

    upper    min J_a <= sum_i (1-a) ( t_i z_i - log z_i ) - E log Z^,      z_i = E sum_k W_k p_ik, a walk with weights W
    lower    min J_a >= sum_i (1-a) ( 1 + log c_i ) - log Z,               Z = E_prior exp(a sum log p_i + sum t_i p_i)

with t_i = (1-a) c_i for any positive c. The best c is 1 / z of the minimiser. Newton steps on the lower end of a cloud
find it: 1 / z of the law itself has the noise of its particles, which 1 + Cov(r) amplifies, while the best t of M
particles is about p_eff / (2 M) nats too low.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.log_weights import effective_share, log_mean_exp, normalised, systematic
from langevax.meanfield.clouds import MOVES_PER_LAW, Clouds, WalkTarget
from langevax.meanfield.homotopy import COUNTED_DUALS, Ascent, mean_gap
from langevax.meanfield.interval_search import (
    FEWEST_CLOUD,
    IntervalSearch,
    Known,
    unmet_wells,
)
from langevax.meanfield.upper_bound import (
    UpperBound,
    around_cloud,
    local_runs,
    parts_of,
    upper_bounds,
)
from langevax.meanfield.walks import (
    EFFECTIVE_SHARE,
    MOST_LAWS,
    Cells,
    PilotCloud,
    largest_step,
    plan_from_start,
    walk,
)
from langevax.predictive_law.dual import best_tilt
from langevax.predictive_law.law_problem import MAX_EXPONENT
from langevax.predictive_law.parameter_law import ParameterLaw
from langevax.predictive_law.path import evenly_spaced
from langevax.problems.losses import LogScore, Loss, linear

NOT_REACHED = "the effort ended before walks from the prior reached this law; {more}"
SMALLER_SHARE = ", or certify a smaller share of Bayes"


class OneOutput:
    """The shape of a likelihood."""

    output_shape: ClassVar[tuple[int, ...]] = ()


class LawRisk(eqx.Module):
    """The mean over rows of -(1-a) log z_i, z_i relative to that of the certified law."""

    loss: Loss
    inputs: Float[Array, " n"]
    targets: Float[Array, " n"]
    neuron: OneOutput = eqx.field(static=True)

    @classmethod
    def of(cls, law: ParameterLaw) -> "LawRisk":
        """Return the risk of a law: that of the posterior has no loss, but its likelihoods in the prior."""
        loss = LogScore(1 - law.bayes_share) if law.bayes_share < 1 else linear
        return cls(loss, law.references, jnp.zeros_like(law.references), OneOutput())

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.inputs)

    @property
    def max_size(self) -> int:
        """Rows."""
        return len(self.inputs)

    def row_weights(self) -> Array:
        """Return 1 for each row."""
        return jnp.ones_like(self.inputs)

    def mean_over_rows(self, values: Array) -> Array:
        """Return their mean."""
        return jnp.mean(values)


def least_share(share: float, divergence: float) -> float:
    """Return the least probability of an event under q, where it is `share` under p and KL(p || q) <= `divergence`."""
    from scipy.special import rel_entr

    share, low, high = min(share, 1.0), 0.0, min(share, 1.0)
    for _ in range(50):
        middle = (low + high) / 2
        apart = rel_entr(share, middle) + rel_entr(1 - share, 1 - middle)
        low, high = (middle, high) if apart > divergence else (low, middle)
    return high


@dataclass
class Climbing:
    """A weighted cloud whose dual is climbed to."""

    clouds: Clouds
    pilot: PilotCloud
    log_weights: np.ndarray
    tilt: np.ndarray

    @property
    def cloud(self) -> np.ndarray:
        """The particles."""
        return self.pilot.cloud

    def improve(self, ratios: np.ndarray, weight: float) -> None:
        """Take Newton's steps on this cloud."""
        self.tilt, self.log_weights = best_tilt(
            ratios, self.log_weights, self.tilt, weight
        )

    def move(self, target: WalkTarget, size: int, moves: int) -> None:
        """Resample and move."""
        shares = normalised(self.log_weights)
        parents = systematic(self.log_weights, self.clouds.generator().uniform(), size)
        pilot = self.pilot.measured(shares).resampled(parents)
        self.pilot, _ = pilot.moved(self.clouds, target, moves)
        self.log_weights = np.zeros(size)


@dataclass
class LawSearch(IntervalSearch):
    """The state of a law's certificate; objectives are means over rows, of likelihoods relative to the law's own."""

    particles: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """Those of the law."""
    known: Known = field(default_factory=lambda: Known(refusal=NOT_REACHED))
    is_capped: bool = False
    """Whether some likelihood ratio was cut, which no lower end allows."""
    outside = "parameters far from the law's particles"
    in_cells = True
    sharp = 0.1
    """Nats of the width at which it ends."""
    clouds_of_dual = 8
    """On which the dual is found."""

    @property
    def tilted(self) -> ParameterLaw:
        """The laws of one particle."""
        assert isinstance(self.clouds.law, ParameterLaw)
        return self.clouds.law

    def begin(self) -> None:
        """Bound J_a by that of the posterior, and choose how large the first round is."""
        self.choose_sizes()
        posterior = self.tilted.plain_tilt(1.0)
        self.progress("the posterior")
        cloud, log_weights = self._weighted(posterior, self.particles)
        cloud = cloud[systematic(log_weights, self.clouds.generator().uniform())]
        start = around_cloud(self.clouds, cloud)
        runs = local_runs(self.clouds, posterior, start, cloud, self.known.size, False)
        if runs is not None:
            bound = upper_bounds(self.risk, self.temperature, runs)[0]
            self.keep_upper(bound)
            self.known = replace(self.known, prior_objective=bound.value)

    @property
    def least_left(self) -> float:
        """A nat: a quarter of one is narrow whatever the posterior leaves."""
        return 1 / self.tilted.num_activations

    def keep_upper(self, *bounds: UpperBound) -> None:
        """Keep the lowest upper end of the laws that give every row a likelihood within the numbers of its dtype."""
        least = np.finfo(self.clouds.dtype).tiny
        super().keep_upper(
            *(
                b if b.outputs.min() > least else b._replace(value=math.inf)
                for b in bounds
            )
        )

    def choose_sizes(self) -> None:
        """Set the particles of the first round: the path of minimisers takes some forty laws."""
        super().choose_sizes()
        fewer = max(FEWEST_CLOUD, self.known.num_particles // 2)
        self.known = replace(self.known, num_particles=fewer)

    @property
    def reason(self) -> str:
        """Words for what is wrong, where the interval is too wide."""
        if self.is_capped:
            return (
                f"the likelihood of a row varies by more than e^{MAX_EXPONENT:.0f} between parameters, beyond the numbers "
                "of a certificate; use a likelihood with heavier tails, or certify none"
            )
        plan = self.evidence.plan
        if self.known.lower is None and plan is not None and not plan.complete:
            return (
                "walks from the prior did not reach this law, of which parts that matter may hold less than one in "
                f"{self.known.num_particles:,} particles; {{more}}{SMALLER_SHARE}"
            )
        return self.known.refusal

    def is_sharp(self) -> bool:
        """Return whether J_a is known to a tenth of a nat."""
        return self.width_in_nats <= self.sharp

    def is_enough(self, spent: float) -> bool:
        """Return False: the minimiser's score is known to the root of the width."""
        return False

    @property
    def width_in_nats(self) -> float:
        """Of all rows."""
        return self.tilted.num_activations * self.known.width

    def climbed(self) -> Ascent:
        """Return the best dual and a cloud of its law, from normals around the law's particles or from the last round.

        The first climb goes over the minimisers of b J_a + (1-b) KL(q || normals), b from 0 to 1, whose law has the
        tilt t_i = b (1-a) c_i. Where b grows with t kept, Newton's steps start nearby. Half of the normals' mass is the
        prior: the dual of a law that lacks parameters for one row would give these all of its mass.
        """
        clouds = self.clouds
        weight = 1 - float(self.tilted.bayes_share)
        counted = ()
        duals = []
        before = self.known.ascent
        if before is None:
            climbing = self._approached(weight)
        else:
            cloud = before.cloud
            nothing = np.zeros(len(cloud))
            climbing = Climbing(clouds, PilotCloud.of(cloud), nothing, -before.dual)
            counted = before.counted
        for number in range(self.clouds_of_dual):
            self.progress(f"dual, {number + 1} of {self.clouds_of_dual}")
            climbing.improve(self._features(climbing.cloud)[:, 2:], weight)
            climbing.move(
                clouds.target(self._tilt(climbing.tilt)),
                self.known.num_particles,
                2 * MOVES_PER_LAW,
            )
            duals.append(np.log(np.maximum(climbing.tilt, np.finfo(float).tiny)))
        counted = (*counted, *duals[-COUNTED_DUALS:])
        dual = (
            -np.exp(np.mean(counted, axis=0))
            if weight > 0
            else np.zeros(self.tilted.num_activations)
        )
        return Ascent(
            dual,
            climbing.cloud,
            [self._tilt(-dual)],
            self.temperature,
            True,
            counted,
        )

    def _approached(self, weight: float) -> "Climbing":
        """Return the end of the path of minimisers from normals."""
        clouds = self.clouds
        bayes_share = float(self.tilted.bayes_share)
        share = 0.0
        start = around_cloud(clouds, self.particles, 0.5)
        size = self.known.num_particles
        climbing = Climbing(
            clouds,
            PilotCloud.of(clouds.drawn(start, size)),
            np.zeros(size),
            np.zeros(self.tilted.num_activations),
        )
        nothing = clouds.target(self.tilted.plain_tilt(0.0), 0.0, 0.0, start)
        for number in range(MOST_LAWS):
            self.progress(f"path, law {number + 1}")
            features = self._features(climbing.cloud)
            values = clouds.values(nothing, climbing.cloud)
            slope = (
                values.log_prior
                + features[:, 0]
                + bayes_share * features[:, 1]
                - values.log_start
            )
            step = largest_step(
                lambda step: effective_share(step * slope),  # noqa: B023
                1 - share,
                EFFECTIVE_SHARE,
            )
            share = 1.0 if step >= 1 - share else share + step
            climbing.log_weights = step * slope
            if number == 0:
                outputs = normalised(climbing.log_weights) @ features[:, 2:]
                climbing.tilt = (
                    share * weight / np.maximum(outputs, np.finfo(float).tiny)
                )
                climbing.log_weights = (
                    climbing.log_weights + features[:, 2:] @ climbing.tilt
                )
            climbing.improve(features[:, 2:], share * weight)
            whole = (
                self._tilt(climbing.tilt)
                .at[:2, 0]
                .multiply(jnp.asarray(share, clouds.dtype))
            )
            climbing.move(clouds.target(whole, share, 1.0, start), size, MOVES_PER_LAW)
            if share == 1:
                break
        return climbing

    def missing_shares(
        self, num_parts: int = 16, most: int = 2048, few: float = 0.1
    ) -> tuple[float, float]:
        """Return a share of the minimiser's mass that lies where the law has next to no particle, and its least.

        The share is that of the last law p_c, found by walks from the prior or by descents. The minimiser has the least
        one however far p_c is from it: KL(p_c || minimiser) is at most sum_i (1-a) (u_i - 1 - log u_i), u_i = c_i
        z_i(p_c). Both are compared in `num_parts` parts of space, by at most so many particles, where a share of `few` is
        next to none.
        """
        clouds = self.clouds
        particles = evenly_spaced(self.particles, min(len(self.particles), most))
        plan, runs, met, estimates, _ = self.evidence
        if runs is None or plan is None or met is None:
            return 0.0, 0.0
        of_runs = runs.log_partition - log_mean_exp(runs.log_weights)
        log_weights = (of_runs[:, None] + runs.log_weights).reshape(-1)
        walked = runs.clouds.reshape(len(log_weights), -1)
        offset = clouds.generator().uniform()
        ends = walked[systematic(log_weights, offset, len(particles))]
        cells = parts_of(clouds, np.concatenate([ends, particles]), num_parts)
        ours, theirs = (
            np.bincount(cells.of(cloud), minlength=num_parts)
            for cloud in (particles, ends)
        )
        logs = met.log_masses[unmet_wells(met, particles)]
        log_partition = max(estimate.value for estimate in estimates)
        missing = max(
            float(theirs[ours < few * theirs].sum() / len(ends)),
            float(np.exp(logs - log_partition).sum()),
        )
        clouds.limit = math.inf  # one pass more than was allowed
        outputs = jnp.asarray(
            normalised(log_weights) @ self._features(walked)[:, 2:], clouds.dtype
        )
        gap = float(mean_gap(self.risk, outputs, -plan.laws[-1].tilt[2:, 0]))
        return min(missing, 1.0), least_share(
            missing, self.tilted.num_activations * gap
        )

    def _features(self, cloud: np.ndarray) -> np.ndarray:
        features = self.clouds.features(cloud).astype(np.float64)
        self.is_capped |= bool(features[:, 2:].max() >= 0.99 * math.exp(MAX_EXPONENT))
        return features

    def _tilt(self, coefficients: np.ndarray) -> Any:
        return self.tilted.tilt(
            -jnp.asarray(coefficients, self.clouds.dtype), self.temperature
        )

    def _weighted(self, tilt: Any, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return particles and log weights of a law, by a walk from normals around a cloud: its modes as they weigh."""
        clouds = self.clouds
        start = around_cloud(clouds, around)
        whole = Cells(np.zeros((1, clouds.law.size)), np.eye(clouds.law.size))
        plan = plan_from_start(clouds, tilt, start, self.known.num_particles, whole)
        if not plan.complete:
            return around, np.zeros(len(around))
        walked = walk(clouds, plan, 1, self.known.num_particles)
        return walked.clouds[0], walked.log_weights[0]


def search_of(
    law: ParameterLaw,
    points: np.ndarray,
    others: list[np.ndarray],
    clouds: Clouds,
    report: Any,
) -> LawSearch:
    """Return the search of a law in units of the prior."""
    return LawSearch(
        LawRisk.of(law),
        1 / law.num_activations,
        clouds,
        report,
        [law.inner(other) for other in others],
        particles=law.inner(points),
    )
