"""A client is made once in a process, though Ray makes a copy of the app for each message."""

import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

import langevax
from langevax.flower import Task, client_app
from langevax.flower import client as clients
from tests.flower.local_grid import LocalGrid
from tests.flower.setting import (
    CLIENTS,
    FLEDGE_SERVER,
    NUM_CLIENTS,
    START,
    WITH_MEMORY,
    loss,
    strategy_of,
)

created = []


def problem(context):
    created.append(context.node_config["partition-id"])
    return langevax.FiniteSum(loss, CLIENTS[context.node_config["partition-id"]])


class CopyingGrid(LocalGrid):
    """Each message has a copy of the app, as in Flower's simulation."""

    def __init__(self, app, num_partitions):
        super().__init__(app, num_partitions)
        cloudpickle = pytest.importorskip(
            "ray.cloudpickle", reason="Ray is not installed"
        )
        self.copied = lambda: cloudpickle.loads(cloudpickle.dumps(app))

    def push_messages(self, messages):
        names = []
        for message in messages:
            self.app = self.copied()
            names += super().push_messages([message])
        return names


def run(algorithm, grid=LocalGrid):
    strategy = strategy_of(algorithm)
    strategy.start(
        grid(client_app(Task(algorithm, START, problem)), NUM_CLIENTS), num_rounds=2
    )
    return strategy


@pytest.fixture(autouse=True)
def nobody():
    created.clear()
    clients._clients.clear()
    yield
    clients._clients.clear()


@pytest.mark.slow
def test_rows_are_read_once_a_client_whatever_the_copies():
    run(FLEDGE_SERVER, CopyingGrid)
    assert sorted(created) == list(range(NUM_CLIENTS))


@pytest.mark.slow
def test_another_algorithm_in_the_same_process_is_another_client():
    run(FLEDGE_SERVER)
    assert run(WITH_MEMORY).history[-1].answered
    assert sorted(created) == sorted(2 * list(range(NUM_CLIENTS)))


def test_of_many_clients_the_latest_are_kept(monkeypatch):
    monkeypatch.setattr(clients, "MAX_CLIENTS", 2)
    run(FLEDGE_SERVER)
    assert len(clients._clients) == 2
    assert len(created) > NUM_CLIENTS
