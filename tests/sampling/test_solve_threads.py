"""Solves at once: overlap is counted, draws are those of one thread, solvers that disturb themselves are refused."""

import threading
import time

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import langevax
from langevax import spaces
from langevax.sampling.solve_threads import SolveThreads
from tests.sentences import refuses

pytestmark = pytest.mark.filterwarnings(
    "ignore::langevax.sampling.SamplingWarning",
    "ignore::langevax.sampling.SolverWarning",
)
KEY = jax.random.key(0)
BASIS = spaces.Cosine(6)
PRIOR = spaces.GaussianPrior(BASIS, spaces.spectra.matern(BASIS, length_scale=0.4))
ROWS = np.exp(-8 * (np.linspace(0.1, 0.9, 4)[:, None] - BASIS.grid) ** 2) / 3
DATA = np.array([0.9, 1.3, 1.2, 0.8])


class Overlap:
    """A solver that waits, as for a server, and counts how many of its calls are under way."""

    def __init__(self, fails_above=np.inf):
        self.lock, self.now, self.most, self.calls = threading.Lock(), 0, 0, 0
        self.fails_above = fails_above

    def wait(self):
        with self.lock:
            self.now, self.calls = self.now + 1, self.calls + 1
            self.most = max(self.most, self.now)
        time.sleep(2e-4)
        with self.lock:
            self.now -= 1

    def __call__(self, values):
        self.wait()
        if values[0] > self.fails_above:
            raise RuntimeError("no convergence")
        return ROWS @ np.exp(values)

    def adjoint(self, values, residual):
        self.wait()
        return np.exp(values) * (ROWS.T @ residual)


UNKNOWN = spaces.MaternPrior(BASIS, length_scale=dist.LogNormal(-1.0, 0.5))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "with_adjoint"), [(PRIOR, False), (PRIOR, True), (UNKNOWN, True)]
)
def test_draws_and_counts_of_threads_are_those_of_one(prior, with_adjoint):
    runs = {}
    for parallel in (1, 3):
        solver = Overlap(fails_above=1.2)
        adjoint = solver.adjoint if with_adjoint else None
        target = langevax.inverse_problem(
            solver, DATA, 0.1, prior, adjoint=adjoint, parallel=parallel
        )
        solver.most, before = 0, solver.calls
        draws = langevax.sample(
            target,
            key=KEY,
            num_samples=10,
            num_warmup=12,
            thinning=2,
            run=langevax.Run(progress=False),
        )
        assert solver.calls - before - draws.num_solves in (0, 1)  # one is of the start
        assert draws.solves.failed > 0
        assert solver.most == parallel
        more = draws.extend(3, key=KEY)
        runs[parallel] = draws, more, target.predictions(more.positions)
        assert solver.most == parallel
    (one, one_more, first), (three, three_more, second) = runs.values()
    for serial, threaded in ((one, three), (one_more, three_more)):
        jax.tree.map(
            np.testing.assert_array_equal, serial.positions, threaded.positions
        )
        assert serial.solves[0] >= len(DATA)
        np.testing.assert_array_equal(
            serial.result.trace.info["solves"], threaded.result.trace.info["solves"]
        )
    np.testing.assert_array_equal(first, second)


def test_threads_have_the_precision_of_their_caller():
    with jax.enable_x64(), SolveThreads(2) as threads:
        assert [str(a.dtype) for a in threads.map(jax.numpy.asarray, [0.1, 0.2])] == [
            "float64"
        ] * 2


RESULTS, SCRATCH = np.zeros(4), np.zeros(6)


def in_one_array(values):
    RESULTS[:] = ROWS @ values
    return RESULTS


def exponentials(values):
    """Fill a work array entry by entry, as translated Fortran does."""
    for i, value in enumerate(values):
        SCRATCH[i] = np.exp(value)
    return SCRATCH


def with_scratch(values):
    return ROWS @ exponentials(values)


@pytest.mark.parametrize("solver", [in_one_array, with_scratch])
def test_a_solver_that_works_in_memory_of_its_own_is_refused(solver):
    langevax.inverse_problem(solver, DATA, 0.1, PRIOR)
    with refuses(ValueError):
        langevax.inverse_problem(solver, DATA, 0.1, PRIOR, parallel=4)


def test_an_adjoint_that_works_in_memory_of_its_own_is_refused():
    def adjoint(values, residual):
        return exponentials(values) * (ROWS.T @ residual)

    with refuses(ValueError, "forward_map"):
        langevax.inverse_problem(
            lambda v: ROWS @ np.exp(np.asarray(v)),
            DATA,
            0.1,
            PRIOR,
            adjoint=adjoint,
            parallel=4,
        )


def test_an_interruption_starts_no_further_solves():
    solver = Overlap()
    target = langevax.inverse_problem(solver, DATA, 0.1, PRIOR, parallel=4)

    def interrupted(values, last=solver.calls + 200):
        if solver.calls > last:
            raise KeyboardInterrupt
        return solver(values)

    target.solver.forward_map = interrupted
    with pytest.raises(KeyboardInterrupt):
        langevax.sample(
            target, key=KEY, num_samples=1000, run=langevax.Run(progress=False)
        )
    time.sleep(0.05)  # for those under way
    calls = solver.calls
    time.sleep(0.05)
    assert solver.calls == calls
    assert not [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("langevax-solve")
    ]


@pytest.mark.parametrize(
    ("forward", "parallel", "facts"),
    [
        (
            lambda v: v[:4],
            2,
            "parallel NumPy",
        ),
        (Overlap(), 0, "parallel"),
        (Overlap(), 1.5, "parallel"),
    ],
)
def test_what_threads_cannot_do_is_named(forward, parallel, facts):
    with refuses((ValueError, TypeError), facts):
        langevax.inverse_problem(forward, DATA, 0.1, PRIOR, parallel=parallel)
