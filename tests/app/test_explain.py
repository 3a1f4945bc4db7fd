"""`langevax explain`: the training rows behind a prediction, and the rows that are best checked."""

import json

import numpy as np
import pytest

from langevax.sklearn import load
from tests.app.conftest import langevax
from tests.sentences import tells


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """A fit on a table of 120 rows, of which 5 have a target that is 3 too large."""
    folder = tmp_path_factory.mktemp("explain")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2)).round(3)
    y = np.sin(X[:, 0]) + X[:, 1] + 0.1 * rng.normal(size=120)
    rows = np.array([4, 31, 62, 77, 110])
    y[rows] += 3
    names = [f"p{i}" for i in range(120)]
    lines = [f"{n},{a},{b},{c:.4f}" for n, (a, b), c in zip(names, X, y, strict=True)]
    (folder / "t.csv").write_text("id,width,height,price\n" + "\n".join(lines) + "\n")
    answer = langevax(
        *("fit", folder / "t.csv", "--target", "price", "--out", folder / "out"),
        *("--temperature", "0.1", "--skip", "peers", "--skip", "certificate"),
    )
    assert answer.exit_code == 0, answer.stderr
    return folder / "out", {f"{i + 1} (p{i})" for i in rows}


def test_wrong_targets_come_first(wrong):
    folder, rows = wrong
    answer = langevax("explain", folder, "--most", 5)
    assert answer.exit_code == 0, answer.stderr
    shown = json.loads(langevax("explain", folder, "--most", 5, "--json").stdout)
    named = [row["row"] for row in shown["rows"]]
    held_out = rows - set(named)
    assert set(named[: 5 - len(held_out)]) <= rows
    assert len(held_out) <= 2
    assert shown["reason"] == ""
    for row in shown["rows"]:
        assert row["row"] in answer.stdout


def test_a_prediction_is_explained_by_rows_whose_absence_changes_it(wrong):
    folder, _ = wrong
    shown = json.loads(langevax("explain", folder, "p31", "--json").stdout)
    assert shown["row"] == "32 (p31)"
    assert shown["without_it"] < shown["predicted"] < shown["target"]
    other = json.loads(langevax("explain", folder, 5, "--json").stdout)
    assert other["row"] == "5 (p4)"
    moves = [abs(row["moves_it_by"]) for row in other["moved_by"]]
    assert len(moves) == 8
    assert moves == sorted(moves, reverse=True)
    text = langevax("explain", folder, 5).stdout
    assert f"row {other['moved_by'][0]['row']} (price" in text
    model = load(folder / "model.safetensors")
    lines = (folder.parent / "t.csv").read_text().splitlines()[5].split(",")
    prediction = model.predict([[float(lines[1]), float(lines[2])]])[0]
    assert other["predicted"] == pytest.approx(prediction, rel=1e-5)


def test_rows_and_models_that_are_none_are_refused(wrong, fitted):
    folder, _ = wrong
    answer = langevax("explain", folder, "p999")
    assert answer.exit_code == 2
    tells(answer.stderr)
    answer = langevax("explain", folder.parent)
    assert answer.exit_code == 2
    assert "holds no fitted model" in answer.stderr
    answer = langevax("explain", fitted["sold"][0], "3")
    assert answer.exit_code == 2
    tells(answer.stderr, "without --num-steps")


def test_of_classes_it_is_the_probability_of_the_row_s_own(tables, tmp_path):
    answer = langevax(
        *("fit", tables / "sold.csv", "--target", "sold", "--out", tmp_path / "out"),
        *("--temperature", "0.1", "--skip", "peers", "--skip", "certificate"),
    )
    assert answer.exit_code == 0, answer.stderr
    shown = json.loads(langevax("explain", tmp_path / "out", "3", "--json").stdout)
    assert 0 < shown["predicted"] < 1
    assert shown["target"] in ("yes", "no")
    model = load(tmp_path / "out" / "model.safetensors")
    assert shown["target"] in model.classes_
    listed = langevax("explain", tmp_path / "out")
    assert listed.exit_code == 0, listed.stderr
    assert "of log odds" in listed.stdout
