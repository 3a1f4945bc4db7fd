"""The small federation that the tests of langevax.flower share, without an engine."""

import jax

import langevax
from langevax.federated import FLEDGE, SCAFFOLD
from langevax.flower import ClientRules, FederatedStrategy, Task, client_app
from tests.flower.local_grid import LocalGrid
from tests.flower.rows import CLIENTS, NUM_CLIENTS, START, loss, problem

KEY = jax.random.key(3)
FLEDGE_SERVER = FLEDGE(
    step_size=0.05, num_local_steps=3, batch_size=2, clients_per_round=4
)
WITH_MEMORY = SCAFFOLD(
    step_size=0.05, num_local_steps=3, batch_size=2, clients_per_round=4
)
FEDERATION = langevax.Federation.of(loss, CLIENTS[:NUM_CLIENTS])


def grid_of(algorithm, num_clients=NUM_CLIENTS, **options):
    return LocalGrid(
        client_app(Task(algorithm, START, problem)), num_clients, **options
    )


def strategy_of(algorithm, **options):
    """A strategy, with the options of its rules of clients and of its run by their own names."""
    options = {"deadline": 0.05, "join_seconds": 5.0} | options
    parts = {
        name: kind(**{f: options.pop(f) for f in kind.__annotations__ if f in options})
        for name, kind in (("clients", ClientRules), ("run", langevax.Run))
    }
    strategy = FederatedStrategy(algorithm, START, key=KEY, **parts, **options)
    strategy.poll_seconds = 0.001
    return strategy
