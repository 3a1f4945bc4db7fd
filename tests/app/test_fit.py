"""`langevax fit`, from a table to a folder."""

import html
import json
import os
import re
import signal
import warnings

import jax
import numpy as np
import polars as pl
import pytest
from sklearn.exceptions import ConvergenceWarning

from langevax.app.fitting import run as fitting
from langevax.app.fitting.network import NetworkFit
from langevax.app.folder import PARTS
from langevax.app.options import Panel
from langevax.app.report.numbers import with_error
from langevax.locks import LOCK_FILE, Lock
from langevax.sklearn import MeanFieldClassifier
from tests.app.conftest import QUICK, langevax
from tests.sentences import tells


@pytest.mark.slow
@pytest.mark.parametrize("target", ["price", "sold"])
def test_fit_succeeds_and_fills_its_folder(fitted, target):
    out, answer = fitted[target]
    assert answer.exit_code == 0, answer.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(PARTS)
    assert answer.stderr == ""


def test_fit_prints_what_it_read_inferred_and_measured(fitted):
    out, answer = fitted["price"]
    for words in (
        "60 rows, 4 columns",
        "1 of numbers, 1 of words, as 5 inputs; 7 missing values in 'size'",
        "'id' is left out: it numbers the rows",
        "'price': regression, its values are",
        "override with --task classification",
        "48 rows to train on, 12 held out",
        "20 steps at temperature 0.05",
        "mean-field network",
        f"{out}/report.html",
        "\nWorth        ",
        "\nCertificate  The ",
        "training objective, on 48 rows at temperature 0.05",
    ):
        assert words in answer.stdout
    assert "\x1b" not in answer.stdout
    assert (
        "classification into 2 classes, its values are 2 words"
        in fitted["sold"][1].stdout
    )


def test_result_contains_the_printed_numbers(fitted):
    out, answer = fitted["price"]
    result = json.loads((out / "result.json").read_text())
    score = result["scores"][0]
    main = score["measures"][0]
    assert with_error(main["value"], main["error"]) in answer.stdout
    assert result["score_name"] == "R2"
    assert (result["rows_scored"], result["folds"]) == (12, 1)
    page = (
        (out / "report.html")
        .read_text(encoding="utf-8")
        .replace("\N{NO-BREAK SPACE}", " ")
    )
    page = html.unescape(re.sub("</?b>", "", page))
    for sentence in (*result["summary"], result["optimum"]):
        assert sentence in answer.stdout
        assert sentence in page
    ends = [
        result["certificate"][end]
        for end in ("lower_bound", "upper_bound", "prior_objective")
    ]
    assert ends == sorted(ends)
    assert result["certificate"]["width"] >= 0
    assert result["certificate"]["history"][-1][1:] == ends[:2]
    assert result["command"].startswith("langevax fit ")
    assert 0 < result["seconds_to_first_step"] < score["seconds"]
    assert f"{result['seconds_to_first_step']:.1f} s of compiling" in answer.stdout


def test_the_page_and_the_results_say_how_each_column_was_read(fitted):
    out, _ = fitted["price"]
    columns = {
        c["name"]: c
        for c in json.loads((out / "result.json").read_text(encoding="utf-8"))[
            "columns"
        ]
    }
    assert [
        (c["role"], c["kind"], c["read"], c["missing"]) for c in columns.values()
    ] == [
        ("target", "numbers", 60, 0),
        ("left out", "numbers", 60, 0),
        ("input", "numbers", 53, 7),
        ("input", "words", 60, 0),
    ]
    assert columns["colour"]["values"].startswith("3 words: ")
    tells(columns["id"]["remarks"][0])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(f">{name}<" in page for name in columns)
    assert len(page) < 500_000


def test_holdout_contains_observations_and_predictions(fitted, tables):
    out, _ = fitted["sold"]
    held_out, table = pl.read_csv(out / "holdout.csv"), pl.read_csv(tables / "sold.csv")
    assert held_out.columns == [
        "row",
        "id",
        "observed",
        "prediction",
        "probability_no",
        "probability_yes",
    ]
    assert (
        held_out["id"].to_list()
        == table["id"][(held_out["row"] - 1).to_list()].to_list()
    )
    assert (
        held_out["observed"].to_list()
        == table["sold"][(held_out["row"] - 1).to_list()].to_list()
    )
    assert (
        held_out["probability_no"] + held_out["probability_yes"] - 1
    ).abs().max() < 1e-6


@pytest.mark.slow
def test_json_prints_only_the_result_with_all_peers(tables, tmp_path):
    words = QUICK[:-2]
    answer = langevax(
        "fit",
        tables / "price.csv",
        "--target",
        "price",
        "--out",
        tmp_path / "o",
        "--json",
        *words,
    )
    assert answer.exit_code == 0, answer.stderr
    result = json.loads(answer.stdout)
    stored = json.loads((tmp_path / "o" / "result.json").read_text())
    assert set(stored["files"]) == {
        "holdout.csv",
        "model.safetensors",
        "report.html",
        "schema.json",
    }
    assert result == {
        name: value
        for name, value in stored.items()
        if name not in ("files", "written_by", "sha256")
    }
    names = [
        "always the mean",
        "linear",
        "kernel machine",
        "random forest",
        "boosted trees",
    ]
    assert [score["name"] for score in result["scores"]][1:6] == names
    assert (result["rows_scored"], result["folds"]) == (60, 5)
    linear = result["scores"][2]["measures"][0]
    assert linear["metric"] == "R2"
    assert 0 < linear["difference_error"] < 1
    assert "Linear" in result["summary"][2] or "linear" in result["summary"][2]


def test_comparison_and_certificate_can_be_left_out(tables, tmp_path):
    words = [
        "fit",
        tables / "price.csv",
        "--target",
        "price",
        "--out",
        tmp_path / "o",
        *QUICK,
        "--skip",
        "certificate",
    ]
    answer = langevax(*words)
    assert answer.exit_code == 0, answer.stderr
    assert "ertificate" not in answer.stdout
    result = json.loads((tmp_path / "o" / "result.json").read_text())
    assert (result["certificate"], len(result["scores"])) == ({}, 2)
    assert result["optimum"].startswith("Not certified")


@pytest.mark.slow
def test_many_copies_of_rows_are_named(tables, tmp_path):
    frame = pl.read_csv(tables / "price.csv").drop("id")
    pl.concat([frame, frame]).write_csv(tmp_path / "twice.csv")
    words = [
        "fit",
        tmp_path / "twice.csv",
        "--target",
        "price",
        "--out",
        tmp_path / "o",
        *QUICK,
        "--skip",
        "certificate",
    ]
    answer = langevax(*words)
    assert answer.exit_code == 0, answer.stderr
    tells(answer.stdout, "60 120")


@pytest.mark.slow
def test_a_finished_model_is_replaced_only_by_force(fitted, tables):
    out, _ = fitted["price"]
    words = ["fit", tables / "price.csv", "--target", "price", "--out", out, *QUICK]
    before = (out / "result.json").read_text()
    answer = langevax(*words)
    assert (answer.exit_code, (out / "result.json").read_text()) == (2, before)
    assert "--force" in answer.stderr
    assert langevax(*words, "--force").exit_code == 0


@pytest.mark.slow
def test_an_interrupted_fit_is_resumed(tables, tmp_path, monkeypatch):
    words = [
        "fit",
        tables / "price.csv",
        "--target",
        "price",
        "--out",
        tmp_path / "o",
        *QUICK,
    ]

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "evaluate", interrupted)
        answer = langevax(*words)
    assert answer.exit_code == 130
    assert answer.stderr.startswith("Interrupted. What was saved goes on with\n")
    other = langevax(*words, "--temperature", "0.1")
    assert other.exit_code == 2
    assert (
        "--temperature was 0.05 in the interrupted run and is 0.1 now" in other.stderr
    )
    content = (tables / "price.csv").read_text()
    (tmp_path / "t.csv").write_text(content + content.splitlines()[-1] + "\n")
    for changed, message in (
        (
            ["fit", tmp_path / "t.csv", *words[2:]],
            "TABLE is not the table of the interrupted run, or has changed",
        ),
        (
            [*words, "--target", "size"],
            "--target was 'price' in the interrupted run and is 'size' now",
        ),
    ):
        other = langevax(*changed)
        assert (other.exit_code, message in other.stderr) == (2, True)
    again = langevax(*words)
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout.startswith("Continued    an interrupted run")
    assert not (tmp_path / "o" / "training").exists()


def test_a_run_that_another_process_writes_is_left_alone(tables, tmp_path):
    (tmp_path / "o").mkdir()
    with Lock(tmp_path / "o" / LOCK_FILE, "it"):
        for option in ((), ("--force",)):
            answer = langevax(
                "fit",
                tables / "price.csv",
                "--target",
                "price",
                "--out",
                tmp_path / "o",
                *QUICK,
                *option,
            )
            assert answer.exit_code == 2
            tells(answer.stderr, os.getpid())
        assert [path.name for path in (tmp_path / "o").iterdir()] == [LOCK_FILE]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_fit_as_an_interruption_does(
    tables, tmp_path, monkeypatch, number, code
):
    words = [
        "fit",
        tables / "price.csv",
        "--target",
        "price",
        "--out",
        tmp_path / "o",
        *QUICK,
    ]
    monkeypatch.setattr(
        NetworkFit, "train", lambda *arguments: signal.raise_signal(number)
    )
    outside = signal.signal(
        number, signal.SIG_DFL
    )  # nohup ignores SIGHUP, and langevax leaves it so
    try:
        answer = langevax(*words)
        after = signal.getsignal(number)
    finally:
        signal.signal(number, outside)
    assert answer.exit_code == code
    assert after == signal.SIG_DFL
    tells(answer.stderr, number.name)


def test_resuming_deletes_nothing_that_langevax_did_not_write(tables, tmp_path):
    (tmp_path / "o" / "training").mkdir(parents=True)
    (tmp_path / "o" / "training" / "thesis.txt").write_text("mine")
    words = [
        "fit",
        tables / "price.csv",
        "--target",
        "price",
        "--out",
        tmp_path / "o",
        *QUICK,
    ]
    for option in ((), ("--force",)):
        answer = langevax(*words, *option)
        assert (answer.exit_code, answer.stdout) == (2, "")
        tells(answer.stderr, "o 'training'")
    assert [path.name for path in tmp_path.rglob("*.*")] == ["thesis.txt"]


def test_a_fit_is_the_same_from_the_same_seed(fitted, tables, tmp_path):
    langevax(
        "fit", tables / "sold.csv", "--target", "sold", "--out", tmp_path / "o", *QUICK
    )
    assert (tmp_path / "o" / "holdout.csv").read_bytes() == (
        fitted["sold"][0] / "holdout.csv"
    ).read_bytes()


def test_a_run_that_diverges_fails_with_advice(tables, tmp_path, monkeypatch):
    from langevax import DivergenceError, Langevin, simulate
    from langevax.problems.problem import Function
    from langevax.sklearn import MeanFieldRegressor

    def diverge(self, X, y, groups):
        result = simulate(
            Langevin(0.1, 0.0),
            Function(lambda x: x**2),
            np.float32(1),
            key=jax.random.key(0),
            num_steps=1,
        )
        raise DivergenceError(7, None, 0.1, result)

    monkeypatch.setattr(MeanFieldRegressor, "fit", diverge)
    answer = langevax(
        "fit",
        tables / "price.csv",
        "--target",
        "price",
        "--out",
        tmp_path / "o",
        *QUICK,
    )
    assert answer.exit_code == 1
    assert answer.stderr.startswith("Failed: the training diverged at step 7")


@pytest.mark.slow
def test_a_fit_that_has_not_converged_is_reported_on_the_terminal_the_page_and_in_the_results(
    tables, tmp_path, monkeypatch
):
    fit = MeanFieldClassifier.fit

    def alternating(self, *arguments, **options):
        message = "the outputs alternate between two values: try num_steps=70."
        warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return fit(self, *arguments, **options)

    monkeypatch.setattr(MeanFieldClassifier, "fit", alternating)
    words = ["--target", "sold", "--out", tmp_path / "o", *QUICK]
    answer = langevax("fit", tables / "sold.csv", *words)
    assert answer.exit_code == 0, answer.stderr
    tells(answer.stderr)
    result = json.loads((tmp_path / "o/result.json").read_text(encoding="utf-8"))
    assert result["cautions"] == [
        "The fit has not converged. The outputs alternate between two values: try --num-steps 70."
    ]
    assert "The fit has not converged. " in (tmp_path / "o/report.html").read_text(
        encoding="utf-8"
    )


def test_a_dry_run_prints_how_the_table_is_read_and_writes_nothing(
    tables, tmp_path, fitted, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = "fit", str(tables / "price.csv"), "--target", "price", "--dry-run"
    answer = langevax(*words)
    assert answer.exit_code == 0, answer.stderr
    lines = fitted["price"][1].stdout.splitlines()
    until = next(i for i, line in enumerate(lines) if line.startswith("Split")) + 1
    assert answer.stdout.splitlines() == lines[:until]
    assert not list(tmp_path.iterdir())
    read = json.loads(langevax(*words, "--json").stdout)
    full = json.loads((fitted["price"][0] / "result.json").read_text())
    assert {name: full[name] for name in read} == read
    assert {"columns", "notes", "read"} < read.keys()


def test_a_fit_needs_a_folder(tables):
    answer = langevax("fit", tables / "price.csv", "--target", "price")
    assert (answer.exit_code, answer.stdout) == (2, "")
    tells(answer.stderr, "--out --dry-run")


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("--solver", "MeanFieldRegressor"),
        ("--resume", "run the same command again"),
        ("--no-peers", "pass --skip peers"),
    ],
)
def test_an_option_that_is_gone_says_what_to_do(option, advice):
    answer = langevax("fit", "table.csv", option, "mfld")
    assert (answer.exit_code, answer.stdout) == (2, "")
    tells(answer.stderr, option)
    assert advice in " ".join(answer.stderr.split())


def test_the_help_has_few_options_in_panels():
    shown = langevax("fit", "--help").stdout
    options = re.findall(r"^  (?:-h, )?(--[\w-]+)", shown, re.MULTILINE)
    assert len(options) == len(set(options)) <= 24
    for panel in Panel:
        assert (f"\n{panel}:\n" in shown) == (panel not in (Panel.METHOD, Panel.BUDGET))
