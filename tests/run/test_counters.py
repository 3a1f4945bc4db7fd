"""Counts are wider than the 32 bits of the device, and a step beyond int32 is never formed."""

import jax
import jax.numpy as jnp
import numpy as np

from langevax.run import program
from tests.run.setting import SIZE, Script, problem, simulate

MOST = 2**31 - 1


def spend(step):
    return {
        "evaluations": jnp.int32(MOST),
        "bytes": jnp.uint32(2**32 - 1),
        "exchanges": jnp.int32(1),
    }


def test_a_count_carries_into_its_high_half():
    count = program.Count.of(jnp.zeros(2, jnp.int32))
    total = np.zeros(2, np.int64)
    for increment in ([MOST, 1], [MOST, 0], [2, 2**32 - 1], [0, 1], [5, 2**32 - 1]):
        count = count.plus(jnp.array(increment, jnp.uint32))
        total += np.array(increment, np.int64)
        assert count.to_int64().tolist() == total.tolist()
    assert count.to_int64().dtype == np.int64


def test_totals_of_a_run_pass_2_to_the_32():
    result = simulate(6, Script(spend), average=None, record_every=2)
    assert (
        result.counts_by_chain["evaluations"].tolist() == [7 * MOST] * 2
    )  # `init` counts too
    assert result.trace.info["bytes"][0].tolist() == [
        k * (2**32 - 1) for k in (3, 5, 7)
    ]
    assert result.counts == {
        "bytes": 14 * (2**32 - 1),
        "evaluations": 14 * MOST,
        "exchanges": 14,
    }
    assert result.evaluations == 14 * MOST
    joined = result.then(simulate(6, Script(spend), average=None, record_every=2))
    assert joined.evaluations == 28 * MOST


def test_a_run_of_2_to_the_31_steps_ends_where_it_should():
    algorithm = Script(spend)
    observers = program.Observers(lambda problem, state: state.position, None)
    parts = program.RunParts(algorithm, problem(), jax.random.key(0), observers)
    late = (program.NO_GRID - 1) - 3
    carry = program.begin(parts, jnp.zeros(SIZE))
    buffer = program.make_buffer(parts, carry)
    carry = carry._replace(step=jnp.int32(late))
    stop, every = (
        jnp.int32(program.NO_GRID - 1),
        jnp.int32(1_500_000_000),
    )  # the grid's next step is beyond int32
    carry, _ = program.advance(program.Chunk(parts, stop, every), carry, buffer)
    assert int(carry.step) == (program.NO_GRID - 1)
    np.testing.assert_array_equal(carry.state.position, np.full(SIZE, 3))
