"""Losses that show that a run has collapsed, and the end of such a run, in process, with a smaller step size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import Federation, federated
from langevax.federated.collapse import LossWatch
from tests.sentences import refuses

METHOD = federated.FedAvg(0.5, 2)

COLLAPSED = {
    "far above the start": (
        [2.39, 5.37, 7.52, 9.83, 6.74, 5.29],
        5,
        "6.74 2.39",
    ),
    "the gain is lost": (
        [2.39, 2.29, 1.95, 1.99, 1.97, 2.2, 2.36, 2.32, 2.3, 2.3, 2.3],
        8,
        "2.3 2.39 1.95",
    ),
    "a rise without a gain": (
        [2.39, 2.47, 3.2, 5.19, 2.61, 2.47, 2.4, 2.34, 2.3, 2.29, 2.36],
        10,
        "2.34 2.39 5.19",
    ),
    "not finite": ([2.39, 1.2, float("nan")], 2, "nan"),
}
HEALTHY = {
    "slow": np.linspace(2.39, 2.38, 50),
    "noisy": [
        2.39,
        2.07,
        2.01,
        2.18,
        1.72,
        1.2,
        0.6,
        0.44,
        0.68,
        0.6,
        1.24,
        1.41,
        1.44,
        0.61,
        0.5,
    ],
    "late": [2.39, 3.1, 3.3, 2.8, 2.2, 1.9, 1.5, 1.3, 1.2, 1.1, 1.0],
    "from zero": 1e-6 * np.random.default_rng(0).normal(size=30) * (np.arange(30) > 0),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_losses_that_show_a_collapse(name):
    losses, round, printed = COLLAPSED[name]
    watch = LossWatch(METHOD)
    for i, loss in enumerate(losses[:round]):
        watch.add(i, loss)
    with refuses(
        federated.CollapseError, f"{round} {printed} step_size 0.5 0.125"
    ) as e:
        watch.add(round, losses[round])
    assert (e.value.round, e.value.suggested_step_size) == (round, 0.125)


@pytest.mark.parametrize("name", HEALTHY)
def test_losses_of_runs_that_go_on(name):
    watch = LossWatch(METHOD)
    for i, loss in enumerate(HEALTHY[name]):
        watch.add(i, float(loss))


def test_a_schedule_has_no_suggested_step_size():
    watch = LossWatch(federated.FedAvg(lambda step: 0.1, 2))
    with refuses(federated.CollapseError, "4"):
        watch.add(0, float("inf"))


def ripple(x, row):
    """Bounded, so that no step size makes it infinite."""
    return jnp.sum(1 - jnp.cos(x - row))


@pytest.mark.slow
def test_a_run_that_collapses_ends_at_its_round():
    federation, start = (
        Federation(ripple, np.zeros((3, 2, 2), np.float32)),
        jnp.full(2, 0.1),
    )
    options = {"key": jax.random.key(0), "num_steps": 60, "callback_every": 2}
    for step_size, ends in ((0.1, False), (300.0, True)):
        method = federated.FedAvg(step_size, 3)
        watch = federated.CollapseWatch(method, federation, start, every=2)
        if not ends:
            assert (
                langevax.simulate(
                    method, federation, start, callbacks=[watch], **options
                ).exchanges
                == 60
            )
            continue
        with refuses(federated.CollapseError, "10 step_size 300 step_size=75"):
            langevax.simulate(method, federation, start, callbacks=[watch], **options)


@pytest.mark.slow
def test_several_chains_are_refused():
    federation, start = (
        Federation(ripple, np.zeros((3, 2, 2), np.float32)),
        jnp.full(2, 0.1),
    )
    watch = federated.CollapseWatch(METHOD, federation, start)
    with refuses(ValueError, "callbacks CollapseWatch"):
        langevax.simulate(
            *(METHOD, federation, start),
            key=jax.random.key(0),
            num_steps=3,
            num_chains=2,
            callbacks=[watch],
            callback_every=1,
        )
