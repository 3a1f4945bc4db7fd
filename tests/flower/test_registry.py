"""The registry of nodes without messages: a client misses an exchange if it does not answer or is not connected."""

import numpy as np
import pytest

from tests.sentences import tells

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from langevax.flower.transport import NodeRegistry


@pytest.fixture
def three():
    registry = NodeRegistry("size", patience=2, dtype=np.float32)
    registry.connected = {10, 11, 12}
    for node, partition in ((10, 0), (11, 1), (12, 2)):
        assert (
            registry.register(
                node, partition, rows=4 * (partition + 1), num_partitions=3
            )
            is None
        )
    registry.clients = registry.set_clients(registry.candidates())
    return registry


def test_weights_are_shares_of_rows(three):
    assert three.partitions == [0, 1, 2]
    np.testing.assert_allclose(three.clients.weights, [1 / 6, 1 / 3, 1 / 2])
    uniform = NodeRegistry("uniform", patience=2, dtype=np.float32)
    uniform.rows = three.rows
    np.testing.assert_allclose(uniform.set_clients([0, 2]).weights, [1 / 2, 1 / 2])


def test_a_client_that_is_not_connected_misses_exchanges_it_is_not_selected_for(three):
    three.connected = {10, 12}
    for _ in range(2):
        assert three.changes() == ([], [])
        three.record([0], {0}, {})
    assert three.missed == {0: 0, 1: 2, 2: 0}
    assert three.changes() == ([], [1])


def test_a_client_that_answers_is_forgiven(three):
    three.record([0, 1], {0}, {})
    three.record([1], {1}, {})
    three.record([0, 1], {0}, {})
    assert three.changes() == ([], [])
    three.record([1], set(), {})
    assert three.changes() == ([], [1])


def test_a_removed_client_is_unknown_again(three):
    three.forget([1])
    assert three.unknown({10, 11, 12}) == [11]
    assert three.register(11, 1, rows=8, num_partitions=3) is None
    assert three.node_of(1) == 11


def test_a_client_that_is_back_as_another_node_replaces_one_that_does_not_answer(three):
    three.connected = {10, 11, 12, 13}
    tells(three.register(13, 1, rows=8, num_partitions=3), "1 11")
    assert three.unknown({10, 11, 12, 13}) == [13]
    three.record([1], set(), {})  # Flower holds a dead node for connected for a minute
    assert three.register(13, 1, rows=8, num_partitions=3) is None
    assert three.node_of(1) == 13


def test_clients_without_rows_are_rejected(three):
    tells(three.register(14, 3, rows=0, num_partitions=4), "3 14")
