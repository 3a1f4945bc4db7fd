"""What `sample` gives back: draws by name, how good they are, and what they cost."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float

from langevax.algorithm import Algorithm
from langevax.keys import unrolled
from langevax.problems.problem import Problem
from langevax.run import Result, simulate
from langevax.run.result import named_leaves
from langevax.sampling.stein import stein_discrepancy
from langevax.sampling.tuning import HalvingReport

if TYPE_CHECKING:
    import xarray

GOOD_RHAT, FEW = 1.01, 100  # above which, and effective draws below which, a summary warns
TAIL = 0.05, 0.95  # the quantiles whose effective draws are told


@dataclass(frozen=True)
class Samples:
    """Draws of `sample`.

    `positions` is a pytree like the start with leading axes (chain, draw); `draws` are the same numbers as
    (chain, draw, d) in the coordinates that were sampled. `evaluations` counts component gradients: of the pilot, the
    choice of the step, warm-up and sampling together.
    """

    positions: Any
    draws: np.ndarray
    problem: Problem = field(repr=False)
    """In the coordinates of `draws`."""
    algorithm: Algorithm = field(repr=False)
    temperature: float
    step_size: float
    method: str
    halving: HalvingReport | None
    result: Result = field(repr=False)
    evaluations: int
    seconds: float

    def summary(self) -> "dict[str, np.ndarray]":
        """Of every number of the position, under its name: mean, sd, mcse_mean, ess_bulk, ess_tail, r_hat.

        R-hat is rank-normalised and split, as in ArviZ, which computes all of it (Vehtari et al. 2021).
        """
        from arviz_stats.base.array import array_stats

        names, columns = self._columns()
        axes: dict[str, Any] = {"chain_axis": 0, "draw_axis": 1}
        return {
            "name": np.array(names),
            "mean": columns.mean((0, 1)),
            "sd": columns.std((0, 1)),
            "mcse_mean": np.asarray(array_stats.mcse(columns, **axes)),
            "ess_bulk": np.asarray(array_stats.ess(columns, **axes)),
            "ess_tail": np.asarray(array_stats.ess(columns, method="tail", prob=TAIL, **axes)),
            "r_hat": np.asarray(array_stats.rhat(columns, **axes)),
        }

    @property
    def ess(self) -> float:
        """Effective draws of the worst coordinate (bulk)."""
        return float(np.min(self.summary()["ess_bulk"]))

    @property
    def ess_per_evaluation(self) -> float:
        """Of the worst coordinate, for each component gradient spent on sampling, pilot and warm-up excluded."""
        return self.ess / self.result.evaluations

    @property
    def warnings(self) -> list[str]:
        """What speaks against these draws, in words; empty where nothing does."""
        table, found = self.summary(), []
        worst = int(np.argmax(table["r_hat"]))
        if not table["r_hat"][worst] <= GOOD_RHAT:
            found.append(
                f"chains disagree: R-hat of {table['name'][worst]} is {table['r_hat'][worst]:.3f} > {GOOD_RHAT}; draw "
                "more, warm up longer, or look for several modes."
            )
        fewest = int(np.argmin(table["ess_bulk"]))
        if table["ess_bulk"][fewest] < FEW:
            found.append(
                f"{table['name'][fewest]} has {table['ess_bulk'][fewest]:.0f} effective draws; draw more, or raise "
                "thinning."
            )
        if self.halving is not None and abs(self.halving.variance_bias) > 0.1 + 2 * self.halving.standard_error:
            found.append(f"{self.halving}; pass a smaller step_size.")
        return found

    def energies(self, draws: int = 100) -> Float[np.ndarray, "chain draw"]:
        """Potential / temperature at so many draws of each chain, evenly spaced: -log density up to a constant."""
        values, _ = self._potentials(draws)
        return values / self.temperature

    def stein_discrepancy(self, draws: int = 100) -> float:
        """KSD over so many draws of each chain, in the coordinates that were sampled; see `stein_discrepancy`.

        Costs a full pass over the data for each of these draws.
        """
        _, gradients = self._potentials(draws)
        points = self.draws[:, self._places(draws)].reshape(-1, self.draws.shape[2])
        scale = np.sqrt(self.temperature)  # unit scale where the curvature is 1
        scores = -gradients.reshape(points.shape) / scale
        return stein_discrepancy(jnp.asarray(points / scale), jnp.asarray(scores))

    def gradient_noise(self, steps: int = 50) -> Float[np.ndarray, "chain step"]:
        """|v - gradient|^2 of the estimates v, step by step as the chains go on, in units of 2 d T / step_size.

        That unit is what the Langevin noise amounts to: 0.05 of it heats a chain by 5 %. Of SVRG it is a saw-tooth,
        nought after every full gradient. Costs a full pass for every step and chain.
        """
        noise = GradientNoise(self.algorithm, self.draws.shape[2] * 2 * self.temperature / self.step_size)
        options = {"key": random.key(0), "num_steps": steps, "record_every": 1, "progress": False}
        return simulate(self.algorithm, self.problem, self.result, record=noise, **options).positions

    def to_datatree(self, full_passes: bool = True) -> "xarray.DataTree":
        """ArviZ's layout: `posterior` and `sample_stats`; with `full_passes` also `energy` at a hundred draws of each
        chain and `gradient_noise` along fifty steps, which cost a pass over the data for each of their numbers.
        """
        import xarray

        tree = self.result.to_datatree()
        chains, count = self.draws.shape[:2]
        coordinates = {"chain": np.arange(chains), "draw": np.arange(count)}
        variables = {
            name: (["chain", "draw", *(f"{name}_dim_{i}" for i in range(array.ndim - 2))], np.asarray(array))
            for name, array in named_leaves(self.positions).items()
        }
        tree["posterior"] = xarray.DataTree(xarray.Dataset(variables, coordinates))
        if full_passes:
            energy = {"energy": (["chain", "draw"], self.energies(100))}
            coordinates = {"chain": np.arange(chains), "draw": self._places(100)}
            tree["energy"] = xarray.DataTree(xarray.Dataset(energy, coordinates))
        if full_passes and hasattr(self.algorithm, "gradient"):  # MALA has no estimate
            noise = np.asarray(self.gradient_noise())
            coordinates = {"chain": np.arange(chains), "step": np.arange(noise.shape[1])}
            noises = {"gradient_noise": (["chain", "step"], noise)}
            tree["gradient_noise"] = xarray.DataTree(xarray.Dataset(noises, coordinates))
        attributes = {"step_size": self.step_size, "temperature": self.temperature, "method": self.method}
        tree.attrs.update(attributes | {"total_evaluations": self.evaluations})
        return tree

    def _places(self, draws: int) -> np.ndarray:
        count = self.draws.shape[1]
        return np.unique(np.linspace(0, count - 1, min(draws, count)).astype(int))

    def _potentials(self, draws: int) -> tuple[np.ndarray, np.ndarray]:
        points = jnp.asarray(self.draws[:, self._places(draws)])
        flat = points.reshape(-1, points.shape[2])
        values, gradients = _each(self.problem, flat)
        return np.asarray(values).reshape(points.shape[:2]), np.asarray(gradients).reshape(points.shape)

    def _columns(self) -> tuple[list[str], np.ndarray]:
        names, columns = [], []
        for name, leaf in named_leaves(self.positions).items():
            flat = np.asarray(leaf, np.float64).reshape(*leaf.shape[:2], -1)
            columns.append(flat)
            inner = leaf.shape[2:]
            names += [
                name + (f"[{', '.join(map(str, np.unravel_index(i, inner)))}]" if inner else "")
                for i in range(flat.shape[2])
            ]
        return names, np.concatenate(columns, axis=2)


class GradientNoise(eqx.Module):
    """What `gradient_noise` records: the error of a fresh estimate from the state a chain is in."""

    algorithm: Any
    unit: float

    def __call__(self, problem: Problem, state: Any) -> Float[Array, ""]:
        exact, gradient = problem.gradient(state.position), self.algorithm.gradient
        bits = lax.bitcast_convert_type(jnp.sum(state.position).astype(jnp.float32), jnp.uint32)
        key = random.fold_in(unrolled(random.key(0)), bits)  # another batch for each chain and step
        # any step between two full gradients will do, and an estimator without them does not look at it
        fresh, _, _ = gradient.estimate(problem, state.position, state.gradient, key, jnp.int32(1))
        return jnp.sum((fresh - exact) ** 2) / self.unit


@eqx.filter_jit
def _each(problem: Problem, points: Float[Array, "m d"]) -> tuple[Array, Array]:
    return lax.map(problem.potential_and_gradient, points)
