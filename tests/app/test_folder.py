"""A folder holds a complete model or none, and only files that langevax wrote are deleted."""

import json
import os

import pytest

from langevax.app.errors import BadInput
from langevax.app.folder import MODEL, PARTS, REPORT, RESULT, Folder
from langevax.locks import LOCK_FILE, Lock
from langevax.storage import UNFINISHED, file_hash
from tests.sentences import refuses

SETTINGS = {"temperature": None, "drop": ["a"]}


def fill(folder, text, meanwhile=lambda: None):
    with folder.filling() as place:
        meanwhile()
        for part in PARTS:
            (place / part).write_text(json.dumps({"text": text}))


def text_of(folder, part):
    return json.loads((folder.path / part).read_text())["text"]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "deep" / "out")


def test_all_parts_appear_together_and_the_training_is_deleted(folder):
    folder.begin(True, SETTINGS)
    fill(folder, "new")
    assert folder.finished
    assert not folder.begun
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(PARTS)


def test_a_model_is_replaced_as_a_whole(folder):
    for text in ("old", "new"):
        folder.begin(True, SETTINGS)
        fill(folder, text)
    assert text_of(folder, MODEL) == "new"
    files = json.loads((folder.path / RESULT).read_text())["files"]
    assert files == {
        part: file_hash(folder.path / part) for part in PARTS if part != RESULT
    }


def test_settings_that_were_cut_off_do_not_stop_the_next_run(folder, monkeypatch):
    half = folder.settings.with_name(UNFINISHED.replace("*", "1"))
    folder.begin(True, SETTINGS)
    whole = folder.settings.read_bytes()
    for length in (0, 10, len(whole) - 1):  # as a kill leaves them
        folder.settings.unlink()
        half.write_bytes(whole[:length])
        folder.begin(True, SETTINGS)
        half.unlink(missing_ok=True)
    folder.settings.unlink()
    monkeypatch.setattr(
        os,
        "fsync",
        lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with refuses(BadInput):
        folder.begin(True, SETTINGS)
    assert not [*folder.training.glob(UNFINISHED)]


def test_the_result_has_a_hash_of_itself(folder):
    folder.begin(True, SETTINGS)
    fill(folder, "new")
    assert folder.damaged_parts() == []
    content = (folder.path / RESULT).read_text()
    (folder.path / RESULT).write_text(content.replace("new", "now"))
    assert folder.damaged_parts() == [RESULT]
    (folder.path / RESULT).write_text(content)
    (folder.path / REPORT).unlink()
    assert folder.damaged_parts() == [REPORT]


def test_an_error_while_writing_leaves_the_old_model(folder):
    folder.begin(True, SETTINGS)
    fill(folder, "old")
    with pytest.raises(FileNotFoundError), folder.filling() as place:
        (place / "no such folder" / RESULT).write_text("new")
    assert text_of(folder, RESULT) == "old"
    assert not folder.new.exists()


@pytest.mark.parametrize(
    ("finished", "begun", "force", "refused"),
    [
        (True, False, False, True),
        (False, True, False, False),
        (True, True, False, False),
        (True, False, True, False),
        (False, True, True, False),
        (False, False, False, False),
    ],
)
def test_nothing_is_replaced_without_force(folder, finished, begun, force, refused):
    folder.begin(True, SETTINGS)
    if finished:
        fill(folder, "old")
    if begun:
        folder.begin(True, SETTINGS)
    else:
        folder.forget_training()
    if not refused:
        folder.check(force)
        return
    with refuses(BadInput):
        folder.check(force)


def test_an_impossible_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with refuses(BadInput):
        Folder(tmp_path / "file").check(force=False)
    with refuses(BadInput):
        Folder(tmp_path / "file" / "out").begin(False, SETTINGS)


def test_a_run_continues_only_with_the_same_settings(folder):
    assert not folder.begin(False, SETTINGS)
    folder.checkpoints.mkdir()
    assert folder.begin(False, SETTINGS)
    with refuses(BadInput, "--temperature None 0.1"):
        folder.begin(False, {**SETTINGS, "temperature": 0.1})
    assert not folder.begin(True, {**SETTINGS, "temperature": 0.1})
    assert not folder.checkpoints.exists()


def foreign_training(folder):
    folder.training.mkdir(parents=True)
    (folder.training / "thesis.txt").write_text("mine")


def foreign_settings(folder):
    folder.training.mkdir(parents=True)
    folder.settings.write_text('{"options": {}}')


def cut_settings(folder):
    folder.begin(True, SETTINGS)
    content = folder.settings.read_text()
    folder.settings.write_text(content[: len(content) // 2])


def foreign_report(folder):
    folder.path.mkdir(parents=True)
    (folder.path / REPORT).write_text("mine")


def linked_training(folder):
    elsewhere = folder.path.parent / "elsewhere"
    elsewhere.mkdir(parents=True)
    (elsewhere / "thesis.txt").write_text("mine")
    folder.path.mkdir()
    folder.training.symlink_to(elsewhere)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (foreign_training, "training"),
        (foreign_settings, "training"),
        (cut_settings, "training"),
        (foreign_report, "report.html"),
        (linked_training, "training"),
    ],
)
def test_files_that_langevax_did_not_write_are_refused_and_stay(
    folder, make, name, force
):
    make(folder)
    before = sorted(folder.path.rglob("*"))
    for run in (lambda: folder.check(force), lambda: folder.begin(force, SETTINGS)):
        with refuses(BadInput, f"'{name}' --out"):
            run()
    assert sorted(folder.path.rglob("*")) == before


@pytest.mark.parametrize("moment", range(len(PARTS)))
def test_a_run_killed_between_two_renames_is_resumed(folder, moment, monkeypatch):
    folder.begin(True, SETTINGS)
    fill(folder, "old")
    folder.begin(True, SETTINGS)
    replace, moved = os.replace, []

    def killed(source, target):
        if folder.path == target.parent:
            moved.append(target)
            if len(moved) > moment:
                raise SystemExit
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(SystemExit):
            fill(folder, "killed")
    assert folder.begun
    folder.check(False)
    folder.begin(False, SETTINGS)
    fill(folder, "new")
    assert {text_of(folder, part) for part in PARTS} == {"new"}
    assert not folder.begun


def test_a_folder_has_one_writer(folder):
    with folder.writing(False, SETTINGS):
        for run in (
            lambda: folder.check(False),
            lambda: folder.writing(True, SETTINGS).__enter__(),
        ):
            with refuses(BadInput, "--out"):
                run()
        assert folder.begun
    with Lock(folder.path / LOCK_FILE, "it"):
        assert folder.begun


def test_a_training_folder_that_was_just_made_counts_as_langevaxs(folder):
    folder.training.mkdir(parents=True)
    folder.check(False)
    folder.begin(True, SETTINGS)
    assert folder.begun
