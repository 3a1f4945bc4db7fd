"""A folder holds a complete model or none, and only files that langevax wrote are deleted."""

import pytest

from langevax.cli.errors import BadInput
from langevax.cli.folder import MODEL, PARTS, RESULT, Folder

SETTINGS = {"temperature": "auto", "drop": ("a",)}


def fill(folder, text):
    with folder.filling() as place:
        for part in PARTS:
            (place / part).write_text(text)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "deep" / "out")


def test_all_parts_appear_together_and_the_training_is_deleted(folder):
    folder.begin(False, SETTINGS)
    fill(folder, "new")
    assert folder.finished
    assert not folder.begun
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(PARTS)


def test_a_model_is_replaced_as_a_whole(folder):
    for text in ("old", "new"):
        folder.begin(False, SETTINGS)
        fill(folder, text)
    assert (folder.path / MODEL).read_text() == "new"


def test_an_error_while_writing_leaves_the_old_model(folder):
    folder.begin(False, SETTINGS)
    fill(folder, "old")
    with pytest.raises(FileNotFoundError), folder.filling() as place:
        (place / "no such folder" / RESULT).write_text("new")
    assert (folder.path / RESULT).read_text() == "old"
    assert not folder.new.exists()


@pytest.mark.parametrize(
    ("finished", "begun", "resume", "force", "message"),
    [
        (True, False, False, False, "holds a finished model; pass --force"),
        (True, False, True, False, "nothing to resume"),
        (False, True, False, False, "interrupted run; pass --resume"),
        (True, True, False, False, "interrupted run; pass --resume"),
        (False, False, True, True, "pass one of them"),
        (True, False, False, True, None),
        (False, True, True, False, None),
        (False, True, False, True, None),
        (False, False, True, False, None),
    ],
)
def test_nothing_is_replaced_without_force(folder, finished, begun, resume, force, message):
    folder.begin(False, SETTINGS)
    if finished:
        fill(folder, "old")
    if begun:
        folder.begin(False, SETTINGS)
    else:
        folder.forget_training()
    if message is None:
        folder.check(resume, force)
        return
    with pytest.raises(BadInput, match=message):
        folder.check(resume, force)


def test_an_impossible_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        Folder(tmp_path / "file").check(resume=False, force=False)
    with pytest.raises(BadInput, match="cannot be written"):
        Folder(tmp_path / "file" / "out").begin(False, SETTINGS)


def test_a_run_is_resumed_only_with_the_same_settings(folder):
    folder.begin(False, SETTINGS)
    folder.begin(True, SETTINGS)
    with pytest.raises(BadInput, match=r"--temperature was 'auto' in the interrupted run and is '0.1' now"):
        folder.begin(True, {**SETTINGS, "temperature": "0.1"})
    folder.begin(False, {**SETTINGS, "temperature": "0.1"})
    folder.begin(True, {**SETTINGS, "temperature": "0.1"})


def foreign_training(folder):
    folder.training.mkdir(parents=True)
    (folder.training / "thesis.txt").write_text("mine")


def foreign_settings(folder):
    folder.training.mkdir(parents=True)
    folder.settings.write_text('{"options": {}}')


def foreign_checkpoint(folder):
    folder.begin(False, SETTINGS)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "weights.pt").write_text("mine")


def foreign_new_file(folder):
    folder.new.mkdir(parents=True)
    (folder.new / "draft.md").write_text("mine")


def linked_training(folder):
    elsewhere = folder.path.parent / "elsewhere"
    elsewhere.mkdir(parents=True)
    (elsewhere / "thesis.txt").write_text("mine")
    folder.path.mkdir()
    folder.training.symlink_to(elsewhere)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (foreign_training, "training' holds 'thesis.txt'"),
        (foreign_settings, "training' exists"),
        (foreign_checkpoint, "training' holds 'checkpoints/weights.pt'"),
        (foreign_new_file, "new' holds 'draft.md'"),
        (linked_training, "training' holds 'training'"),
    ],
)
def test_files_that_langevax_did_not_write_are_refused_and_stay(folder, make, name, resume):
    make(folder)
    before = sorted(folder.path.rglob("*"))
    for run in (lambda: folder.check(resume, not resume), lambda: folder.begin(False, SETTINGS)):
        with pytest.raises(BadInput, match=f"{name}.* which langevax did not write .* name another --out"):
            run()
    assert sorted(folder.path.rglob("*")) == before


def test_a_report_of_another_program_is_replaced_only_by_force(folder):
    folder.path.mkdir(parents=True)
    (folder.path / "report.html").write_text("mine")
    for resume in (True, False):
        with pytest.raises(BadInput, match=r"already holds 'report.html'; pass --force"):
            folder.check(resume, False)
    folder.check(False, True)


def test_an_unfinished_checkpoint_counts_as_written_by_langevax(folder):
    folder.begin(False, SETTINGS)
    for name in ("trace/000000000001-000000000030.nc.part", "state/30.orbax-checkpoint-tmp-1/default/d/0a", "run.json"):
        (folder.checkpoints / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.checkpoints / name).write_text("")
    folder.check(True, False)
    folder.forget_training()
    assert not folder.training.exists()
