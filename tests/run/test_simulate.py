"""The one driver: what it computes, records, averages and hands over, whatever goes on around it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.algorithm import Algorithm
from langevax.run import program
from tests.run.setting import (
    CHAINS,
    DRIVER,
    SIZE,
    Script,
    ScriptState,
    assert_same_bits,
    assert_same_tree,
    fix_chunks,
    langevin,
    problem,
    simulate,
)
from tests.sentences import refuses, tells

STEPS = 42


@pytest.fixture(scope="module")
def undisturbed():
    return simulate(STEPS)


# numbers depend on nothing but algorithm, problem, start, key and length


@pytest.mark.parametrize("length", [1, 7, 10**6])
def test_numbers_do_not_depend_on_the_chunks(undisturbed, monkeypatch, length):
    fix_chunks(monkeypatch, length)
    assert_same_bits(simulate(STEPS), undisturbed)


def test_numbers_do_not_depend_on_the_clock(undisturbed, monkeypatch):
    monkeypatch.setattr(DRIVER, "CHUNK_SECONDS", 1e-4)
    assert_same_bits(simulate(STEPS), undisturbed)


@pytest.mark.parametrize("record_every", [1, 3, STEPS, 10**10])
def test_numbers_do_not_depend_on_the_record_interval(undisturbed, record_every):
    result = simulate(STEPS, record_every=record_every)
    assert_same_tree(result.state, undisturbed.state)
    common = np.intersect1d(result.trace.steps, undisturbed.trace.steps)
    mine, theirs = (
        np.isin(result.trace.steps, common),
        np.isin(undisturbed.trace.steps, common),
    )
    assert_same_tree(result.positions[:, mine], undisturbed.positions[:, theirs])


@pytest.mark.slow
def test_numbers_do_not_depend_on_being_looked_at(undisturbed):
    for options in [{"record_every": None, "average": None}, {"record": None}]:
        assert_same_tree(simulate(STEPS, **options).state, undisturbed.state)
    assert_same_bits(
        simulate(STEPS, callbacks=[lambda trace, state: None], callback_every=5),
        undisturbed,
    )


def test_stacked_starts_are_positions_of_the_chains():
    """Without a step each chain is where it was put; shared, drawn and stacked starts of equal numbers are one run."""
    positions = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    squares = langevax.Function(lambda x: jnp.sum(x["w"] ** 2) / 2)
    options = {"key": jax.random.key(0), "num_steps": 0}
    ends = langevax.simulate(
        langevax.Langevin(0.1, 0.5), squares, langevax.Stacked(positions), **options
    )
    assert ends.num_chains == 2
    assert_same_tree(ends.position, positions)
    row = np.full(SIZE, 0.5, np.float32)
    assert_same_bits(
        simulate(
            STEPS, start=langevax.Stacked(np.stack([row] * CHAINS)), num_chains=None
        ),
        simulate(STEPS, start=row),
    )


def test_the_repr_of_a_result_is_a_summary(undisturbed):
    text = repr(undisturbed)
    for words in [
        f"Finished all {STEPS} steps.",
        "position (2, 3)",
        "2 chains",
        "10 records",
        "evaluations=",
        "seconds=",
    ]:
        assert words in text, text
    assert len(text) < 250
    assert "array" not in text.lower()
    assert repr(undisturbed.trace).startswith(
        "Trace(10 records up to step 40; info: evaluations"
    )


@pytest.mark.slow
def test_steps_are_the_hand_written_loop_with_the_documented_keys(undisturbed):
    algorithm, data, key = langevin(), problem(), jax.random.key(0)
    start = jnp.zeros((CHAINS, SIZE))
    init = jax.jit(jax.vmap(lambda x, key: algorithm.init(data, x, key)[0]))
    step = jax.jit(
        jax.vmap(
            lambda state, key, s: algorithm.step(data, state, key, s)[0],
            in_axes=(0, 0, None),
        )
    )
    state = init(start, jax.random.split(jax.random.fold_in(key, 2**32 - 1), CHAINS))
    by_hand = []
    for s in range(STEPS):
        state = step(
            state, jax.random.split(jax.random.fold_in(key, s), CHAINS), jnp.int32(s)
        )
        by_hand.append(np.asarray(state.position))
    np.testing.assert_allclose(
        undisturbed.positions, np.stack(by_hand, 1)[:, 3::4], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(undisturbed.position, by_hand[-1], rtol=1e-5, atol=1e-6)


class Draws(Algorithm):
    """Every position is a draw of the key it is made with."""

    def init(self, problem, position, key):
        return ScriptState(jax.random.uniform(key, position.shape)), {}

    def step(self, problem, state, key, step):
        return ScriptState(jax.random.uniform(key, state.position.shape)), {}


@pytest.mark.parametrize("num_chains", [None, 3])
def test_the_keys_are_those_documented(num_chains):
    def drawn(number):
        key = jax.random.fold_in(jax.random.key(0), number)
        keys = key[None] if num_chains is None else jax.random.split(key, num_chains)
        draws = jax.vmap(lambda key: jax.random.uniform(key, (SIZE,)))(keys)
        return draws[0] if num_chains is None else draws

    options = {
        "algorithm": Draws(),
        "average": None,
        "record_every": 1,
        "num_chains": num_chains,
    }
    assert_same_tree(simulate(0, **options).position, drawn(2**32 - 1))
    draws = np.stack([drawn(step) for step in range(3)], 0 if num_chains is None else 1)
    assert_same_tree(simulate(3, **options).positions, draws)


def test_another_key_gives_other_numbers_and_chains_differ(undisturbed):
    assert not np.any(
        np.asarray(simulate(STEPS, seed=1).position) == np.asarray(undisturbed.position)
    )
    assert not np.any(undisturbed.positions[0] == undisturbed.positions[1])


def test_one_chain_has_no_chain_axis():
    result = simulate(8, Script(count_up), num_chains=None, average=None)
    assert result.position.shape == (SIZE,)
    assert result.positions.shape == (2, SIZE)
    assert result.trace.info["evaluations"].shape == (2,)
    assert result.evaluations == 36


# records, averages, metrics


def test_records_are_on_the_grid_and_an_unfinished_interval_is_not(undisturbed):
    assert undisturbed.trace.steps.tolist() == list(range(4, STEPS + 1, 4))
    assert undisturbed.positions.shape == (CHAINS, 10, SIZE)
    epoch = 12 + 4 * 2 * 3
    assert (
        undisturbed.trace.info["evaluations"][:, -1].tolist() == [8 * epoch] * CHAINS
    )  # at step 40, 64 bits
    assert undisturbed.trace.info["evaluations"].dtype == np.int64
    assert undisturbed.evaluations == CHAINS * (8 * epoch + 12 + 6)


def count_up(step):
    return {
        "evaluations": step + 1,
        "wave": jnp.sin(step.astype(jnp.float32)),
        "odd": step % 2 == 1,
    }


@pytest.mark.parametrize(
    ("name", "limit", "slots"), [("MAX_SLOTS", 3, 3), ("BUFFER_BYTES", 1, 1)]
)
def test_more_records_than_the_buffer_holds(monkeypatch, name, limit, slots):
    monkeypatch.setattr(program, name, limit)
    fix_chunks(monkeypatch, 10**6)
    lengths = []
    take = DRIVER.Recording.copy_from
    monkeypatch.setattr(
        DRIVER.Recording,
        "copy_from",
        lambda *a: (lengths.append(a[3] - a[2]), take(*a)),
    )
    result = simulate(STEPS, Script(count_up), num_chains=None, average=None)
    grid = np.arange(4, STEPS + 1, 4)
    assert max(lengths) == 4 * slots
    assert result.trace.steps.tolist() == grid.tolist()
    np.testing.assert_array_equal(
        result.positions, np.tile(grid, (SIZE, 1)).T
    )  # the script counts up by one
    assert (
        result.trace.info["evaluations"].tolist() == (grid * (grid + 1) // 2).tolist()
    )


def test_average_is_the_mean_and_variance_of_the_recorded_draws(undisturbed):
    draws = undisturbed.positions.astype(np.float64)
    assert undisturbed.average.count == draws.shape[1] == 10
    np.testing.assert_allclose(
        undisturbed.average.mean, draws.mean(1), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(undisturbed.average.variance, draws.var(1), rtol=1e-5)


def test_average_is_over_every_step_where_nothing_is_recorded():
    draws = simulate(STEPS, record_every=1).positions.astype(np.float64)
    average = simulate(STEPS, record_every=None).average
    assert average.count == STEPS
    np.testing.assert_allclose(average.mean, draws.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(average.variance, draws.var(1), rtol=1e-5)


def test_average_of_a_yes_or_no_is_a_frequency():
    average = simulate(
        12, Script(count_up), average=lambda problem, state: state.position % 8 == 0
    ).average
    np.testing.assert_allclose(average.mean, 1 / 3, rtol=1e-6)


def test_metrics_are_means_since_the_last_record():
    waves, odd = np.sin(np.arange(14)), np.arange(14) % 2
    result = simulate(14, Script(count_up), num_chains=None, average=None)
    np.testing.assert_allclose(
        result.trace.info["wave"], waves[:12].reshape(3, 4).mean(1), rtol=1e-5
    )
    assert result.trace.info["odd"].tolist() == [0.5, 0.5, 0.5]
    np.testing.assert_allclose(result.metrics["wave"], waves[12:].mean(), rtol=1e-5)
    unrecorded = simulate(
        14, Script(count_up), num_chains=None, average=None, record_every=None
    )
    np.testing.assert_allclose(unrecorded.metrics["wave"], waves.mean(), rtol=1e-5)
    assert unrecorded.metrics["odd"] == odd.mean()


def follow_metrics(step):
    return {
        "nan_at_5": jnp.where(step == 5, jnp.nan, 1.0),
        "falls": jnp.where(step < 4, 1e10, 1e-10),
    }


def test_a_metric_forgets_what_was_before_the_last_record():
    result = simulate(12, Script(follow_metrics), num_chains=None, average=None)
    info = result.trace.info
    assert np.isnan(info["nan_at_5"]).tolist() == [False, True, False]
    np.testing.assert_allclose(info["falls"], [1e10, 1e-10, 1e-10], rtol=1e-6)


# chains, starts, phases


class OneByOne(Algorithm):
    """The same algorithm, chain after chain."""

    inner: Algorithm
    chains = "map"

    def init(self, problem, position, key):
        return self.inner.init(problem, position, key)

    def step(self, problem, state, key, step):
        return self.inner.step(problem, state, key, step)


@pytest.mark.slow
def test_chains_one_by_one_equal_chains_together(undisturbed):
    result = simulate(STEPS, OneByOne(langevin()))
    np.testing.assert_allclose(
        result.positions, undisturbed.positions, rtol=1e-5, atol=1e-6
    )
    assert (
        result.trace.info["evaluations"].tolist()
        == undisturbed.trace.info["evaluations"].tolist()
    )


def draw_start(key):
    return jax.random.normal(key, (SIZE,))


@pytest.mark.slow
def test_a_start_that_is_a_function_is_drawn_anew_for_each_chain():
    result = simulate(0, start=draw_start)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 2**32 - 2), CHAINS)
    np.testing.assert_allclose(result.position, jax.vmap(draw_start)(keys), rtol=1e-6)
    one = simulate(0, Script(count_up), start=draw_start, num_chains=None, average=None)
    np.testing.assert_allclose(
        one.position,
        draw_start(jax.random.fold_in(jax.random.key(0), 2**32 - 2)),
        rtol=1e-6,
    )


def test_chains_continue_from_a_result_as_start(undisturbed):
    halved = undisturbed.map(lambda x: x / 2)
    np.testing.assert_array_equal(halved.position, np.asarray(undisturbed.position) / 2)
    second = simulate(8, start=halved, num_chains=None)
    by_hand = simulate(
        8,
        start=dataclasses.replace(
            undisturbed, position=jnp.asarray(undisturbed.position) / 2
        ),
    )
    assert_same_bits(second, by_hand)
    assert second.num_chains == CHAINS
    assert second.steps == 8


def test_phases_joined_by_then_are_one_record(undisturbed):
    second = simulate(8, start=undisturbed, num_chains=None)
    both = undisturbed.then(second)
    assert both.trace.steps.tolist() == [*range(4, 42, 4), 46, 50]
    assert both.steps == 50
    assert both.phases == (42, 50)
    assert both.evaluations == undisturbed.evaluations + second.evaluations
    assert both.positions.shape == (CHAINS, 12, SIZE)
    counts = both.trace.info["evaluations"]
    assert np.all(np.diff(counts, axis=1) > 0)
    assert counts[:, -1].tolist() == both.counts_by_chain["evaluations"].tolist()
    assert both.then(second).phases == (42, 50, 58)
    assert_same_tree(both.average.mean, second.average.mean)


def test_counts_are_attributes_and_an_unknown_one_names_them(undisturbed):
    assert undisturbed.evaluations == undisturbed.counts["evaluations"] == CHAINS * 306
    with refuses(AttributeError, "'exchanges'"):
        _ = undisturbed.exchanges
    with refuses(ValueError, "record_every=k"):
        _ = simulate(4, record_every=None).positions


def test_datatree_has_the_layout_of_arviz(undisturbed):
    tree = undisturbed.to_datatree()
    assert tree["posterior/position"].dims == ("chain", "draw", "position_dim_0")
    assert tree["sample_stats/evaluations"].dims == ("chain", "draw")
    assert tree["posterior"]["step"].values.tolist() == undisturbed.trace.steps.tolist()
    assert tree.attrs["outcome"] == "Finished all 42 steps."
    assert tree.attrs["evaluations"] == undisturbed.evaluations
    np.testing.assert_array_equal(
        tree["posterior/position"].values, undisturbed.positions
    )


@pytest.mark.slow
def test_positions_may_be_any_pytree():
    def loss(x, a):
        return squared(x["b"][0] - a) + squared(x["a"])

    def squared(x):
        return jnp.sum(x**2) / 2

    sums = langevax.FiniteSum(loss, jnp.ones((5, 2)), precision={"a": 0.5, "b": 0.0})
    start = {"a": np.float32(2.0), "b": (np.zeros(2, np.float32),)}
    result = simulate(
        4, langevax.Langevin(0.1, 0.0), start, record_every=2, problem=sums
    )
    assert result.positions["a"].shape == (CHAINS, 2)
    assert result.positions["b"][0].shape == (CHAINS, 2, 2)
    np.testing.assert_allclose(result.position["a"], 2 * 0.85**4, rtol=1e-5)
    np.testing.assert_allclose(result.position["b"][0], 1 - 0.9**4, rtol=1e-5)
    assert set(result.to_datatree()["posterior"].data_vars) == {"a", "b_0"}


def test_no_steps_is_a_run_too():
    result = simulate(0)
    assert result.outcome == "Finished all 0 steps."
    assert result.steps == 0
    assert result.evaluations == 0
    assert result.positions.shape == (CHAINS, 0, SIZE)
    assert result.average.count == 0
    np.testing.assert_array_equal(result.position, np.zeros((CHAINS, SIZE)))


# callbacks


def test_callbacks_are_called_on_their_grid_with_the_trace_so_far(undisturbed):
    calls = []
    simulate(
        STEPS,
        callbacks=[lambda trace, state: calls.append((trace, state))],
        callback_every=10,
    )
    assert [trace.steps[-1] for trace, _ in calls] == [8, 20, 28, 40]
    for trace, _ in calls:
        assert_same_tree(trace.values, undisturbed.positions[:, : len(trace)])
    assert_same_tree(calls[1][1].position, simulate(20).position)


@pytest.mark.parametrize("yes", [True, np.True_, np.array(True), jnp.array(True)])
def test_a_callback_that_returns_true_stops_the_run(yes):
    calls = []
    callbacks = [
        lambda trace, state: yes if len(calls) >= 2 else None,
        lambda trace, state: calls.append(0),
    ]
    result = simulate(STEPS, callbacks=callbacks, callback_every=8)
    tells(result.outcome, "24 42")
    assert result.steps == 24
    assert len(calls) == 3
    assert_same_tree(result.state, simulate(24).state)


def test_a_callback_that_returns_false_or_nothing_does_not_stop_the_run():
    for no in (None, False, np.False_, np.array(False), jnp.array(False)):
        assert (
            simulate(
                STEPS, callbacks=[lambda trace, state, no=no: no], callback_every=20
            ).steps
            == STEPS
        )


@pytest.mark.parametrize("answer", [1, 0.0, "done", [1], np.ones(2, bool)])
def test_other_answers_of_callbacks_are_refused(answer):
    with refuses(TypeError, "None True"):
        simulate(STEPS, callbacks=[lambda trace, state: answer], callback_every=20)


# precision


def test_a_run_keeps_the_dtype_of_its_position_and_averages_in_32_bits():
    start = jnp.full((SIZE,), 100, jnp.bfloat16)
    plain = langevax.FiniteSum(squared_distance_16, np.zeros((4, SIZE), np.float32))
    algorithm = Script(lambda step: {"one": jnp.bfloat16(1.0)})
    result = simulate(
        600,
        algorithm,
        start,
        record_every=1,
        average=lambda p, s: s.position * 0 + 1,
        problem=plain,
    )
    assert result.position.dtype == jnp.bfloat16
    assert result.positions.dtype == jnp.bfloat16
    np.testing.assert_allclose(result.average.mean, 1, rtol=1e-6)
    assert result.metrics["one"] == 1


def squared_distance_16(x, a):
    return jnp.sum((x - a) ** 2)
