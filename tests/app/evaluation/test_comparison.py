"""Every row scored once by models that have not seen it, beside the base rate and the same peers."""

from dataclasses import replace

import numpy as np
import pytest

from langevax.app.evaluation import comparison as module
from langevax.app.evaluation import peers as peers_module
from langevax.app.evaluation.certainty import Coverage, calibration_of, coverage_of
from langevax.app.evaluation.comparison import BASE, OURS, compare, more_folds
from langevax.app.evaluation.holdout import TrainTestSplit
from langevax.app.evaluation.peers import peers
from langevax.app.report import summary
from langevax.run import DivergenceError
from langevax.sklearn.folds import folds_of
from tests.app.report import examples
from tests.sentences import tells

RANDOM = np.random.default_rng(0)


def split_of(task, size=100, rare=0.3):
    inputs = RANDOM.normal(size=(size, 2))
    targets = inputs[:, 0] + 0.3 * RANDOM.normal(size=size)
    if task == "classification":
        targets = (targets > np.quantile(targets, 1 - rare)).astype(int)
    rows = np.arange(size)
    return TrainTestSplit(
        table="t.csv",
        target="y",
        task=task,
        classes=() if task == "regression" else ("no", "yes"),
        names=("a", "b"),
        groups={"a": [0], "b": [1]},
        quantities=(0, 1),
        inputs=inputs,
        targets=targets,
        train=rows[rows % 5 > 0],
        test=rows[rows % 5 == 0],
    )


def few(names):
    return lambda *arguments: {
        name: peer for name, peer in peers(*arguments).items() if name in names
    }


def outputs(split, rows):
    x = split.inputs[rows, 0]
    p = 1 / (1 + np.exp(-4 * x))
    return np.column_stack([1 - p, p]) if split.classes else x


def compared(split, refit=None, **options):
    def fitted(train, test):
        assert not np.intersect1d(train, test).size
        return outputs(split, test)

    chosen = {"seconds": 1.0, "note": "n", "random_state": 0, **options}
    return compare(split, outputs(split, split.test), refit or fitted, **chosen)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_each_row_is_scored_once_by_all_methods(task, monkeypatch):
    monkeypatch.setattr(module, "peers", few(["linear", "boosted trees"]))
    split, named = split_of(task), []
    result = compared(split, report=named.append)
    assert sorted(result.rows) == list(range(100))
    assert result.num_folds == 5
    np.testing.assert_array_equal(result.rows[result.fold == 0], split.test)
    assert named == [OURS, "linear", "boosted trees"]
    assert {score.name for score in result.scores} == {*named, BASE[task]}
    assert result.ours.main.relation == ""
    assert result.base.main.relation == "worse"
    assert result.ranked[-1].base
    assert (
        min(measured.error for score in result.scores for measured in score.measures)
        >= 0
    )


def test_without_peers_only_the_held_out_rows_are_scored():
    result = compared(split_of("regression"), with_peers=False)
    assert (result.num_folds, len(result.rows), len(result.scores)) == (1, 20, 2)
    assert summary.scored_rows(result) == "20 held-out rows"


def test_a_network_that_diverges_on_a_fold_is_scored_on_the_held_out_rows(monkeypatch):
    monkeypatch.setattr(module, "peers", few(["linear"]))

    def diverge(train, test):
        raise DivergenceError.__new__(DivergenceError)

    assert compared(split_of("regression"), diverge).num_folds == 1


def test_large_tables_and_large_shares_have_no_more_folds(monkeypatch):
    split = split_of("regression")
    assert len(more_folds(split, 0)) == 4
    monkeypatch.setattr(module, "MAX_FOLD_ROWS", 99)
    assert more_folds(split, 0) == []


def test_probabilities_are_never_surer_than_the_training_rows_allow():
    split = split_of("classification")
    sure = np.eye(2)[1 - split.test_targets]  # certain, and wrong
    result = compare(
        split,
        sure,
        lambda train, test: sure,
        seconds=0,
        note="",
        random_state=0,
        with_peers=False,
    )
    assert result.ours.value == pytest.approx(-np.log(0.5 / 80 / (1 + 0.5 / 80)))


def test_accuracy_does_not_make_a_useless_model_look_good():
    """A share of 4 % and a network that knows it: accuracy 0.96, and the first sentence says what it is worth."""
    split = split_of("classification", 500, rare=0.04)
    share = split.train_targets.mean()
    useless = np.tile([1 - share, share], (100, 1)) + RANDOM.normal(
        scale=1e-3, size=(100, 1)
    ) * [1, -1]
    result = compare(
        split,
        useless,
        lambda *_: useless,
        seconds=0,
        note="",
        random_state=0,
        with_peers=False,
    )
    sentences = summary.worth(result, "y", split.classes)
    assert result.ours.named("accuracy").value > 0.9
    tells(sentences[0])
    tells(sentences[-1], "0")


def test_classes_that_are_numbers_are_named_with_their_column():
    split = split_of("classification", 500, rare=0.3)
    p = 0.2 + 0.6 * split.test_targets
    known = np.column_stack([1 - p, p])
    result = compare(
        split,
        known,
        lambda *_: known,
        seconds=0,
        note="",
        random_state=0,
        with_peers=False,
    )
    assert summary.worth(result, "y", ("0", "1"))[0].startswith(
        "Ranks 'y = 1' above 'y = 0' in "
    )
    assert summary.worth(result, "y", ("no", "yes"))[0].startswith(
        "Ranks 'yes' above 'no' in "
    )


@pytest.mark.slow
def test_the_sentences_name_level_and_better_methods(monkeypatch):
    monkeypatch.setattr(module, "peers", few(["linear"]))
    split = split_of("regression")
    level = summary.worth(compared(split), "y", ())
    assert level[0].startswith("Explains ")
    assert "always predicting the mean explains none" in level[0]
    assert level[2].startswith("Level with it, within error: the linear model.")
    shifted = compared(split, lambda train, test: outputs(split, test) + 1.0)
    assert (
        "the linear model did better beyond the error of the difference"
        in summary.worth(shifted, "y", ())[2]
    )
    monkeypatch.setattr(module, "peers", few(["linear", "random forest"]))
    two = summary.worth(
        compared(split, lambda train, test: outputs(split, test) + 2.0), "y", ()
    )[2]
    assert "the linear model and the random forest did better" in two
    assert (
        " and 0." in two.partition("R² ")[2].partition("against")[0]
    )  # a score for each


class Intervals:
    def predict_interval(self, inputs, coverage):
        return np.column_stack([inputs - 1, inputs + 1])


class Sets:
    def predict_set(self, inputs, coverage):
        return np.column_stack([np.ones(len(inputs), bool), inputs > 1])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_groups_are_on_one_side_of_each_split_and_of_each_search(task, monkeypatch):
    groups = np.repeat(np.arange(20), 5)
    split = split_of(task)
    split = replace(
        split,
        row_groups=groups,
        grouped_by="who",
        train=np.flatnonzero(groups > 3),
        test=np.flatnonzero(groups <= 3),
    )
    seen = []

    def own_folds(size, number, labels=None, groups=None, random_state=0):
        folds = folds_of(size, number, labels, groups=groups, random_state=random_state)
        assert all(
            not np.intersect1d(groups[own], groups[held]).size for own, held in folds
        )
        seen.append(len(folds))
        return folds

    monkeypatch.setattr(peers_module, "folds_of", own_folds)

    def refit(train, test):
        assert not np.intersect1d(groups[train], groups[test]).size
        return outputs(split, test)

    names = ("linear", "kernel machine")
    monkeypatch.setattr(module, "peers", few(names))
    result = compared(split, refit)
    assert set(names) < {score.name for score in result.scores}
    assert (result.num_folds, len(result.rows)) == (5, 100)
    assert seen.count(3) == len(seen) > 1
    tells(summary.scored_rows(result), "100 'who' 5")
    alone = compared(replace(split, row_groups=None, grouped_by=""), with_peers=False)
    assert summary.scored_rows(alone) == "20 held-out rows"


def test_coverage_counts_the_sets_with_the_class():
    observed = np.array([0] * 45 + [1] * 5)
    coverage = coverage_of(Sets(), np.arange(50) - 46.0, observed, ("no", "yes"))
    assert (coverage.inside, coverage.spread) == (47, 2)
    own = summary.certainty(
        coverage, None, ("no", "yes"), held_out=("log loss", 0.6112, 40)
    )
    assert own.startswith(
        "The saved model has log loss 0.611 on the 40 rows of holdout.csv"
    )


def test_coverage_counts_the_rows_inside():
    coverage = coverage_of(Intervals(), np.zeros(10), np.linspace(-2, 2, 10), ())
    assert (coverage.inside, coverage.num_rows, coverage.width) == (4, 10, 2.0)
    tells(summary.certainty(coverage, None, ()), "4 10 40")
    assert coverage_of(object(), np.zeros(10), np.zeros(10), ()) is None


def test_calibration_has_bins_of_as_many_rows():
    p = np.concatenate([np.full(900, 0.01), np.full(100, 0.5)])
    labels = (np.random.default_rng(0).random(1000) < p).astype(int)
    calibration = calibration_of(labels, np.column_stack([1 - p, p]), ("no", "yes"))
    assert calibration.num_rows.tolist() == [125] * 8
    assert calibration.predicted[-1] == pytest.approx(0.402)
    wrong = calibration_of(labels, np.column_stack([p, 1 - p]), ("no", "yes"))
    assert "as often as predicted in " in summary.certainty(None, wrong, ("no", "yes"))
    sets = Coverage(0.9, 18, 20, 1.2, 2.0)
    tells(summary.certainty(sets, None, ("no", "yes")), "18 20 90 1.2 2")


def test_few_rows_are_said_to_be_few():
    def sentences(size):
        x = np.random.default_rng(0).normal(size=size)
        return summary.worth(
            examples.compared("regression", x, 0.9 * x, {"linear": 0.8 * x}),
            "y",
            (),
            unit="curve",
        )

    tells(sentences(49)[-1], "49")
    assert not any("are few" in sentence for sentence in sentences(50))


def test_a_threshold_decides_which_class_is_answered():
    labels = np.array([0] * 90 + [1] * 10)
    p = np.linspace(0, 0.4, 100)
    result = examples.compared("classification", labels, np.stack([1 - p, p], 1), {})
    assert (
        "its answers find 0 of them, with 0 false alarms. To find more"
        in summary.worth(result, "y", ("a", "b"))[-1]
    )
    lower = replace(result, threshold=0.3)
    tells(summary.worth(lower, "y", ("a", "b"))[-1], "10 15")
