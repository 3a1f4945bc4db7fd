"""Files of public curves and graphs, read as the benchmark of curves and graphs reads them."""

import doctest

import numpy as np
import pytest

from benchmarks.curves_and_graphs import data
from tests.sentences import refuses

SDF = """ethanol
     by hand

  4  3  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 H   0  0  0  0  0  0  0  0  0  0  0  0
    1.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    2.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    3.0000    0.0000    0.0000 Cl  0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0
  2  3  2  0
  4  3  1  0
M  END
>  <ID>  (1)
1

>  <SOL>  (1)
-3.18

$$$$
"""


def test_examples_in_docstrings():
    outcome = doctest.testmod(data)
    assert outcome.attempted >= 2
    assert outcome.failed == 0


def test_molecules_lose_hydrogen_and_keep_bonds():
    molecules, properties = data.read_sdf(SDF + SDF)
    assert molecules == [([(0, 1, "double"), (2, 1, "single")], ["C", "C", "Cl"])] * 2
    assert properties[1] == {"ID": "1", "SOL": "-3.18"}


def test_an_atom_without_bonds_is_a_graph():
    lines = SDF.splitlines(keepends=True)
    alone = [
        *lines[:3],
        "  1  0  0  0  0  0  0  0  0  0999 V2000\n",
        lines[5],
        *lines[11:],
    ]
    assert data.read_sdf("".join(alone))[0] == [([], ["C"])]


def test_scores_are_those_of_the_published_rows():
    targets = np.array([0.0, 1.0, 2.0, 4.0])
    rows, predictions = np.array([1, 2, 3]), np.array([1.0, 2.0, 1.0])
    scores = {
        metric: data.DataSet("", "curves", metric, np.zeros((4, 2)), targets, []).score(
            rows, predictions
        )
        for metric in ("RMSE", "R2", "accuracy")
    }
    # errors 0, 0, 3; variance of 1, 2, 4 is 14/9
    assert scores == pytest.approx(
        {"RMSE": np.sqrt(3), "R2": 1 - 3 / (14 / 9), "accuracy": 2 / 3}
    )


def test_offline_the_error_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CACHE", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    facts = f"{tmp_path / 'sktime-1.2.0'}"
    with refuses(RuntimeError, facts):
        data.fetch("sktime==1.2.0", "sktime/datasets/data/GunPoint")
    assert list(tmp_path.iterdir()) == []


def test_a_package_is_fetched_once(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CACHE", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    there = tmp_path / "sktime-1.2.0" / "curves"
    there.mkdir(parents=True)
    assert data.fetch("sktime==1.2.0", "curves") == there
