"""A folder holds a complete model or none, and says whose turn it is."""

import pytest

from langevax.cli.errors import BadInput
from langevax.cli.fitting.folder import MODEL, PARTS, RESULT, Folder

SETTINGS = {"temperature": "auto", "drop": ("a",)}


def fill(folder, text):
    with folder.filling() as place:
        for part in PARTS:
            (place / part).write_text(text)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "deep" / "out")


def test_all_parts_appear_together_and_the_training_goes(folder):
    folder.begin(False, SETTINGS)
    fill(folder, "new")
    assert folder.finished
    assert not folder.begun
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(PARTS)


def test_a_model_is_replaced_whole(folder):
    for text in ("old", "new"):
        folder.begin(False, SETTINGS)
        fill(folder, text)
    assert (folder.path / MODEL).read_text() == "new"


def test_what_breaks_while_writing_leaves_the_old_model(folder):
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
def test_nothing_is_destroyed_unasked(folder, finished, begun, resume, force, message):
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


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        Folder(tmp_path / "file").check(resume=False, force=False)
    with pytest.raises(BadInput, match="cannot be written"):
        Folder(tmp_path / "file" / "out").begin(False, SETTINGS)


def test_a_run_goes_on_only_with_the_settings_it_had(folder):
    folder.begin(False, SETTINGS)
    folder.begin(True, SETTINGS)
    with pytest.raises(BadInput, match=r"--temperature was 'auto' in the interrupted run and is '0.1' now"):
        folder.begin(True, {**SETTINGS, "temperature": "0.1"})
    folder.begin(False, {**SETTINGS, "temperature": "0.1"})
    folder.begin(True, {**SETTINGS, "temperature": "0.1"})
