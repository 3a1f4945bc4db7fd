"""Replies of a client that is wrong: who bears them, and who is named."""

import logging

import jax
import numpy as np
import pytest
from scipy.stats import trim_mean

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import strategy as strategies
from flwr.serverapp.strategy.multikrum import select_multikrum

from langevax import CheckpointError
from langevax.federated import FLEDGE, FedAvg, MinibatchSGD
from langevax.flower import robust
from tests.flower.setting import FEDERATION, START, grid_of, strategy_of

WRONG = 2
SGD = MinibatchSGD(step_size=0.1, batch_size=6)


def replies(seed=0, number=7, wrong=()):
    rng = np.random.default_rng(seed)
    trees = {
        i: {"a": rng.normal(size=3).astype(np.float32), "b": np.float32(rng.normal())}
        for i in range(number)
    }
    return trees | {
        i: jax.tree.map(lambda a: np.asarray(50 * a, np.float32), trees[i])
        for i in wrong
    }


def stacked(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees.values())


@pytest.mark.parametrize("number", [1, 2, 4, 5, 10, 11])
def test_median_and_trimmed_mean_are_those_of_numpy_and_scipy(number):
    trees = replies(number=number, wrong=[0])
    expected = {
        "median": jax.tree.map(lambda a: np.median(a, axis=0), stacked(trees)),
        "trimmed-mean": jax.tree.map(
            lambda a: trim_mean(a, robust.TRIMMED, axis=0), stacked(trees)
        ),
    }
    for name, tree in expected.items():
        result = robust.aggregate(name, trees)
        assert result.keys() == trees.keys()
        for one in result.values():
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
                one,
                tree,
            )
            assert {np.asarray(leaf).dtype for leaf in jax.tree.leaves(one)} == {
                np.dtype(np.float32)
            }


@pytest.mark.parametrize("seed", range(8))
def test_krum_selects_the_reply_that_flowers_selects(seed):
    number = 5 + seed
    trees = replies(seed, number, wrong=[1])
    arrays = [
        [np.atleast_1d(leaf) for leaf in jax.tree.leaves(tree)]
        for tree in trees.values()
    ]
    records = [RecordDict({"arrays": ArrayRecord(leaves)}) for leaves in arrays]
    (theirs,) = select_multikrum(records, (number - 3) // 2, 1)
    ours = robust.aggregate("krum", trees)[0]
    for left, right in zip(
        jax.tree.leaves(ours), theirs["arrays"].to_numpy_ndarrays(), strict=True
    ):
        np.testing.assert_array_equal(np.atleast_1d(left), right)


def test_the_mean_and_no_replies_are_left_as_they_are():
    trees = replies()
    assert all(robust.aggregate("mean", trees)[i] is trees[i] for i in trees)
    assert robust.aggregate("median", {}) == {}


def test_a_client_is_named_once_it_is_far_three_times_in_a_row():
    watch = robust.ReplyWatch()
    assert [watch.far(replies(seed, wrong=[3])).keys() for seed in range(5)] == [
        set(),
        set(),
        {3},
        set(),
        set(),
    ]
    for seed in range(30):  # nobody is far, or seldom
        assert watch.far(replies(seed)) == {}
    assert watch.far(replies(0, wrong=[3])) == {}
    assert (
        watch.far(
            {i: tree for i, tree in replies(1, wrong=[3]).items() if i < 4}
        ).keys()
        == set()
    )
    assert watch.far(dict.fromkeys(range(5), np.zeros(2))) == {}


def tampered(node, message, reply):
    """Client WRONG sends minus five times what it should."""
    if (
        message.metadata.message_type == "train.exchange"
        and message.content["fields"]["partition"] == WRONG
    ):
        arrays = reply.content["arrays"]
        wrong = {
            name: Array(np.asarray(-5 * array.numpy()))
            for name, array in arrays.items()
        }
        reply.content["arrays"] = ArrayRecord(wrong)
    return reply


@pytest.fixture(scope="module")
def ends():
    """The value at the end by aggregation, with all clients right (None) and with one wrong; and the log."""
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("flwr").addHandler(handler)
    values = {}
    for aggregation in (None, *robust.AGGREGATIONS):
        strategy = strategy_of(SGD, aggregation=aggregation or "mean")
        strategy.start(
            grid_of(SGD, tamper=tampered if aggregation else None),
            num_rounds=20,
            evaluate_every=0,
        )
        values[aggregation] = float(FEDERATION.value(strategy.loop.position))
        if aggregation is None:
            assert lines == []
    logging.getLogger("flwr").removeHandler(handler)
    return values, lines


@pytest.mark.slow
def test_a_client_with_the_wrong_sign_ruins_the_mean_only_and_is_named(ends):
    values, lines = ends
    start = float(FEDERATION.value(START))
    gain = start - values[None]
    assert gain > 0
    assert start - values["mean"] < 0.2 * gain or not np.isfinite(values["mean"])
    for aggregation in ("median", "trimmed-mean", "krum"):
        assert start - values[aggregation] > 0.6 * gain, aggregation
    assert any(f"The replies of client {WRONG} were" in line for line in lines)
    assert not any("The replies of client 0" in line for line in lines)


def test_what_cannot_be_aggregated_robustly_is_refused():
    fledge = FLEDGE(
        step_size=0.05, num_local_steps=3, batch_size=2, clients_per_round=4
    )
    with pytest.raises(
        ValueError,
        match="FLEDGE uses single replies, not only their mean; pass 'mean', or take one of",
    ):
        strategy_of(fledge, aggregation="median")
    with pytest.raises(
        ValueError, match=r"aggregation must be one of 'mean', 'median', .*got 'bulyan'"
    ):
        strategy_of(FedAvg(0.1, 1), aggregation="bulyan")


def test_a_run_is_resumed_with_the_same_aggregation(tmp_path):
    strategy_of(SGD, checkpoint=tmp_path).start(
        grid_of(SGD), num_rounds=1, evaluate_every=0
    )
    other = strategy_of(SGD, checkpoint=tmp_path, resume=True, aggregation="median")
    with pytest.raises(CheckpointError, match="is of another run: aggregation"):
        other.start(grid_of(SGD), num_rounds=2, evaluate_every=0)


@pytest.mark.parametrize(
    "name",
    sorted(
        name for name in strategies.__all__ if name.startswith("DifferentialPrivacy")
    ),
)
def test_wrappers_of_privacy_that_would_protect_nothing_are_refused(name):
    options = {"noise_multiplier": 1.0, "clipping_norm": 1.0, "num_sampled_clients": 2}
    if "Adaptive" in name:
        options = {"noise_multiplier": 0.1, "num_sampled_clients": 200}
    wrapper = getattr(strategies, name)(strategy_of(SGD), **options)
    with pytest.raises(
        ValueError, match=f"{name} clips and adds noise .* nothing would be protected"
    ):
        wrapper.start(
            grid_of(SGD), ArrayRecord([np.zeros(2, np.float32)]), num_rounds=1
        )
    with pytest.raises(ValueError, match="nothing would be protected"):
        wrapper.configure_train(1, ArrayRecord(), ConfigRecord(), grid_of(SGD))
