"""Federated methods: the claim holds, its numbers have units, and each can fail."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import federated
import langevax
from federated import CLAIM, dialled_federation
from langevax.algorithm import Algorithm
from tests.claims.failing import check_failing, check_holding

pytestmark = [pytest.mark.long, pytest.mark.mostly_compiling]


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    verdict = check_holding(CLAIM, dataset)
    assert all(4 <= len(check.statement.split()) <= 16 for check in verdict.checks)


def test_every_number_has_a_unit_and_the_file_keeps_all_of_them(dataset, tmp_path):
    assert all(dataset[name].attrs["units"] for name in dataset.data_vars)
    assert CLAIM.save(tmp_path, dataset)["holds"] is True


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len([a for a in axes if a.axison]) == 4
    assert all(a.get_xlabel() and a.get_ylabel() for a in axes if a.axison)


def changed(name, by, times=1.0, **where):
    """The dataset with one variable scaled and shifted, at the indices `where`."""

    def change(dataset):
        array = dataset[name].copy(deep=True)
        array.loc[where] = (times * array.loc[where] if times else 0) + by
        return dataset.assign({name: array})

    return change


BVR, LOST, NEVER, EDGE = (
    "exchanges of BVR-L-SGD",
    "heterogeneities at which FLEDGE",
    "heterogeneities at which Fed",
    "best",
)
FLEDGE, GROWS, SARAH, AHEAD = (
    "exchanges of FLEDGE",
    "FLEDGE's exchanges",
    "exchanges of minibatch",
    "BVR-L-SGD's",
)
BEST, STRAIGHT, DEPTH = "factor between", "explained part", "power of ten"
STAYS, LEAVES, SLEDGE, ADDS, LEAST = (
    "largest distance",
    "FLEDGE: exchanges",
    "SLEDGE's",
    "SARAH's",
    "least squared",
)


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        (changed("exchanges", 30.0, algorithm="FLEDGE", zeta=0.25), {FLEDGE}),
        (changed("exchanges", 30.0, algorithm="BVR-L-SGD", zeta=0.25), {BVR}),
        (
            changed("exchanges", np.nan, algorithm="BVR-L-SGD", zeta=2.0, seed=1),
            {LOST, AHEAD},
        ),
        (changed("exchanges", 70.0, 0.0, algorithm="FLEDGE"), {GROWS}),
        (changed("exchanges", 100.0, 0.0, algorithm="FedAvg"), {NEVER}),
        (
            changed("exchanges", 0.0, 0.6, algorithm="minibatch SARAH", zeta=2.0),
            {SARAH},
        ),
        (
            changed("exchanges", np.nan, algorithm="minibatch SARAH", zeta=2.0, seed=1),
            {SARAH, AHEAD},
        ),
        (changed("exchanges", 230.0, 0.0, algorithm="BVR-L-SGD", zeta=2.0), {AHEAD}),
        (changed("at_edge", 1, algorithm="FLEDGE", zeta=0.25), {EDGE}),
        (changed("vectors_of_count", 5000.0, count=5), {BEST}),
        (changed("vectors_of_count", np.nan, count=20), {BEST}),
        (changed("count_at_edge", 1, count=1), {EDGE}),
        (lambda d: d.assign(excess=np.sqrt(d.excess)), {DEPTH}),
        (
            lambda d: d.assign(
                excess=0 * d.excess + 1e-10 / (1 + d.exchanges_of_round)
            ),
            {STRAIGHT},
        ),
        (changed("distance", 1e-9, radius=0.0), {STAYS}),
        (changed("distance", 0.0, 0.5, radius=1e-3), {LEAVES}),
        (
            lambda d: d.assign_attrs(growth_per_round=2 * d.attrs["growth_per_round"]),
            {LEAVES},
        ),
        (changed("error", 0.0, 1.2, estimator="SLEDGE"), {SLEDGE}),
        (changed("error", 0.5, estimator="SLEDGE", part=5), {SLEDGE}),
        (changed("error", 1.0, 0.0, estimator="SARAH"), {ADDS, LEAST}),
    ],
    ids=[
        "FLEDGE too late",
        "BVR too late",
        "BVR never",
        "FLEDGE flat in zeta",
        "FedAvg arrives",
        "SARAH early",
        "SARAH never",
        "BVR hardly ahead",
        "edge of the grid",
        "most at sqrt(P)",
        "one p never",
        "edge of the grid, p",
        "does not get there",
        "1 / t",
        "leaves without noise",
        "never leaves",
        "rate",
        "error",
        "one part of the walk",
        "SARAH flat",
    ],
)
def test_a_claim_fails_alone(dataset, broken, failing):
    """Or with those of the same number."""
    check_failing(CLAIM, broken(dataset), *failing)


def test_paths_are_those_of_simulate_until_the_exchanges_are_used_up():
    """FLEDGE has two exchanges a round: 41 leave 20 rounds and the one before them."""
    federation, start = dialled_federation(4, 4, 3, 1.0, seed=0), jnp.ones(3)
    method = langevax.federated.FLEDGE(0.02, 3, 2, 2)
    path = federated.paths(method, federation, start, _first, (2, 41, 3))
    records = {"num_steps": 20, "record_every": 1, "num_chains": 2}
    run = langevax.simulate(method, federation, start, key=jax.random.key(3), **records)
    np.testing.assert_array_equal(path.seen, run.positions[:, :, 0])
    for name in ("exchanges", "vectors"):
        np.testing.assert_array_equal(getattr(path, name), run.trace.info[name][0])


def _first(positions):
    return np.asarray(positions)[..., 0]


class Still(langevax.Function):
    """Its gradient's norm is the position."""

    @property
    def loss(self):
        return self

    def mean_gradient(self, x):
        return np.asarray(x)


NOTHING = Still(jnp.sum)


class Late(Algorithm):
    """Arrives in round `early` or `late`, by the key; beyond a step size of 1 it diverges."""

    step_size: float
    early: float
    late: float

    def init(self, federation, position, key):
        return Waiting(
            position, jnp.where(jax.random.uniform(key) < 0.5, self.early, self.late)
        ), self.counted(0)

    def step(self, federation, state, key, step):
        there = ((step + 1).astype(jnp.float32) >= state.when).astype(jnp.float32)
        position = jnp.where(
            self.step_size > 1, jnp.nan, jnp.full_like(state.position, 1 - there)
        )
        return Waiting(position, state.when), self.counted(1)

    def counted(self, number):
        return {name: jnp.uint32(number) for name in ("exchanges", "vectors")}


class Waiting(NamedTuple):
    position: Any
    when: Any


def test_paths_go_on_until_all_seeds_arrive_or_none_can_be_better():
    """In chunks of 50 rounds: both arrive by 60; a mean of 35 is too late after 50 already; nothing arrives in 200."""

    def rounds(early, late, best, step_size=1.0):
        method = Late(step_size, early, late)
        return len(
            federated.paths(
                method, NOTHING, jnp.ones(1), _first, (8, 200, 0), best
            ).exchanges
        )

    assert rounds(1.0, 60.0, np.inf) == 100
    assert rounds(1.0, 60.0, 1000.0) == 100
    assert rounds(60.0, 60.0, 50.0) == 50
    assert rounds(300.0, 300.0, np.inf) == 200
    assert rounds(1.0, 60.0, 0.0) == 200
    assert rounds(1.0, 60.0, np.inf, step_size=2.0) < 50


def test_the_best_step_size_is_the_one_that_brings_all_seeds_there_first(monkeypatch):
    """The least mean, 30.5, though one seed is late."""
    monkeypatch.setattr(
        federated, "dialled_federation", lambda *args, **kwargs: NOTHING
    )
    monkeypatch.setattr(federated, "STEP_SIZES", np.array([2.0, 1.0, 0.5, 0.25]))
    when = {2.0: (1.0, 1.0), 1.0: (40.0, 40.0), 0.5: (1.0, 60.0), 0.25: (300.0, 300.0)}
    reached = federated.reach(lambda h: Late(h, *when[h]), 0.0, (8, 200, 0))
    assert set(reached["exchanges"]) == {1, 60}
    np.testing.assert_array_equal(reached["vectors"], reached["exchanges"])
    assert reached["at_edge"] is False
    none = federated.reach(lambda h: Late(h, 300.0, 300.0), 0.0, (8, 200, 0))
    assert np.isnan(none["exchanges"]).all()


def test_no_client_points_the_way_out_of_the_saddle():
    """Gradients vanish along x_0, the mean curvature there is -gamma, clients' differ."""
    federation = federated.saddle_federation(0)
    x = (
        jnp.asarray(np.random.default_rng(0).normal(size=federated.DIM), jnp.float32)
        .at[0]
        .set(0)
    )
    gradients = np.asarray(
        federation.gradients_at(x, jnp.arange(federated.CLIENTS, dtype=jnp.int32))
    )
    np.testing.assert_array_equal(gradients[:, 0], 0)
    assert np.ptp(gradients[:, 1:], axis=0).min() > 0.1
    step = jnp.zeros(federated.DIM).at[0].set(1e-2)
    assert float(federation.gradient(step)[0]) == pytest.approx(
        -federated.GAMMA * 1e-2 + 1e-6, rel=1e-4
    )
