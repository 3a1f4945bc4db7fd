"""Who takes part, without messages: absences are counted whether a client was asked or is not there to be asked."""

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower is not installed: pip install 'langevax[flower]'")

from langevax.flower.members import Introduction, Members


@pytest.fixture
def three():
    members = Members("size", patience=2, dtype=np.float32)
    members.connected = {10, 11, 12}
    for node, partition in ((10, 0), (11, 1), (12, 2)):
        assert members.welcome(node, Introduction(partition, rows=4 * (partition + 1), num_partitions=3)) is None
    members.settle()
    return members


def test_weights_are_shares_of_rows(three):
    assert three.partitions == [0, 1, 2]
    np.testing.assert_allclose(three.roster.weights, [1 / 6, 1 / 3, 1 / 2])
    uniform = Members("uniform", patience=2, dtype=np.float32)
    uniform.rows = three.rows
    np.testing.assert_allclose(uniform.seat([0, 2]).weights, [1 / 2, 1 / 2])


def test_a_client_that_is_not_connected_is_away_though_nobody_asked_it(three):
    three.connected = {10, 12}
    for _ in range(2):
        assert three.changes() == ([], [])
        three.note([0], {0})
    assert three.missed == {0: 0, 1: 2, 2: 0}
    assert three.changes() == ([], [1])


def test_a_client_that_answers_is_forgiven(three):
    three.note([0, 1], {0})
    three.note([1], {1})
    three.note([0, 1], {0})
    assert three.changes() == ([], [])
    three.note([1], set())
    assert three.changes() == ([], [1])


def test_one_that_left_is_a_stranger_again(three):
    three.leave([1])
    assert three.strangers({10, 11, 12}) == [11]
    assert three.welcome(11, Introduction(1, rows=8, num_partitions=3)) is None
    assert three.node_of(1) == 11


def test_a_client_that_is_back_as_another_node_replaces_one_that_does_not_answer(three):
    three.connected = {10, 11, 12, 13}
    assert "client 1, which node 11 is already" in three.welcome(13, Introduction(1, rows=8, num_partitions=3))
    assert three.strangers({10, 11, 12, 13}) == [13]
    three.note([1], set())  # Flower holds a dead node for connected for a minute
    assert three.welcome(13, Introduction(1, rows=8, num_partitions=3)) is None
    assert three.node_of(1) == 13


def test_clients_without_rows_are_not_taken(three):
    assert three.welcome(14, Introduction(3, rows=0, num_partitions=4)) == "client 3 (node 14) has no rows"
