"""One program for every length, interval and float: counted, not believed."""

import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.algorithm import Algorithm
from langevax.integrators import Exponential
from tests.run.setting import SIZE, fix_chunks, position_of, simulate, squared_distance

traces = []


class Counted(Algorithm):
    """Langevin, whose step leaves a mark whenever it is traced."""

    inner: langevax.Langevin

    def init(self, problem, position, key):
        return self.inner.init(problem, position, key)

    def step(self, problem, state, key, step):
        traces.append(step)
        return self.inner.step(problem, state, key, step)


def counted(step_size=0.1, temperature=0.5, batch_size=3):
    gradient = langevax.gradients.Minibatch(batch_size=batch_size)
    return Counted(langevax.Langevin(step_size, temperature, gradient, Exponential()))


def rows(count=None, precision=0.3, seed=0, size=8):
    data = np.random.default_rng(seed).normal(size=(size, SIZE)).astype(np.float32)
    return langevax.FiniteSum(squared_distance, data, precision=precision, count=count)


def traced(algorithm=None, num_steps=20, **options):
    """Return how often the step is traced in this run."""
    before = len(traces)
    options = {"problem": rows(), "average": None, "num_chains": 2} | options
    simulate(num_steps, counted() if algorithm is None else algorithm, **options)
    return len(traces) - before


@pytest.fixture(scope="module", autouse=True)
def first_run():
    assert traced() == 1  # one trace for the whole of a run


@pytest.mark.parametrize(
    "options",
    [
        {"num_steps": 3},
        {"num_steps": 500},
        {"record_every": 1},
        {"record_every": 10**10},
        {"algorithm": counted(step_size=0.02)},
        {"algorithm": counted(step_size=np.float64(0.02))},
        {"algorithm": counted(temperature=jnp.float32(0.1))},
        {"problem": rows(precision=0.7)},
        {"problem": rows(precision=jnp.asarray(0.7))},
        {"problem": rows(seed=1)},
        {"seed": 5},
        {"start": np.ones(SIZE, np.float32)},
        {"callbacks": [lambda trace, state: None], "callback_every": 7},
    ],
    ids=lambda options: " ".join(options),
)
def test_floats_lengths_and_intervals_do_not_compile_again(options):
    assert traced(**options) == 0


@pytest.mark.slow
def test_the_number_of_rows_in_use_does_not_compile_again():
    traced(problem=rows(count=5))
    assert traced(problem=rows(count=7)) == 0
    assert traced(problem=rows(count=3, precision=0.5)) == 0


@pytest.mark.slow
def test_neither_do_phases_chunks_or_a_resumed_run(monkeypatch, tmp_path):
    first = simulate(10, counted(), problem=rows(), average=None)
    assert traced(start=first) == 0
    fix_chunks(monkeypatch, 3)
    saved = tmp_path / "run"
    assert traced(run=langevax.Run(saved), num_steps=9) == 0
    assert traced(run=langevax.Run(saved, resume=True), num_steps=15) == 0


@pytest.mark.slow
def test_shapes_chains_ints_and_observers_do():
    assert traced(num_chains=3) == 1
    assert traced(start=np.zeros((1, SIZE), np.float32)) == 1
    assert traced(problem=rows(size=9)) == 1
    assert traced(algorithm=counted(batch_size=4)) == 1
    assert traced(average=position_of) == 1


def test_a_record_function_is_one_program_by_identity():
    def first(problem, state):
        return state.position[0]

    assert traced(record=first) == 1
    assert traced(record=first, record_every=2) == 0
