"""Inverse problems by solvers: errors against references, and effective draws for 1,000 solves.

CUQIpy's deconvolution, heat, Abel, Poisson and cubic test problems, with functions and priors of our own but for the
last; a solver in NumPy with its adjoint; heat in a plate, by scikit-fem (`inverse_elements.py`); and groundwater in two
dimensions on a UM-Bridge server. Solves of the adjoint
count as solves, those of the pilot and the warm-up too. References: the exact posterior where the map is linear,
quadrature in two coefficients, and elsewhere long runs, of pCN with a fixed step and no other moves where that mixes
(all but the plate and Darcy's problem). Beside them, on nonlinear problems, BlackJAX's NUTS with the same solver, and
CUQIpy's samplers where it is installed (`inverse_peers.py`).
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
import numpyro.distributions as dist

import langevax as lx
from benchmarks import inverse_peers
from benchmarks.darcy import CELLS, NAME, WELLS, Darcy, serving
from benchmarks.inverse_elements import plate_problem
from langevax.sampling import (
    HMC,
    HierarchicalInverseProblem,
    InverseProblem,
    SamplingWarning,
    UMBridgeModel,
)
from langevax.theory.gaussian import gaussian_process

NUM_SAMPLES = 2_000  # of each of four chains
KEY = jax.random.key(0)
REFERENCE_STEP = 0.7  # of the long runs


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


def linear(
    name: str, matrix_of: Callable[[np.ndarray, np.ndarray], np.ndarray], noise: float
) -> InverseCase:
    """Data that are a matrix times the function, at 48 places, in 48 modes; the map is in NumPy."""
    basis = lx.spaces.Cosine(48)
    prior = lx.spaces.GaussianPrior(
        basis, lx.spaces.spectra.matern(basis, length_scale=0.15)
    )
    matrix = matrix_of((np.arange(48) + 0.5) / 48, basis.grid)
    data = matrix @ np.sign(np.sin(9 * basis.grid)) + noise * np.random.default_rng(
        0
    ).normal(size=48)
    functions, variances = (
        np.asarray(basis.evaluate(basis.grid), float),
        np.asarray(prior.eigenvalues, float),
    )
    products = matrix @ functions * variances
    law = gaussian_process(
        products @ (matrix @ functions).T, products.T, data, noise, np.diag(variances)
    )
    target = lx.inverse_problem(
        lambda f: matrix @ np.asarray(f, np.float64), data, noise, prior
    )
    return InverseCase(name, target, {}, Reference(law[0], np.sqrt(np.diag(law[1]))))


def blur(places: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Means with Gaussian weights."""
    weights = np.exp(-((places[:, None] - grid) ** 2) / (2 * 0.03**2))
    return weights / weights.sum(axis=1, keepdims=True)


def heat(places: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The temperature at time 0.005 of a rod with ends held at zero."""
    waves = np.pi * np.arange(1, 200)
    return (
        2
        * np.sin(places[:, None] * waves)
        * np.exp(-0.005 * waves**2)
        @ np.sin(waves[:, None] * grid)
        / len(grid)
    )


def abel(places: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Integrals of f(t) / sqrt(s - t) over t < s, exact for f constant in cells."""
    ends = np.linspace(0, 1, len(grid) + 1)
    roots = 2 * np.sqrt(np.maximum(places[:, None] - ends, 0))
    return roots[:, :-1] - roots[:, 1:]


ALGORITHMS = {"pcn": lx.PCN, "pcnl": lx.PCNL, "hmc": HMC, "auto": lambda: "auto"}
"""By the names on the command line."""


def deconvolution() -> InverseCase:
    """Blurred values of a function; a linear map."""
    return linear("Deconvolution1D", blur, 0.05)


def unknown_levels(dynamics: str) -> InverseCase:
    """The deconvolution with noise and length scale unknown; their logarithms, by quadrature over both."""
    fixed = deconvolution().target
    assert isinstance(fixed, InverseProblem)
    basis = fixed.prior.basis
    matrix = np.stack(
        [fixed.forward_map(f) for f in np.asarray(basis.evaluate(basis.grid), float).T],
        axis=1,
    )
    centre, width = np.log([0.05, 0.15]), 0.5
    axes = [place + np.linspace(-1.2, 1.6, 113) for place in centre]
    logs = np.empty((113, 113))
    for column, length in enumerate(np.exp(axes[1])):
        mu = lx.spaces.spectra.matern(basis, length_scale=length)
        variances, vectors = np.linalg.eigh(matrix * mu @ matrix.T)
        total = np.maximum(variances, 0) + np.exp(2 * axes[0])[:, None]
        logs[:, column] = (
            -np.sum(np.log(total) + (vectors.T @ fixed.data) ** 2 / total, axis=1) / 2
        )
    noise, length = np.meshgrid(*axes, indexing="ij")
    logs -= ((noise - centre[0]) ** 2 + (length - centre[1]) ** 2) / (2 * width**2)
    density = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    mean = np.array([np.sum(density * noise), np.sum(density * length)])
    second = np.array([np.sum(density * noise**2), np.sum(density * length**2)])
    prior = lx.spaces.MaternPrior(basis, length_scale=dist.LogNormal(centre[1], width))
    target = lx.inverse_problem(
        fixed.forward_map, fixed.data, dist.LogNormal(centre[0], width), prior
    )
    name = f"Deconvolution1D, noise and length scale unknown, {dynamics}"
    return InverseCase(
        name,
        target,
        {"algorithm": ALGORITHMS[dynamics]()},
        Reference(mean, np.sqrt(second - mean**2)),
    )


def compared(positions: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the coefficients (chain, draw, N), or the logarithms of noise and length scale where they are unknown."""
    if isinstance(positions, Mapping):
        return np.log(
            np.stack([positions["noise"], positions["length_scale"]], axis=-1).astype(
                np.float64
            )
        )
    return np.asarray(positions, np.float64)


def cubic(dynamics: str) -> InverseCase:
    """CUQIpy's WangCubic: 10 x2 - 10 x1^3 + 5 x1^2 + 6 x1 = 1 + noise of deviation 1, x ~ N((1, 0), I)."""
    basis, centre = lx.spaces.Cosine(2), np.array([1.0, 0.0])
    functions = np.asarray(basis.evaluate(basis.grid), float)
    back = np.linalg.inv(functions)

    def forward(values: np.ndarray) -> np.ndarray:
        x = back @ np.asarray(values, np.float64)
        return np.array([10 * x[1] - 10 * x[0] ** 3 + 5 * x[0] ** 2 + 6 * x[0]])

    def adjoint(values: np.ndarray, residual: np.ndarray) -> np.ndarray:
        x = back @ np.asarray(values, np.float64)
        return back.T @ (np.array([-30 * x[0] ** 2 + 10 * x[0] + 6, 10.0]) * residual)

    axis = np.linspace(-5, 5, 3001)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    density = np.exp(
        -((x - 1) ** 2 + y**2) / 2
        - (10 * y - 10 * x**3 + 5 * x**2 + 6 * x - 1) ** 2 / 2
    )
    density /= density.sum()
    mean = np.array([(density * x).sum(), (density * y).sum()])
    deviation = np.sqrt(
        [(density * (x - mean[0]) ** 2).sum(), (density * (y - mean[1]) ** 2).sum()]
    )
    target = lx.inverse_problem(
        forward,
        np.array([1.0]),
        1.0,
        lx.spaces.GaussianPrior(basis, np.ones(2)),
        adjoint=adjoint if dynamics == "hmc" else None,
        prior_mean=functions @ centre,
    )
    return InverseCase(
        f"WangCubic, {dynamics}", target, {}, Reference(mean - centre, deviation)
    )


def poisson_solver(cells: int) -> tuple[Callable, Callable]:
    """-(exp(f) u')' = 1 on (0, 1), u = 0 at both ends, at all nodes: map and adjoint, by finite differences."""
    differences = (np.eye(cells, cells - 1) - np.eye(cells, cells - 1, -1)) * cells

    def heads(f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        stiffness = differences.T @ (
            np.exp(np.asarray(f, np.float64))[:, None] * differences
        )
        return np.linalg.solve(stiffness, np.ones(cells - 1)), stiffness

    def adjoint(f: np.ndarray, residual: np.ndarray) -> np.ndarray:
        u, stiffness = heads(f)
        return (
            -np.exp(f)
            * (differences @ u)
            * (differences @ np.linalg.solve(stiffness, residual))
        )

    return lambda f: heads(f)[0], adjoint


def poisson(dynamics: str) -> InverseCase:
    """The logarithm of a conductivity in 10 modes, from the solution at all 63 nodes."""
    basis = lx.spaces.Cosine(10, 64)
    prior = lx.spaces.GaussianPrior(
        basis, lx.spaces.spectra.matern(basis, length_scale=0.3)
    )
    forward, adjoint = poisson_solver(64)
    truth = 0.8 * np.cos(4 * basis.grid)
    data = forward(truth) + 0.005 * np.random.default_rng(1).normal(size=63)
    return _of_solver(
        "Poisson1D, 10 modes", dynamics, forward, adjoint, data, 0.005, prior
    )


def wells(dynamics: str) -> InverseCase:
    """The same layer in 64 modes, from ten wells."""
    basis = lx.spaces.Cosine(64)
    prior = lx.spaces.GaussianPrior(
        basis, lx.spaces.spectra.matern(basis, length_scale=0.3)
    )
    forward, adjoint = poisson_solver(64)
    rows = np.linspace(5, 57, 10).astype(int)

    def measured(f: np.ndarray) -> np.ndarray:
        return forward(f)[rows]

    def back(f: np.ndarray, residual: np.ndarray) -> np.ndarray:
        return adjoint(f, np.bincount(rows, residual, minlength=63))

    data = measured(
        np.where(basis.grid < 0.4, 0.8, -0.6)
    ) + 0.002 * np.random.default_rng(0).normal(size=10)
    return _of_solver(
        "NumPy solver, 64 modes", dynamics, measured, back, data, 0.002, prior
    )


def plate(dynamics: str) -> InverseCase:
    """The logarithm of a plate's conductivity in 48 modes of its mesh, from nine temperatures."""
    solver, data, noise, prior = plate_problem()
    target = lx.inverse_problem(solver, data, noise, prior, adjoint=solver.adjoint)
    reference = _long_run("scikit-fem", target, "hmc", "auto", 2)
    if dynamics == "pcn":
        target = lx.inverse_problem(solver, data, noise, prior)
    return InverseCase(f"scikit-fem, 48 modes, {dynamics}", target, {}, reference)


def darcy(dynamics: str, url: str | None = None) -> InverseCase:
    """Groundwater on a square, the logarithm of its conductivity in 64 modes, from 16 wells.

    The solver is on the server at `url`; None: in this process, as for the reference.
    """
    basis = lx.spaces.TensorProduct(
        [lx.spaces.Cosine(CELLS), lx.spaces.Cosine(CELLS)], num_modes=64
    )
    prior = lx.spaces.GaussianPrior(
        basis, lx.spaces.spectra.matern(basis, length_scale=0.3)
    )
    x, y = np.asarray(basis.grid).T
    local, noise = Darcy(), 0.002
    data = local(np.sin(5 * x) - np.where(y > 0.6, 1.0, 0.0))
    data = data + noise * np.random.default_rng(2).normal(size=len(WELLS))
    target = lx.inverse_problem(local, data, noise, prior, adjoint=local.adjoint)
    case = InverseCase(
        f"Darcy in 2-d, 64 modes, {dynamics}",
        target,
        {},
        _long_run("darcy", target, "hmc", "auto", 4),
    )
    if url is None:
        return case
    model = UMBridgeModel(url, NAME)
    forward = (
        model if dynamics == "hmc" else lambda values: model(values)
    )  # which hides the gradient
    name = f"Darcy in 2-d by UM-Bridge, 64 modes, {dynamics}"
    return case._replace(
        name=name, target=lx.inverse_problem(forward, data, noise, prior)
    )


def _of_solver(
    name: str,
    dynamics: str,
    forward: Callable,
    adjoint: Callable,
    data: np.ndarray,
    noise: float,
    prior: lx.spaces.GaussianPrior,
) -> InverseCase:
    target = lx.inverse_problem(
        forward, data, noise, prior, adjoint=adjoint if dynamics == "hmc" else None
    )
    return InverseCase(
        f"{name}, {dynamics}",
        target,
        {},
        _long_run(name, target, "pcn", REFERENCE_STEP, 8),
    )


_references: dict[str, Reference] = {}


def _long_run(
    name: str, target: InverseProblem, dynamics: str, step: float | str, times: int
) -> Reference:
    """So many times the draws with another key; with a fixed step about the normal law at the mode alone."""
    if name not in _references:
        options = {
            "algorithm": ALGORITHMS[dynamics](step),
            "run": lx.Run(progress=False),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SamplingWarning)
            draws = lx.sample(
                target,
                key=jax.random.key(1),
                num_samples=times * NUM_SAMPLES,
                **options,
            )
        print(
            f"reference of {name}: {draws.ess:,.0f} effective draws, R-hat {draws.max_rhat:.3f}",
            file=sys.stderr,
        )
        positions = np.asarray(draws.positions, np.float64)
        _references[name] = Reference(positions.mean((0, 1)), positions.std((0, 1)))
    return _references[name]


def print_line(
    case: InverseCase, method: str, positions: np.ndarray, solves: int, ess: float
) -> None:
    """Print errors and cost of draws (chain, draw, N)."""
    mean, deviation = case.reference
    error, ratio = (
        np.abs(positions.mean((0, 1)) - mean) / deviation,
        positions.std((0, 1)) / deviation,
    )
    print(
        f"| {case.name} | {method} | {solves:,} | {error.max():.2f} | {ratio.min():.2f} to {ratio.max():.2f} | "
        f"{1000 * ess / solves:,.3g} |",
        flush=True,
    )


def print_case(case: InverseCase) -> None:
    """Print our line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        draws = lx.sample(
            case.target,
            key=KEY,
            num_samples=NUM_SAMPLES,
            run=lx.Run(progress=False),
            **case.options,
        )
    assert draws.num_solves is not None
    print_line(
        case, draws.method, compared(draws.positions), draws.num_solves, draws.ess
    )


def print_peers(case: InverseCase) -> None:
    """Print the lines of other samplers, each when it ends."""
    assert isinstance(case.target, InverseProblem)
    solver, noise = case.target.solver, case.target.noise.standard_deviation
    assert solver is not None
    assert noise is not None
    scales = np.sqrt(np.asarray(case.target.prior.eigenvalues, np.float64))
    for run in inverse_peers.runs(solver, float(np.asarray(noise))):
        print_line(
            case,
            f"{run.name}, R-hat {run.rhat:.2f}",
            scales * run.draws,
            run.solves,
            run.ess,
        )


def exact_cases() -> None:
    """Linear maps, and one of unknown noise and length scale both collapsed and as if not linear."""
    for case in (
        deconvolution(),
        linear("Heat1D", heat, 0.02),
        linear("Abel1D", abel, 0.02),
    ):
        print_case(case)
    for dynamics in ("auto", "pcn"):
        print_case(unknown_levels(dynamics))


def served_darcy(dynamics: str, peers: bool) -> None:
    """Darcy's problem by a server; peers in this process."""
    with serving() as url:
        print_case(darcy(dynamics, url))
    if peers:
        print_peers(darcy("hmc"))


PROBLEMS = {"cubic": cubic, "poisson": poisson, "wells": wells, "plate": plate}
NAMES = ("linear", *PROBLEMS, "darcy")


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line for each problem, and those of other samplers on nonlinear ones with a gradient."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks inverse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--problems", default=",".join(NAMES), help="commas between; %(default)s"
    )
    parser.add_argument(
        "--dynamics", default="hmc,pcn", help="of nonlinear problems; %(default)s"
    )
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args(arguments)
    names = options.problems.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(
            f"--problems has {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}"
        )
    print(
        "| problem | method | solves | worst error of the mean, in sd | sd, ratio | effective draws per 1,000 solves |"
    )
    print("|---|---|---|---|---|---|")
    for name in names:
        if name == "linear":
            exact_cases()
            continue
        for dynamics in options.dynamics.split(","):
            peers = options.peers and dynamics == "hmc"
            if name == "darcy":
                served_darcy(dynamics, peers)
                continue
            case = PROBLEMS[name](dynamics)
            print_case(case)
            if peers:
                print_peers(case)


if __name__ == "__main__":
    main(sys.argv[1:])
