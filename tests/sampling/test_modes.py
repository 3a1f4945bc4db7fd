"""Several modes: the search before chains start, its rough weights, and replica exchange in `sample`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.sampling.modes import DistinctModes, Explorer, Wishes
from langevax.sampling.preconditioning import coordinates_of
from langevax.sampling.tempering import adapted_ladder, num_temperatures
from tests.sentences import warns

pytestmark = pytest.mark.mostly_compiling

KEY = jax.random.key(0)
CENTRES = np.array([[-3.0, 0.0], [0.0, 0.0], [2.0, 1.0]])
SDS, WEIGHTS = np.array([0.1, 0.08, 0.15]), np.array([0.2, 0.5, 0.3])


def spikes(x):
    """Three normal laws of different widths."""
    logs = jnp.log(WEIGHTS / SDS**2).astype(x.dtype)
    squares = jnp.sum((x - CENTRES.astype(x.dtype)) ** 2, axis=1)
    return jax.nn.logsumexp(logs - squares / (2 * SDS**2).astype(x.dtype))


def valleys():
    """The least rise of the potential on the straight ways from each centre to the others, on a fine grid."""
    rises = np.full((3, 3), np.inf)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        way = CENTRES[i] + np.linspace(0, 1, 2001)[:, None] * (CENTRES[j] - CENTRES[i])
        squares = ((way[:, None] - CENTRES) ** 2).sum(-1)
        values = -np.log(
            np.sum(WEIGHTS / SDS**2 * np.exp(-squares / (2 * SDS**2)) + 1e-300, axis=1)
        )
        rises[i, j] = rises[j, i] = values.max() - max(values[0], values[-1])
    return rises.min(1)


def explored(log_density, start, temperature=1.0, key=KEY, elsewhere=None):
    like = jnp.zeros(len(start))
    base = coordinates_of(
        langevax.Function(lambda x: -log_density(x)), like, temperature
    ).with_matrix()
    wishes = Wishes(True, needs_mode=False, keeps_prior=False)
    explorer = Explorer(base, wishes, temperature, key, True, elsewhere)
    return explorer.explore(jnp.float32(start))


@pytest.mark.slow
def test_descents_from_heated_starts_meet_all_spikes():
    """Weights to 1 % (the spikes are normal laws), valleys to what 33 points between two spikes see of them."""
    exploration = explored(spikes, [-2.9, 0.1])
    modes = exploration.modes()
    np.testing.assert_allclose(
        [mode.weight for mode in modes], [0.5, 0.3, 0.2], atol=0.01
    )
    np.testing.assert_allclose(
        np.stack([mode.position for mode in modes]), CENTRES[[1, 2, 0]], atol=1e-3
    )
    np.testing.assert_allclose(
        [mode.barrier for mode in modes], valleys()[[1, 2, 0]], rtol=0.15
    )


@pytest.mark.slow
def test_a_single_mode_is_searched_in_vain():
    """A banana and a normal law."""
    for law in (
        lambda x: -jnp.sum(x**2) / 2,
        lambda x: -(x[0] ** 2) / 2 - (x[1] - x[0] ** 2 / 4) ** 2,
    ):
        exploration = explored(law, [0.3, 0.2])
        assert exploration.modes() == []


def beside_a_broad_one(x):
    """.8 N(0, 1) + .2 N(3.3, .5^2) in three coordinates: of 200 descents from 3 widths 7 end in the narrow mode."""
    squares = jnp.array([jnp.sum(x**2), jnp.sum((x - 3.3) ** 2) / 0.25])
    return jax.nn.logsumexp(jnp.log(jnp.array([0.8, 0.2 / 0.5**3])) - squares / 2)


def test_a_narrow_mode_beside_a_broad_one_is_met():
    for seed in range(5):
        modes = explored(
            beside_a_broad_one, [0.0, 0.0, 0.0], key=jax.random.key(seed)
        ).modes()
        np.testing.assert_allclose(
            [mode.weight for mode in modes], [0.8, 0.2], atol=0.01
        )


def hyperbola(x):
    return -(((x[0] * x[1] - 4) / 0.05) ** 2) / 2 - jnp.sum(x**2) / 32


def along_hyperbola(lowest, highest):
    """Points of the valley."""
    x = np.exp(np.linspace(np.log(lowest), np.log(highest), 400))
    return np.stack([x, 4 / x], 1)


@pytest.mark.slow
def test_the_other_branch_of_a_hyperbola_is_unvisited():
    """Ends of descents along the branch that is drawn from are not, although a ridge parts them in a straight line."""
    for seed in range(3):
        exploration = explored(hyperbola, [1.0, 1.0], key=jax.random.key(seed))
        assert not exploration.fit.is_usable
        branch = np.linalg.solve(
            exploration.coordinates.matrix, along_hyperbola(0.4, 10).T
        ).T
        modes = exploration.unvisited(exploration.coordinates, branch[None], 1.0)
        assert modes
        assert all(
            mode.position[0] < 0 and np.isnan(mode.weight) and mode.barrier > 5
            for mode in modes
        )
        both = np.stack([branch, -branch])
        assert exploration.unvisited(exploration.coordinates, both, 1.0) == []


@pytest.mark.slow
def test_a_branch_that_chains_never_entered_is_a_warning():
    """Whether chains along the branch agree as well differs between machines: they diverge where it is narrow."""
    facts = "descents where no draw came"
    with warns(langevax.sampling.SamplingWarning, facts, varies=True):
        samples = langevax.sample(hyperbola, jnp.ones(2), key=KEY)
    assert (samples.positions > 0).all()
    assert all(mode.position[0] < 0 for mode in samples.modes)


def test_a_peak_of_a_hierarchy_is_not_unvisited():
    """Twenty groups with a normal law of log scale 0 and deviation 1.5: descents end in the peak of a small scale."""

    def hierarchy(x):
        return (
            -(x[0] ** 2) / 4.5
            - jnp.sum((x[1:] / jnp.exp(x[0])) ** 2) / 2
            - 20 * x[0]
            - jnp.sum((x[1:] - 1) ** 2) / 8
        )

    exploration = explored(hierarchy, np.full(21, 0.5))
    rng = np.random.default_rng(0)
    scales = rng.normal(0.5, 0.3, size=1000)
    draws = np.concatenate(
        [scales[:, None], np.exp(scales)[:, None] * rng.normal(size=(1000, 20))], axis=1
    )
    draws = np.linalg.solve(exploration.coordinates.matrix, draws.T).T
    assert exploration.unvisited(exploration.coordinates, draws[None], 1.0) == []


def far_apart(x):
    squares = jnp.array(
        [jnp.sum(x**2), jnp.sum((x - jnp.array([3000.0, 4000.0])) ** 2)]
    )
    return jax.nn.logsumexp(-squares / 2)


BOTH = np.array([[0.3, 0.2], [2999.0, 4001.0]])
"""Positions, as vectors."""


def test_descents_start_elsewhere_too():
    assert explored(far_apart, [0.0, 0.0]).modes() == []
    modes = explored(far_apart, [0.0, 0.0], elsewhere=BOTH).modes()
    np.testing.assert_allclose([mode.weight for mode in modes], [0.5, 0.5], atol=0.01)


def test_an_end_near_one_draw_is_visited():
    exploration = explored(far_apart, [0.0, 0.0], elsewhere=BOTH)
    draws = np.random.default_rng(0).normal(size=(400, 2))
    for last, expected in (([0.1, 0.2], [3000]), (BOTH[1], [])):
        positions = np.linalg.solve(
            exploration.coordinates.matrix, np.vstack([draws, last]).T
        ).T
        modes = exploration.unvisited(exploration.coordinates, positions[None], 1.0)
        np.testing.assert_allclose(
            [mode.position[0] for mode in modes], expected, atol=0.1
        )


def broad_and_narrow(x):
    """Nearly all of the law is a normal one of deviations 1e-4 and 1, along the diagonals, beside a broad one."""
    along = jnp.array([(x[0] + x[1]) / 1e-4, x[0] - x[1] - 200]) / jnp.sqrt(2)
    return jax.nn.logsumexp(
        jnp.array([jnp.sum(x**2) / -2 - 20, -jnp.sum(along**2) / 2 + np.log(1e4)])
    )


def test_a_lower_end_of_unknown_weight_is_explored():
    """In coordinates of the broad law the Hessian of the other has eigenvalues of 1e8 and 1, which float32 mixes up."""
    exploration = explored(
        broad_and_narrow, [0.1, 0.2], elsewhere=np.array([[0.1, 0.2], [100.0, -100.0]])
    )
    position = exploration.flat.to_position(exploration.pilot.mode)
    np.testing.assert_allclose(position, [100, -100], atol=1e-3)
    assert exploration.modes() == []


@pytest.mark.slow
def test_a_negligible_mode_is_left():
    """From a start in a mode of weight 1e-9: the pilot starts again in the one that has the law."""

    def law(x):
        squares = jnp.sum(x**2), jnp.sum((x - 3) ** 2)
        return jnp.logaddexp(-50 * squares[0], -20.0 - 50 * squares[1])

    exploration = explored(law, [2.9, 3.1])
    np.testing.assert_allclose(
        exploration.flat.to_position(exploration.pilot.mode), 0.0, atol=1e-3
    )
    assert exploration.modes() == []


@pytest.mark.slow
def test_chains_that_cannot_cross_warn():
    with warns(langevax.sampling.SamplingWarning, "3 0.50 0.30 0.20"):
        samples = langevax.sample(
            spikes, jnp.array([0.3, 0.2]), key=KEY, num_samples=100
        )
    assert samples.method == "nuts"
    assert len(samples.modes) == 3


@pytest.mark.slow
def test_replica_exchange_gives_the_weights():
    """Shares within 5 standard errors of about 300 effective draws; second moments within each spike to 15 %."""
    exchange = langevax.ReplicaExchange()
    options = {"key": jax.random.key(2), "num_samples": 1000, "algorithm": exchange}
    samples = langevax.sample(spikes, jnp.array([0.3, 0.2]), **options)
    assert samples.warnings == []
    assert samples.method == "tempered"
    assert samples.ess > 300
    flat = samples.positions.reshape(-1, 2)
    nearest = np.argmin(((flat[:, None] - CENTRES) ** 2).sum(-1), axis=1)
    shares = np.bincount(nearest, minlength=3) / len(flat)
    np.testing.assert_array_less(
        np.abs(shares - WEIGHTS), 5 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / 300)
    )
    spreads = [flat[nearest == k].std(0) for k in range(3)]
    np.testing.assert_allclose(spreads, np.tile(SDS[:, None], 2), rtol=0.15)
    assert samples.swap_rates.min() > 0.2
    assert samples.result.round_trips > 100
    longer = samples.extend(100, key=KEY)
    assert longer.positions.shape == (4, 1100, 2)


def test_temperatures_share_the_barrier_equally():
    ladder = adapted_ladder(np.array([1.0, 10.0, 100.0]), np.array([0.8, 0.2]))
    np.testing.assert_allclose(np.log10(ladder), [0, 0.625, 2])
    assert num_temperatures(1000.0, 2) == 7
    assert num_temperatures(1000.0, 10_000) == 40


def test_normal_laws_swap_at_the_rate_that_sets_the_number_of_temperatures():
    """2 Phi(-sqrt(d) log(ratio) / 2) is 0.4 at the spacing, against the exact rate by Monte Carlo, to 0.03."""
    d, ratio = 20, np.exp(1.68 / np.sqrt(20))
    rng = np.random.default_rng(0)
    cold, hot = rng.chisquare(d, 100_000) / 2, ratio * rng.chisquare(d, 100_000) / 2
    rate = np.minimum(1, np.exp((1 - 1 / ratio) * (cold - hot))).mean()
    assert abs(rate - 0.4) < 0.03


@pytest.mark.parametrize(
    ("slope", "number"), [(0.0, 1), (1e-3, 2)], ids=["angle", "in a wide bowl"]
)
def test_places_that_repeat_without_end_are_one_mode(slope, number):
    """Those of cos have the same depth; with a normal prior of deviation 30 they are modes of their own."""
    law = langevax.Function(lambda x: jnp.sum(-50 * jnp.cos(x) + slope * x**2 / 2))
    problem = coordinates_of(law, jnp.zeros(1), 1.0).problem
    modes = DistinctModes(problem, jnp.zeros(1), 1.0)
    modes.add(np.array([2 * np.pi]))
    assert len(modes.positions) == number


def test_modes_without_weight_are_not_met():
    """Of 41 minima in a bowl those below -log(.01) + d log(10) = 6.9 can have a hundredth of the first one's weight."""
    bowl = langevax.Function(lambda x: jnp.sum(x**2 / 2 + 1000 * jnp.sin(x) ** 2))
    problem = coordinates_of(bowl, jnp.zeros(1), 1.0).problem
    modes = DistinctModes(problem, jnp.zeros(1), 1.0)
    for k in sorted(range(-20, 21), key=abs):
        modes.add(np.array([np.pi * k]))
    np.testing.assert_allclose(
        np.sort(modes.positions, axis=0)[:, 0], [-np.pi, 0, np.pi], atol=1e-6
    )  # 4.9 up; next 19.7
