"""Clients that die, start again, come late or leave for good, and a server that dies."""

import dataclasses
import json

import numpy as np
import pytest

from tests.sentences import refuses

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

import jax

import langevax
from langevax import CheckpointError
from langevax.federated import BVRLSGD
from langevax.flower import server
from tests.flower.rows import CLIENTS, NUM_CLIENTS, START, loss
from tests.flower.setting import (
    FEDERATION,
    FLEDGE_SERVER,
    KEY,
    WITH_MEMORY,
    grid_of,
    strategy_of,
)

pytestmark = pytest.mark.slow

LATER_NODE = 2**64 - 1  # more than a float64 can tell from its neighbours
METHODS = {
    "FLEDGE server": FLEDGE_SERVER,
    "SCAFFOLD": WITH_MEMORY,
    "BVRLSGD": BVRLSGD(step_size=0.05, num_local_steps=3, batch_size=2, period=3),
}


def advance(strategy, grid, rounds):
    strategy.start(grid, num_rounds=rounds, evaluate_every=0)


def go_on(strategy, grid, rounds):
    """Rounds of a strategy that has begun, one by one."""
    end = strategy.loop.step + rounds
    while strategy.loop.step < end:
        strategy._update_clients(grid)
        strategy._run_exchange(grid)


def node_of(grid, partition):
    (node,) = [
        n
        for n, context in grid.contexts.items()
        if context.node_config["partition-id"] == partition
    ]
    return node


def assert_same_position(strategy, expected):
    for own_values, other_values in zip(
        jax.tree.leaves(strategy.loop.position), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(own_values, other_values, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", METHODS)
def test_numbers_and_counts_are_those_of_simulate(name):
    expected = langevax.simulate(METHODS[name], FEDERATION, START, key=KEY, num_steps=3)
    strategy = strategy_of(METHODS[name])
    advance(strategy, grid_of(METHODS[name]), 3)
    assert_same_position(strategy, expected.position)
    assert strategy.loop.counts == {
        key: int(value) for key, value in expected.counts.items()
    }


def test_the_loss_of_the_clients_is_the_value_of_the_federation():
    from flwr.app import MetricRecord

    strategy = strategy_of(FLEDGE_SERVER)
    grid, recorded = grid_of(FLEDGE_SERVER), []
    result = strategy.start(
        grid,
        num_rounds=2,
        evaluate_fn=lambda done, arrays: recorded.append(arrays) or MetricRecord(),
    )
    assert list(result.evaluate_metrics_clientapp) == [1, 2]
    assert list(result.evaluate_metrics_serverapp) == [
        0,
        1,
        2,
    ]  # as Flower's own strategies
    np.testing.assert_array_equal(recorded[0].to_numpy_ndarrays()[1], START["w"])
    actual = result.evaluate_metrics_clientapp[2]["loss"]
    assert actual == pytest.approx(
        float(FEDERATION.value(strategy.loop.position)), rel=1e-5
    )
    assert [a.shape for a in result.arrays.to_numpy_ndarrays()] == [(), (3,)]


def test_a_loop_other_than_its_own_is_refused():
    """Such as that of a strategy that wraps it."""
    from flwr.app import ArrayRecord
    from flwr.serverapp.strategy import Strategy

    strategy = strategy_of(FLEDGE_SERVER)
    with refuses(TypeError, "FederatedStrategy"):
        Strategy.start(strategy, grid_of(FLEDGE_SERVER), ArrayRecord([np.zeros(1)]))


def test_a_client_that_starts_again_as_another_node_continues_where_the_server_keeps_the_table():
    strategy, grid = strategy_of(FLEDGE_SERVER), grid_of(FLEDGE_SERVER)
    advance(strategy, grid, 2)
    del grid.contexts[node_of(grid, 1)]
    grid.connect(LATER_NODE, 1, NUM_CLIENTS)
    go_on(strategy, grid, 2)
    expected = langevax.simulate(FLEDGE_SERVER, FEDERATION, START, key=KEY, num_steps=4)
    assert_same_position(strategy, expected.position)
    assert strategy.registry.nodes[1] == LATER_NODE


def test_a_client_that_lost_its_memory_makes_the_run_restart():
    strategy, grid = strategy_of(WITH_MEMORY), grid_of(WITH_MEMORY)
    advance(strategy, grid, 2)
    for context in grid.contexts.values():
        context.state.clear()
    go_on(strategy, grid, 1)
    assert strategy.history[-1].memory_lost
    strategy._update_clients(grid)
    assert strategy.loop.num_starts == 2
    strategy._run_exchange(grid)
    assert not strategy.history[-1].memory_lost


@pytest.mark.parametrize("name", ["FLEDGE server", "BVRLSGD"])
def test_a_client_that_is_gone_is_removed_and_the_gradient_is_that_of_the_others(name):
    """The entry of a dead client would bias the estimate for ever; this one is exact at once."""
    strategy, grid = strategy_of(METHODS[name], patience=2), grid_of(METHODS[name])
    advance(strategy, grid, 2)
    del grid.contexts[node_of(grid, 1)]
    for _ in range(20):
        strategy._update_clients(grid)
        if len(strategy.registry.partitions) < NUM_CLIENTS:
            break
        strategy._run_exchange(grid)
    assert strategy.registry.partitions == [0, 2, 3, 4]
    position = strategy.loop.position
    strategy._run_exchange(grid)
    assert strategy.history[-1].answered == [0, 2, 3, 4]
    exact = langevax.Federation.of(loss, [CLIENTS[i] for i in (0, 2, 3, 4)]).gradient(
        position
    )
    np.testing.assert_allclose(
        strategy.loop.state.gradient["w"], exact["w"], rtol=1e-5, atol=1e-6
    )


def test_a_client_that_comes_later_joins_and_one_that_left_comes_back():
    strategy, grid = (
        strategy_of(FLEDGE_SERVER, patience=1),
        grid_of(FLEDGE_SERVER, num_clients=NUM_CLIENTS - 1),
    )
    strategy.clients = dataclasses.replace(strategy.clients, number=NUM_CLIENTS - 1)
    advance(strategy, grid, 1)
    grid.connect(LATER_NODE, NUM_CLIENTS - 1, NUM_CLIENTS)
    go_on(strategy, grid, 1)
    assert strategy.registry.partitions == [0, 1, 2, 3, 4]
    departed = node_of(grid, 0)
    context = grid.contexts.pop(departed)
    while 0 in strategy.registry.partitions:
        go_on(strategy, grid, 1)
    grid.contexts[departed] = context  # a node with a key keeps its id
    go_on(strategy, grid, 1)
    assert strategy.registry.partitions == [0, 1, 2, 3, 4]
    assert strategy.loop.clients.num_clients == NUM_CLIENTS


def test_two_nodes_with_the_same_partition_id():
    grid = grid_of(FLEDGE_SERVER)
    grid.connect(LATER_NODE, 1, NUM_CLIENTS)
    strategy = strategy_of(FLEDGE_SERVER)
    advance(strategy, grid, 1)
    (why,) = strategy.registry.rejected.values()
    assert "has the partition id 1 of node" in why
    assert len(strategy.registry.partitions) == NUM_CLIENTS


def test_a_node_without_a_partition_id_is_rejected_with_the_remedy():
    grid = grid_of(FLEDGE_SERVER)
    grid.connect(LATER_NODE, -1, NUM_CLIENTS)
    strategy = strategy_of(FLEDGE_SERVER)
    advance(strategy, grid, 1)
    assert "--node-config 'partition-id=N'" in strategy.registry.rejected[LATER_NODE]


def test_too_few_clients_are_waited_for_and_then_named():
    with refuses(TimeoutError, "5 7 0.02 0 1 2 3 4"):
        advance(
            strategy_of(FLEDGE_SERVER, number=7, join_seconds=0.02),
            grid_of(FLEDGE_SERVER),
            1,
        )


@pytest.mark.parametrize("name", ["FLEDGE server", "BVRLSGD"])
def test_a_server_that_died_continues_as_if_it_had_not(name, tmp_path):
    advance(strategy_of(METHODS[name], checkpoint=tmp_path), grid_of(METHODS[name]), 2)
    resumed = strategy_of(METHODS[name], checkpoint=tmp_path, resume=True)
    advance(resumed, grid_of(METHODS[name], first_node=2**40), 4)
    uninterrupted = strategy_of(METHODS[name])
    advance(uninterrupted, grid_of(METHODS[name]), 4)
    for own_values, other_values in zip(
        jax.tree.leaves(resumed.loop.state),
        jax.tree.leaves(uninterrupted.loop.state),
        strict=True,
    ):
        np.testing.assert_array_equal(own_values, other_values)
    assert resumed.loop.counts == uninterrupted.loop.counts


def test_a_checkpoint_has_one_server(tmp_path):
    strategy = strategy_of(FLEDGE_SERVER, checkpoint=tmp_path)
    refusals = []

    def start_another(record):
        with refuses(CheckpointError) as refusal:
            advance(
                strategy_of(FLEDGE_SERVER, checkpoint=tmp_path, resume=True),
                grid_of(FLEDGE_SERVER),
                1,
            )
        refusals.append(refusal)

    strategy.on_exchange = start_another
    advance(strategy, grid_of(FLEDGE_SERVER), 1)
    assert len(refusals) == len(strategy.history)
    advance(
        strategy_of(FLEDGE_SERVER, checkpoint=tmp_path, resume=True),
        grid_of(FLEDGE_SERVER),
        2,
    )


def test_the_history_grows_with_the_exchanges_and_outlives_the_server(tmp_path):
    def numbers():
        lines = (tmp_path / "history.jsonl").read_text().splitlines()
        return [json.loads(line)["number"] for line in lines]

    def advance_with_history(rounds, resume):
        strategy = strategy_of(
            METHODS["BVRLSGD"], checkpoint=tmp_path / "saved", resume=resume
        )
        history = server.RecordLog(tmp_path / "history.jsonl", resume)
        lengths = []
        strategy.on_exchange = lambda record: (
            history.add(record),
            lengths.append(len(numbers())),
        )
        advance(strategy, grid_of(METHODS["BVRLSGD"]), rounds)
        return lengths

    first = advance_with_history(2, resume=False)
    assert first == list(range(1, len(first) + 1))
    with (tmp_path / "history.jsonl").open("a", encoding="utf-8") as file:
        # after the last state that was saved, and cut
        file.write(f'{{"number": {len(first)}}}\n{{"numb')
    later = advance_with_history(4, resume=True)
    assert numbers() == list(range(len(first) + len(later)))
    (tmp_path / "history.jsonl").unlink()
    advance_with_history(5, resume=True)
    assert min(numbers()) == len(first) + len(later)


def test_a_server_whose_clients_had_memories_restarts_from_its_position(tmp_path):
    first = strategy_of(WITH_MEMORY, checkpoint=tmp_path)
    advance(first, grid_of(WITH_MEMORY), 2)
    resumed, grid = (
        strategy_of(WITH_MEMORY, checkpoint=tmp_path, resume=True),
        grid_of(WITH_MEMORY),
    )
    resumed._begin(grid)
    assert_same_position(resumed, first.loop.position)
    resumed._update_clients(grid)
    assert resumed.loop.num_starts == 2
    assert_same_position(resumed, first.loop.position)


def test_checkpoints_are_not_mixed_up_nor_trusted_blindly(tmp_path):
    advance(strategy_of(FLEDGE_SERVER, checkpoint=tmp_path), grid_of(FLEDGE_SERVER), 1)
    with refuses(CheckpointError, "resume=True"):
        advance(
            strategy_of(FLEDGE_SERVER, checkpoint=tmp_path), grid_of(FLEDGE_SERVER), 1
        )
    with refuses(CheckpointError, "langevax.federated.fledge.FLEDGE"):
        advance(
            strategy_of(METHODS["BVRLSGD"], checkpoint=tmp_path, resume=True),
            grid_of(METHODS["BVRLSGD"]),
            1,
        )
    file = tmp_path / "server.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with refuses(CheckpointError):
        advance(
            strategy_of(FLEDGE_SERVER, checkpoint=tmp_path, resume=True),
            grid_of(FLEDGE_SERVER),
            1,
        )
