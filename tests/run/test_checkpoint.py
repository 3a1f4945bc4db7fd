"""Checkpoints: resumed runs equal uninterrupted ones bit for bit, and nothing saved is ever lost."""

import functools
import gc
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import langevax
from langevax import CheckpointError, Run
from langevax.run import identity
from langevax.run.checkpoint import HASHES, Checkpoint
from langevax.storage import UNFINISHED
from tests.run import killed
from tests.run.setting import (
    DRIVER,
    SIZE,
    Script,
    assert_same_bits,
    fix_chunks,
    langevin,
    position_of,
    problem,
    simulate,
    squared_distance,
)
from tests.sentences import refuses

STEPS = 40


@functools.cache
def uninterrupted(steps=STEPS, **options):
    return simulate(steps, **options)


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "run"
    with pytest.MonkeyPatch.context() as patch:
        fix_chunks(patch, 10)
        assert_same_bits(save(directory), uninterrupted())
    return directory


@pytest.fixture
def saved(saved_once, tmp_path, monkeypatch):
    """A directory with a copy of a run of 40 steps, saved every 10; later runs save the same way."""
    fix_chunks(monkeypatch, 10)
    return Path(shutil.copytree(saved_once, tmp_path / "run"))


def save(directory, steps=STEPS, resume=False, **options):
    run = Run(checkpoint=directory, resume=resume, checkpoint_seconds=0.0)
    return simulate(steps, run=run, **options)


def resume(directory, steps=STEPS, **options):
    return save(directory, steps, resume=True, **options)


def states(directory):
    return sorted(int(path.name) for path in (directory / "state").iterdir())


def records(directory):
    return sorted(path.name for path in (directory / "trace").iterdir())


# resuming


@pytest.mark.slow
def test_a_finished_run_is_returned_from_its_checkpoint(saved):
    assert_same_bits(resume(saved), uninterrupted())


@pytest.mark.slow
def test_a_longer_run_continues_from_its_checkpoint(saved):
    assert_same_bits(resume(saved, 55), uninterrupted(55))
    assert_same_bits(resume(saved, 55), uninterrupted(55))
    assert_same_bits(resume(saved, 70), uninterrupted(70))


def test_resume_starts_a_run_where_there_is_none(tmp_path):
    assert_same_bits(resume(tmp_path / "a" / "new" / "one"), uninterrupted())


@pytest.mark.slow
def test_states_without_records_resume_too(tmp_path, monkeypatch):
    fix_chunks(monkeypatch, 10)
    save(tmp_path, 20, record_every=None)
    assert_same_bits(
        resume(tmp_path, record_every=None), uninterrupted(record_every=None)
    )
    assert records(tmp_path) == []


@pytest.mark.slow
def test_records_that_no_state_follows_are_made_again(saved):
    shutil.rmtree(
        saved / "state" / "40"
    )  # as if killed between the records and the state
    (saved / "trace" / UNFINISHED.replace("*", "1")).write_bytes(b"half")
    (saved / "trace" / "notes.txt").write_text("mine")
    assert_same_bits(resume(saved, 30), uninterrupted(30))
    assert records(saved) == [
        *(f"{a:012d}-{b:012d}.nc" for a, b in [(4, 8), (12, 20), (24, 28)]),
        "notes.txt",
    ]
    assert_same_bits(resume(saved), uninterrupted())


@pytest.mark.slow
def test_16_bit_numbers_survive(tmp_path, monkeypatch):
    fix_chunks(monkeypatch, 10)
    options = {
        "algorithm": Script(lambda step: {"half": jnp.asarray(step, jnp.float16) / 3}),
        "start": jnp.asarray([0.1, 0.2, 0.3], jnp.bfloat16),
        "problem": langevax.FiniteSum(
            squared_distance, np.zeros((4, SIZE), np.float32)
        ),
        "record": lambda problem, state: {
            "x": state.position,
            "up": state.position > 3,
        },
    }
    save(tmp_path, 20, **options)
    assert_same_bits(resume(tmp_path, **options), simulate(STEPS, **options))


def test_only_two_states_are_kept_and_all_records(saved):
    assert states(saved) == [30, 40]
    assert [name[13:-3] for name in records(saved)] == [
        "000000000008",
        "000000000020",
        "000000000028",
        "000000000040",
    ]


def test_an_interrupt_saves(tmp_path):
    def interrupt(trace, state):
        raise KeyboardInterrupt

    run = Run(checkpoint=tmp_path, checkpoint_seconds=1e9)
    with pytest.raises(KeyboardInterrupt):
        simulate(STEPS, callbacks=[interrupt], callback_every=30, run=run)
    assert states(tmp_path) == [30]
    assert_same_bits(resume(tmp_path), uninterrupted())


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["after the records came off the device", "in the state's save"]
)
def test_an_interrupt_at_a_bad_moment_loses_nothing(tmp_path, monkeypatch, place):
    fix_chunks(monkeypatch, 10)
    calls = []

    def interrupted(function):
        def call(*arguments, **options):
            answer = function(*arguments, **options)
            calls.append(answer)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return answer

        return call

    owner, name = (
        (DRIVER.Recording, "copy_from")
        if place.startswith("after")
        else (Checkpoint, "save")
    )
    monkeypatch.setattr(owner, name, interrupted(getattr(owner, name)))
    seconds = 1e9 if owner is DRIVER.Recording else 0.0
    with pytest.raises(KeyboardInterrupt):
        simulate(STEPS, run=Run(checkpoint=tmp_path, checkpoint_seconds=seconds))
    assert states(tmp_path)[-1] == (20 if place.startswith("after") else 30)
    assert_same_bits(resume(tmp_path), uninterrupted())


@pytest.mark.slow
def test_a_callback_that_stopped_a_run_stops_it_again(tmp_path):
    callbacks = [lambda trace, state: len(trace) >= 5]
    options = {"callbacks": callbacks, "callback_every": 10}
    first = save(tmp_path, **options)
    assert first.steps == 20
    assert_same_bits(resume(tmp_path, **options), first)
    assert_same_bits(resume(tmp_path), uninterrupted())


@pytest.mark.slow
def test_nothing_is_pickled(tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, never)
    fix_chunks(monkeypatch, 10)
    save(tmp_path, 20)
    assert_same_bits(resume(tmp_path), uninterrupted())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [
        path
        for path in files
        if path.read_bytes().startswith(
            (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        )
    ]


# kill -9, and a full disk


@pytest.fixture(scope="module")
def ended_badly(tmp_path_factory):
    directory = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-W", "ignore", "-m", "tests.run.killed", str(directory)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return directory, json.loads(done.stdout)


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(ended_badly):
    directory, report = ended_badly
    places = [
        *(f"moment {m}" for m in killed.MOMENTS),
        *(f"delay {d}" for d in killed.DELAYS),
    ]
    assert report["signals"] == [9] * len(places)
    numbers_of_records = []
    for place in places:
        numbers_of_records.append(len(list((directory / place).rglob("*.nc"))))
        assert_same_bits(resume(directory / place, killed.STEPS), uninterrupted())
        assert not list(
            (directory / place).rglob("*tmp*")
        )  # nothing half-written stays
        assert not list((directory / place).rglob("*.part"))
    assert len(set(numbers_of_records)) >= 4  # they were killed at different times


@pytest.mark.slow
@pytest.mark.parametrize("run", ["whole", "unrecorded"])
def test_a_full_disk_is_reported_and_the_last_save_resumes(ended_badly, run):
    directory, report = ended_badly
    message = report["full"][run]
    for words in [
        "cannot write the checkpoint",
        str(directory / run),
        "intact",
        "free space",
        "resume=True",
    ]:
        assert words in message
    assert "too large" in message  # the system's own words
    options = {} if run == "whole" else {"record_every": None}
    assert_same_bits(
        resume(directory / run, 55, **options), uninterrupted(55, **options)
    )


# refusals: the message says what and why, and nothing is changed


def test_a_directory_in_use_is_not_overwritten(saved):
    with refuses(CheckpointError, "resume=True"):
        save(saved)
    assert_same_bits(resume(saved), uninterrupted())


def test_a_directory_without_a_state_is_free(saved):
    shutil.rmtree(saved / "state")  # as if the run had failed before its first save
    assert_same_bits(save(saved), uninterrupted())


def test_files_of_another_program_stay(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("mine")
    for resumed in (False, True):
        with refuses(CheckpointError, path):
            save(tmp_path, resume=resumed)
    assert path.read_text() == "mine"
    path.unlink()
    other = tmp_path / "trace" / "1-2.nc"
    other.write_text("mine")
    save(tmp_path)
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            {"algorithm": langevin(step_size=0.2)},
            "algorithm.step_size 0.1 0.2",
        ),
        (
            {"algorithm": langevax.MALA(0.1, 0.5)},
            "algorithm",
        ),
        (
            {"seed": 1},
            "key threefry2x32 0 1",
        ),
        ({"start": np.ones(SIZE, np.float32)}, "start float32[2 3"),
        ({"num_chains": 3}, "num_chains 2 3"),
        ({"record_every": 5}, "record_every 4 5"),
        ({"average": None}, "average"),
        (
            {"record": lambda problem, state: state.position},
            "record",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_run_names_what_differs(shared, changed, named):
    with refuses(CheckpointError, named):
        resume(shared, **changed)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A run of 40 steps, which is intact after all tests that are refused to continue it."""
    directory = tmp_path_factory.mktemp("shared") / "run"
    save(directory)
    yield directory
    assert_same_bits(resume(directory), uninterrupted())


def test_other_integrators_losses_data_and_schedules_are_another_run(shared):
    data = np.asarray(problem().data)
    typo = data.copy()
    typo[5, 1] += 1
    described = [
        {"algorithm": langevax.Langevin(0.1, 0.5)},
        {
            "algorithm": langevax.Langevin(
                0.1, 0.5, integrator=langevax.integrators.Exponential()
            )
        },
        {"algorithm": langevax.Langevin(optax.cosine_decay_schedule(0.1, 100), 0.5)},
        {"algorithm": langevax.Langevin(optax.cosine_decay_schedule(0.1, 200), 0.5)},
        {"problem": langevax.FiniteSum(squared_distance, data)},
        {"problem": langevax.FiniteSum(squared_distance, typo)},
        {"problem": langevax.FiniteSum(lambda x, a: squared_distance(x, a), data)},
        {
            "problem": langevax.MeanFieldRisk(
                langevax.neurons.Tanh(), langevax.losses.squared, data, data[:, 0]
            )
        },
        {
            "problem": langevax.MeanFieldRisk(
                langevax.neurons.Tanh(),
                langevax.losses.smoothed_hinge,
                data,
                np.sign(data[:, 0]),
            )
        },
    ]
    texts = [json.dumps(identity.describe(parts)) for parts in described]
    assert len(set(texts)) == len(texts)
    assert texts == [json.dumps(identity.describe(parts)) for parts in described]


def test_fewer_steps_than_are_saved_are_refused(shared):
    with refuses(CheckpointError, "num_steps 35 40"):
        resume(shared, 35)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"format": 1}',
        '{"format": 1, "langevax": "0", "identity": 3}',
        None,
    ],
)
def test_a_damaged_description_is_reported(saved, text):
    record = saved / "run.json"
    good = record.read_text()
    record.unlink() if text is None else record.write_text(text)
    with refuses(CheckpointError, "run.json"):
        resume(saved)
    record.write_text(good)
    assert_same_bits(resume(saved), uninterrupted())


def test_another_format_names_the_version_that_reads_it(saved):
    record = saved / "run.json"
    record.write_text(
        json.dumps(json.loads(record.read_text()) | {"format": 99, "langevax": "7.1"})
    )
    with refuses(CheckpointError, "99 6"):
        resume(saved)


def damaged(content, kind):
    half = len(content) // 2
    return (
        content[:half]
        if kind == "cut"
        else content[:half] + bytes([content[half] ^ 0x10]) + content[half + 1 :]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_no_damaged_state_is_taken_for_a_good_one(saved, kind, capfd):
    refusals = []
    files = [
        path
        for path in (saved / "state" / "40").rglob("*")
        if path.is_file() and path.stat().st_size
    ]
    for path in files:
        content = path.read_bytes()
        path.write_bytes(damaged(content, kind))
        try:
            assert_same_bits(resume(saved), uninterrupted())
        except CheckpointError as error:
            refusals.append(str(error))
        path.write_bytes(content)
    assert len(refusals) == len(files)
    for message in refusals:
        assert str(saved / "state" / "40") in message
        assert "30" in message
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err  # orbax prints one
    path = next((saved / "state" / "40").rglob("manifest.ocdbt"))
    path.write_bytes(b"")
    shutil.rmtree(saved / "state" / "40")  # the remedy
    assert_same_bits(resume(saved), uninterrupted())


def test_a_state_without_hashes_was_never_finished_and_is_made_again(saved):
    (saved / "state" / "40" / HASHES).unlink()
    at = []
    resumed = resume(saved, callbacks=[lambda _, state: at.append(1)], callback_every=5)
    assert_same_bits(resumed, uninterrupted())
    assert len(at) == 3  # at 30, 35 and 40


def test_states_without_hashes_are_not_deleted_but_the_last_of_the_run_that_is_resumed(
    saved,
):
    """Where all hashes are lost, the states may be another version's, or a copy that is not whole."""
    for file in (saved / "state").glob(f"*/{HASHES}"):
        file.unlink()
    before = states(saved)
    assert len(before) == 2
    with refuses(CheckpointError):
        save(saved)
    with refuses(CheckpointError):
        resume(saved, record_every=7)
    assert states(saved) == before
    with refuses(CheckpointError):
        resume(saved)
    assert states(saved) == before[:1]


@pytest.mark.parametrize("kind", ["cut", "flipped"])
@pytest.mark.parametrize("which", [0, 2])
def test_no_damaged_record_is_taken_for_a_good_one(saved, kind, which):
    path = saved / "trace" / records(saved)[which]
    content = path.read_bytes()
    numbers = content.rindex(
        uninterrupted().positions[:, [0, 5][which > 0]].tobytes()[:8]
    )
    path.write_bytes(
        content[:-1]
        if kind == "cut"
        else content[:numbers] + b"\0\0" + content[numbers + 2 :]
    )
    with refuses(CheckpointError, path.name):
        resume(saved)
    path.write_bytes(content)
    assert_same_bits(resume(saved), uninterrupted())


def test_a_missing_record_is_reported(saved):
    path = saved / "trace" / records(saved)[1]
    content = path.read_bytes()
    path.unlink()
    with refuses(CheckpointError, "4 40 12"):
        resume(saved)
    path.write_bytes(content)
    assert_same_bits(resume(saved), uninterrupted())


@pytest.mark.parametrize("resumed", [False, True])
def test_an_output_that_cannot_be_written_is_reported(tmp_path, resumed):
    (tmp_path / "file").write_text("")
    with refuses(CheckpointError):
        save(tmp_path / "file" / "run", resume=resumed)
    with refuses(CheckpointError):
        save(tmp_path / "file", resume=resumed)


@pytest.mark.slow
def test_identity_is_the_same_in_another_process(ended_badly):
    directory, _ = ended_badly
    record = json.loads((directory / "whole" / "run.json").read_text())["identity"][
        "settings"
    ]
    assert record["problem.loss"] == "tests.run.setting.squared_distance"
    assert record["record"] == f"{position_of.__module__}.position_of"
    assert jax.tree.all({name: " at 0x" not in text for name, text in record.items()})
