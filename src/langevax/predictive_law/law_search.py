"""The search for both ends of a law's certificate: the interval of `meanfield`, for laws of parameters.

    upper    min J_a <= sum_i (1-a) ( t_i z_i - log z_i ) - E log Z^,      z_i = E sum_k W_k p_ik, a walk with weights W
    lower    min J_a >= sum_i (1-a) ( 1 + log c_i ) - log Z,               Z = E_prior exp(a sum log p_i + sum t_i p_i)

with t_i = (1-a) c_i for any positive c. The best c is 1 / z of the minimiser. Newton steps on the lower end of a cloud
find it: 1 / z of the law itself has the noise of its particles, which 1 + Cov(r) amplifies, while the best t of M
particles is about p_eff / (2 M) nats too low.
"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax.log_weights import effective_share, log_mean_exp, normalised, systematic
from langevax.meanfield.clouds import MOVES_PER_LAW, Clouds, WalkTarget
from langevax.meanfield.homotopy import COUNTED_DUALS, Ascent
from langevax.meanfield.interval_search import FEWEST_CLOUD, IntervalSearch
from langevax.meanfield.upper_bound import (
    UpperBound,
    around_cloud,
    local_runs,
    parts_of,
    upper_bounds,
)
from langevax.meanfield.walks import MOST_LAWS, PilotCloud, largest_step
from langevax.predictive_law.dual import best_tilt
from langevax.predictive_law.law_problem import MAX_EXPONENT
from langevax.predictive_law.parameter_law import ParameterLaw
from langevax.problems.losses import LogScore, Loss, linear

SMALLER_SHARE = ", or certify a smaller share of Bayes"
NOT_REACHED = (
    f"walks from the prior did not reach this distribution; {{more}}{SMALLER_SHARE}"
)


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
        loss = LogScore(1 - law.posterior_share) if law.posterior_share < 1 else linear
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


@dataclass
class LawSearch(IntervalSearch):
    """The state of a law's certificate; objectives are means over rows, of likelihoods relative to the law's own."""

    particles: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """Those of the law."""
    refusal: str = NOT_REACHED
    is_capped: bool = False
    """Whether some likelihood ratio was cut, which no lower end allows."""
    outside = "parameters far from the particles"
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
        around = self.particles
        start = around_cloud(self.clouds, around)
        runs = local_runs(self.clouds, posterior, start, around, self.run_size, False)
        if runs is not None:
            bound = upper_bounds(self.risk, self.temperature, runs)[0]
            self.keep_upper(bound)
            self.prior_objective = bound.value

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
        self.num_particles = max(FEWEST_CLOUD, self.num_particles // 2)

    @property
    def reason(self) -> str:
        """Words for what is wrong, where the interval is too wide."""
        if self.is_capped:
            return (
                f"the likelihood of a row varies by more than e^{MAX_EXPONENT:.0f} "
                "between parameters, beyond the numbers of a certificate; use a "
                "likelihood with heavier tails, or certify none"
            )
        return self.refusal

    def is_sharp(self) -> bool:
        """Return whether J_a is known to a tenth of a nat."""
        return self.width_in_nats <= self.sharp

    def is_enough(self, spent: float) -> bool:
        """Return False: the minimiser's score is known to the root of the width."""
        return False

    @property
    def width_in_nats(self) -> float:
        """Of all rows."""
        return self.tilted.num_activations * self.width

    def climbed(self) -> Ascent:
        """Return the best dual and a cloud of its law, from normals around the law's particles or from the last round."""
        clouds = self.clouds
        weight = 1 - float(self.tilted.posterior_share)
        before = self.ascent
        if before is None:
            pilot, tilt = self._approached(weight)
            counted = ()
        else:
            pilot = PilotCloud.of(before.cloud)
            tilt = -before.dual
            counted = before.counted
        duals = []
        for number in range(self.clouds_of_dual):
            self.progress(f"dual, {number + 1} of {self.clouds_of_dual}")
            ratios = self._features(pilot.cloud)[:, 2:]
            tilt, log_weights = best_tilt(ratios, np.zeros(len(ratios)), tilt, weight)
            target = clouds.target(self._tilt(tilt))
            pilot = self._moved(pilot, log_weights, target, 2 * MOVES_PER_LAW)
            duals.append(np.log(np.maximum(tilt, np.finfo(float).tiny)))
        counted = (*counted, *duals[-COUNTED_DUALS:])
        dual = (
            -np.exp(np.mean(counted, axis=0))
            if weight > 0
            else np.zeros(self.tilted.num_activations)
        )
        return Ascent(
            dual,
            pilot.cloud,
            [self._tilt(-dual)],
            self.temperature,
            True,
            counted,
        )

    def _approached(self, weight: float) -> tuple[PilotCloud, np.ndarray]:
        """Return cloud and tilt at the end of the path of minimisers of b J_a + (1-b) KL(q || normals), b from 0 to 1.

        The law on it has the tilt t_i = b (1-a) c_i. Where b grows with t kept, Newton's steps start nearby. Half of
        the normals' mass is the prior: the dual of a law that lacks parameters for one row would give these all of its
        mass.
        """
        clouds = self.clouds
        posterior_share = float(self.tilted.posterior_share)
        start = around_cloud(clouds, self.particles, 0.5)
        pilot = PilotCloud.of(clouds.drawn(start, self.num_particles))
        nothing = clouds.target(self.tilted.plain_tilt(0.0), 0.0, 0.0, start)
        share = 0.0
        tilt = np.zeros(self.tilted.num_activations)
        for number in range(MOST_LAWS):
            self.progress(f"path, law {number + 1}")
            features = self._features(pilot.cloud)
            ratios = features[:, 2:]
            values = clouds.values(nothing, pilot.cloud)
            of_prior = values.log_prior + features[:, 0]
            slope = of_prior + posterior_share * features[:, 1] - values.log_start
            step = largest_step(
                lambda step: effective_share(step * slope),  # noqa: B023
                1 - share,
            )
            share = 1.0 if step >= 1 - share else share + step
            log_weights = step * slope
            if number == 0:
                outputs = normalised(log_weights) @ ratios
                tilt = share * weight / np.maximum(outputs, np.finfo(float).tiny)
                log_weights = log_weights + ratios @ tilt
            tilt, log_weights = best_tilt(ratios, log_weights, tilt, share * weight)
            scale = jnp.asarray(share, clouds.dtype)
            target = clouds.target(
                self._tilt(tilt).at[:2, 0].multiply(scale), share, 1.0, start
            )
            pilot = self._moved(pilot, log_weights, target, MOVES_PER_LAW)
            if share == 1:
                break
        return pilot, tilt

    def _moved(
        self,
        pilot: PilotCloud,
        log_weights: np.ndarray,
        target: WalkTarget,
        moves: int,
    ) -> PilotCloud:
        """Return a weighted cloud after resampling and moves."""
        offset = self.clouds.generator().uniform()
        parents = systematic(log_weights, offset, self.num_particles)
        pilot = pilot.measured(normalised(log_weights)).resampled(parents)
        return pilot.moved(self.clouds, target, moves)[0]

    def missing_share(self, num_parts: int = 16, few: float = 0.1) -> float:
        """Return the share of the last law, found by walks from the prior, where the certified one has next to no particle.

        Both are compared in `num_parts` parts of space, where a share of `few` is next to none.
        """
        clouds = self.clouds
        runs = self.walked
        if runs is None:
            return 0.0
        of_runs = runs.log_partition - log_mean_exp(runs.log_weights)
        log_weights = (of_runs[:, None] + runs.log_weights).reshape(-1)
        offset = clouds.generator().uniform()
        chosen = systematic(log_weights, offset, len(self.particles))
        ends = runs.clouds.reshape(len(log_weights), -1)[chosen]
        cells = parts_of(clouds, np.concatenate([ends, self.particles]), num_parts)
        ours, theirs = (
            np.bincount(cells.of(cloud), minlength=num_parts)
            for cloud in (self.particles, ends)
        )
        return float(theirs[ours < few * theirs].sum() / len(ends))

    def _features(self, cloud: np.ndarray) -> np.ndarray:
        features = self.clouds.features(cloud).astype(np.float64)
        self.is_capped |= bool(features[:, 2:].max() >= 0.99 * math.exp(MAX_EXPONENT))
        return features

    def _tilt(self, coefficients: np.ndarray) -> Any:
        return self.tilted.tilt(
            -jnp.asarray(coefficients, self.clouds.dtype), self.temperature
        )


def search_of(
    law: ParameterLaw,
    points: np.ndarray,
    clouds: Clouds,
    report: Any,
) -> LawSearch:
    """Return the search of a law in units of the prior."""
    return LawSearch(
        LawRisk.of(law),
        1 / law.num_activations,
        clouds,
        report,
        [],
        particles=law.inner(points),
    )
