"""The result of `sample`: draws, their diagnostics and their cost."""

import warnings as python_warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import PRNGKey, PyTree
from langevax.algorithm import Algorithm
from langevax.problems.coordinates import Reparametrised
from langevax.problems.finite_sum import FiniteSum, NegativeLogLikelihood, RowFunction
from langevax.problems.model_posterior import ModelPosterior
from langevax.problems.problem import Problem
from langevax.renamed import refuse_former
from langevax.run import Result, Run, simulate
from langevax.run.options import check_unsaved
from langevax.run.result import datatree_type, draws_dataset, named_leaves
from langevax.samplers import ReplicaExchange
from langevax.sampling.draws import TunedChains
from langevax.sampling.methods import StepSizeBias
from langevax.sampling.modes import Mode
from langevax.sampling.moves import HMC
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.solver import SolveCounts
from langevax.sampling.solver_chains import HostLoop, HostWalk, counts_of
from langevax.sampling.summary_table import (
    SummaryTable,
    of_draws,
    pareto_shapes,
    statistics,
)
from langevax.sampling.survey import record_of
from langevax.sampling.target import TransformedTarget
from langevax.sampling.tolerances import MAX_RHAT, MIN_ESS

if TYPE_CHECKING:
    import pandas
    import xarray


OF_MODEL = ("problem", "to_positions", "user_coordinates", "walk", "model")
"""Fields that hold functions of the model."""


class SamplingWarning(UserWarning):
    """Reasons to doubt the draws of `sample`, those of `Samples.warnings`."""


@dataclass(frozen=True, repr=False)
class Samples:
    """Draws of `sample`.

    `positions` is a pytree like the start, or of the sites of a NumPyro model, with leading axes (chain, draw); `draws`
    are the same draws as (chain, draw, d) in the coordinates that were sampled. `evaluations` counts the component
    gradients of the pilot, the choice of the step size, warm-up and sampling together. Pickled samples, and copies, have
    all but the functions of the model, which `extend` and `log_likelihood` need.
    """

    positions: PyTree[np.ndarray]
    draws: Float[np.ndarray, "chain draw d"]
    problem: Problem
    """In the coordinates of `draws`."""
    algorithm: Algorithm | HMC
    """As it ran, with the step size that was chosen."""
    temperature: float
    step_size: float
    method: str
    reason: str
    """Why these dynamics were taken."""
    step_size_bias: StepSizeBias | None
    """What the choice of the step size measured; None where it was given, and for exact methods."""
    result: Result
    evaluations: int
    seconds: float
    thinning: int
    """Steps between draws."""
    to_positions: Callable[[Float[Array, "chain draw d"]], PyTree]
    """The positions of draws."""
    user_coordinates: CoordinateMap
    model: TransformedTarget | None
    """The NumPyro or PyMC model as it was sampled; None of other targets."""
    modes: list[Mode]
    """What the search for modes met, heaviest first; empty where it met one, and where your function starts chains.

    Where the law is far from normal, ends of descents to which no draw came, of weight NaN."""
    walk: HostWalk | None = None
    """The chains of a forward map in Python, which run on the host; None where they are compiled."""
    solves: SolveCounts | None = None
    """Solves of an inverse problem's forward map and of its adjoint, and those that failed, the pilot's included; None
    where a map in JAX is sampled by compiled chains, whose `evaluations` count it."""

    def __getstate__(self) -> dict[str, Any]:
        fields = self.__dict__.items()
        return {name: value for name, value in fields if name not in OF_MODEL}

    def __getattr__(self, name: str) -> Any:
        if name in OF_MODEL:
            raise AttributeError(
                f"samples that were pickled or copied have no {name}, as functions of "
                "the model are left out; sample again, or extend and take "
                "log_likelihood() before."
            )
        raise AttributeError(f"Samples has no attribute {name!r}.")

    @classmethod
    def of(
        cls,
        chains: TunedChains,
        coordinates: CoordinateMap,
        model: TransformedTarget | None,
        **fields: Any,
    ) -> "Samples":
        """Return the draws of chains in the user's coordinates, those of the model where there is one.

        `fields` are those that chains do not have.
        """

        def to_positions(draws: Float[Array, "chain draw d"]) -> PyTree:
            positions = coordinates.to_positions(draws)
            return jax.tree.map(
                np.asarray, positions if model is None else model.constrain(positions)
            )

        draws = chains.result.positions
        return cls(
            positions=to_positions(jnp.asarray(draws)),
            draws=np.asarray(draws),
            problem=coordinates.problem,
            algorithm=chains.algorithm,
            step_size=chains.step_size,
            step_size_bias=chains.step_size_bias,
            result=chains.result,
            thinning=chains.thinning,
            to_positions=to_positions,
            user_coordinates=coordinates,
            model=model,
            **fields,
        )

    def __repr__(self) -> str:
        chains, draws, dimension = self.draws.shape
        return (
            f"Samples({chains} chains, {draws:,} draws of {dimension:,} coordinates; "
            f"{self.method}; step size {self.step_size:.3g}; {self.evaluations:,} "
            f"component gradients, {self.seconds:.1f} s; {self.reason})"
        )

    @refuse_former
    def extend(
        self,
        num_samples: int,
        *,
        key: PRNGKey,
        run: Run = Run(),
    ) -> "Samples":
        """Continue the chains by this many draws each, with the same step size, and return all draws.

        Gradient estimators with a memory start it again. Warnings about all draws are issued as by `sample`. It saves
        nothing: `run` says what is shown.
        """
        checks.positive_int("num_samples", num_samples)
        check_unsaved(run, "extend")
        longer = self.followed(num_samples, key=key, run=run)
        longer.warn()
        return longer

    def followed(
        self,
        num_samples: int,
        *,
        key: PRNGKey,
        run: Run,
    ) -> "Samples":
        """Return all draws as `extend` does, without warnings."""
        if self.walk is not None:
            chains = len(self.draws)
            loop = HostLoop(num_samples, chains, self.thinning, run.progress)
            further = loop.record(self.walk, self.result.state, key)
        else:
            assert isinstance(self.algorithm, Algorithm)
            further = simulate(
                self.algorithm,
                self.problem,
                self.result,
                key=key,
                num_steps=num_samples * self.thinning,
                record_every=self.thinning,
                record=record_of(self.algorithm),
                run=run,
            )
        result = self.result.then(further)
        return replace(
            self,
            positions=self.to_positions(jnp.asarray(result.positions)),
            draws=np.asarray(result.positions),
            result=result,
            evaluations=self.evaluations + further.evaluations,
            seconds=self.seconds + further.seconds,
            solves=self.solves
            if self.walk is None or self.solves is None
            else self.solves.plus(counts_of(further)),
        )

    def warn(self) -> None:
        """Issue the sentences of `warnings`, if there are any, as one `SamplingWarning`."""
        if sentences := self.warnings:
            python_warnings.warn("\n".join(sentences), SamplingWarning, stacklevel=3)

    def summary(self) -> "pandas.DataFrame | SummaryTable":
        """Return mean, sd, mcse_mean, ess_bulk, ess_tail, r_hat and pareto_k of every number of the position, a row each.

        Computed by ArviZ; R-hat is rank-normalised and split (Vehtari et al., Bayesian Analysis 2021). Where pareto_k,
        the shape of the heavier tail, is above 0.7, mean and sd do not settle: report quantiles. A data frame where
        pandas is installed.
        """
        names, values = self.numbers()
        table = statistics(names, values)
        table.columns["pareto_k"] = pareto_shapes(values)
        return table.as_frame()

    def numbers(self) -> tuple[list[str], Float[np.ndarray, "chain draw m"]]:
        """Return the names and the draws of all numbers of the position."""
        names = []
        columns = []
        for name, leaf in named_leaves(self.positions).items():
            numbers = trees.in_double(leaf)
            columns.append(numbers.reshape(*leaf.shape[:2], -1))
            indices = map(list, np.ndindex(leaf.shape[2:]))
            names += [f"{name}{index or ''}" for index in indices]
        return names, np.concatenate(columns, axis=2)

    def varying_numbers(self) -> tuple[list[str], Float[np.ndarray, "chain draw m"]]:
        """Return `numbers` without constants of the model, such as the first entry of a Cholesky factor.

        Where a sampled coordinate is constant as well, chains are stuck, and all numbers are returned.
        """
        names, values = self.numbers()
        is_constant = np.ptp(values, axis=(0, 1)) == 0
        if is_constant.any() and np.all(np.ptp(self.draws, axis=(0, 1)) > 0):
            return list(np.array(names)[~is_constant]), values[..., ~is_constant]
        return names, values

    def _statistics(self) -> SummaryTable:
        return statistics(*self.varying_numbers())

    @property
    def num_solves(self) -> int | None:
        """Solves of the forward map and of its adjoint together; None where `solves` is."""
        return None if self.solves is None else self.solves.evaluations

    @property
    def ess(self) -> float:
        """Effective sample size (bulk) of the worst coordinate."""
        return float(np.min(self._statistics()["ess_bulk"]))

    @property
    def max_rhat(self) -> float:
        """R-hat of the worst coordinate."""
        return float(np.max(self._statistics()["r_hat"]))

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt these draws, a sentence each; empty where there are none."""
        messages: list[str] = []
        if (
            self.method == "exact"
        ):  # independent draws: the worst statistic of many numbers is chance
            if (count := self.draws.shape[0] * self.draws.shape[1]) < MIN_ESS:
                messages.append(f"there are {count} independent draws; draw more.")
            return messages + self.doubts()
        table = self._statistics()
        names = table.names
        rhat = table["r_hat"]
        ess = table["ess_bulk"]
        worst = int(np.argmax(rhat))
        fewest = int(np.argmin(ess))
        if not rhat[worst] <= MAX_RHAT:
            messages.append(
                f"chains disagree: R-hat of {names[worst]} is {rhat[worst]:.3f} > "
                f"{MAX_RHAT}; draw more, warm up longer, or look for several modes by "
                "algorithm=langevax.ReplicaExchange()."
            )
        if ess[fewest] < MIN_ESS:
            messages.append(
                f"{names[fewest]} has {ess[fewest]:.0f} effective draws; draw more, or "
                "raise thinning."
            )
        return (messages or self._warnings_of_deviations()) + self.doubts()

    def _warnings_of_deviations(self) -> list[str]:
        """Say where heavy tails leave a deviation less known than `MIN_ESS` draws of a normal law would."""
        names, values = self.varying_numbers()
        deviations = (values - values.mean((0, 1))).reshape(-1, len(names))
        with np.errstate(invalid="ignore"):
            kurtosis = (deviations**4).mean(0) / (deviations**2).mean(0) ** 2
            heaviest = int(np.argmax(np.nan_to_num(kurtosis)))
            values = values[..., heaviest]
            error = float(of_draws("mcse", values, method="sd") / values.std())
        if not error * np.sqrt(2 * MIN_ESS) > 1:
            return []
        return [
            (
                f"the standard deviation of {names[heaviest]} is known to {error:.0%} "
                "of itself only, as its tail is heavy or draws are few; report "
                "quantiles, draw more, or choose a prior with a lighter tail."
            )
        ]

    def doubts(self) -> list[str]:
        """Return those of the `warnings` that more draws do not cure."""
        messages = []
        if self.solves is not None and self.solves.failed:
            messages.append(
                f"{self.solves.failed:,} of {self.solves.forward:,} solves failed, and "
                "their proposals were rejected; the first by "
                f"{self.solves.first_failure}."
            )
        divergences = self.result.counts.get("divergences", 0)
        steps = self.result.steps * len(self.draws)
        if divergences:
            messages.append(
                f"{divergences} of {steps:,} steps diverged: NUTS's step is too long "
                "for some narrow part of the law, whose neighbourhood may be missing; "
                "write scales on a log scale, effects of groups as multiples of their "
                "scale (a non-centred parametrisation), and bounds by a "
                "transformation, not as densities of 0."
            )
        if isinstance(self.algorithm, ReplicaExchange):
            messages += self._warnings_of_swaps()
        elif self.modes:
            messages += self._warnings_of_modes()
        if self.step_size_bias is not None:
            messages += self.step_size_bias.warnings()
        return messages

    def _warnings_of_modes(self) -> list[str]:
        """Say which modes draws missed, or hardly cross between."""
        number = len(self.modes)
        depth = min(mode.barrier for mode in self.modes)
        where = "; ".join(map(str, self.modes[:3]))
        if np.isnan(self.modes[0].weight):
            places = "one place" if number == 1 else f"{number} places"
            return [
                (
                    f"descents ended in {places} as dense as the draws are, where no "
                    f"draw came: the nearest ones are behind a rise of {depth:.0f} "
                    f"temperatures or more ({where}); see modes, pass "
                    "algorithm=langevax.ReplicaExchange(), or let start, a function of "
                    "the key, start chains there, too."
                )
            ]
        if number == 1:
            return []
        shares = ", ".join(f"{mode.weight:.2f}" for mode in self.modes)
        return [
            (
                f"{number} modes with rough weights {shares} are {depth:.0f} "
                "temperatures or more deep, and chains hardly cross between them "
                f"({where}), so that the shares of draws in each are arbitrary; pass "
                "algorithm=langevax.ReplicaExchange()."
            )
        ]

    @property
    def swap_rates(self) -> Float[np.ndarray, " pairs"] | None:
        """Mean swap probability of neighbouring temperatures, coldest first; None but for replica exchange."""
        if not isinstance(self.algorithm, ReplicaExchange):
            return None
        return np.asarray(self.result.state.tally.of_chains().swap_rates)

    def _warnings_of_swaps(self) -> list[str]:
        trips = self.result.counts["round_trips"]
        if trips >= MIN_ESS:
            return []
        return [
            (
                f"replicas came {trips} times from the hottest temperature to the "
                f"coldest, too rarely for the weights of modes (at least {MIN_ESS}); "
                "draw more, raise thinning, or give coordinates a common scale."
            )
        ]

    def log_likelihood(self) -> Float[np.ndarray, "chain draw n"]:
        """Return the log likelihood of every row at every draw, as ArviZ's cross-validation takes it.

        Costs a full pass over the rows for each draw. Raises ValueError where the target is not a sum over rows.
        """
        finite_sum = self.problem
        while isinstance(finite_sum, Reparametrised):
            finite_sum = finite_sum.problem
        chains, draws, _ = self.draws.shape
        if not (
            isinstance(finite_sum, FiniteSum)
            and isinstance(finite_sum.loss, NegativeLogLikelihood)
        ):
            raise ValueError(
                "the target is not a langevax.posterior with rows: it has no log "
                "likelihood for each row; of a NumPyro or PyMC model "
                "to_datatree(log_likelihood=True) has that of each observed number."
            )
        size = chains * draws * finite_sum.max_size
        checks.fits_memory("the number of log likelihoods", size, 4)
        flat = trees.without_chains(self._sampled_positions())
        values = _log_likelihoods(finite_sum.loss.log_likelihood, finite_sum.data, flat)
        return np.asarray(values).reshape(chains, draws, -1)

    def _sampled_positions(self) -> PyTree:
        """The draws before a model constrains them."""
        return self.user_coordinates.to_positions(jnp.asarray(self.draws))

    def to_datatree(self, log_likelihood: bool = False) -> "xarray.DataTree":
        """Return the groups `posterior` and `sample_stats` in ArviZ's layout; of a model also `observed_data`.

        Of a NumPyro or PyMC model, `posterior` has its deterministic sites as well, which costs a call of the model for
        each draw, and plates name the dimensions. With `log_likelihood` also that group, which costs a pass over the
        data for each draw; of a model by its observed sites.
        """
        tree_type = datatree_type()
        size = self.draws.shape[:2]
        tree = self.result.to_datatree()
        groups = {"posterior": named_leaves(self.positions)}
        named = ()
        model = self.__dict__.get("model")  # not of pickled samples
        if isinstance(model, ModelPosterior):
            of_model = model.describe(self._sampled_positions(), log_likelihood)
            named = of_model.axes, of_model.labels
            groups["posterior"] |= of_model.deterministic
            groups["log_likelihood"] = of_model.log_likelihood
            values = {name: a[None, None] for name, a in of_model.observed_data.items()}
            data = draws_dataset(values, 1, 1, *named).isel(chain=0, draw=0, drop=True)
            tree["observed_data"] = tree_type(data)
        elif log_likelihood:
            groups["log_likelihood"] = {"log_likelihood": self.log_likelihood()}
        for group, arrays in groups.items():
            if arrays:
                tree[group] = tree_type(draws_dataset(arrays, *size, *named))
        stats = tree["sample_stats"].to_dataset()
        if "diverging" in stats:
            stats["diverging"] = stats["diverging"] > 0
        if "acceptance" in stats:
            stats = stats.rename(acceptance="acceptance_rate")
        tree["sample_stats"] = tree_type(stats)
        tree.attrs |= {
            "step_size": self.step_size,
            "temperature": self.temperature,
            "method": self.method,
            "total_evaluations": self.evaluations,
        }
        return tree


@eqx.filter_jit
def _log_likelihoods(
    log_likelihood: RowFunction,
    rows: PyTree,
    positions: PyTree,
) -> Float[Array, "draw n"]:
    return lax.map(
        lambda x: jax.vmap(lambda row: log_likelihood(x, row))(rows), positions
    )
