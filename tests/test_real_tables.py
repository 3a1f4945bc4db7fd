"""The comparison on real tables: what is read, that a run continues where it stopped, and what is reported."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks import __main__ as command
from benchmarks import real_tables, results
from benchmarks.real_tables import methods, report, tables
from benchmarks.real_tables.tables import REGRESSION, TABLES, RealTable
from tests.sentences import refuses

SMOOTH = RealTable("smooth", "made/smooth", "y", drop="id", categories="code", log=True)
CLASSES = RealTable("classes", "made/first made/second", "y", drop="id")
KEPT_BACK = RealTable("kept_back", "made/smooth", "y", held_out=True)


def made(source):
    """Sixty rows of numbers, words and codes, some missing, beside an identifier and a constant."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"id": np.arange(60), "x": rng.normal(size=60), "constant": 1.0}
    )
    frame["word"] = np.where(frame["x"] > 0, "high", "low")
    frame["code"] = rng.integers(1, 4, 60)
    frame["y"] = (
        np.exp(frame["x"])
        if "smooth" in source
        else np.where(frame["x"] > 0.3, "yes", "no")
    )
    frame.loc[0, "word"], frame.loc[1, "x"], frame.loc[2, "y"] = None, np.nan, None
    return frame


@pytest.fixture(autouse=True)
def of_made_tables(monkeypatch):
    monkeypatch.setattr(tables, "read", made)
    monkeypatch.setattr(tables, "REGRESSION", (SMOOTH, KEPT_BACK))
    monkeypatch.setattr(real_tables, "find_spec", lambda name: True)
    for module in (tables, real_tables, report):
        monkeypatch.setattr(
            module,
            "TABLES",
            {"smooth": SMOOTH, "classes": CLASSES, "kept_back": KEPT_BACK},
        )


# What is read


def test_more_than_half_of_the_new_tables_are_held_out():
    assert len(TABLES) == 51
    assert sum(table.held_out for table in TABLES.values()) == 21 > (51 - 12) / 2
    assert len({table.source for table in TABLES.values()}) == 51
    assert len(REGRESSION) == 27


def test_identifiers_constants_and_rows_without_a_target_are_dropped():
    frame, targets = tables.load(SMOOTH)
    assert list(frame) == ["x", "word", "code"]
    assert len(frame) == len(targets) == 59
    assert tables.words_of(frame) == ["word", "code"]
    np.testing.assert_allclose(targets[5], frame["x"][6 - 1], rtol=1e-12)


def test_classes_are_numbered():
    _, targets = tables.load(CLASSES)
    assert set(targets) == {0, 1}


def test_a_column_that_is_not_there_is_named():
    with refuses(LookupError):
        tables.load(RealTable("smooth", "made/smooth", "y", drop="nothing"))


def test_both_forms_have_the_same_rows_and_nothing_of_the_test_rows_is_learned():
    data = tables.split(SMOOTH, 0)
    assert (
        [len(part) for part in data.frame]
        == [len(part) for part in data.matrix]
        == [47, 12]
    )
    assert [part["x1"].dtype == "category" for part in data.frame] == [True, True]
    assert "missing" in data.frame[0]["x1"].cat.categories
    assert not any(part["x1"].isna().any() for part in data.frame)
    assert all(np.isfinite(part).all() for part in data.matrix)


def test_an_unseen_category_counts_as_missing():
    train, test = (
        pd.DataFrame({"word": ["a", "b", None]}),
        pd.DataFrame({"word": ["c", "b"]}),
    )
    _, coded = tables._with_categories(train, test)
    assert list(coded["x0"]) == ["missing", "b"]


def test_folds_are_the_same_whoever_asks():
    first, again = (
        tables.split(CLASSES, 1, max_rows=40),
        tables.split(CLASSES, 1, max_rows=40),
    )
    np.testing.assert_array_equal(first.matrix[1], again.matrix[1])
    assert sum(map(len, first.targets)) == 40


# How it is run


class Constant:
    """Predicts the mean or the shares, with an interval that holds the middle half."""

    def __init__(self, task):
        self.task = task

    def fit(self, X, y):
        self.y = y
        return self

    def predict(self, X):
        return np.full(len(X), np.mean(self.y))

    def predict_proba(self, X):
        return np.tile(np.bincount(self.y) / len(self.y), (len(X), 1))

    def predict_interval(self, X, coverage):
        return np.tile(
            np.quantile(self.y, [(1 - coverage) / 2, (1 + coverage) / 2]), (len(X), 1)
        )


@pytest.fixture
def one_method(monkeypatch):
    fitted = []

    def make(split):
        fitted.append(split.task)
        return Constant(split.task)

    monkeypatch.setitem(methods.METHODS, "linear", methods.Method("linear", make))
    return fitted


def test_a_run_continues_where_it_stopped(tmp_path, one_method, capsys):
    out = tmp_path / "folder" / "results.jsonl"
    words = ["--methods", "linear", "--folds", "2", "--out", str(out)]
    real_tables.main([*words, "--budget-hours", "0"])
    assert len(one_method) == 1
    with out.open("a") as file:
        file.write('{"table": "classes", "fo')  # cut off
    real_tables.main(words)
    assert len(one_method) == 4
    real_tables.main(words)
    assert len(one_method) == 4
    records = report.read(out)
    assert {(record["table"], record["fold"]) for record in records} == {
        ("smooth", 0),
        ("smooth", 1),
        ("classes", 0),
        ("classes", 1),
    }
    assert "### R2 by table" in capsys.readouterr().out


def test_held_out_tables_are_left_alone_unless_they_are_named_or_asked_for(
    tmp_path, one_method
):
    out = tmp_path / "results.jsonl"
    real_tables.main(["--methods", "linear", "--folds", "1", "--out", str(out)])
    assert {record["table"] for record in report.read(out)} == {"smooth", "classes"}
    real_tables.main(
        ["--methods", "linear", "--folds", "1", "--out", str(out), "--sets", "held-out"]
    )
    assert {record["table"] for record in report.read(out)} == {
        "smooth",
        "classes",
        "kept_back",
    }


def test_a_failed_fit_is_recorded_and_tried_again(
    tmp_path, monkeypatch, one_method, capsys
):
    class Broken(Constant):
        def fit(self, X, y):
            raise ValueError("cannot")

    out = tmp_path / "results.jsonl"
    words = ["--tables", "smooth", "--folds", "1", "--out", str(out), "--methods"]
    monkeypatch.setitem(
        methods.METHODS, "mlp", methods.Method("MLP", lambda split: Broken(split.task))
    )
    real_tables.main([*words, "mlp"])
    assert "- smooth, fold 0, mlp: ValueError: cannot" in capsys.readouterr().out
    monkeypatch.setitem(methods.METHODS, "mlp", methods.METHODS["linear"])
    real_tables.main([*words, "mlp"])
    (record,) = report.read(out)
    assert "error" not in record


def test_a_missing_package_is_named_and_skipped(
    tmp_path, monkeypatch, one_method, capsys
):
    def absent(split):
        import no_such_package_of_peers

        return no_such_package_of_peers

    monkeypatch.setitem(methods.METHODS, "xgboost", methods.Method("XGBoost", absent))
    out = tmp_path / "results.jsonl"
    words = ["--tables", "smooth", "--folds", "1", "--out", str(out)]
    real_tables.main([*words, "--methods", "xgboost,linear"])
    assert [record["method"] for record in report.read(out)] == ["linear"]
    assert (
        "no_such_package_of_peers is not installed; run pip install --group bench"
        in capsys.readouterr().err
    )


def test_options_are_passed_on_and_the_comparison_runs_only_by_name(monkeypatch):
    passed = []
    monkeypatch.setattr(
        real_tables, "main", lambda options=(): passed.append(list(options))
    )
    for words in (["real_tables", "--folds", "1"], ["real_tables"]):
        monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
        assert command.main() == 0
    assert passed == [["--folds", "1"], []]
    monkeypatch.setattr(command, "beside", lambda options, files: 0)
    monkeypatch.setattr(command, "TABLES", {"real_tables": "real_tables:main"})
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    assert command.main() == 0
    assert len(passed) == 2


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        real_tables.main(["--tables", "smooth,nothing"])
    assert "'nothing' is not one of smooth, classes" in capsys.readouterr().err


def test_intervals_are_scored_where_a_model_has_them(one_method):
    (record,) = real_tables.records(SMOOTH, 0, ["linear"])
    assert 0.7 <= record["coverage"] <= 1
    assert record["width"] > 1
    assert record["r2"] < 0.1


@pytest.mark.long
@pytest.mark.parametrize("table", [SMOOTH, CLASSES])
def test_the_methods_that_need_no_other_package_fit(table):
    own = ["langevax", "linear", "boosting", "kernel", "mlp", "gp", "limit"]
    results = {
        record["method"]: record for record in real_tables.records(table, 0, own)
    }
    assert not [record["error"] for record in results.values() if "error" in record]
    assert list(results) == own
    scores = [
        record["r2"] if table is SMOOTH else -record["log_loss"]
        for record in results.values()
    ]
    assert min(scores[:2]) > (0.8 if table is SMOOTH else -0.5)
    assert results["langevax"]["temperature"] > 0
    json.dumps(results)


# What is reported


def result(table, method, fold=0, **scores):
    return {
        "table": table,
        "fold": fold,
        "method": method,
        "n": 47,
        "d": 5,
        "task": "regression",
        **scores,
    }


@pytest.mark.parametrize(
    ("number", "quantile"), [(2, 1.960), (5, 2.728), (10, 3.164), (20, 3.544)]
)
def test_critical_differences_are_those_of_demsars_table(number, quantile):
    """Demšar, JMLR 2006, table 5 (a), and its continuation to 20 methods."""
    difference = report.critical_difference(number, tables=6)
    assert difference == pytest.approx(
        quantile * np.sqrt(number * (number + 1) / 36), rel=1e-3
    )


def test_a_mean_is_over_the_folds_that_all_methods_have():
    records = [result("smooth", "langevax", fold, r2=fold / 10) for fold in range(3)]
    records += [result("smooth", "linear", fold, r2=0.5) for fold in (0, 1)]
    assert report.means(records, "r2") == {
        "smooth": {"langevax": pytest.approx(0.05), "linear": 0.5}
    }


def test_rank_1_is_the_best_and_ties_share():
    scores = {
        "smooth": {"langevax": 0.3, "linear": 0.3, "mlp": 0.1},
        "classes": {"langevax": 0.2},
    }
    assert report.mean_ranks(scores, ["langevax", "linear", "mlp"], higher=True) == (
        {"langevax": 1.5, "linear": 1.5, "mlp": 3.0},
        1,
    )
    assert report.mean_ranks(scores, ["langevax", "mlp"], higher=False)[0] == {
        "langevax": 2.0,
        "mlp": 1.0,
    }


def test_gains_are_positive_where_ours_is_better():
    records = [
        result("smooth", "langevax", r2=0.5),
        result("smooth", "linear", r2=0.25),
    ]
    records += [
        result("classes", "langevax", log_loss=0.5),
        result("classes", "linear", log_loss=0.25),
    ]
    text = report.differences_part(records, {"smooth", "classes"})
    assert "| R2 | linear | 1 of 1 | +0.250 | +0.250 |" in text
    assert "| log loss | linear | 0 of 1 | -0.250 | -0.250 |" in text


def test_bounds_hold_the_mean_and_shrink_with_tables():
    gains = np.random.default_rng(0).normal(0.1, 1, 400)
    low, high = report.bounds(gains)
    assert low < gains.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.15)
    assert np.isnan(report.bounds(gains[:4])).all()


def test_a_table_where_ours_is_worse_than_linear_is_named():
    records = [
        result("smooth", "linear", fold, r2=0.5 + fold / 100) for fold in range(3)
    ]
    worse = [
        result("smooth", "langevax", fold, r2=0.4 + fold / 90) for fold in range(3)
    ]
    assert report.worse_than_linear([*records, *worse]).endswith(
        "of 1 tables: smooth (by 0.099 ± 0.001)."
    )
    same = [result("smooth", "langevax", fold, r2=0.4 + fold / 9) for fold in range(3)]
    assert report.worse_than_linear([*records, *same]).endswith("of 1 tables: none.")


def test_large_tables_and_rows_for_information_are_shown_but_not_ranked():
    records = [
        result("smooth", name, r2=0.5, cpu_s=1.0)
        for name in ("langevax", "linear", "limit")
    ]
    records += [
        result("kept_back", name, r2=0.5, cpu_s=9.0) | {"n": 4001}
        for name in ("langevax", "linear")
    ]
    text = report.printed(records)
    ranks = text.partition("### Mean ranks by R2")[2].partition("###")[0]
    assert "all, 1 tables" in ranks
    assert "kernel limit" not in ranks
    assert "| kept_back * | 4,001 x 5 |" in text
    assert "| langevax | 1 | 1 |" in text


def test_the_report_goes_between_its_markers():
    begin, end = "<!-- x: begin -->", "<!-- x: end -->"
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    new = results.inserted(page, "new", "x")
    assert new == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    with refuses(ValueError):
        results.inserted("before", "new", "x")
