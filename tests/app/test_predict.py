"""`langevax predict`: one output row for each input row."""

import io
import json
import shutil

import numpy as np
import polars as pl
import pytest

from tests.app.conftest import WITH_FOLDS, langevax
from tests.sentences import tells


@pytest.mark.slow
def test_predictions_are_in_the_order_of_the_rows(fitted, tables):
    answer = langevax("predict", fitted["price"][0], tables / "price.csv")
    assert answer.exit_code == 0, answer.stderr
    tells(answer.stderr, "7 'size'")
    predicted = pl.read_csv(io.StringIO(answer.stdout))["prediction"]
    held_out = pl.read_csv(fitted["price"][0] / "holdout.csv")
    assert len(predicted) == 60
    again = predicted[(held_out["row"] - 1).to_list()]
    assert (again - held_out["prediction"]).abs().max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.parquet"])
def test_classes_have_probabilities_in_every_format(fitted, tables, tmp_path, name):
    answer = langevax(
        "predict",
        fitted["sold"][0] / "model.safetensors",
        tables / "sold.csv",
        "--out",
        tmp_path / name,
    )
    assert (answer.exit_code, answer.stdout) == (0, "")
    read = pl.read_parquet if name.endswith("parquet") else pl.read_csv
    options = {"separator": "\t"} if name == "p.tsv" else {}
    predicted = read(tmp_path / name, **options)
    assert predicted.columns == ["prediction", "probability_no", "probability_yes"]
    sure = predicted["probability_yes"] > 0.5
    assert (predicted["prediction"] == "yes").equals(sure)


@pytest.mark.slow
def test_unknown_values_are_reported_and_predicted(fitted, tmp_path):
    (tmp_path / "t.csv").write_text("colour,size\nred,1\npink,\n,inf\n")
    answer = langevax("predict", fitted["price"][0], tmp_path / "t.csv")
    assert answer.exit_code == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 4
    tells(answer.stderr, "1 'colour' 'pink'")
    tells(answer.stderr, "2 'size'")


def test_a_word_in_a_column_of_numbers_is_refused(fitted, tmp_path):
    (tmp_path / "t.csv").write_text("colour,size\nred,1\nred,big\n")
    answer = langevax("predict", fitted["price"][0], tmp_path / "t.csv")
    assert answer.exit_code == 2
    tells(answer.stderr, "'size' 'big' 2")


def test_missing_columns_are_an_error_that_names_them(fitted, tmp_path):
    (tmp_path / "t.csv").write_text("color,size\nred,1\n")
    answer = langevax("predict", fitted["price"][0], tmp_path / "t.csv")
    assert answer.exit_code == 2
    tells(answer.stderr, "1 'colour' 'color'")


def damaged(fitted, tmp_path):
    shutil.copytree(fitted["price"][0], tmp_path / "m")
    return tmp_path / "m"


def refused(model, tables):
    answer = langevax("predict", model, tables / "price.csv")
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.splitlines()[-1].startswith("Error: MODEL ")
    return answer.stderr


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_models_are_refused(fitted, tables, tmp_path, share):
    model = damaged(fitted, tmp_path)
    for path in (model / "model.safetensors", model / "schema.json"):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        refused(model, tables)
        path.write_bytes(content)


@pytest.mark.parametrize(
    "content", [b"{}", b"PK\x03\x04" + bytes(100), b"\x02" + bytes(7) + b"{}"]
)
def test_foreign_models_are_refused(fitted, tables, tmp_path, content):
    model = damaged(fitted, tmp_path)
    (model / "model.safetensors").write_bytes(content)
    refused(model, tables)
    (model / "model.safetensors").unlink()
    refused(model, tables)


def test_models_of_another_version_are_refused(fitted, tables, tmp_path):
    model = damaged(fitted, tmp_path)
    schema = json.loads((model / "schema.json").read_text())
    (model / "schema.json").write_text(
        json.dumps({**schema, "format": 99, "langevax": "9.9"})
    )
    assert "langevax 9.9" in refused(model, tables)


def test_models_of_another_table_are_refused(fitted, tables, tmp_path):
    model = damaged(fitted, tmp_path)
    shutil.copy(fitted["sold"][0] / "schema.json", model / "schema.json")
    refused(model, tables)


@pytest.mark.parametrize("name", ["nowhere", "", "file"])
def test_folders_without_a_model_are_refused(tables, tmp_path, name):
    (tmp_path / "file").write_text("")
    refused(tmp_path / name, tables)


def test_neither_the_table_nor_the_model_is_overwritten(fitted, tables, tmp_path):
    model, table = fitted["price"][0], tmp_path / "t.csv"
    shutil.copy(tables / "price.csv", table)
    (tmp_path / "link.csv").symlink_to(table)
    before = {
        path: path.read_bytes() for path in [table, *model.iterdir()] if path.is_file()
    }
    for out, what in (
        (table, "the table"),
        (tmp_path / "link.csv", "the table"),
        (model / "holdout.csv", "the model"),
    ):
        answer = langevax("predict", model, table, "--out", out)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert f"{what}" in answer.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_another_file_is_overwritten_only_by_force(fitted, tables, tmp_path):
    words = [
        "predict",
        fitted["price"][0],
        tables / "price.csv",
        "--out",
        tmp_path / "p.csv",
    ]
    (tmp_path / "p.csv").write_text("mine")
    answer = langevax(*words)
    assert (answer.exit_code, (tmp_path / "p.csv").read_text()) == (2, "mine")
    tells(answer.stderr, "--force")
    assert langevax(*words, "--force").exit_code == 0
    assert (tmp_path / "p.csv").read_text().startswith("prediction")


@pytest.mark.parametrize("name", ["p.txt", "p.csv.gz", "p", "p.xlsx"])
def test_a_suffix_that_names_no_format_is_refused(fitted, tables, tmp_path, name):
    answer = langevax(
        "predict", fitted["price"][0], tables / "price.csv", "--out", tmp_path / name
    )
    assert answer.exit_code == 2
    tells(answer.stderr)
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_read_as_in_training_and_imputed_ones_are_counted(fitted, tmp_path):
    rows = ["red,1.5", "red,n/a", "blue,", "green,2", "red,unknown"]
    (tmp_path / "t.csv").write_text("\n".join(["colour,size", *rows]) + "\n")
    answer = langevax("predict", fitted["price"][0], tmp_path / "t.csv")
    assert (answer.exit_code, len(answer.stdout.splitlines())) == (0, 6)
    said = " ".join(answer.stderr.split())
    tells(said, "'size' (3)")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            ["1,5", "2,25", "3,5", "4"],
            "t.csv': column 'size' holds '1,5' in data row 1, which is not a number as",
        ),
        (
            ["a", "b", "c", "d", "e"],
            "t.csv': column 'size' holds 'a' in data row 1, which is not a number as",
        ),
    ],
)
def test_a_column_written_in_another_way_than_in_training_is_refused(
    fitted, tmp_path, cells, message
):
    (tmp_path / "t.csv").write_text(
        "\n".join(["colour;size", *(f"red;{cell}" for cell in cells)]) + "\n"
    )
    answer = langevax("predict", fitted["price"][0], tmp_path / "t.csv")
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in " ".join(answer.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "columns"), [("price", ["lower", "upper"]), ("sold", ["set"])]
)
def test_intervals_stand_beside_the_predictions(tables, tmp_path, target, columns):
    quick = [*WITH_FOLDS, "--skip", "certificate"]
    fit = langevax(
        "fit",
        tables / f"{target}.csv",
        "--target",
        target,
        "--out",
        tmp_path / "m",
        *quick,
    )
    assert fit.exit_code == 0
    slack = {"price": 0.25, "sold": 0.5}[target]
    tells(fit.stdout, slack)
    assert (
        json.loads((tmp_path / "m" / "result.json").read_text())["held_out_scores"][
            "loss"
        ]
        > 0
    )
    answer = langevax(
        "predict", tmp_path / "m", tables / f"{target}.csv", "--interval", 0.8
    )
    assert answer.exit_code == 0, answer.stderr
    tells(answer.stderr, "0.6")
    predicted = pl.read_csv(io.StringIO(answer.stdout))
    assert predicted.columns[-len(columns) :] == columns
    truth = pl.read_csv(tables / f"{target}.csv")[target]
    if target == "price":
        assert (predicted["lower"] < predicted["upper"]).all()
        assert (
            (predicted["lower"] <= truth) & (truth <= predicted["upper"])
        ).mean() > 0.7
    else:
        assert all(
            label in chosen.split("|")
            for label, chosen in zip(
                predicted["prediction"], predicted["set"], strict=True
            )
        )
    high = langevax(
        "predict", tmp_path / "m", tables / f"{target}.csv", "--interval", 0.999
    )
    assert "--interval 0.999 is too high for the rows of this fit" in high.stderr


@pytest.mark.slow
def test_intervals_of_counts_do_not_begin_below_0(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    rows = [f"{a:.3f},{k}" for a, k in zip(x, rng.poisson(np.exp(x)), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["x,visits", *rows]) + "\n")
    quick = [
        *WITH_FOLDS,
        "--skip",
        "certificate",
        "--task",
        "regression",
    ]
    assert (
        langevax(
            "fit",
            tmp_path / "t.csv",
            "--target",
            "visits",
            "--out",
            tmp_path / "m",
            *quick,
        ).exit_code
        == 0
    )
    answer = langevax("predict", tmp_path / "m", tmp_path / "t.csv", "--interval", 0.9)
    predicted = pl.read_csv(io.StringIO(answer.stdout))
    assert predicted["lower"].min() == 0
    assert (predicted["upper"] > predicted["prediction"]).all()


def test_intervals_of_a_fit_without_folds_are_refused(fitted, tables):
    answer = langevax(
        "predict", fitted["price"][0], tables / "price.csv", "--interval", 0.9
    )
    assert answer.exit_code == 2
    tells(answer.stderr, "--temperature")
    answer = langevax(
        "predict", fitted["price"][0], tables / "price.csv", "--interval", 9
    )
    assert "--interval 9 is not a share of new rows" in answer.stderr


@pytest.mark.slow
def test_predictions_answer_the_rare_class_from_the_threshold_that_was_fitted(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=300).round(3)
    rare = np.where(
        random.uniform(size=300) < 0.3 / (1 + np.exp(-3 * (x - 1))), "yes", "no"
    )
    pl.DataFrame(
        {"x": x, "z": random.normal(size=300).round(3), "rare": rare}
    ).write_csv(tmp_path / "t.csv")
    words = (
        "fit",
        tmp_path / "t.csv",
        "--target",
        "rare",
        "--out",
        tmp_path / "out",
        "--num-particles",
        40,
    )
    answer = langevax(
        *words,
        "--num-steps",
        60,
        "--skip",
        "peers",
        "--skip",
        "certificate",
        "--threshold",
        "balanced",
    )
    assert answer.exit_code == 0, answer.stderr
    threshold = json.loads((tmp_path / "out" / "result.json").read_text())["threshold"]
    assert 0 < threshold < 0.4
    tells(answer.stdout, "'yes' 60")
    predicted = pl.read_csv(
        io.StringIO(langevax("predict", tmp_path / "out", tmp_path / "t.csv").stdout)
    )
    assert (
        (predicted["prediction"] == "yes") == (predicted["probability_yes"] > threshold)
    ).all()
    assert 0.1 < (predicted["prediction"] == "yes").mean() < 0.7
    holdout = pl.read_csv(tmp_path / "out" / "holdout.csv")
    assert (
        (holdout["prediction"] == "yes") == (holdout["probability_yes"] > threshold)
    ).all()
