"""Clients that send bad replies, or send them too late, through Flower's own messages."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from tests.sentences import refuses

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from tests.flower.setting import FLEDGE_SERVER, WITH_MEMORY, grid_of, strategy_of

pytestmark = pytest.mark.slow


def with_fields(reply, **fields):
    """The reply with some of its fields changed."""
    record = ConfigRecord(dict(reply.content["fields"].items()) | fields)
    reply.content = RecordDict({"fields": record, "arrays": reply.content["arrays"]})
    return reply


def with_array(reply, change):
    """The reply with its last array put through `change`; None leaves it out."""
    arrays = {name: array.numpy() for name, array in reply.content["arrays"].items()}
    last = max(arrays)
    arrays[last] = change(arrays[last])
    stored = ArrayRecord(
        {name: Array(a) for name, a in arrays.items() if a is not None}
    )
    reply.content = RecordDict({"fields": reply.content["fields"], "arrays": stored})
    return reply


def at(place, number):
    def change(a):
        a = a.copy()
        a.flat[place] = number
        return a

    return change


def on_arrays(change):
    return lambda message, reply: with_array(reply, change)


def saying(**fields):
    return lambda message, reply: with_fields(reply, **fields)


def from_node(node):
    def change(message, reply):
        reply.metadata.__dict__["_src_node_id"] = node
        return reply

    return change


BAD_REPLIES = {
    "nan": (
        on_arrays(at(0, np.nan)),
        r"\['w'\] is not finite: 1 of 3 numbers, nan at 0",
    ),
    "inf": (
        on_arrays(at(1, np.inf)),
        r"\['w'\] is not finite: 1 of 3 numbers, inf at 1",
    ),
    "norm": (on_arrays(lambda a: a * 1e6 + 1e6), "more than 1000 times the usual"),
    "shape": (
        on_arrays(lambda a: a[:2]),
        r"has shape \(2,\) and dtype float32, not \(3,\) and float32",
    ),
    "dtype": (on_arrays(lambda a: a.astype(np.float64)), "dtype float64, not"),
    "missing": (on_arrays(lambda a: None), "it has 3 arrays instead of 4"),
    "other run": (saying(run="0" * 16), "it answers run 0000000000000000, not run"),
    "other number": (saying(number=77), "it answers number 77, not number"),
    "other client": (saying(partition=3), "it answers partition 3, not partition 2"),
    "other node": (from_node(99), "it comes from node 99, not from node"),
    "failed": (
        lambda message, reply: Message(
            Error(2, "Traceback\nZeroDivisionError: by zero"), reply_to=message
        ),
        "it failed: ZeroDivisionError: by zero",
    ),
    "foreign": (
        lambda message, reply: Message(
            RecordDict({"x": ConfigRecord({"a": 1})}), reply_to=message
        ),
        "it is not a langevax message",
    ),
    "late": (lambda message, reply: None, None),
}
FAULTY, FAULTY_NUMBER = (
    2,
    4,
)  # the client, and the exchange: the anchor of round 1, which asks client 2 among others


def run_with(tamper, algorithm=FLEDGE_SERVER, rounds=3, **options):
    grid = grid_of(algorithm, tamper=tamper)
    strategy = strategy_of(algorithm, **options)
    strategy.start(grid, num_rounds=rounds, evaluate_every=0)
    return strategy


def only_once(fault):
    """`fault` in one reply of one client."""

    def tamper(node, message, reply):
        fields = message.content["fields"]
        faulty = (
            message.metadata.message_type == "train.exchange"
            and fields["number"] == FAULTY_NUMBER
        )
        return (
            fault(message, reply) if faulty and fields["partition"] == FAULTY else reply
        )

    return tamper


@pytest.fixture(scope="module")
def dropped_out():
    """The run in which that client's reply never comes."""
    return run_with(only_once(BAD_REPLIES["late"][0]))


def test_a_late_reply_is_a_drop_out(dropped_out):
    (late,) = [one for one in dropped_out.history if one.late]
    assert (late.number, late.late, late.rejected) == (FAULTY_NUMBER, [FAULTY], {})
    assert FAULTY not in late.answered
    assert len(late.answered) == 3
    untouched = run_with(None)
    assert not np.allclose(untouched.loop.position["w"], dropped_out.loop.position["w"])


def test_a_late_reply_leaves_the_memory_that_the_server_counts_on():
    strategy = run_with(only_once(BAD_REPLIES["late"][0]), WITH_MEMORY, rounds=6)
    assert [one.late for one in strategy.history if one.late] == [[FAULTY]]
    assert any(FAULTY in one.answered for one in strategy.history[FAULTY_NUMBER + 1 :])
    assert not any(one.memory_lost for one in strategy.history)


@pytest.mark.parametrize("name", [name for name in BAD_REPLIES if name != "late"])
def test_a_bad_reply_is_rejected_and_named_and_counts_as_a_drop_out(name, dropped_out):
    fault, reason = BAD_REPLIES[name]
    strategy = run_with(only_once(fault))
    (wrong,) = [one for one in strategy.history if one.rejected]
    assert (wrong.number, list(wrong.rejected)) == (FAULTY_NUMBER, [FAULTY])
    assert re.search(reason, wrong.rejected[FAULTY])
    for own_values, other_values in zip(
        jax.tree.leaves(strategy.loop.state),
        jax.tree.leaves(dropped_out.loop.state),
        strict=True,
    ):
        np.testing.assert_array_equal(own_values, other_values)


def test_a_reply_sent_again_is_rejected():
    """A client that answers with what it sent before: right arrays, another exchange."""
    stored = []

    def tamper(node, message, reply):
        mine = (
            message.metadata.message_type == "train.exchange"
            and message.content["fields"]["partition"] == FAULTY
        )
        if mine:
            stored.append(reply.content)
            reply.content = stored[0]
        return reply

    strategy = run_with(tamper)
    reasons = [why for one in strategy.history for why in one.rejected.values()]
    assert reasons
    assert all("it answers number" in why for why in reasons)


def test_a_message_sent_again_is_rejected_by_the_client():
    grid = grid_of(WITH_MEMORY)
    strategy = strategy_of(WITH_MEMORY)
    sent = []
    push = grid.push_messages
    grid.push_messages = lambda messages: sent.extend(messages) or push(messages)
    strategy.start(grid, num_rounds=1, evaluate_every=0)
    again = next(m for m in sent if m.metadata.message_type == "train.exchange")
    context = grid.contexts[again.metadata.dst_node_id]
    stored = {
        name: record
        for name, record in context.state.items()
        if name.startswith("langevax.memory")
    }
    reply = grid.app(again, context)
    assert "was answered before" in reply.content["fields"]["rejected"]
    assert {
        name: record
        for name, record in context.state.items()
        if name.startswith("langevax.memory")
    } == stored


def test_another_algorithm_is_rejected_on_both_sides():
    other = dataclasses.replace(FLEDGE_SERVER, step_size=0.1)
    grid = grid_of(other)
    with refuses(TimeoutError, "0 algorithm.step_size 0.1 0.05", varies=True):
        strategy_of(FLEDGE_SERVER, join_seconds=0.02).start(grid, num_rounds=1)


def test_a_run_without_answers_ends_with_their_reasons():
    def tamper(node, message, reply):
        training = message.metadata.message_type == "train.exchange"
        return with_array(reply, at(0, np.nan)) if training else reply

    with refuses(TimeoutError, "3 nan 0"):
        run_with(tamper)
