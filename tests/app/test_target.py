"""The target to be predicted, and the rows with one."""

import numpy as np
import polars as pl
import pytest

from langevax.app.errors import BadInput
from langevax.app.fitting.splitting import row_groups, split_rows
from langevax.app.tables.targets import TargetColumn, read_target
from tests.sentences import refuses, tells


def target_of(values, task=None):
    return read_target(pl.DataFrame({"y": values}), "y", task)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["a", "b", "a"], "classification", ("a", "b")),
        ([True, False, True], "classification", ("false", "true")),
        (["0", "1", "1"], "classification", (0, 1)),
        (["1.0", "", "2.0", "1.0"], "classification", (1, 2)),
        ([1, 2, 3] * 5, "classification", (1, 2, 3)),
        ([1, 2, 3] * 2, "regression", ()),
        ([0.5, 1.5, 0.5], "regression", ()),
        (list(range(20)), "regression", ()),
    ],
)
def test_the_task_follows_from_the_values(values, task, classes):
    target = target_of(values)
    assert (target.task, target.classes) == (task, classes)


def test_task_overrides_the_inferred_one():
    assert target_of(["0", "1", "1"], "regression").values.tolist() == [0, 1, 1]
    assert target_of([0.5, 1.5, 0.5], "classification").classes == ("0.5", "1.5")
    assert target_of(["1", "x", "x", "1"], "classification").classes == ("1", "x")


def test_rows_without_a_target_are_left_out():
    target = target_of(["3.5", "NA", "inf", "4.5"])
    assert target.rows.tolist() == [0, 3]
    assert target.values.tolist() == [3.5, 4.5]


@pytest.mark.parametrize(
    ("values", "task", "facts"),
    [
        ([None, None], None, ""),
        (["1"], None, "1"),
        (["2", "2"], None, "2"),
        (["a", "a"], None, "'a'"),
        (["a", "b", "a"], "regression", "--task"),
        (["a", "b", "c", "d"], None, "4"),
        (
            [f"c{i % 150}" for i in range(600)],
            None,
            "150 600 100",
        ),
        (["2024-01-01", "2024-01-02"], None, ""),
        ([[1], [2]], None, ""),
    ],
)
def test_invalid_targets_are_refused(values, task, facts):
    with refuses(BadInput, facts) as refusal:
        target_of(values, task)
    assert "--target 'y'" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["01", "1", "01", "1"], ("01", "1")),
        (["1.23456789", "1.23457", "1.23457"], ("1.23456789", "1.23457")),
        ([str(2**53), str(2**53 + 1), str(2**53)], (str(2**53), str(2**53 + 1))),
        ([str(2**64), str(2**64 + 1), str(2**64)], (str(2**64), str(2**64 + 1))),
        (["$5", "$7.50", "$5"], ("$5", "$7.50")),
        (["Ja", "nein", "Ja"], ("Ja", "nein")),
        (["10", "9", "10"], (9, 10)),
    ],
)
def test_classes_keep_their_spelling(values, classes):
    target = target_of(values, "classification")
    assert target.classes == classes
    assert [str(target.classes[i]) for i in target.values] == values


def test_words_for_a_missing_target_leave_its_rows_out():
    target = target_of(["1.5", "2", "unknown", "-", "4", "0.5"])
    assert target.rows.tolist() == [0, 1, 4, 5]
    assert target.task == "regression"


def test_classes_of_many_different_numbers_are_refused():
    numbers = [f"{i * 0.5}" for i in range(40)]
    with refuses(BadInput, "'y' 40 10"):
        target_of(numbers, "classification")


def test_an_unknown_target_is_answered_with_the_nearest_name():
    with refuses(BadInput, "'Quality'"):
        read_target(pl.DataFrame({"Quality": [1, 2], "x": [1, 2]}), "qualty", None)


def classes_of(labels):
    names, values = np.unique(labels, return_inverse=True)
    return TargetColumn(
        "classification",
        "",
        np.arange(len(labels)),
        values,
        tuple(names.tolist()),
        False,
    )


def test_every_class_is_held_out_in_its_share():
    target = classes_of(["a"] * 50 + ["b"] * 10)
    train, test, notes = split_rows(target, 0.2, 0)
    assert (target.values[test] == 1).sum() == 2
    assert sorted([*train, *test]) == list(range(60))
    assert notes == []


def test_a_class_with_one_row_goes_to_training():
    target = classes_of(["a"] * 20 + ["lonely"] + ["b"] * 20)
    for seed in range(5):
        train, _, notes = split_rows(target, 0.2, seed)
        assert 20 in train
        tells(notes[0], "'lonely'")


def test_too_few_rows_for_every_class_give_a_plain_split():
    target = classes_of(list("aabbccddeeff"))
    _, test, notes = split_rows(target, 0.2, 0)
    assert len(test) == 3
    tells(notes[0])


def test_a_split_that_leaves_nothing_to_learn_is_refused():
    with refuses(BadInput, "--target 0"):
        split_rows(classes_of(["a", "b"] * 5), 0.95, 0)


def visits(patients=12, each=5):
    frame = pl.DataFrame({"patient": [f"p{i // each}" for i in range(patients * each)]})
    return frame, np.arange(patients * each) % 3


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_no_group_is_trained_on_and_held_out(task):
    frame, values = visits()
    classes = () if task == "regression" else ("a", "b", "c")
    target = TargetColumn(task, "", np.arange(60), values, classes, True)
    groups, notes = row_groups("patient", frame, target.rows)
    train, test, _ = split_rows(target, 0.2, 0, groups)
    assert not np.intersect1d(groups[train], groups[test]).size
    assert sorted([*train, *test]) == list(range(60))
    assert 8 <= len(test) <= 16
    assert not np.array_equal(test, split_rows(target, 0.2, 1, groups)[1])
    assert notes == []


def test_groups_of_the_only_rows_of_a_class_train():
    frame, values = visits()
    values[:5] = 3  # a class of one patient
    target = TargetColumn(
        "classification", "", np.arange(60), values, ("a", "b", "c", "d"), True
    )
    groups, _ = row_groups("patient", frame, target.rows)
    for seed in range(6):
        train, _, _ = split_rows(target, 0.2, seed, groups)
        assert set(range(5)) <= set(train)


def test_columns_that_are_no_groups_are_refused():
    rows = [str(i) for i in range(20)]
    frame = pl.DataFrame(
        {
            "site": ["a", "b"] * 10,
            "row": rows,
            "few": ["a", "b", None, "c"] * 4 + ["a", "b", "n.a.", "c"],
        }
    )
    with refuses(BadInput, "--group 'site' 2"):
        row_groups("site", frame, np.arange(20))
    with refuses(BadInput):
        row_groups("row", frame, np.arange(20))
    groups, notes = row_groups("few", frame, np.arange(20))
    assert len(np.unique(groups)) == 8
    tells(notes[0], "5 'few'")
    assert notes[1].startswith("8 groups are few")
