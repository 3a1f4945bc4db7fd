"""The interval against quadrature: both ends, the rules of its parts, the budget, and what is refused."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t as student
from threadpoolctl import threadpool_info

from langevax import MeanFieldRisk, Run, losses, neurons
from langevax.meanfield import (
    Certificate,
    certificate,
    certify,
    interval_search,
    upper_bound,
    wells,
)
from langevax.meanfield.clouds import MOVES_PER_LAW as MOVES
from langevax.meanfield.homotopy import Ascent
from langevax.meanfield.interval_search import IntervalSearch
from langevax.meanfield.upper_bound import (
    RUNS,
    LocalRuns,
    UpperBound,
    _best_shares,
    _by_cells,
)
from tests.meanfield.known_optima import Odd, Problem, needle, odd_values, smooth
from tests.sentences import refuses, tells

EFFORT = 3e6
CASES = [("squared", 0.02), ("logistic", 0.01)]


def certified(problem, seed=0, effort=EFFORT, **options):
    return certify(
        problem.risk,
        problem.temperature,
        key=jax.random.key(seed),
        effort=effort,
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "temperature"), CASES)
def test_the_interval_holds_the_optimum_of_quadrature(loss, temperature):
    problem = smooth(loss, temperature)
    heard = []
    result = certified(
        problem, run=Run(progress=lambda words, share: heard.append(words))
    )
    assert result.lower_bound <= problem.optimum <= result.upper_bound
    assert result.trustworthy
    assert result.width < 0.25 * (problem.prior_objective - problem.optimum)
    assert result.prior_objective == pytest.approx(problem.prior_objective, abs=0.1)
    assert result.lower_bound <= problem.lower(result.dual) + 1e-5  # D of its dual
    assert result.history[-1][1:] == (result.lower_bound, result.upper_bound)
    assert 0 < result.history[-1][0] <= result.work
    assert result.num_descents > wells.NUM_DESCENTS
    assert "wells" in heard
    optimal = problem.grid.outputs(problem.grid.gibbs(problem.optimal_dual()))
    assert (
        np.mean((result.outputs - optimal) ** 2) < result.output_error(optimal) + 1e-6
    )
    assert result.output_error(optimal + 1) > 0.9
    assert result.verdict in repr(result)
    tells(result.verdict)
    assert f"{result.num_descents:,} searches" in result.verdict


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_needle_that_walks_miss_is_in_the_interval(loss, monkeypatch):
    """With wells and without: the upper end holds whatever is missed."""
    problem = needle(loss)
    result = certified(problem, effort=3e8)
    assert result.lower_bound <= problem.optimum <= result.upper_bound

    def blind(clouds, tilt, others):
        size = clouds.law.size
        return wells.Wells(
            -np.inf, np.zeros((0, size)), np.zeros(0), np.zeros((0, size, size)), 100
        )

    monkeypatch.setattr(wells, "search", blind)
    without = certified(problem, effort=3e7)
    assert without.upper_bound > problem.optimum


def test_the_lower_end_takes_the_largest_log_z_and_never_a_mean(monkeypatch):
    """Wells of a log Z larger by 1 cost all of the temperature: of four estimates the mean would cost a quarter."""
    problem, shown = smooth("squared", 0.02), []

    def heavier(clouds, tilt, others, search=wells.search):
        shown.append(search(clouds, tilt, others))
        return shown[-1]._replace(log_partition=shown[-1].log_partition + 1)

    monkeypatch.setattr(wells, "search", heavier)
    result = certified(problem)
    lacking = problem.lower(result.dual) - result.lower_bound
    assert np.any(result.dual)
    assert 0.9 * problem.temperature < lacking < 1.3 * problem.temperature


def test_a_new_start_has_more_moves():
    """Where wells outweigh what a climb holds; one that goes on has as many as before."""
    search = search_of(smooth())
    search.run_size, search.num_particles = 64, 512
    search.end_round(None)
    assert (search.moves, search.run_size, search.num_particles) == (
        4 * MOVES,
        128,
        1024,
    )
    search.end_round(Ascent(np.zeros(6), np.zeros((4, 2)), [], 0.5, True))
    assert (search.moves, search.run_size) == (4 * MOVES, 256)


@pytest.mark.parametrize(("rows", "limited"), [(6, True), (1300, False)])
def test_small_matrices_are_factorised_by_one_thread(rows, limited, monkeypatch):
    """In `certify` itself, so that a direct call costs what that of an estimator does."""

    def threads():
        return {
            library["num_threads"]
            for library in threadpool_info()
            if library["user_api"] == "blas"
        }

    before, inside = threads(), []
    risk = MeanFieldRisk(
        neurons.Tanh(),
        losses.squared,
        np.zeros((rows, 1)),
        np.ones(rows),
        precision=0.1,
    )
    monkeypatch.setattr(certificate, "close", lambda search: inside.append(threads()))
    certify(risk, 0.1, key=jax.random.key(0))
    assert inside == [{1} if limited else before]
    assert threads() == before


def search_of(problem):
    clouds = problem.clouds()
    clouds.close()  # nothing is moved
    return IntervalSearch(problem.risk, problem.temperature, clouds, print, [])


def test_estimates_err_with_a_small_probability_in_all_rounds_together():
    """Levels add up to at most 5 %, and the ends are Student's."""
    search = search_of(smooth())
    levels = []
    for rounds in range(8):
        search.rounds = rounds
        levels.append(search.level)
        estimate = search.log_partition(2.0, 0.1)
        assert estimate.high == pytest.approx(
            2 + 0.1 * student.ppf(1 - search.level, RUNS - 1)
        )
    assert 0.045 < sum(levels) <= 0.05
    bound = UpperBound(1.0, 0.1, 5, np.zeros(3))
    assert bound.high(0.01) == pytest.approx(1 + 0.1 * student.ppf(0.99, 5))


def test_the_ends_that_are_kept_are_the_best():
    problem = smooth()
    search, dual = search_of(problem), problem.optimal_dual().astype(np.float32)
    for value in (3.0, 1.0, 2.0, math.nan):
        search.keep_upper(UpperBound(value, 0.0, 5, np.full(3, value)))
    assert search.upper[0] == 1
    assert search.upper[1].outputs[0] == 1
    noisy = UpperBound(0.5, 10.0, 5, np.zeros(3))  # the least value
    search.keep_upper(noisy, UpperBound(0.9, 0.001, 5, np.zeros(3)))
    # the least of two ends holds where both do: each has half of the level
    assert search.upper[0] == pytest.approx(
        0.9 + 0.001 * student.ppf(1 - search.level / 10, 5)
    )
    log_partition = search.log_partition(problem.log_partition(dual), 0.0)
    for share in (0.0, 1.0, 0.5):
        search.keep_lower(
            dual * np.float32(share),
            log_partition._replace(high=log_partition.value * (share == 1)),
        )
    assert search.lower[0] == pytest.approx(problem.lower(dual), abs=1e-5)
    np.testing.assert_array_equal(search.lower[1], dual)


def noisy_runs(num_cells=2):
    rng = np.random.default_rng(0)
    masses = rng.uniform(0.2, 0.8, size=(RUNS, 1)) * np.array([1.0, 0.0]) + np.array(
        [0.0, 1.0]
    )
    masses[:, 1] -= masses[:, 0]
    outputs = rng.normal(size=(RUNS, num_cells, 6, 1))
    return LocalRuns(
        rng.normal(size=RUNS), masses, outputs, rng.normal(size=(RUNS, num_cells))
    )


def test_cells_are_judged_on_the_runs_that_did_not_choose_them(monkeypatch):
    """Shares chosen on even runs are judged on odd ones and the other way round; the mean of both by hand."""
    problem, runs, chosen = smooth(), noisy_runs(), []
    outputs = runs.outputs[..., 0] / runs.masses[..., None]
    costs = (
        runs.exponents / runs.masses - np.log(runs.masses) - runs.log_partition[:, None]
    )

    def choose(_risk, _temperature, mean_outputs, mean_costs, _start):
        chosen.append((mean_outputs, mean_costs))
        return np.array([1.0, 0.0]) if len(chosen) == 1 else np.array([0.3, 0.7])

    monkeypatch.setattr(upper_bound, "_best_shares", choose)
    bound = _by_cells(problem.risk, 0.1, runs)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    values = []
    for place, (chooser, judge, shares) in enumerate(
        [(even, odd, [1.0, 1e-300]), (odd, even, [0.3, 0.7])]
    ):
        np.testing.assert_allclose(
            chosen[place][0], outputs[chooser].mean(0), rtol=1e-6
        )
        np.testing.assert_allclose(chosen[place][1], costs[chooser].mean(0), rtol=1e-6)
        z = np.array(shares) @ outputs[judge].mean(0)
        free = np.dot(shares, costs[judge].mean(0) + np.log(shares))
        values.append(np.mean((z - problem.risk.targets) ** 2) / 2 + 0.1 * free)
    assert bound.value == pytest.approx(np.mean(values), rel=1e-5)
    assert bound.freedom == RUNS - 2


def test_the_shares_of_cells_are_those_of_least_objective():
    rng = np.random.default_rng(3)
    problem, temperature = smooth("logistic"), 0.1
    outputs, costs = rng.normal(size=(2, 6)), np.array([0.3, -0.2])
    shares = _best_shares(problem.risk, temperature, outputs, costs, np.zeros(2))

    def objective(share):
        both = np.array([share, 1 - share])
        loss = np.mean(
            np.logaddexp(0, -np.asarray(problem.risk.targets) * (both @ outputs))
        )
        return loss + temperature * both @ (np.log(both) + costs)

    best = minimize_scalar(objective, bounds=(1e-6, 1 - 1e-6), method="bounded")
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(best.x, abs=1e-3)
    assert 0.05 < shares[0] < 0.95


@pytest.mark.slow
def test_the_same_key_makes_the_same_certificate():
    problem = smooth("squared", 0.02)
    first, second, other = (certified(problem, seed) for seed in (1, 1, 2))
    for name in ("lower_bound", "upper_bound", "work", "history", "verdict"):
        assert getattr(first, name) == getattr(second, name), name
    np.testing.assert_array_equal(first.dual, second.dual)
    assert first.lower_bound != other.lower_bound


@pytest.mark.parametrize("effort", [1.0, 3e5, 1e6])
def test_what_is_known_when_the_effort_is_spent_is_reported(effort):
    """The interval holds whatever was done, and no more than one search for wells goes beyond the budget."""
    problem = smooth("squared", 0.002)
    result = certified(problem, effort=effort)
    assert result.lower_bound <= problem.optimum + 1e-6
    assert result.upper_bound >= problem.optimum
    assert result.work < effort + 1.5 * wells.NUM_DESCENTS * 101 * 6
    if not result.trustworthy:
        starts = ("Not certified: between ", "Upper end only, at most ")
        assert result.verdict.startswith(starts)
        assert "raise effort" in result.verdict


def test_a_lower_end_of_any_network_is_none_however_narrow_the_interval(monkeypatch):
    """Targets that the network fits, and no more than D(0) = 0 and walks from the prior: the upper end alone says something."""
    inputs = np.linspace(-2, 2, 6)
    problem = Problem(Odd(), odd_values, inputs, 2 * np.tanh(inputs), "squared", 1e-3)

    def spent(clouds, tilt, others):
        raise interval_search.EffortSpent

    monkeypatch.setattr(wells, "search", spent)
    result = certified(problem, effort=3e7)
    assert result.num_descents == 0
    assert result.lower_bound == 0
    assert result.width < 0.1 * problem.prior_objective
    assert not result.trustworthy
    tells(result.verdict, "0")


@pytest.mark.parametrize(
    ("lower", "upper", "trusted"),
    [
        (0.0, 0.084, False),
        (0.003, 0.087, False),
        (0.044, 0.09, False),
        (0.0451, 0.09, True),
        (0.08, 0.09, True),
        (0.0, 0.0, True),
    ],
)
def test_a_lower_end_is_nearer_to_the_upper_one_than_to_that_of_any_network(
    lower, upper, trusted
):
    """D(0) = 0 with squared loss; an interval of the prior's own objective is narrow in any case."""
    search = search_of(smooth())
    dual, bound = np.zeros(6, np.float32), UpperBound(upper, 0.0, 5, np.zeros(6))
    search.prior_objective = 10.0
    search.lower, search.upper = (lower, dual), (upper, bound)
    assert search.bound_of_any == 0
    assert search.is_two_sided() is trusted
    assert search.narrow(0.1) is trusted


def test_an_optimum_near_the_prior_is_in_the_interval():
    """So hot that the prior is nearly the best law: its objective is known to the noise of a cloud alone."""
    problem = smooth("squared", 1000.0)
    for seed in range(6):
        result = certified(problem, seed, effort=1e5)
        assert result.lower_bound <= problem.optimum <= result.upper_bound


@pytest.mark.slow
def test_float32_and_float64_agree_within_their_errors():
    problem = smooth("squared", 0.02)
    single = certified(problem)
    with jax.enable_x64():
        inputs, targets = (
            jnp.asarray(problem.risk.inputs, float),
            jnp.asarray(problem.risk.targets, float),
        )
        risk = MeanFieldRisk(Odd(), losses.squared, inputs, targets, precision=0.02)
        double = certify(risk, 0.02, key=jax.random.key(0), effort=EFFORT)
    assert double.dual.dtype == np.float64
    for result in (single, double):
        assert result.lower_bound <= problem.optimum <= result.upper_bound
    assert abs(single.lower_bound - double.lower_bound) < single.width + double.width


@pytest.mark.slow
def test_row_weights_count_as_rows_and_padding_as_nothing():
    """Rows of weight 1 to 4 are those of a table with copies; the unweighted optimum is outside of the interval."""
    inputs = np.linspace(-2, 2, 6)
    targets, weights = (
        np.tanh(2 * inputs) + np.array([0.0, 2.0, 0.0, 0.0, 0.0, -1.0]),
        np.array([1, 4, 1, 2, 1, 0]),
    )
    weighted = Problem(Odd(), odd_values, inputs, targets, "squared", 0.02, weights)
    plain = Problem(Odd(), odd_values, inputs, targets, "squared", 0.02)
    result = certified(weighted)
    assert result.lower_bound <= weighted.optimum <= result.upper_bound
    assert not result.lower_bound <= plain.optimum <= result.upper_bound
    assert result.trustworthy


@pytest.mark.slow
def test_clouds_of_trained_networks_are_searched():
    """Descents from a cloud are counted, with output weights dropped where they are integrated out."""
    rng = np.random.default_rng(0)
    inputs, targets = (
        np.float32(rng.normal(size=(10, 2))),
        np.float32(rng.normal(size=10)),
    )
    risk = MeanFieldRisk(
        neurons.TanhTanh(2.0), losses.squared, inputs, targets, precision=0.1
    )
    options = {"key": jax.random.key(0), "effort": 3e7}
    one = certify(risk, 0.1, **options)
    two = certify(risk, 0.1, clouds=[np.float32(rng.normal(size=(50, 4)))], **options)
    assert one.trustworthy
    assert max(one.lower_bound, two.lower_bound) <= min(
        one.upper_bound, two.upper_bound
    )
    assert (two.num_descents - one.num_descents) % 50 == 0


@pytest.mark.parametrize("near", [True, False])
def test_a_climb_goes_on_from_the_dual_of_a_training(near):
    """The interval holds from the dual of the optimum, and from one that is far from it."""
    problem = smooth("squared", 0.02)
    dual = problem.optimal_dual()
    cloud = np.float32(
        np.random.default_rng(0).normal(size=(200, problem.risk.particle_size))
    )
    start = {"clouds": [cloud], "dual": dual if near else -dual}
    result = certified(problem, **start)
    assert result.lower_bound <= problem.optimum <= result.upper_bound
    assert result.trustworthy
    assert result.lower_bound <= problem.lower(result.dual) + 1e-5


def test_a_dual_comes_with_a_cloud_of_its_law():
    problem = smooth()
    cloud = np.zeros((4, problem.risk.particle_size), np.float32)
    for dual, clouds in ((np.zeros(6), []), (np.zeros(5), [cloud])):
        with refuses(ValueError, "dual"):
            certified(problem, dual=dual, clouds=clouds)
    with refuses(ValueError, "dual"):
        certified(problem, dual=np.full(6, np.nan), clouds=[cloud])


def test_nothing_is_saved(tmp_path):
    with refuses(ValueError, "checkpoint"):
        certified(smooth(), run=Run(checkpoint=tmp_path / "search"))


def test_an_interval_is_an_immutable_record_of_its_width():
    numbers = {
        "lower_bound": 0.1,
        "upper_bound": 0.3,
        "prior_objective": 0.9,
        "trustworthy": True,
        "verdict": "Well.",
    }
    arrays = {
        "dual": np.zeros(4),
        "outputs": np.array([1.0, 2.0, 3.0, 4.0]),
        "row_shares": np.array([1, 2, 3, 2]) / 8,
    }
    result = Certificate(
        **numbers, **arrays, num_descents=1, work=10, cpu_seconds=1.0, effort=20.0
    )
    assert result.width == pytest.approx(0.2)
    assert result.unknown_share == pytest.approx(0.25)
    distance = np.sqrt(1.0**2 * 1 / 8 + 2.0**2 * 2 / 8)
    assert result.output_error(np.array([0.0, 2.0, 3.0, 6.0])) == pytest.approx(
        (distance + np.sqrt(0.4)) ** 2
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.lower_bound = 0.2


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"temperature": 0.0}, "temperature 0"),
        ({"effort": 0.0}, "effort 0"),
        ({"effort": -1.0}, "effort 0"),
        ({"effort": math.inf}, "effort 0"),
    ],
)
def test_bad_input_is_named(change, facts):
    arguments = {
        "temperature": 0.1,
        "key": jax.random.key(0),
        "effort": EFFORT,
    } | change
    with refuses(ValueError, facts):
        certify(smooth().risk, arguments.pop("temperature"), **arguments)


def test_a_key_without_type_is_refused():
    with refuses((TypeError, ValueError), "key"):
        certify(smooth().risk, 0.1, key=np.zeros(2, np.uint32))


def test_unbounded_neurons_are_refused():
    risk = MeanFieldRisk(
        neurons.Linear(),
        losses.squared,
        np.ones((2, 1), np.float32),
        np.zeros(2, np.float32),
        1.0,
    )
    with refuses(ValueError):
        certify(risk, 0.1, key=jax.random.key(0))


def test_a_risk_without_a_prior_is_refused():
    inputs, targets = np.ones((2, 1), np.float32), np.zeros(2, np.float32)
    risk = MeanFieldRisk(neurons.Tanh(), losses.squared, inputs, targets, 0.0)
    with refuses(ValueError, "0"):
        certify(risk, 0.1, key=jax.random.key(0))


traces = []


class Counted(Odd):
    """A neuron that leaves a mark whenever it is traced."""

    def __call__(self, particle, x):
        traces.append(x)
        return super().__call__(particle, x)


@pytest.mark.slow
def test_another_temperature_or_effort_compiles_no_walks():
    def traced(temperature, effort):
        before = len(traces)
        inputs = np.linspace(-2, 2, 6)
        problem = Problem(
            Counted(),
            odd_values,
            inputs,
            np.tanh(2 * inputs) + 0.2,
            "squared",
            temperature,
        )
        certified(problem, effort=effort)
        return len(traces) - before

    assert traced(0.02, EFFORT) > 0
    assert traced(0.05, EFFORT) == 0
    assert traced(0.005, 3 * EFFORT) == 0


@pytest.fixture(scope="module")
def by_seconds():
    return certified(smooth("squared", 0.02), effort=None, cpu_seconds=0.5)


def test_seconds_become_an_effort_that_repeats_the_result(by_seconds):
    again = certified(smooth("squared", 0.02), effort=by_seconds.effort)
    assert by_seconds.work <= by_seconds.effort
    assert (again.lower_bound, again.upper_bound, again.work) == (
        by_seconds.lower_bound,
        by_seconds.upper_bound,
        by_seconds.work,
    )
    np.testing.assert_array_equal(again.dual, by_seconds.dual)


@pytest.mark.slow
def test_progress_comes_in_words_and_shares():
    heard = []
    certified(
        smooth("squared", 0.02),
        run=Run(progress=lambda words, share: heard.append((words, share))),
    )
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    with refuses(ValueError):
        certified(smooth("squared", 0.02), effort=1e6, cpu_seconds=2.0)
