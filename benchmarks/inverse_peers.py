"""BlackJAX's NUTS on the problems of `inverse`, and CUQIpy's samplers where it is installed (`pip install cuqipy`).

They run in coefficients in units of the prior, in which it is the standard normal law, as with CUQIpy's own
Karhunen-Loeve geometry. A place at which value and gradient are asked for counts as one solve and one adjoint one.
"""

import contextlib
import importlib.util
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from arviz_stats.base.array import array_stats

from langevax.sampling.solver import ForwardSolver

NUM_CHAINS = 4
NUM_STEPS = {
    "PCN": (500, 4_000),
    "MALA": (500, 2_000),
    "NUTS": (100, 150),
    "CWMH": (100, 800),
}
"""Warm-up and draws of each chain; a step of NUTS takes many solves."""
OPTIONS = {"NUTS": {"max_depth": 7}}
MOST_DOUBLINGS = 7  # of BlackJAX's trajectories
MOST_BY_CWMH = 10  # coefficients, for each of which its step takes a solve
MALA_STEPS, NUM_TRIED = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), 300
"""CUQIpy tunes none: that of the most effective draws is taken, and its search is not counted."""


class PeerRun(NamedTuple):
    """Draws of one sampler, and what they cost."""

    name: str
    draws: np.ndarray
    """(chain, draw, coefficient), in units of the prior."""
    solves: int

    @property
    def ess(self) -> float:
        """Effective draws of the worst coefficient."""
        return float(np.min(array_stats.ess(self.draws, chain_axis=0, draw_axis=1)))

    @property
    def rhat(self) -> float:
        """R-hat of the worst coefficient."""
        return float(np.max(array_stats.rhat(self.draws, chain_axis=0, draw_axis=1)))


class RememberedSolver:
    """Predictions and products with the adjoint, of which the last place is remembered."""

    def __init__(self, solver: ForwardSolver):
        self.solver = solver
        self.place, self.predicted = np.full(solver.num_modes, np.nan), np.zeros(0)

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Return the predictions."""
        z = np.asarray(z, np.float64).reshape(-1)
        if not np.array_equal(z, self.place):
            self.place = z.copy()
            try:
                self.predicted = np.asarray(self.solver.predict(z), np.float64).reshape(
                    -1
                )
            except (
                np.linalg.LinAlgError,
                RuntimeError,
            ):  # a step so long that the solver fails: not a number is rejected
                self.predicted = np.full(self.solver.data.size, np.nan)
        return self.predicted

    def transposed(self, direction: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the transposed derivative times a direction."""
        shape = self.solver.data.shape
        try:
            return self.solver.transposed(
                np.asarray(z, float).reshape(-1),
                np.asarray(direction, float).reshape(shape),
            )
        except (np.linalg.LinAlgError, RuntimeError):
            return np.full(self.solver.num_modes, np.nan)


def runs(solver: ForwardSolver, deviation: float) -> Iterator[PeerRun]:
    """Yield a run of each sampler of others, those of CUQIpy where it can be imported."""
    yield blackjax_nuts(solver)
    if importlib.util.find_spec("cuqi"):
        yield from cuqipy_runs(solver, deviation)


def cuqipy_runs(solver: ForwardSolver, deviation: float) -> Iterator[PeerRun]:
    """Yield a run of each sampler that the solver allows."""
    for name in NUM_STEPS:
        if (solver.adjoint is None and name in ("MALA", "NUTS")) or (
            name == "CWMH" and solver.num_modes > MOST_BY_CWMH
        ):
            continue
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("ignore")
            try:
                run = _run(solver, deviation, name)
            except TypeError as error:  # of its NUTS, where the density is not a number
                print(f"{name} of CUQIpy failed: {error}", file=sys.__stderr__)
                continue
        yield run._replace(name=f"{name} (CUQIpy)")


def blackjax_nuts(
    solver: ForwardSolver, num_warmup: int = 300, num_draws: int = 200
) -> PeerRun:
    """Return draws of NUTS with a diagonal metric, whose gradients call the solver."""
    import blackjax

    before, like = solver.counts.evaluations, jax.ShapeDtypeStruct
    shapes = like((), np.float32), like((solver.num_modes,), np.float32)

    def on_host(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            solve = solver.solve(np.asarray(z, np.float64))
            gradient = None if solve.residual is None else solver.gradient(solve)
        except (np.linalg.LinAlgError, RuntimeError, FloatingPointError):
            gradient = None
        if gradient is None:
            return np.float32(np.inf), np.zeros(solver.num_modes, np.float32)
        return np.float32(solve.misfit), gradient.astype(np.float32)

    def both(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.pure_callback(on_host, shapes, z)

    @jax.custom_vjp
    def misfit(z: jax.Array) -> jax.Array:
        return both(z)[0]

    misfit.defvjp(both, lambda gradient, r: (r * gradient,))

    def log_density(z: jax.Array) -> jax.Array:
        return -misfit(z) - z @ z / 2

    @jax.jit
    def chain(key: jax.Array) -> jax.Array:
        start_key, warm_key, key = jax.random.split(key, 3)
        start = 0.1 * jax.random.normal(start_key, (solver.num_modes,))
        adaptation: Any = blackjax.window_adaptation(
            blackjax.nuts, log_density, max_num_doublings=MOST_DOUBLINGS
        )
        (state, parameters), _ = adaptation.run(warm_key, start, num_steps=num_warmup)
        kernel = blackjax.nuts(log_density, **parameters)  # with as many doublings

        def step(state: Any, key: jax.Array) -> Any:
            state, _ = kernel.step(key, state)
            return state, state.position

        return jax.lax.scan(step, state, jax.random.split(key, num_draws))[1]

    with jax.numpy_dtype_promotion("standard"), np.errstate(all="ignore"):
        draws = np.stack(
            [
                np.asarray(chain(key))
                for key in jax.random.split(jax.random.key(0), NUM_CHAINS)
            ]
        )
    return PeerRun(
        "NUTS (BlackJAX)",
        draws.astype(np.float64),
        solver.counts.evaluations - before,
    )


def _run(solver: ForwardSolver, deviation: float, name: str) -> PeerRun:
    warmup, samples = NUM_STEPS[name]
    if name != "MALA":
        return _chains(
            solver, deviation, name, warmup, samples, **OPTIONS.get(name, {})
        )
    tries = [(_effective(solver, deviation, scale), scale) for scale in MALA_STEPS]
    return _chains(solver, deviation, name, warmup, samples, scale=max(tries)[1])


def _effective(solver: ForwardSolver, deviation: float, scale: float) -> float:
    ess = _chains(solver, deviation, "MALA", 0, NUM_TRIED, scale=scale).ess
    return ess if np.isfinite(ess) else 0.0


def _chains(
    solver: ForwardSolver,
    deviation: float,
    name: str,
    warmup: int,
    samples: int,
    **options: float,
) -> PeerRun:
    import cuqi  # pyright: ignore[reportMissingImports]

    remembered, before = (
        RememberedSolver(solver),
        solver.counts.evaluations,
    )
    model = cuqi.model.Model(
        lambda z: remembered.predict(z),
        range_geometry=solver.data.size,
        domain_geometry=solver.num_modes,
        gradient=None
        if solver.adjoint is None
        else lambda direction, z: remembered.transposed(direction, z),
    )
    z = cuqi.distribution.Gaussian(np.zeros(solver.num_modes), 1.0, name="z")
    y = cuqi.distribution.Gaussian(model(z), deviation**2, name="y")
    posterior = cuqi.distribution.JointDistribution(z, y)(
        y=np.asarray(solver.data).reshape(-1)
    )
    chains = []
    for chain in range(NUM_CHAINS):
        np.random.seed(chain)  # noqa: NPY002  the generator that CUQIpy draws from
        start = 0.1 * np.random.default_rng(chain).normal(size=solver.num_modes)
        sampler = getattr(cuqi.sampler, name)(posterior, initial_point=start, **options)
        if warmup:
            sampler.warmup(warmup)
        sampler.sample(samples)
        chains.append(np.asarray(sampler.get_samples().samples).T[-samples:])
    return PeerRun(name, np.stack(chains), solver.counts.evaluations - before)
