"""`langevax study report`: reads the folders of studies, says what is not there, and measures nothing again."""

import json
import shutil
from dataclasses import replace

import pytest
import xarray

from langevax import studies
from langevax.cli.studying.atlas import gather
from tests.cli.conftest import langevax
from tests.cli.tower import TOWER

NAMES = {"tower": "tower", "mill": "mill"}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(studies, "NAMES", NAMES)
    monkeypatch.setattr(studies, "load", lambda name: replace(TOWER, name=name))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A folder in which the tower holds and the mill, higher, fails."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "NAMES", NAMES)
        patch.setattr(studies, "load", lambda name: replace(TOWER, name=name))
        for name, seed in (("tower", 1), ("mill", 3)):
            words = "study", "run", name, "--quick", "--seed", seed, "--out", folder / name
            assert langevax(*words).exit_code == 0
    return folder


@pytest.fixture
def folder(measured, tmp_path):
    return shutil.copytree(measured, tmp_path / "it")


def reported(folder, *words):
    """The answer as JSON, and the page."""
    answer = langevax("study", "report", folder, "--json", *words)
    assert (answer.exit_code, answer.stderr) == (0, "")
    told = json.loads(answer.stdout)
    with open(told["page"], encoding="utf-8") as file:
        return told, file.read()


def of(folder, name):
    return next(told for told in gather(folder, NAMES).studies if told.name == name)


def test_page_and_counts(folder):
    told, page = reported(folder)
    assert told.pop("page") == str(folder / "atlas.html")
    assert told.pop("failing") == ["mill"]
    assert told.pop("missing") == {}
    assert told == {"studies": 2, "measured": 2, "holding": 1, "claims": 2, "claims_holding": 1}
    assert "2 studies, 1 of 2 claims hold." in page
    assert "Its one claim fails: “it is low”, measured 3 m where at most 2 m was predicted." in page
    assert "langevax study run mill --quick --seed 3" in page


def test_sentences_for_people(folder):
    answer = langevax("study", "report", folder, "--out", folder / "pages" / "a.html")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert "2 studies, 1 of 2 claims hold." in answer.stdout
    assert "Claims fail in mill." in answer.stdout
    assert "seed 3 where others have 1" in answer.stdout
    assert str(folder / "pages" / "a.html") in answer.stdout
    assert (folder / "pages" / "a.html").exists()
    assert not (folder / "atlas.html").exists()


def test_pictures_are_drawn_from_what_was_saved(folder, monkeypatch):
    with xarray.open_dataset(folder / "tower" / "data.nc", engine="h5netcdf") as data:
        changed = data.load()
    changed["height"] = changed["height"] * 0 + 1.75
    changed.to_netcdf(folder / "tower" / "data.nc", engine="h5netcdf")
    found = of(folder, "tower").found
    assert found.pictures[0].figure.data[0].y == pytest.approx((0, 1.75))
    assert found.claims[0].measured == 1.0  # as it was judged when it was measured


def test_what_the_run_was_is_told(folder):
    found = of(folder, "mill").found
    assert found.config == {"size": "small", "seed": 3, "storeys": None}
    assert {"langevax", "jax", "python"} <= set(found.versions)
    assert 0 <= found.seconds < 60
    assert found.ended.endswith("+00:00")
    assert "<td>none</td><td>not known</td>" in reported(folder)[1]  # which is not a number


def spoil(name, content=None):
    def change(folder):
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return change


def edit(**changes):
    def change(folder):
        found = json.loads((folder / "verdict.json").read_text()) | changes
        (folder / "verdict.json").write_text(json.dumps({key: each for key, each in found.items() if each != "gone"}))

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (shutil.rmtree, "it has no folder."),
        (spoil("verdict.json"), "its folder has no verdict.json, so that it was interrupted or crashed."),
        (spoil("verdict.json", b"{"), "its verdict.json cannot be read"),
        (spoil("data.nc"), "its folder has no data.nc."),
        (spoil("figure.svg"), "its folder has no figure.svg."),
        (spoil("data.nc", b"no numbers"), "its data.nc cannot be read"),
        (edit(claims="gone"), "its verdict.json has no claims: another version wrote it."),
        (edit(study="tower"), "its folder holds the study 'tower'."),
    ],
)
def test_study_that_is_not_whole_is_named_and_does_not_hinder(folder, change, reason):
    change(folder / "mill")
    told, page = reported(folder)
    assert told["missing"]["mill"].startswith(reason)
    assert (told["measured"], told["claims"]) == (1, 1)
    assert "1 of 2 studies measured, 1 of 1 claim holds." in page
    assert "Not measured: mill." in page
    assert f"mill: not measured, {reason}" in langevax("study", "report", folder).stdout


def test_crashed_study_points_to_its_log(folder):
    (folder / "mill" / "verdict.json").unlink()
    (folder / "mill" / "log.txt").write_text("it fell")
    assert of(folder, "mill").reason.endswith("Its last words are in log.txt.")


def test_numbers_that_cannot_be_drawn_are_shown_as_they_were_printed(folder):
    xarray.Dataset({"width": 1.0}).to_netcdf(folder / "tower" / "data.nc", engine="h5netcdf")
    found = of(folder, "tower").found
    assert found.pictures == ()
    assert found.printed.startswith(b"<?xml")
    assert found.remark.startswith("This version cannot draw these numbers (KeyError")
    assert "tower: This version cannot draw these numbers" in langevax("study", "report", folder).stdout


@pytest.mark.parametrize(
    ("place", "words", "said"),
    [
        ("nowhere", [], "is no folder; name the one that `langevax study run all"),
        (".", [], "holds no study; fill it with `langevax study run all --out"),
        ("it/tower", [], "holds one study; name the folder of studies that it stands in."),
        ("it", ["--out", "it/tower/data.nc/a.html"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(folder, monkeypatch, place, words, said):
    monkeypatch.chdir(folder.parent)
    answer = langevax("study", "report", place, *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_every_study_has_its_claim_in_a_few_words(monkeypatch):
    monkeypatch.undo()
    assert all(0 < len(studies.load(name).brief) < 80 for name in studies.NAMES)
