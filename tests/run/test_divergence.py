"""A run that turns non-finite stops at the very step, with the last finite state and all records until then."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import langevax
from langevax import DivergenceError
from langevax.run import program
from tests.run.setting import (
    assert_same_bits,
    assert_same_tree,
    fix_chunks,
    simulate,
    squared_distance,
)
from tests.sentences import tells

STEP_SIZE, START = 11.0, 0.75


def parabola():
    return langevax.FiniteSum(squared_distance, jnp.zeros((4, 1)))


def too_large(step_size=STEP_SIZE):
    return langevax.Langevin(step_size, 0.0)


def first_bad_step():
    """x <- x - h x in plain NumPy, until it overflows."""
    x, steps = np.float32(START), 0
    with np.errstate(over="ignore"):
        while np.isfinite(x):
            x, steps = np.float32(x - np.float32(STEP_SIZE) * x), steps + 1
    return steps


def run(num_steps, start=None, algorithm=None, **options):
    start = jnp.array([START]) if start is None else start
    options = {"num_chains": None, "problem": parabola(), "record_every": 3} | options
    return simulate(num_steps, algorithm or too_large(), start, **options)


def broken(num_steps=200, **options):
    with pytest.raises(DivergenceError) as caught:
        run(num_steps, **options)
    return caught.value


@pytest.mark.parametrize("length", [1, 5, 64, 10**6])
def test_the_step_is_found_whatever_the_chunk(monkeypatch, length):
    fix_chunks(monkeypatch, length)
    assert broken().step == first_bad_step()


def test_the_step_is_found_when_the_buffer_is_small(monkeypatch):
    monkeypatch.setattr(program, "MAX_SLOTS", 2)
    error = broken()
    assert error.step == first_bad_step()
    assert error.result.trace.steps.tolist() == list(range(3, error.step, 3))


def test_the_result_of_the_error_equals_a_run_that_stops_before(monkeypatch):
    fix_chunks(monkeypatch, 16)
    error = broken()
    undisturbed = run(error.step - 1)
    assert_same_tree(error.state, undisturbed.state)
    assert_same_bits(
        dataclasses.replace(error.result, outcome=undisturbed.outcome), undisturbed
    )
    tells(error.result.outcome, error.step)
    assert len(error.result.trace) == (error.step - 1) // 3


def test_the_error_names_the_step_and_the_remedy():
    error = broken()
    assert isinstance(error, ArithmeticError)
    assert error.suggested_step_size == pytest.approx(STEP_SIZE / 10)
    for words in [
        f"non-finite at step {error.step}",
        "try step_size=1.1",
        ".state",
        "saved checkpoints are unchanged",
    ]:
        assert words in str(error)
    assert np.all(
        np.isfinite(run(200, algorithm=too_large(error.suggested_step_size)).position)
    )


def test_the_error_of_a_schedule_advises_to_scale_it_down():
    error = broken(algorithm=too_large(optax.constant_schedule(STEP_SIZE)))
    assert error.suggested_step_size is None
    tells(str(error))


def test_one_chain_of_two_diverges():
    two = run(0, num_chains=2)
    two = dataclasses.replace(two, position=jnp.array([[0.0], [START]]))
    error = broken(start=two)
    assert error.step == first_bad_step()
    assert error.state.position[0, 0] == 0
    assert np.isfinite(error.state.position[1, 0])
    assert error.result.positions.shape == (2, (error.step - 1) // 3, 1)


def test_a_first_step_that_breaks_leaves_the_start():
    error = broken(algorithm=too_large(3e38), start=jnp.array([1e3]))
    assert error.step == 1
    assert_same_tree(error.state.position, jnp.array([1e3]))
    assert len(error.result.trace) == 0


def test_earlier_saves_stay_readable(monkeypatch, tmp_path):
    fix_chunks(monkeypatch, 8)
    saving = {"run": langevax.Run(tmp_path, resume=True, checkpoint_seconds=0.0)}
    error = broken(**saving)
    last = (error.step - 1) // 8 * 8
    assert_same_bits(run(last, **saving), run(last))
    assert broken(**saving).step == error.step


def test_callbacks_see_nothing_non_finite():
    positions = []
    callbacks = [lambda trace, state: positions.append(float(state.position[0]))]
    error = broken(callbacks=callbacks, callback_every=1)
    assert len(positions) == error.step - 1
    assert jax.tree.all(jax.tree.map(np.isfinite, positions))
