"""`langevax check`: whole models, row files and checkpoints are said to be so, damaged ones are named."""

import json
import shutil

import numpy as np
import pytest

from langevax import Run
from langevax.data import write_rows
from tests.app.conftest import langevax
from tests.run.setting import simulate
from tests.sentences import tells


@pytest.fixture
def folder(fitted, tmp_path):
    """A copy of a fit, to be damaged."""
    return shutil.copytree(fitted["price"][0], tmp_path / "price")


@pytest.fixture
def rows(tmp_path):
    return write_rows(
        tmp_path / "t.rows", {"inputs": np.ones((50, 3)), "targets": np.arange(50)}
    ).path


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 16
    file.write_bytes(content)


@pytest.mark.slow
def test_whole_models_and_rows_are_said_to_be_so_with_the_card_of_the_model(
    folder, rows, tables
):
    answer = langevax("check", folder, folder / "model.safetensors", rows)
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.count("Whole") == 3
    tells(answer.stdout, f"{tables / 'price.csv'} --target")
    assert "scores: mean-field network" in answer.stdout
    assert "table sha256:" in answer.stdout
    assert "versions: langevax" in answer.stdout


def test_each_damaged_path_is_named(folder, rows, tmp_path):
    flip(folder / "model.safetensors", -9)
    flip(rows / "inputs.npy", -9)
    answer = langevax("check", folder, rows, tmp_path)
    words = answer.stderr.replace("\n", " ")
    assert answer.exit_code == 2
    tells(words, "model.safetensors")
    assert "inputs in" in words
    tells(words, "0 49")
    tells(words, "model.safetensors rows.json run.json server.safetensors")


@pytest.mark.parametrize("name", ["holdout.csv", "report.html", "result.json"])
def test_each_file_of_a_fit_is_checked(folder, name):
    flip(folder / name, (folder / name).stat().st_size // 2)
    answer = langevax("check", folder)
    assert (
        answer.exit_code,
        f"{name!r} is not as written" in answer.stderr.replace("\n", " "),
    ) == (2, True)
    (folder / name).unlink()
    answer = langevax("check", folder)
    if name == "result.json":
        tells(answer.stdout, "result.json")
    else:
        assert (
            answer.exit_code,
            f"{name!r} is not as written" in answer.stderr.replace("\n", " "),
        ) == (2, True)


def test_checkpoints_and_interrupted_fits_are_checked(folder, tmp_path):
    point = tmp_path / "point"
    simulate(20, run=Run(checkpoint=point))
    words = langevax("check", point).stdout.replace("\n", " ")
    tells(words, "20 5")
    shutil.copytree(point, folder / "training" / "checkpoints")
    settings = {"written_by": "langevax fit", "options": {}, "files": {}}
    (folder / "training" / "settings.json").write_text(json.dumps(settings))
    assert langevax("check", folder).stdout.count("Whole") == 2
    flip(folder / "training" / "checkpoints" / "run.json", 3)
    tells(langevax("check", folder).stderr, "run.json")
    (folder / "training" / "settings.json").write_text("{")
    tells(langevax("check", folder).stderr, "settings.json --force")


def test_checkpoints_of_servers_are_checked(tmp_path):
    pytest.importorskip(
        "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
    )
    from langevax.flower import checkpoints

    checkpoints.save(tmp_path, "run", {"step": 7}, {"x": np.ones(3)})
    assert "a server after 7 rounds" in langevax("check", tmp_path).stdout
    flip(tmp_path / checkpoints.SERVER_FILE, -1)
    answer = langevax("check", tmp_path)
    assert (answer.exit_code, "it is damaged" in answer.stderr) == (2, True)


@pytest.mark.parametrize("name", ["model.safetensors", "schema.json"])
def test_predict_refuses_a_damaged_file(folder, tables, name):
    flip(folder / name, (folder / name).stat().st_size // 2)
    answer = langevax("predict", folder, tables / "price.csv")
    assert answer.exit_code == 2
    assert "damaged" in answer.stderr
    assert answer.stdout == ""


def test_predict_refuses_the_schema_of_another_fit(fitted, folder, tables, tmp_path):
    other = shutil.copytree(fitted["sold"][0], tmp_path / "sold")
    shutil.copy(other / "schema.json", folder / "schema.json")
    for command in (("predict", folder, tables / "price.csv"), ("check", folder)):
        answer = langevax(*command)
        assert answer.exit_code == 2
        tells(answer.stderr)
