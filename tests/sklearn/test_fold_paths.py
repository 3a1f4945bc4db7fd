"""Folds that go down in temperature together, their race, and fits along a path: what they know and what they say."""

import warnings
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from langevax import losses
from langevax.problems.neurons import TanhTanh
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, load
from langevax.sklearn.fold_paths import (
    FoldSearch,
    SplitRows,
    best_search,
    clearly_above,
)
from langevax.sklearn.training import Network, TrainingTask
from tests.sentences import warns
from tests.sklearn.tables import QUICK, fold_search, outputs_left_out

N = 60
PLAIN = QUICK | {"scaling": "columns", "learn_scales": False}


def network(weights=None):
    rng = np.random.default_rng(0)
    inputs = np.float32(rng.normal(size=(N, 2)))
    y = np.float32(np.tanh(2 * inputs[:, 0]) + 0.1 * rng.normal(size=N))
    task = TrainingTask(TanhTanh(10.0), losses.squared, y, y[:, None], None)
    return Network(task, inputs, np.ones(N) if weights is None else weights, 1.0)


def test_rows_times_temperature_carries_over_to_the_folds():
    weights = np.random.default_rng(1).uniform(0.5, 2, N)
    own = network(weights)
    with closing(fold_search(own)) as search:
        search.losses()
        for number in (0, 2):
            whole = search.temperature(number) * own.weights.sum()
            for fold, (trained, _) in enumerate(search.split.folds):
                reached = search.path(fold).networks[number].temperature
                assert reached * weights[trained].sum() == pytest.approx(whole)


def test_positions_of_a_fold_are_the_network_that_was_judged():
    """Slopes in the place of output weights, on the columns of all rows, in NumPy."""
    with closing(fold_search(network())) as search:
        z = outputs_left_out(search, 2)
        choice = search.choice()
        for fold, (_, held) in enumerate(search.split.folds):
            slopes, w, b = np.split(search.path(fold).positions(2), [1, 3], axis=1)
            neurons = np.tanh(w @ search.network.inputs[held].T + b)
            expected = np.mean(slopes * neurons, 0) + choice.held_out.offsets[fold]
            np.testing.assert_allclose(z[held], expected, atol=1e-4)
    np.testing.assert_array_equal(choice.held_out.fold, search.split.fold_of)


def test_a_path_ends_where_its_losses_have_risen_or_do_not_fall():
    with closing(fold_search(network())) as search:
        choice = search.choice()
    number = len(choice.history["loss"])
    assert 0 < choice.chosen < number < 17
    least = int(np.argmin(choice.history["loss"]))
    assert number - least <= 4


def unheard(words, share):
    """A report of progress that nobody reads."""


class Known(FoldSearch):
    """A candidate of known losses of each row left out."""

    def __init__(self, losses_of_rows, asked):
        self.losses_of_rows, self.asked = losses_of_rows, asked
        self.split = SplitRows.of(None, np.ones(N), None)
        self.rows = SimpleNamespace(weights=np.ones(N))

    def best_losses(self, num_folds):
        self.asked.append(num_folds)
        return self.losses_of_rows[self.held(num_folds)]


def test_a_clearly_worse_candidate_is_dropped_and_others_stay():
    rng = np.random.default_rng(0)
    of_rows = rng.uniform(size=N)
    nearly = of_rows + 0.001
    for _, held in SplitRows.of(None, np.ones(N), None).folds:
        nearly[held] += 0.1 * (-1.0) ** np.arange(len(held))
    worse, asked = of_rows + rng.uniform(0.1, 0.2, N), [[], [], []]
    candidates = [
        Known(rows, mine)
        for rows, mine in zip((worse, nearly, of_rows), asked, strict=True)
    ]
    assert best_search(candidates, unheard) is candidates[2]
    assert asked == [[1], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]


def test_the_first_of_equal_candidates_is_taken():
    of_rows = np.random.default_rng(0).uniform(size=N)
    candidates = [Known(of_rows, []) for _ in range(3)]
    assert best_search(candidates, unheard) is candidates[0]


def test_clearly_above_is_by_two_paired_errors():
    others = np.random.default_rng(0).uniform(size=100)
    noise = np.where(np.arange(100) % 2, 1.0, -1.0)  # of error .1
    assert not clearly_above(others + noise + 0.19, others, np.ones(100))
    assert clearly_above(others + noise + 0.21, others, np.ones(100))
    assert not clearly_above(others, others, np.ones(100))


def test_copies_of_a_row_are_in_different_folds_in_parts_and_groups_in_one():
    copies = np.where(np.arange(N) < 10, 3.0, 1.0)
    split = SplitRows.of(None, copies, None)
    assert len(split.places) == N + 20
    for place in range(10):
        folds = split.fold_of[split.places == place]
        assert len(set(folds)) == 3
    rows = split.of_network(network(copies))
    assert rows.weights.sum() == copies.sum()
    groups = np.arange(N) // 5
    together = SplitRows.of(None, copies, groups)
    assert len(together.places) == N
    assert all(len(set(together.fold_of[groups == g])) == 1 for g in range(12))


def table(n=40):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    return X, np.tanh(2 * X[:, 0]) + 0.1 * rng.normal(size=n)


def test_a_weight_of_two_is_a_row_twice_of_zero_is_none_and_the_order_is_none():
    X, y = table()
    counts = np.arange(40) % 3
    fit = MeanFieldRegressor(**PLAIN, temperature=0.1).fit
    weighted = fit(X, y, counts).predict(X)
    rows = np.repeat(np.arange(40), counts)
    np.testing.assert_array_equal(fit(X[rows], y[rows]).predict(X), weighted)
    order = np.random.default_rng(1).permutation(rows)
    np.testing.assert_array_equal(fit(X[order], y[order]).predict(X), weighted)


def test_the_networks_of_the_last_rounds_predict_together():
    X, y = table()
    model = MeanFieldRegressor(**PLAIN, temperature=0.1).fit(X, y)
    assert model.solver_ == "path"
    assert model.converged_
    assert len(model.clouds_) == 5
    history = model.history_
    assert np.all(np.diff(history["temperature"]) <= 0)
    assert np.sum(history["temperature"] == 0.1) == 5
    np.testing.assert_array_equal(history["steps"], np.arange(1, model.n_iter_ + 1))
    stages = np.stack(list(model.staged_outputs(X)))
    np.testing.assert_allclose(stages[-5:].mean(0), model.outputs(X), atol=1e-5)
    t = (y - y.mean()) / y.std()
    np.testing.assert_allclose(
        np.mean((stages - t) ** 2, axis=1) / 2, history["loss"], rtol=1e-3
    )


def test_the_dual_vector_is_that_of_the_outputs():
    """Of the last rounds: z - y with squared loss."""
    X, y = table()
    model = MeanFieldRegressor(**PLAIN, temperature=0.1).fit(X, y)
    t = (y - y.mean()) / y.std()
    np.testing.assert_allclose(model.dual_, model.outputs(X) - t, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1e-9, 1e-3])
def test_a_path_that_does_not_end_at_the_optimum_is_a_warning(temperature):
    """Sixteen particles come down to 1e-3, but not to its law."""
    X, y = table()
    num_particles = 16
    model = MeanFieldRegressor(
        **PLAIN | {"num_particles": num_particles}, temperature=temperature
    )
    facts = f"{temperature:.3g} num_particles={4 * num_particles}"
    with warns(ConvergenceWarning, facts):
        model.fit(X, y)
    assert not model.converged_
    assert np.isfinite(model.predict(X)).all()
    reached = model.history_["temperature"][-1] == temperature
    assert reached == (temperature == 1e-3)


def test_a_temperature_above_the_first_of_a_path_is_reached():
    X, y = table()
    model = MeanFieldRegressor(**PLAIN, temperature=20.0).fit(X, y)
    assert model.converged_
    assert len(model.clouds_) == 5
    np.testing.assert_array_equal(model.history_["temperature"][-5:], 20.0)
    assert np.std(model.predict(X)) < 0.3 * np.std(y)


def odd_tables():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    yield "three rows", X[:3], np.array([0.0, 1.0, 5.0])
    yield "two equal rows", np.repeat(X[:1], 2, axis=0), np.array([0.0, 1.0])
    yield "constant targets", X, np.full(30, 3.0)
    yield "constant columns", np.ones((30, 2)), rng.normal(size=30)
    yield "more columns than rows", rng.normal(size=(12, 40)), rng.normal(size=12)
    yield "heavy tails", rng.standard_cauchy(size=(30, 3)), rng.standard_cauchy(30)
    yield "copies", np.repeat(X[:3], 10, axis=0), np.repeat([0.0, 1.0, 2.0], 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("X", "y"), [pytest.param(*rest, id=name) for name, *rest in odd_tables()]
)
def test_odd_tables_end_in_numbers_between_the_targets(X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = MeanFieldRegressor(num_particles=32, random_state=0).fit(X, y)
    assert model.solver_ == "path"
    beyond = 0.5 * np.ptp(y) + 1e-3
    z = model.predict(X)
    assert np.all((y.min() - beyond < z) & (z < y.max() + beyond))
    if np.ptp(y) == 0:
        np.testing.assert_allclose(z, y, atol=1e-3)


@pytest.mark.slow
def test_separable_classes_are_separated_with_finite_outputs():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2)) + np.where(np.arange(40) % 2, 4.0, -4.0)[:, None]
    model = MeanFieldClassifier(num_particles=32, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(X, np.arange(40) % 2)
    assert model.score(X, np.arange(40) % 2) == 1
    assert np.isfinite(model.decision_function(X)).all()


def test_a_loaded_model_has_the_training_problem_of_its_fit(tmp_path):
    X, y = table()
    model = MeanFieldRegressor(**PLAIN, temperature=0.01).fit(X, y)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model").attach_rows(X, y)
    assert loaded.network_.task.neuron == model.network_.task.neuron


def test_networks_of_folds_have_the_temperature_that_was_passed():
    X, y = table()
    model = MeanFieldRegressor(**PLAIN | {"validation": "folds"}, temperature=0.1).fit(
        X, y
    )
    assert model.temperature_ == model.path_["temperature"][-1] == 0.1
    assert model.temperature_reason_ is None
    assert len(model.predict_interval(X)) == len(X)
