"""Clients that lie in any message: each is left out by name, and the run is that of the others."""

import jax
import numpy as np
import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from flwr.app import ConfigRecord, RecordDict

from langevax.federated import SCAFFOLD
from tests.flower.hostile import KINDS, changed
from tests.flower.setting import (
    WITH_MEMORY,
    grid_of,
    strategy_of,
)

pytestmark = pytest.mark.slow
LIAR = 2
SMALLER = SCAFFOLD(step_size=0.05, num_local_steps=3, batch_size=2, clients_per_round=3)


def run_against(change, kind, algorithm=SMALLER, rounds=2, **options):
    """Run with the liar's replies of one kind changed by `change(message, reply)`."""

    def tamper(node, message, reply):
        mine = node == liar and message.metadata.message_type == kind
        return change(message, reply) if mine else reply

    grid = grid_of(algorithm, tamper=tamper)
    liar = list(grid.contexts)[LIAR]
    strategy = strategy_of(algorithm, **options)
    strategy.start(grid, num_rounds=rounds)
    return strategy


def storm(seed):
    """Run against the liar of a seed; return why it was left out, and the run without its messages."""
    kind = list(KINDS)[seed % len(KINDS)]
    rng = np.random.default_rng(seed)
    options = {"number": 4} if kind == "query.hello" else {}
    lying = run_against(lambda m, r: changed(rng, m, r), kind, **options)
    silent = run_against(lambda m, r: None, kind, **options)
    if kind == "evaluate":
        assert all(LIAR not in record.clients for record in lying.rounds)
        assert lying.rounds == silent.rounds
        reasons = ["named in the log"]
    else:
        reasons = list(lying.registry.rejected.values())
        reasons += [w for one in lying.history for w in one.rejected.values()]
        asked = [one for one in lying.history if LIAR in one.selected]
        assert all(LIAR not in one.answered for one in asked)
    for own, other in zip(
        jax.tree.leaves(lying.loop.position),
        jax.tree.leaves(silent.loop.position),
        strict=True,
    ):
        np.testing.assert_array_equal(own, other)
    return reasons


@pytest.mark.parametrize("seed", range(9))
def test_a_liar_is_left_out_by_name(seed, caplog):
    for why in storm(seed):
        assert why.isprintable()
        assert len(why) < 400


@pytest.mark.parametrize(
    "rows", ["many", [1, 2], np.nan, np.inf, b"5", True, 2**62, "x" * 10**6]
)
def test_rows_that_are_no_number_leave_the_client_out(rows):
    strategy = run_against(
        lambda message, reply: saying(reply, rows=rows), "query.hello", number=4
    )
    assert strategy.registry.partitions == [0, 1, 3, 4]
    (why,) = strategy.registry.rejected.values()
    assert "'rows'" in why


def saying(reply, **fields):
    """The reply with some of its fields changed."""
    records = dict(reply.content.items())
    records["fields"] = ConfigRecord(dict(records["fields"].items()) | fields)
    reply.content = RecordDict(records)
    return reply


def test_one_client_does_not_say_how_many_there_are():
    strategy = run_against(
        lambda message, reply: saying(reply, **{"num-partitions": 10**9}),
        "query.hello",
        join_seconds=0.5,
    )
    assert strategy.registry.partitions == [0, 1, 2, 3, 4]


def test_a_client_that_never_keeps_its_memory_is_left_out():
    """It says so in every exchange; each loss restarts the method, so that it is removed after three."""
    strategy = run_against(
        lambda message, reply: saying(reply, lost=True),
        "train.exchange",
        algorithm=WITH_MEMORY,
        rounds=8,
    )
    assert strategy.registry.partitions == [0, 1, 3, 4]
    assert strategy.loop.step == 8
    assert "memory" in " ".join(strategy.registry.rejected.values())


def test_a_client_that_forgets_between_messages_is_left_out():
    """As a container that starts anew for each message: it answers from a new memory, and never from an old one."""
    grid = grid_of(WITH_MEMORY)
    liar = list(grid.contexts)[LIAR]
    push = grid.push_messages

    def forgetful(messages):
        grid.contexts[liar].state = RecordDict()
        return push(messages)

    grid.push_messages = forgetful
    strategy = strategy_of(WITH_MEMORY)
    strategy.start(grid, num_rounds=12)
    assert strategy.registry.partitions == [0, 1, 3, 4]
    assert strategy.loop.step == 12
    assert 3 <= sum(bool(one.memory_lost) for one in strategy.history) <= 4


@pytest.mark.parametrize("loss", [np.nan, np.inf, "small", [1.0], True])
def test_a_loss_that_is_none_is_no_evaluation(loss):
    strategy = run_against(lambda m, r: saying(r, loss=loss), "evaluate")
    for record in strategy.rounds:
        assert sorted(record.clients) == [0, 1, 3, 4]
        assert np.isfinite(record.metrics["loss"])
    assert strategy.best.value is not None


def test_a_metric_does_not_replace_the_loss():
    strategy = run_against(lambda m, r: saying(r, **{"metric.loss": -1e9}), "evaluate")
    assert all(LIAR not in one.clients for one in strategy.rounds)
    assert strategy.best.value > 0
