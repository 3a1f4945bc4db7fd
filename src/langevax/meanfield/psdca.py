"""Particle stochastic dual coordinate ascent: one row at a time, with a cloud that is reweighted, not moved.

Oko, Suzuki, Nitanda, Wu, ICLR 2022. The dual vector g is the model; its law is p_g ~ exp(-V_g / T) prior with
V_g = (1/n) sum_i <g_i, h(theta, x_i)>, represented by M weighted particles. One step, at a row i drawn uniformly:

    z_i  = sum_r w_r h(theta_r, x_i)
    g_i' = argmax_u  -loss*(u) + <z_i, u> - (c/2) |u - g_i|^2,      c = curvature / (n T)
    log w_r  <-  log w_r - <g_i' - g_i, h(theta_r, x_i)> / (n T)

with the curvature bound^2 of the paper, for which D cannot fall when z is exact, or twice the variance of h(theta, x_i)
under the cloud: D bends by the variance at g, and a step as long as that follows the noise of z. The variance at g says
nothing of laws farther away, so that of its step only the share

    min(1, 1 / (rate |g_i' - g_i| sd)),      rate = 1 / (n T),      sd^2 = variance of h(theta, x_i) under the cloud

is taken: log weights change by at most one standard deviation (ours, as the variance is). D is concave, so that where
the whole step would gain, the share gains too. Every `period` steps, or when the weights have become uneven (our
trigger), the cloud is resampled and moved by Metropolis steps that leave p_g as it is; pCNL steps where weights are
functions (Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022). Beginning with exact draws of the prior at g = 0 makes the run
a sequential Monte Carlo sampler, whose weights carry the masses of modes; begun elsewhere its own gap was seen at 2e-7
with a true one of 0.03.

Cost of a step: M activations, M exponentials and one sum over the particles of w (1, w, h, |h|^2): an all-reduce of C +
3 numbers where they are split over devices, C those of an output. For that, weights are made to have mean one not after
the step that changed them, but by the next one. Of a refresh: (num_inner_steps + 1) n M activations and one more row;
where particles are split over devices, each receives the whole cloud once. No table of neurons by rows is kept.
"""

from typing import Any, ClassVar, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import FloatScalar, IntScalar, PRNGKey
from langevax.algorithm import Algorithm, Info
from langevax.log_weights import LEAST_EFFECTIVE, LogWeights, log_mean_exp, systematic
from langevax.meanfield.moves import (
    FIRST_RELATIVE_STEP,
    Proposal,
    Schedule,
    adapted_step_size,
    mala_moves,
    pcnl_moves,
)
from langevax.problems.mean_field import MeanFieldRisk, check_risk, first_dual
from langevax.problems.neurons import Neuron
from langevax.samplers import MALAState, PCNLState


class PSDCAState(NamedTuple):
    position: Float[Array, "particles size"]
    log_weights: LogWeights
    """Of mean one before the last step, less what that step changed them by on average: near 0 always."""
    removed: FloatScalar
    """Sum of what steps since the last refresh have subtracted from all log weights alike."""
    anchor: Float[Array, " size"]
    """One particle of the last refresh: outputs are averaged as differences from its own."""
    dual: Float[Array, "n ..."]
    """The model: feasible at every step."""
    log_partition: FloatScalar
    """log E_prior exp(-V_g / T) at the last refresh, an estimate from the same particles; now it is larger by
    `since_refresh`, and D = -mean loss*(g) - T log E_prior exp(-V_g / T)."""
    step_size: FloatScalar
    """Of the Metropolis moves, relative to the curvature; of pCNL at most 2, relative to the prior's share of it."""
    acceptance: FloatScalar
    """Of the last moves."""

    @property
    def since_refresh(self) -> Float[Array, "..."]:
        """Return what the steps since the last refresh add to `log_partition`."""
        return self.removed + log_mean_exp(jnp.asarray(self.log_weights))


class RowEstimate(NamedTuple):
    """Outputs of the weighted cloud at one row, and sums over the particles."""

    values: Float[Array, "particles ..."]
    """h(theta_r, x_i)."""
    mean: Float[Array, "..."]
    """z_i."""
    variance: FloatScalar
    """Of the values; for vectors the trace, which is above each eigenvalue."""
    log_mean: FloatScalar
    """Of the weights, which are as they lie in the state."""
    effective: FloatScalar
    """(sum w)^2 / sum w^2 over the number of particles."""


class PSDCA(Algorithm):
    """Maximise D(g), the dual of the mean-field objective, coordinate by coordinate.

    The start must be exact draws of the prior, `risk.prior(temperature, M)`, since the dual vector starts at 0; of the
    log score at the largest feasible dual, which is 0 to rounding.

    Args:
        temperature: T > 0, a number.
        num_inner_steps: Metropolis moves of a refresh.
        period: steps between refreshes; "auto" is n, one pass.
        curvature: "bound", the paper's, or "variance", measured on the cloud: steps several times as long, of which
            the share min(1, 1 / (rate |change| sd)) is taken, at most one standard deviation of log weights (ours).
        proposal: of the moves, "mala", or "pcnl" for weights that are functions: with a precision for each mode, whose
            inverses have a finite sum, its acceptance does not fall with their number.

    Raises:
        TypeError: a problem without a dual, a temperature that is a schedule.
        ValueError: a neuron without a bound under curvature="bound", numbers out of range.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> ascent = langevax.meanfield.PSDCA(temperature=0.1)
        >>> start = risk.prior(temperature=0.1, num_particles=1000)
        >>> result = langevax.simulate(ascent, risk, start, key=jax.random.key(0), num_steps=100)
        >>> estimate = langevax.meanfield.duality_gap(risk, result.state.dual, 0.1, key=jax.random.key(1))
        >>> estimate.gap < 0.001
        True
    """

    chains: ClassVar[Literal["vmap", "map"]] = "map"
    caution: ClassVar[float] = 2.0
    """Times the variance: at 1 the noise of z wore the weights out twice a pass, at 4 the climb took longer."""

    temperature: Schedule
    num_inner_steps: int = 15
    period: int | Literal["auto"] = "auto"
    curvature: Literal["bound", "variance"] = "bound"
    proposal: Proposal = "mala"

    def __check_init__(self) -> None:
        if callable(self.temperature):
            raise TypeError(
                "temperature is a schedule, but the dual vector is that of one "
                "temperature; pass a number."
            )
        checks.number("temperature", self.temperature, positive=True)
        checks.positive_int("num_inner_steps", self.num_inner_steps)
        checks.positive_int("period", self.period, auto=True)
        checks.one_of("curvature", self.curvature, ("bound", "variance"))
        checks.one_of("proposal", self.proposal, get_args(Proposal))

    def init(
        self,
        problem: Any,
        position: Any,
        key: PRNGKey,
    ) -> tuple[PSDCAState, Info]:
        check_risk(problem, "PSDCA")
        if self.curvature == "bound":
            _check_bound(problem.neuron)
        dtype = position.dtype
        zero = jnp.zeros((), dtype)
        one = jnp.ones((), dtype)
        state = PSDCAState(
            position=position,
            log_weights=0
            * position[:, 0],  # as it is split over devices, which zeros would not be
            removed=zero,
            anchor=position[0],
            dual=first_dual(problem, dtype),
            log_partition=zero,
            step_size=jnp.asarray(FIRST_RELATIVE_STEP, dtype),
            acceptance=one,
        )
        return state, {
            "evaluations": jnp.int32(0),
            "refreshes": jnp.int32(0),
            "effective": one,
            "acceptance": one,
        }

    def step(
        self,
        problem: Any,
        state: PSDCAState,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[PSDCAState, Info]:
        refresh_key, row_key = random.split(key)
        size = jnp.asarray(problem.size, jnp.int32)
        period = size if self.period == "auto" else jnp.int32(self.period)
        row = random.randint(row_key, (), 0, size, jnp.int32)
        dual = state.dual
        # the dual vector stays outside the branch and its element is read inside: XLA copies what passes through a
        # branch or is read beside one
        state = state._replace(dual=jnp.zeros((0,), dual.dtype))
        estimate = _estimate_row(problem, state, row)
        uneven = ~(
            estimate.effective >= LEAST_EFFECTIVE
        )  # also where weights overflow to NaN
        due = (step > 0) & ((step % period == 0) | uneven)

        def refreshed(
            state: PSDCAState, estimate: RowEstimate
        ) -> tuple[PSDCAState, RowEstimate, Array]:
            state = self._refreshed(problem, state, dual, refresh_key)
            return state, _estimate_row(problem, state, row), dual[row]

        state, estimate, own = lax.cond(
            due,
            refreshed,
            lambda *as_they_are: (*as_they_are, dual[row]),
            state,
            estimate,
        )
        state, change = self._ascended(problem, state, estimate, own, row)
        state = state._replace(dual=dual.at[row].add(change))
        used = 1 + due.astype(jnp.int32) * ((self.num_inner_steps + 1) * size + 1)
        info = {
            "evaluations": used,
            "refreshes": due.astype(jnp.int32),
            "effective": estimate.effective,
        }
        return state, info | {"acceptance": state.acceptance}

    def _ascended(
        self,
        risk: MeanFieldRisk,
        state: PSDCAState,
        estimate: RowEstimate,
        dual: Array,
        row: IntScalar,
    ) -> tuple[PSDCAState, Float[Array, "..."]]:
        """Return the state after the step of one row, and the change of its dual."""
        dtype = state.position.dtype
        spread = jnp.asarray(risk.neuron.bound, dtype) ** 2
        if self.curvature == "variance":
            spread = self.caution * estimate.variance
        rate = risk.row_weights()[row] / (
            jnp.asarray(risk.size, dtype) * jnp.asarray(self.temperature, dtype)
        )
        change = (
            risk.loss.dual_step(estimate.mean, dual, risk.targets[row], rate * spread)
            - dual
        )
        if self.curvature == "variance":
            # beyond one standard deviation of log weights, the variance here says nothing of the law there
            spread = rate * jnp.sqrt(jnp.sum(change**2) * estimate.variance)
            change = change / jnp.maximum(spread, 1)
        removed = estimate.log_mean - rate * jnp.sum(change * estimate.mean)
        log_weights = state.log_weights - (
            rate * jnp.tensordot(estimate.values, change, axes=change.ndim) + removed
        )
        return state._replace(
            log_weights=log_weights, removed=state.removed + removed
        ), change

    def _refreshed(
        self,
        risk: MeanFieldRisk,
        state: PSDCAState,
        dual: Array,
        key: PRNGKey,
    ) -> PSDCAState:
        """Return the state with the cloud resampled by its weights and moved."""
        resample_key, move_key = random.split(key)
        dtype = state.position.dtype
        offset = random.uniform(resample_key, (), dtype)
        cloud = state.position[systematic(state.log_weights, offset)]
        problem = risk.of_one_particle(dual)
        temperature = jnp.asarray(self.temperature, dtype)
        if self.proposal == "pcnl":
            moves: Any = pcnl_moves
            current = PCNLState(cloud, *jax.vmap(problem.value_and_gradient)(cloud))
        else:
            moves = mala_moves
            current = MALAState(cloud, *jax.vmap(problem.potential_and_gradient)(cloud))
        end, acceptance = moves(
            problem,
            current,
            temperature,
            state.step_size,
            move_key,
            self.num_inner_steps,
        )
        return state._replace(
            position=end.position,
            log_weights=jnp.zeros_like(state.log_weights),
            removed=jnp.zeros_like(state.removed),
            anchor=end.position[0],
            log_partition=state.log_partition + state.since_refresh,
            step_size=adapted_step_size(state.step_size, acceptance, self.proposal),
            acceptance=acceptance,
        )


def _estimate_row(
    risk: MeanFieldRisk, state: PSDCAState, row: IntScalar
) -> RowEstimate:
    """Estimate one row in one pass over the cloud; all sums over particles are one product, so one all-reduce.

    Values are measured from that of the anchor, so that a variance far below the mean's square keeps its digits.
    """
    neuron = risk.neuron
    x = risk.inputs[row]
    values = jax.vmap(neuron, in_axes=(0, None))(state.position, x)
    weights = jnp.exp(state.log_weights)
    origin = neuron(state.anchor, x)
    from_origin = (values - origin).reshape(len(values), -1)
    terms = jnp.stack(
        [
            jnp.ones_like(weights),
            weights,
            jnp.sum(from_origin**2, axis=1),
            *from_origin.T,
        ]
    )
    sums = jnp.dot(terms, weights, precision="highest") / jnp.asarray(
        len(values), weights.dtype
    )
    mean = sums[0]
    square = sums[1]
    second = sums[2] / sums[0]
    first = sums[3:] / sums[0]
    variance = jnp.maximum(second - jnp.sum(first**2), 0)
    return RowEstimate(
        values,
        origin + first.reshape(origin.shape),
        variance,
        jnp.log(mean),
        mean**2 / square,
    )


def _check_bound(neuron: Neuron) -> None:
    if checks.is_concrete(neuron.bound) and not float(neuron.bound) < float("inf"):
        name = type(neuron).__name__
        raise ValueError(
            f"{name} is unbounded; use a bounded neuron such as TanhTanh, or "
            "curvature='variance'."
        )
