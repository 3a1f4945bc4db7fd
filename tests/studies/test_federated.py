"""The study of federated methods: its claims hold, its numbers have units, and each can fail."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.studies import load
from langevax.studies.federated import classes, runs, saddle
from langevax.studies.federated.problem import dialled_federation
from langevax.studies.study import Config

STUDY = load("federated")


@pytest.fixture(scope="module")
def dataset():
    return STUDY.run(Config("small"), progress=False)


def test_the_claim_holds(dataset):
    verdict = STUDY.judge(dataset)
    assert verdict.holds, verdict.sentence
    assert "±" in verdict.sentence


def test_every_number_has_a_unit_and_the_file_keeps_all_of_them(dataset, tmp_path):
    assert all(dataset[name].attrs["units"] for name in dataset.data_vars)
    assert STUDY.save(tmp_path, dataset)["holds"] is True


def test_the_figure_has_labelled_axes(dataset):
    axes = STUDY.draw(dataset).axes
    assert len(axes) == 6 + dataset.sizes["concentration"]
    assert all(a.get_xlabel() and a.get_ylabel() for a in axes)


def changed(name, by, times=1.0, **where):
    """The dataset with one variable scaled and shifted, where it is said."""

    def change(dataset):
        array = dataset[name].copy(deep=True)
        array.loc[where] = (times * array.loc[where] if times else 0) + by
        return dataset.assign({name: array})

    return change


@pytest.mark.parametrize(
    "broken",
    [
        changed("exchanges", 30.0, algorithm="FLEDGE", zeta=0.25),
        changed("exchanges", np.nan, algorithm="BVR-L-SGD", zeta=2.0),
        changed("exchanges", 70.0, 0.0, algorithm="FLEDGE"),
        changed("exchanges", 100.0, 0.0, algorithm="FedAvg"),
        changed("exchanges", 0.0, 0.6, algorithm="minibatch SARAH", zeta=2.0),
        changed("at_edge", 1, algorithm="FLEDGE", zeta=0.25),
        changed("vectors_of_count", 5000.0, count=5),
        changed("count_at_edge", 1, count=1),
        lambda d: d.assign(excess=np.sqrt(d.excess)),
        lambda d: d.assign(excess=0 * d.excess + 1e-10 / (1 + d.exchanges_of_round)),
        changed("distance", 1e-9, radius=0.0),
        changed("distance", 0.0, 0.5, radius=1e-3),
        lambda d: d.assign_attrs(growth_per_round=2 * d.attrs["growth_per_round"]),
        changed("error", 0.0, 1.2, estimator="SLEDGE"),
        changed("error", 0.5, estimator="SLEDGE", part=5),
        changed("error", 1.0, 0.0, estimator="SARAH"),
    ],
    ids=[
        "FLEDGE too late", "BVR never", "FLEDGE flat in zeta", "FedAvg arrives", "SARAH early", "edge of the grid",
        "most at sqrt(P)", "edge of the grid, p", "does not get there", "1 / t", "leaves without noise", "never leaves",
        "rate", "error", "one part of the walk", "SARAH flat",
    ],
)  # fmt: skip
def test_a_wrong_number_is_noticed(dataset, broken):
    assert STUDY.judge(broken(dataset)).holds is False


def test_paths_are_those_of_simulate():
    """Lanes side by side are single runs: positions, and what they cost."""
    import langevax

    dialled = dialled_federation(4, 4, 3, 1.0, seed=0)
    keys = jax.random.split(jax.random.key(3), 2)
    make = runs.methods(3, 2, 2)["FLEDGE"]
    found = runs.paths(make, dialled.federation, jnp.ones(3), [0.05, 0.02], keys, 41, _first)
    one = langevax.simulate(
        make(0.02), dialled.federation, jnp.ones(3), key=keys[1], num_steps=20, record_every=1, progress=False
    )
    np.testing.assert_allclose(found.seen[1, 1], one.positions[:, 0], rtol=0, atol=2e-6)
    for name in ("exchanges", "vectors", "bytes"):
        np.testing.assert_array_equal(getattr(found, name), one.trace.info[name])


def _first(federation, x):
    return x[0]


class Late:
    """Arrives in round 40 at step size 1; at 0.5 in round 1 or 60, by the key."""

    def __init__(self, step_size):
        self.step_size = step_size

    def init(self, federation, position, key):
        early = jax.random.uniform(key) < 0.5
        when = jnp.where(self.step_size == 1, 40, jnp.where(early, 1, 60))
        return Waiting(position, when), self.counted(0)

    def step(self, federation, state, key, step):
        there = (step + 1 >= state.when).astype(jnp.float32)
        return Waiting(jnp.full_like(state.position, 1 - there), state.when), self.counted(1)

    def counted(self, number):
        return {name: jnp.uint32(number) for name in ("exchanges", "vectors", "bytes")}


class Waiting(NamedTuple):
    position: Any
    when: Any


def test_paths_go_on_until_no_step_size_can_arrive_sooner():
    """The first to bring all seeds there, after 40, is not the soonest in the mean, 30.5."""
    keys = jax.random.split(jax.random.key(0), 30)
    fold = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, runs.START_FOLD)))(keys)
    keys = keys[jnp.asarray([int(np.argmin(fold)), int(np.argmax(fold))])]
    found = runs.paths(Late, jnp.float32(0), jnp.ones(1), [1.0, 0.5], keys, 200, _first, 0.5)
    assert len(found.exchanges) == 100
    best = runs.reached(found, np.array([1.0, 0.5]), 0.5)
    np.testing.assert_array_equal(best.exchanges, [1, 60])
    assert len(runs.paths(Late, jnp.float32(0), jnp.ones(1), [1.0], keys, 200, _first, 0.5).exchanges) == 50


def test_the_best_step_size_is_the_one_that_brings_all_seeds_there_first():
    seen = np.array([[[9, 1, 1, 1], [9, 9, 9, 9]], [[9, 9, 1, 1], [9, 9, 9, 1]], [[9, 9, 9, 1], [9, 9, 9, 1]]]) / 1.0
    costs = np.arange(1, 5)
    found = runs.reached(runs.Paths(seen, costs, 10 * costs, costs), np.array([1.0, 0.5, 0.25]), 1.0)
    np.testing.assert_array_equal(found.exchanges, [3, 4])
    np.testing.assert_array_equal(found.vectors, [30, 40])
    assert (found.step_size, found.at_edge) == (0.5, False)
    none = runs.reached(runs.Paths(seen, costs, 10 * costs, costs), np.array([1.0, 0.5, 0.25]), 0.5)
    assert np.isnan(none.exchanges).all()
    assert none.floor == 1.0


def test_no_client_points_the_way_out_of_the_saddle():
    """Gradients vanish along x_0, the mean curvature there is -gamma, clients' differ."""
    federation = saddle.federation(0)
    x = jnp.asarray(np.random.default_rng(0).normal(size=saddle.DIM), jnp.float32).at[0].set(0)
    gradients = np.asarray(federation.gradients_at(x, jnp.arange(saddle.CLIENTS, dtype=jnp.int32)))
    np.testing.assert_array_equal(gradients[:, 0], 0)
    assert np.ptp(gradients[:, 1:], axis=0).min() > 0.1
    step = jnp.zeros(saddle.DIM).at[0].set(1e-2)
    assert float(federation.gradient(step)[0]) == pytest.approx(-saddle.GAMMA * 1e-2 + 1e-6, rel=1e-4)


def test_networks_are_what_their_formula_says():
    table = classes.table("wine", 0)
    position = classes.start(jax.random.key(0), table.inputs.shape[1], 5, table.number)
    a = table.inputs[:7]
    z = np.tanh(a @ position["W"] + position["b"]) @ position["V"] + position["c"]
    np.testing.assert_allclose(classes.outputs(position, jnp.asarray(a)), z, rtol=0, atol=1e-5)
    expected = float(np.log(np.exp(z[0]).sum()) - z[0, table.labels[0]])
    row = jnp.asarray(a[0]), jnp.asarray(table.labels[0])
    assert float(classes.cross_entropy(position, row)) == pytest.approx(expected, abs=1e-5)
    assert len(table.labels) + len(table.test_labels) == 178
    np.testing.assert_allclose(table.inputs.mean(0), 0, atol=1e-5)
