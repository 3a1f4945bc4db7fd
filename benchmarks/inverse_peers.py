"""CUQIpy's samplers on the problems of `inverse`, where it is installed (`pip install cuqipy`).

They run in coefficients in units of the prior, in which it is the standard normal law, as with CUQIpy's own
Karhunen-Loeve geometry. A place at which value and gradient are asked for counts as one solve and one adjoint one.
"""

import importlib.util
import warnings
from typing import NamedTuple

import numpy as np
from arviz_stats.base.array import array_stats

from langevax.sampling.solver import ForwardSolver

NUM_CHAINS, NUM_WARMUP = 4, 500
NUM_SAMPLES = {"PCN": 4_000, "MALA": 2_000, "CWMH": 1_000, "NUTS": 500}
"""Of each chain: a step of CWMH takes a solve for each coefficient, and one of NUTS takes many."""
MALA_STEPS = 0.003, 0.01, 0.03, 0.1, 0.3, 1.0
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
            self.place, self.predicted = z.copy(), np.asarray(self.solver.predict(z), np.float64).reshape(-1)
        return self.predicted

    def transposed(self, direction: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the transposed derivative times a direction."""
        shape = self.solver.data.shape
        return self.solver.transposed(np.asarray(z, float).reshape(-1), np.asarray(direction, float).reshape(shape))


def cuqipy_runs(solver: ForwardSolver, deviation: float, names: tuple[str, ...]) -> list[PeerRun]:
    """Return a run of each sampler; none where CUQIpy is not installed."""
    if importlib.util.find_spec("cuqi") is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [_run(solver, deviation, name) for name in names if name == "PCN" or solver.adjoint or name == "CWMH"]


def _run(solver: ForwardSolver, deviation: float, name: str) -> PeerRun:
    if name != "MALA":
        return _chains(solver, deviation, name, NUM_WARMUP, NUM_SAMPLES[name], {})
    tries = [(_chains(solver, deviation, name, 0, 300, {"scale": scale}).ess, scale) for scale in MALA_STEPS]
    best = max((ess, scale) for ess, scale in tries if np.isfinite(ess))[1]
    return _chains(solver, deviation, name, NUM_WARMUP, NUM_SAMPLES[name], {"scale": best})


def _chains(
    solver: ForwardSolver, deviation: float, name: str, warmup: int, samples: int, options: dict[str, float]
) -> PeerRun:
    import cuqi  # pyright: ignore[reportMissingImports]

    remembered, before = RememberedSolver(solver), solver.num_solves + solver.num_adjoints
    model = cuqi.model.Model(
        lambda z: remembered.predict(z),
        range_geometry=solver.data.size,
        domain_geometry=solver.num_modes,
        gradient=(lambda direction, z: remembered.transposed(direction, z)) if solver.adjoint else None,
    )
    z = cuqi.distribution.Gaussian(np.zeros(solver.num_modes), 1.0, name="z")
    y = cuqi.distribution.Gaussian(model(z), deviation**2, name="y")
    posterior = cuqi.distribution.JointDistribution(z, y)(y=np.asarray(solver.data).reshape(-1))
    chains = []
    for chain in range(NUM_CHAINS):
        np.random.seed(chain)  # noqa: NPY002  the generator that CUQIpy draws from
        sampler = getattr(cuqi.sampler, name)(
            posterior, initial_point=0.1 * np.random.randn(solver.num_modes), **options
        )  # noqa: NPY002
        if warmup:
            sampler.warmup(warmup)
        sampler.sample(samples)
        chains.append(np.asarray(sampler.get_samples().samples).T[-samples:])
    return PeerRun(name, np.stack(chains), solver.num_solves + solver.num_adjoints - before)
