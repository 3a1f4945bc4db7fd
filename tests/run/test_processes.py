"""Several processes share a run: its numbers are those of one, what is saved is anybody's, and all end together."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import langevax
from tests.run import several

# Not mostly_compiling: programs of this process and of others must agree to the last bit.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def started(count: int, folder: Path, *fault: str) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.run.several",
                str(port),
                str(count),
                str(index),
                str(folder),
                *fault,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for index in range(count)
    ]


def ended(processes: list[subprocess.Popen]) -> list[str]:
    """Return the numbers that each process measured."""
    try:
        return [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()


def alone(num_steps: int, **saving):
    mfld, risk, cloud, options = several.parts()
    return langevax.simulate(mfld, risk, cloud, num_steps=num_steps, **options | saving)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a run that two processes share, going on from one's, and left for one to go on from."""
    folder = tmp_path_factory.mktemp("several")
    alone(several.HALF, run=langevax.Run(checkpoint=folder / "of one"))
    processes = started(2, folder)
    output = ended(processes)
    assert [process.returncode for process in processes] == [0, 0], output
    return folder


@pytest.fixture(scope="module")
def facts(folder):
    return [json.loads((folder / f"{index}.json").read_text()) for index in (0, 1)]


@pytest.fixture(scope="module")
def one():
    return alone(several.STEPS)


def test_each_process_has_its_own_particles(facts):
    for fact in facts:
        assert fact["devices"] == 2
        assert fact["own particles"] == [[several.PARTICLES // 2, 4]]


def test_a_fit_that_processes_share_is_that_of_one(facts):
    particles = several.fitted(None).particles_
    for fact in facts:
        np.testing.assert_allclose(fact["fitted"], particles, atol=5e-6)


def test_numbers_and_records_are_those_of_one_process(facts, one):
    particles = {
        "through": one.position,
        "records": one.positions,
        "mean": one.average.mean,
    }
    rows = {"rows": one.position, "row records": one.positions}
    for fact in facts:
        assert fact["recorded"] == one.trace.steps.tolist()
        assert fact["evaluations"] == one.evaluations
        for name, mine in (particles | rows).items():
            np.testing.assert_allclose(fact[name], mine, atol=2e-6)
        np.testing.assert_allclose(
            fact["alone"], one.position, atol=2e-6
        )  # beside the others, by itself


def test_chains_are_those_of_one_process(facts):
    algorithm, problem, start, options = several.chains()
    mine = langevax.simulate(algorithm, problem, start, **options)
    for fact in facts:
        np.testing.assert_allclose(fact["chains"], mine.position, atol=2e-6)
        np.testing.assert_allclose(fact["chain records"], mine.positions, atol=2e-6)


def test_a_resumed_run_is_the_same_bit_for_bit(facts):
    for fact in facts:
        assert fact["resumed"] == fact["through"] == facts[0]["through"]


def test_two_processes_resume_what_one_saved(facts, one):
    for fact in facts:
        assert fact["steps"] == [several.HALF, several.STEPS, several.STEPS]
        np.testing.assert_allclose(fact["of one"], one.position, atol=2e-6)


def test_one_process_resumes_what_two_saved(folder, one):
    resumed = alone(
        several.STEPS, run=langevax.Run(checkpoint=folder / "half", resume=True)
    )
    np.testing.assert_allclose(resumed.position, one.position, atol=2e-6)
    np.testing.assert_allclose(resumed.positions, one.positions, atol=2e-6)


@pytest.mark.parametrize(("fault", "code"), [("killed", -9), ("mistaken", 1)])
def test_where_one_process_ends_all_end_and_report_why(tmp_path, fault, code):
    processes = started(2, tmp_path, fault)
    left, died = ended(processes)
    assert [process.returncode for process in processes] == [1, code]
    assert (
        "Process 0 of 2: another process of this run has ended" in left
    )  # why, in words of gloo that vary
    assert "resume=True" in left
    assert "Traceback" not in left
    if fault == "mistaken":
        assert "a mistake of process 1 alone" in died
