"""Inverse problems by solvers: errors against references, and effective draws for 1,000 solves.

CUQIpy's deconvolution, Poisson problem and cubic test problem with functions and priors of our own, and a solver in
NumPy with its adjoint. Solves of the adjoint count as solves, those of the pilot and the warm-up too. References: the
exact posterior where the map is linear, quadrature in two coefficients, and long runs of pCN about the prior elsewhere.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
import numpyro.distributions as dist

import langevax as lx
from langevax.sampling import HierarchicalInverseProblem, InverseProblem, SamplingWarning
from langevax.theory.gaussian import gaussian_process

NUM_SAMPLES = 2_000  # of each of four chains
KEY = jax.random.key(0)


class Reference(NamedTuple):
    """Mean and deviation of each coefficient, or of as many as are compared."""

    mean: np.ndarray
    deviation: np.ndarray


class InverseCase(NamedTuple):
    """A problem, ways to sample it, and what the draws should be."""

    name: str
    target: InverseProblem | HierarchicalInverseProblem
    options: dict[str, object]
    reference: Reference


def deconvolution() -> InverseCase:
    """Blurred values of a function at 48 places, 48 modes; a linear map in NumPy."""
    basis = lx.spaces.Cosine(48)
    prior = lx.spaces.GaussianPrior(basis, lx.spaces.spectra.matern(basis, length_scale=0.15))
    places = (np.arange(48) + 0.5) / 48
    blur = np.exp(-((places[:, None] - basis.grid) ** 2) / (2 * 0.03**2))
    blur /= blur.sum(axis=1, keepdims=True)
    data = blur @ np.sign(np.sin(9 * basis.grid)) + 0.05 * np.random.default_rng(0).normal(size=48)
    functions = np.asarray(basis.evaluate(basis.grid), float)
    matrix, variances = blur @ functions, np.asarray(prior.eigenvalues, float)
    law = gaussian_process(matrix * variances @ matrix.T, np.diag(variances) @ matrix.T, data, 0.05, np.diag(variances))
    target = lx.inverse_problem(lambda f: blur @ np.asarray(f, np.float64), data, 0.05, prior)
    return InverseCase("Deconvolution1D", target, {}, Reference(law[0], np.sqrt(np.diag(law[1]))))


def unknown_levels(dynamics: str) -> InverseCase:
    """The deconvolution with noise and length scale unknown; their logarithms, by quadrature over both."""
    fixed = deconvolution().target
    assert isinstance(fixed, InverseProblem)
    basis = fixed.prior.basis
    matrix = np.stack([fixed.forward_map(f) for f in np.asarray(basis.evaluate(basis.grid), float).T], axis=1)
    centre, width = np.log([0.05, 0.15]), 0.5
    axes = [place + np.linspace(-1.2, 1.6, 113) for place in centre]
    logs = np.empty((113, 113))
    for column, length in enumerate(np.exp(axes[1])):
        mu = lx.spaces.spectra.matern(basis, length_scale=length)
        variances, vectors = np.linalg.eigh(matrix * mu @ matrix.T)
        total = np.maximum(variances, 0) + np.exp(2 * axes[0])[:, None]
        logs[:, column] = -np.sum(np.log(total) + (vectors.T @ fixed.data) ** 2 / total, axis=1) / 2
    noise, length = np.meshgrid(*axes, indexing="ij")
    logs -= ((noise - centre[0]) ** 2 + (length - centre[1]) ** 2) / (2 * width**2)
    density = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    mean = np.array([np.sum(density * noise), np.sum(density * length)])
    second = np.array([np.sum(density * noise**2), np.sum(density * length**2)])
    prior = lx.spaces.MaternPrior(basis, length_scale=dist.LogNormal(centre[1], width))
    target = lx.inverse_problem(fixed.forward_map, fixed.data, dist.LogNormal(centre[0], width), prior)
    name = f"Deconvolution1D, noise and length scale unknown, {dynamics}"
    return InverseCase(name, target, {"dynamics": dynamics}, Reference(mean, np.sqrt(second - mean**2)))


def compared(positions: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the coefficients (chain, draw, N), or the logarithms of noise and length scale where they are unknown."""
    if isinstance(positions, Mapping):
        return np.log(np.stack([positions["noise"], positions["length_scale"]], axis=-1).astype(np.float64))
    return np.asarray(positions, np.float64)


def cubic() -> InverseCase:
    """CUQIpy's WangCubic: 10 x2 - 10 x1^3 + 5 x1^2 + 6 x1 = 1 + noise of deviation 1, x ~ N(0, I)."""
    basis = lx.spaces.Cosine(2)
    back = np.linalg.inv(np.asarray(basis.evaluate(basis.grid), float))

    def forward(values: np.ndarray) -> np.ndarray:
        x = back @ np.asarray(values, np.float64)
        return np.array([10 * x[1] - 10 * x[0] ** 3 + 5 * x[0] ** 2 + 6 * x[0]])

    axis = np.linspace(-5, 5, 3001)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    density = np.exp(-(x**2 + y**2) / 2 - (10 * y - 10 * x**3 + 5 * x**2 + 6 * x - 1) ** 2 / 2)
    density /= density.sum()
    mean = np.array([(density * x).sum(), (density * y).sum()])
    deviation = np.sqrt([(density * (x - mean[0]) ** 2).sum(), (density * (y - mean[1]) ** 2).sum()])
    target = lx.inverse_problem(forward, np.array([1.0]), 1.0, lx.spaces.GaussianPrior(basis, np.ones(2)))
    return InverseCase("WangCubic", target, {}, Reference(mean, deviation))


def poisson_solver(cells: int) -> tuple[Callable, Callable]:
    """-(exp(f) u')' = 1 on (0, 1), u = 0 at both ends, at all nodes: map and adjoint, by finite differences."""
    differences = (np.eye(cells, cells - 1) - np.eye(cells, cells - 1, -1)) * cells

    def heads(f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        stiffness = differences.T @ (np.exp(np.asarray(f, np.float64))[:, None] * differences)
        return np.linalg.solve(stiffness, np.ones(cells - 1)), stiffness

    def adjoint(f: np.ndarray, residual: np.ndarray) -> np.ndarray:
        u, stiffness = heads(f)
        return -np.exp(f) * (differences @ u) * (differences @ np.linalg.solve(stiffness, residual))

    return lambda f: heads(f)[0], adjoint


def poisson(dynamics: str) -> InverseCase:
    """The logarithm of a conductivity in 10 modes, from the solution at all 63 nodes."""
    basis = lx.spaces.Cosine(10, 64)
    prior = lx.spaces.GaussianPrior(basis, lx.spaces.spectra.matern(basis, length_scale=0.3))
    forward, adjoint = poisson_solver(64)
    truth = 0.8 * np.cos(4 * basis.grid)
    data = forward(truth) + 0.005 * np.random.default_rng(1).normal(size=63)
    with_adjoint = {"adjoint": adjoint} if dynamics == "pcnl" else {}
    target = lx.inverse_problem(forward, data, 0.005, prior, **with_adjoint)
    return InverseCase(f"Poisson1D, 10 modes, {dynamics}", target, {"dynamics": dynamics}, _long_run(target))


def wells(dynamics: str) -> InverseCase:
    """The same layer in 64 modes, from ten wells."""
    basis = lx.spaces.Cosine(64)
    prior = lx.spaces.GaussianPrior(basis, lx.spaces.spectra.matern(basis, length_scale=0.3))
    forward, adjoint = poisson_solver(64)
    rows = np.linspace(5, 57, 10).astype(int)

    def measured(f: np.ndarray) -> np.ndarray:
        return forward(f)[rows]

    def back(f: np.ndarray, residual: np.ndarray) -> np.ndarray:
        return adjoint(f, np.bincount(rows, residual, minlength=63))

    data = measured(np.where(basis.grid < 0.4, 0.8, -0.6)) + 0.002 * np.random.default_rng(0).normal(size=10)
    target = lx.inverse_problem(measured, data, 0.002, prior, adjoint=back if dynamics == "pcnl" else None)
    return InverseCase(f"NumPy solver, 64 modes, {dynamics}", target, {"dynamics": dynamics}, _long_run(target))


def _long_run(target: InverseProblem) -> Reference:
    """Eight times as many draws with another key, of the other exact dynamics where both are possible."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        draws = lx.sample(target, key=jax.random.key(1), num_samples=8 * NUM_SAMPLES, dynamics="pcn", progress=False)
    return Reference(np.mean(draws.positions, (0, 1), np.float64), np.std(draws.positions, (0, 1), np.float64))


def main() -> None:
    """Print a line for each problem."""
    cases = [
        deconvolution(),
        *map(unknown_levels, ("auto", "pcn")),
        cubic(),
        *map(poisson, ("pcnl", "pcn")),
        *map(wells, ("pcnl", "pcn")),
    ]
    print(
        "| problem | method | solves | worst error of the mean, in sd | sd, ratio | effective draws per 1,000 solves |"
    )
    print("|---|---|---|---|---|---|")
    for case in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SamplingWarning)
            draws = lx.sample(case.target, key=KEY, num_samples=NUM_SAMPLES, progress=False, **case.options)
        positions = compared(draws.positions)
        mean, deviation = case.reference
        error = np.abs(positions.mean((0, 1)) - mean) / deviation
        ratio = positions.std((0, 1)) / deviation
        per_thousand = 1000 * draws.ess / draws.num_solves
        print(
            f"| {case.name} | {draws.method} | {draws.num_solves:,} | {error.max():.2f} | "
            f"{ratio.min():.2f} to {ratio.max():.2f} | {per_thousand:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
