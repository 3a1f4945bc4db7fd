"""Compressed replies: by hand with error feedback, their bytes, and what is rejected."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from flwr.app import Array, ArrayRecord

import langevax
from langevax import CheckpointError
from langevax.federated import SCAFFOLD, MinibatchSGD
from langevax.flower import FederatedStrategy, Task, client_app
from langevax.flower.compression import compress, decompress
from langevax.flower.wire import Rejected
from tests.flower.local_grid import LocalGrid
from tests.flower.setting import FLEDGE_SERVER, KEY, strategy_of

H, ROUNDS = 0.3, 6
CENTRES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
START = {"a": jnp.zeros(3), "b": jnp.zeros((1, 2))}
SGD = MinibatchSGD(step_size=H)


def loss(x, row):
    return (
        jnp.sum((x["a"] - row[:3]) ** 2) / 2 + jnp.sum((x["b"][0] - row[3:]) ** 2) / 2
    )


def problem(context):
    return langevax.FiniteSum(loss, CENTRES[context.node_config["partition-id"]][None])


def top_two(v):
    left = np.argsort(-np.abs(v))[2:]
    sent = v.copy()
    sent[left] = 0
    return sent


def in_steps(v):
    return np.concatenate(
        [
            np.rint(part / (np.abs(part).max() / 127)) * (np.abs(part).max() / 127)
            for part in (v[:3], v[3:])
        ]
    )


def by_hand(sent_of):
    """Gradient descent on the mean of |x - m_i|^2 / 2 whose clients send c(g_i + e_i)."""
    x, errors = np.zeros(5), np.zeros((3, 5))
    for _ in range(ROUNDS):
        replies = x - CENTRES + errors
        sent = np.stack([sent_of(v) for v in replies])
        errors = replies - sent
        x = x - H * sent.mean(axis=0)
    return x


def run(compression, rounds=ROUNDS, **options):
    options = {"poll_seconds": 0.001, "deadline": 0.05, "join_seconds": 5.0} | options
    strategy = FederatedStrategy(
        SGD, START, key=KEY, compression=compression, **options
    )
    strategy.start(
        LocalGrid(client_app(Task(SGD, START, problem)), 3),
        num_rounds=rounds,
        evaluate_every=0,
    )
    x = strategy.loop.position
    return strategy, np.concatenate([np.asarray(x["a"]), np.asarray(x["b"])[0]])


@pytest.mark.parametrize(
    ("compression", "sent_of", "up"),
    [
        ("top-k:0.4", top_two, 2 * 8),
        ("int8", in_steps, 5 + 2 * 4),
        (None, lambda v: v, 5 * 4),
    ],
)
def test_a_run_is_that_of_a_calculation_by_hand_and_its_bytes_are_those_sent(
    compression, sent_of, up
):
    strategy, x = run(compression)
    np.testing.assert_allclose(x, by_hand(sent_of), rtol=1e-4, atol=1e-5)
    assert strategy.loop.counts["bytes"] == ROUNDS * 3 * (5 * 4 + up)
    assert strategy.loop.counts["vectors"] == ROUNDS * 3 * 2


@pytest.mark.parametrize("compression", ["top-k:0.4", "int8"])
def test_what_is_not_sent_is_sent_later(compression):
    """Replies add up to what was sent and what is left, which stays bounded."""
    replies = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32)
    shape, error, total = jax.ShapeDtypeStruct((5,), np.float32), None, np.zeros(5)
    for reply in replies:
        arrays, error = compress(compression, reply, error)
        total += decompress(compression, arrays, shape)
        assert np.abs(error).max() < 5
    np.testing.assert_allclose(total + error, replies.sum(axis=0), rtol=1e-4, atol=1e-4)


def test_numbers_that_are_not_finite_arrive_as_such_and_leave_no_trace():
    reply = {"a": np.array([1.0, np.nan, 2.0], np.float32)}
    shape = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), reply)
    before = np.array([0.5, 0.0, 0.0], np.float32)
    for compression in ("top-k:0.3", "int8"):
        compressed = compress(compression, reply, before)
        np.testing.assert_array_equal(compressed.error, before)
        assert not np.isfinite(
            decompress(compression, compressed.arrays, shape)["a"]
        ).all()
    zero = compress("int8", {"a": np.zeros(3, np.float32)}, None)
    np.testing.assert_array_equal(
        decompress("int8", zero.arrays, shape)["a"], np.zeros(3)
    )


def test_arrays_that_no_client_sends_are_rejected():
    shape = {"a": jax.ShapeDtypeStruct((4,), np.float32)}
    values = np.ones(2, np.float32)

    def record(places):
        return ArrayRecord(
            {"000000": Array(np.array(places, np.uint32)), "000001": Array(values)}
        )

    np.testing.assert_array_equal(
        decompress("top-k:0.5", record([1, 3]), shape)["a"], [0, 1, 0, 1]
    )
    for places in ([1, 4], [3, 1], [2, 2]):
        with pytest.raises(Rejected, match="do not rise, or are outside the model"):
            decompress("top-k:0.5", record(places), shape)
    with pytest.raises(Rejected, match=r"has shape \(3,\)"):
        decompress("top-k:0.5", record([0, 1, 2]), shape)


def test_other_compressions_and_methods_that_need_exact_replies_are_refused(tmp_path):
    for wrong in ("int4", "top-k", "top-k:0", "top-k:2", "top-k:nan", 8):
        with pytest.raises(
            ValueError, match="compression must be 'int8', 'top-k:SHARE'"
        ):
            strategy_of(SGD, compression=wrong)
    for method in (FLEDGE_SERVER, SCAFFOLD(step_size=0.1, num_local_steps=2)):
        with pytest.raises(
            ValueError,
            match="must arrive as they are; pass None, or take one of FedAvg",
        ):
            strategy_of(method, compression="int8")
    run("int8", 1, checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="is of another run: compression"):
        run(None, 2, checkpoint=tmp_path, resume=True)
