"""The benchmark of functions with little noise: its data, its file and its table."""

import json

import numpy as np
import pytest

from benchmarks import low_noise
from benchmarks.real_tables.methods import METHODS, Method


@pytest.fixture
def words(tmp_path):
    words = [
        "--functions",
        "linear_noisy",
        "--rows",
        "60",
        "--seeds",
        "2",
        "--methods",
        "linear",
    ]
    return [*words, "--out", str(tmp_path / "fits.jsonl")]


@pytest.fixture(autouse=True)
def ridge(monkeypatch):
    monkeypatch.setitem(low_noise.MEASURED, "linear", METHODS["linear"])


def test_rows_of_a_seed_are_the_same_and_functions_are_those_that_are_said():
    for name in low_noise.FUNCTIONS:
        first, again = (low_noise.drawn(name, 50, 3) for _ in range(2))
        np.testing.assert_array_equal(first.matrix[1], again.matrix[1])
        assert [len(y) for y in first.targets] == [50, low_noise.NEW_ROWS]
    data = low_noise.drawn("ripple", 50, 0)
    (X, _), (y, _) = data.matrix, data.targets
    noise = y - np.cos(7 * np.sqrt((X**2).sum(1)))
    assert noise.std() == pytest.approx(0.02, rel=0.3)


def test_fits_that_are_in_the_file_are_not_made_again(words, tmp_path, capsys):
    low_noise.main([*words, "--seeds", "1"])
    path = tmp_path / "fits.jsonl"
    with path.open("a") as out:
        out.write('{"function": "linear')  # cut off
    low_noise.main(words)
    low_noise.main(words)
    records = low_noise.read(path)
    assert len(path.read_text().splitlines()) == 3
    assert [record["seed"] for record in records] == [0, 1]
    left = np.array([record["left"] for record in records])
    error = abs(left[0] - left[1]) / 2
    cell = f"| linear_noisy | 60 | {left.mean():.4f} ± {error:.4f} |"
    assert cell in capsys.readouterr().out


def test_a_missing_peer_is_said_and_a_failure_is_tried_again(
    words, tmp_path, capsys, monkeypatch
):
    def absent(split):
        raise ModuleNotFoundError("no", name="a_peer")

    def failing(split):
        raise ValueError("not today")

    monkeypatch.setitem(low_noise.MEASURED, "linear", Method("ridge", absent))
    low_noise.main(words)
    printed = capsys.readouterr()
    assert "linear is left out: a_peer is not installed" in printed.err
    assert "ridge was not run" in printed.out
    monkeypatch.setitem(low_noise.MEASURED, "linear", Method("ridge", failing))
    low_noise.main([*words, "--seeds", "1"])
    path = tmp_path / "fits.jsonl"
    assert json.loads(path.read_text())["error"] == "ValueError: not today"
    monkeypatch.setitem(low_noise.MEASURED, "linear", METHODS["linear"])
    low_noise.main([*words, "--seeds", "1"])
    assert "left" in low_noise.read(path)[0]
