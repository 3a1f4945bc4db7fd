"""A file of solves: interrupted runs go on, other solvers are refused, and what breaks is not a failed solve."""

import contextlib
import sqlite3
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.sampling import SolveCacheError
from langevax.sampling.solve_cache import SolveCache
from tests.sampling.test_solver import (
    BASIS,
    KEY,
    NOISE,
    PRIOR,
    exponential,
    exponential_adjoint,
)
from tests.sentences import refuses

TRUTH = 0.5 * np.sin(5 * np.asarray(BASIS.grid, float))
DATA = exponential(TRUTH) + NOISE * np.random.default_rng(0).normal(size=12)
pytestmark = pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning")


class Counted:
    """A solver and its adjoint, which count their calls and stop after some."""

    def __init__(self, most: float = np.inf):
        self.calls, self.most = 0, most

    def __call__(self, values):
        self.calls += 1
        if self.calls > self.most:
            raise KeyboardInterrupt
        return exponential(values)

    def adjoint(self, values, residual):
        self.calls += 1
        return exponential_adjoint(values, residual)


def draw(solver, cache, **options):
    """Draw a few samples."""
    target = langevax.inverse_problem(
        solver,
        DATA,
        noise=NOISE,
        prior=PRIOR,
        adjoint=solver.adjoint,
        cache=cache,
        **options,
    )
    draws = langevax.sample(target, key=KEY, num_samples=40, num_chains=2)
    return target.solver, draws


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    whole, stopped, again = Counted(), Counted(most=300), Counted()
    _, expected = draw(whole, None)
    with pytest.raises(KeyboardInterrupt):
        draw(stopped, tmp_path / "solves.db")
    solver, draws = draw(again, tmp_path / "solves.db")
    np.testing.assert_array_equal(draws.positions, expected.positions)
    assert draws.solves[:3] == expected.solves[:3]
    assert solver.cache.num_read > 200
    assert (
        solver.counts.evaluations - solver.cache.num_read
        <= again.calls
        < whole.calls - 200
    )
    read = Counted()
    draw(read, tmp_path / "solves.db")
    assert read.calls < 100  # the checks alone
    solver, draws = draw(Counted(), tmp_path / "solves.db", parallel=2)
    np.testing.assert_array_equal(draws.positions, expected.positions)
    assert solver.cache.num_read > 200


@pytest.mark.slow
def test_solves_of_another_solver_are_refused(tmp_path):
    draw(Counted(), tmp_path / "solves.db")
    other = Counted()
    with refuses(ValueError, "forward_map"):
        langevax.inverse_problem(
            lambda values: 1.001 * exponential(values),
            DATA,
            noise=NOISE,
            prior=PRIOR,
            cache=tmp_path / "solves.db",
        )
    with refuses(ValueError):
        langevax.inverse_problem(
            other,
            DATA,
            noise=NOISE,
            prior=PRIOR,
            adjoint=lambda f, r: 1.001 * exponential_adjoint(f, r),
            cache=tmp_path / "solves.db",
        )


@pytest.mark.slow
def test_other_data_and_noise_read_the_same_solves(tmp_path):
    draw(Counted(), tmp_path / "solves.db")
    solver = Counted()
    target = langevax.inverse_problem(
        solver, DATA + 0.1, noise=2 * NOISE, prior=PRIOR, cache=tmp_path / "solves.db"
    )
    assert target.solver.cache.num_read == 1  # by the check that it is this solver's


@pytest.mark.parametrize("content", [b"not a data base, but text", None])
def test_files_that_are_no_cache_are_refused(tmp_path, content):
    file = (
        tmp_path / "folder" / "solves.db" if content is None else tmp_path / "solves.db"
    )
    if content is not None:
        file.write_bytes(content * 100)
    with refuses(SolveCacheError):
        langevax.inverse_problem(
            exponential, DATA, noise=NOISE, prior=PRIOR, cache=file
        )


def test_a_cache_that_breaks_ends_the_run_and_is_not_a_failed_solve(tmp_path):
    target = langevax.inverse_problem(
        exponential, DATA, noise=NOISE, prior=PRIOR, cache=tmp_path / "solves.db"
    )
    with sqlite3.connect(tmp_path / "solves.db") as connection:
        connection.execute("DROP TABLE solves")
    connection.close()
    with refuses(SolveCacheError):
        target.solver.solve(np.ones(PRIOR.num_modes))
    assert target.solver.counts.failed == 0


def test_solves_that_fail_are_tried_again(tmp_path):
    def fails(values):
        if values.max() > 3:
            raise RuntimeError("no convergence")
        return exponential(values)

    target = langevax.inverse_problem(
        fails, DATA, noise=NOISE, prior=PRIOR, cache=tmp_path / "solves.db"
    )
    high = np.zeros(PRIOR.num_modes)
    high[0] = 50
    for _ in range(2):
        assert target.solver.solve(high).misfit == np.inf
    assert (target.solver.counts.failed, target.solver.cache.num_read) == (2, 0)


def test_maps_in_jax_need_no_cache(tmp_path):
    with (
        warnings.catch_warnings(),
        refuses(ValueError, "parallel NumPy"),
    ):
        langevax.inverse_problem(
            lambda values: jnp.cumsum(values)[:12] / 24,
            DATA,
            noise=NOISE,
            prior=PRIOR,
            cache=tmp_path / "solves.db",
        )
    assert not (tmp_path / "solves.db").exists()


def spoiled(column, value):
    def spoil(file):
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"UPDATE solves SET {column} = ?", (value,))

    return spoil


def flipped(file):
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        (numbers,) = connection.execute("SELECT numbers FROM solves").fetchone()
        numbers = numbers[:-9] + bytes([numbers[-9] ^ 0x40]) + numbers[-8:]
        connection.execute("UPDATE solves SET numbers = ?", (numbers,))


@pytest.mark.parametrize(
    "spoil",
    [
        flipped,
        spoiled("numbers", np.array([0.142, 2.0]).tobytes()),  # without a checksum
        spoiled("numbers", b"short"),
        spoiled("numbers", "text"),
        spoiled("numbers", None),
        spoiled("dtype", "<f4"),
        spoiled("dtype", "O"),
        spoiled("dtype", None),
        spoiled("shape", "99999999999 9999999"),
        spoiled("shape", "1 2"),
        spoiled("shape", 3),
    ],
)
def test_a_solve_that_is_not_as_it_was_written_is_made_again(tmp_path, spoil):
    numbers, calls = np.array([0.142, 2.0]), []

    def solve(x):
        calls.append(x)
        return numbers + x.sum()

    for times in (1, 1):
        cached = SolveCache(tmp_path / "solves.db").over("forward_map", solve)
        np.testing.assert_array_equal(cached(np.zeros(3)), numbers)
        assert len(calls) == times
    spoil(tmp_path / "solves.db")
    for _ in range(2):
        np.testing.assert_array_equal(cached(np.zeros(3)), numbers)
        assert len(calls) == 2
