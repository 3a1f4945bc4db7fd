"""A checkpoint is verified without its run: every file of it, and that all are of one run, in order."""

import json
import os
import shutil

import h5py
import pytest

from langevax import CheckpointError, Run
from langevax.locks import LOCK_FILE, Lock
from langevax.run.checkpoint import HASHES, UNSEALED_FORMAT
from langevax.run.verification import verify
from langevax.storage import HASH, file_hash, hash_of
from tests.run.setting import fix_chunks, simulate
from tests.sentences import refuses


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Checkpoints of 40 steps, saved every 10, of two runs."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        fix_chunks(patch, 10)
        for seed in (0, 1):
            simulate(
                40,
                seed=seed,
                run=Run(checkpoint=folder / str(seed), checkpoint_seconds=0.0),
            )
    return folder / "0", folder / "1"


@pytest.fixture
def saved(two_runs, tmp_path):
    return shutil.copytree(two_runs[0], tmp_path / "run")


@pytest.mark.slow
def test_a_whole_checkpoint_is_reported_and_left_as_it_was(saved):
    before = sorted(saved.rglob("*"))
    assert verify(saved) == ([30, 40], 10)
    assert sorted(saved.rglob("*")) == before
    (saved / "state" / "40" / HASHES).unlink()
    assert verify(saved).steps == [30]


def test_records_after_the_last_state_are_not_counted(saved):
    shutil.rmtree(saved / "state" / "40")
    assert verify(saved) == ([30], 7)


@pytest.mark.parametrize(
    "pattern",
    ["run.json", "trace/000000000012-000000000020.nc", "state/30/**/manifest.ocdbt"],
)
@pytest.mark.parametrize("way", ["flip", "cut"])
def test_damage_is_named(saved, pattern, way):
    file = next(saved.glob(pattern))
    content = bytearray(file.read_bytes())
    start = 3 * len(content) // 4
    content[start:] = bytes(byte ^ 255 for byte in content[start:])
    file.write_bytes(content if way == "flip" else content[: len(content) // 2])
    # the words follow from the lengths of the numbers in the file
    with pytest.raises(CheckpointError) as caught:
        verify(saved)
    assert str(file) in str(caught.value) or str(saved / "state") in str(caught.value)


def test_states_and_records_of_another_run_or_step_are_named(saved, two_runs):
    name = "000000000012-000000000020.nc"
    shutil.copy(two_runs[1] / "trace" / name, saved / "trace" / name)
    with refuses(CheckpointError):
        verify(saved)
    shutil.copy(
        saved / "trace" / "000000000004-000000000008.nc", saved / "trace" / name
    )
    with refuses(CheckpointError):
        verify(saved)
    sealed(saved)
    with refuses(CheckpointError, "4 8"):
        verify(saved)
    (saved / "trace" / name).unlink()
    with refuses(CheckpointError):
        verify(saved)
    shutil.rmtree(saved / "state" / "40")
    shutil.copytree(saved / "state" / "30", saved / "state" / "40")
    with refuses(CheckpointError, "state/40 30"):
        verify(saved)
    shutil.rmtree(saved / "state" / "40")
    shutil.copytree(two_runs[1] / "state" / "40", saved / "state" / "40")
    with refuses(CheckpointError):
        verify(saved)


def test_a_checkpoint_that_a_run_is_writing_is_refused(saved):
    with (
        Lock(saved / LOCK_FILE, "it"),
        refuses(CheckpointError, os.getpid()),
    ):
        verify(saved)


def sealed(folder, **changed):
    """Write the description of a run with the hash of its content, and hashes of the records as they are."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    records = {file.name: file_hash(file) for file in folder.glob("trace/*.nc")}
    content |= {"records": records} | changed
    path.write_text(json.dumps(content | {HASH: hash_of(content)}))


@pytest.mark.parametrize("way", ["link", "external", "symlink", "virtual"])
def test_records_that_stand_in_other_files_are_refused(saved, tmp_path, way):
    path = saved / "trace" / "000000000012-000000000020.nc"
    other = tmp_path / "other.h5"
    shutil.copy(path, other)
    with h5py.File(path, "a") as file:
        shape = file["steps"].shape
        del file["steps"]
        if way == "link":
            file["steps"] = h5py.ExternalLink(str(other), "steps")
        elif way == "external":
            place = [(str(other), 0, 8 * shape[0])]
            file.create_dataset("steps", shape, "<i8", external=place)
        elif way == "virtual":
            layout = h5py.VirtualLayout(shape, "<i8")
            layout[:] = h5py.VirtualSource(str(other), "steps", shape)
            file.create_virtual_dataset("steps", layout)
    if way == "symlink":
        path.unlink()
        path.symlink_to(other)
    sealed(saved)
    with pytest.raises(CheckpointError, match=path.name):
        verify(saved)


def test_records_without_their_hash_are_refused(saved):
    path = saved / "trace" / "000000000012-000000000020.nc"
    with h5py.File(path, "a") as file:
        file["steps"][0] = file["steps"][0]
        file.attrs["note"] = 1
    with refuses(CheckpointError):
        verify(saved)


def test_a_run_of_the_format_without_hashes_is_whole(saved):
    path = saved / "run.json"
    content = json.loads(path.read_text()) | {"format": UNSEALED_FORMAT}
    rest = {k: v for k, v in content.items() if k not in ("records", HASH)}
    path.write_text(json.dumps(rest))
    assert verify(saved) == ([30, 40], 10)


def test_json_that_is_deep_or_another_objects_is_refused(saved):
    path = saved / "run.json"
    for text in ("[" * 10**5, '{"format":' * 10**4, '{"a": ' + "[" * 300 + "]" * 300):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=r"run\.json"):
            verify(saved)
