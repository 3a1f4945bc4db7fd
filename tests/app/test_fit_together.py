"""`langevax fit` with several processes: the numbers of one process, one output, the same exit code."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from langevax.sklearn import load
from tests.app.conftest import langevax

pytestmark = [pytest.mark.mostly_compiling, pytest.mark.slow]

QUICK = (
    "--no-peers",
    "--no-certificate",
    "--num-steps",
    "20",
    "--temperature",
    "0.05",
    "--num-particles",
    "32",
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    rows = np.column_stack([x, np.tanh(2 * x[:, 0]) + 0.1 * rng.normal(size=40)])
    file = tmp_path_factory.mktemp("table") / "waves.csv"
    np.savetxt(file, rows, fmt="%.6f", delimiter=",", header="a,b,height", comments="")
    return file


def together(*words, count=2):
    """(exit code, standard output, standard error) of each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        sys.executable,
        "-m",
        "langevax",
        "fit",
        *map(str, words),
        "--coordinator",
        address,
    ]
    processes = [
        subprocess.Popen(
            [*command, "--num-processes", str(count), "--process-id", str(index)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        streams = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (
            process.returncode,
            out,
            "".join(
                line for line in err.splitlines(True) if not line.startswith("[Gloo]")
            ),
        )
        for process, (out, err) in zip(processes, streams, strict=True)
    ]


def test_two_processes_train_the_same_network_as_one(table, tmp_path):
    first, second = together(
        table, "--target", "height", "--out", tmp_path / "two", "--json", *QUICK
    )
    assert (first[0], second) == (0, (0, "", ""))
    assert (
        langevax(
            "fit", table, "--target", "height", "--out", tmp_path / "one", *QUICK
        ).exit_code
        == 0
    )
    one, two = (load(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    np.testing.assert_allclose(two.particles_, one.particles_, atol=1e-5)
    result = json.loads(first[1])
    alone = json.loads((tmp_path / "one/result.json").read_text())
    assert result["scores"][0]["value"] == pytest.approx(
        alone["scores"][0]["value"], abs=1e-5
    )
    assert not (tmp_path / "two/training").exists()


def test_all_processes_exit_if_the_first_cannot_start(table, tmp_path):
    first, second = together(
        table, "--target", "depth", "--out", tmp_path / "none", *QUICK
    )
    assert (first[0], second[0]) == (2, 2)
    assert "'depth'" in first[2]
    assert second[1:] == ("", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--coordinator", "here:1"), "need --num-processes and --process-id too"),
        (
            ("--coordinator", "here", "--num-processes", 2, "--process-id", 0),
            "'here' is not HOST:PORT",
        ),
        (
            ("--coordinator", "here:1", "--num-processes", 2, "--process-id", 2),
            "not below --num-processes 2",
        ),
    ],
    ids=["lacking", "address", "index"],
)
def test_incomplete_process_groups_are_refused(table, tmp_path, words, complaint):
    answer = langevax("fit", table, "--target", "height", "--out", tmp_path, *words)
    assert answer.exit_code == 2
    assert complaint in answer.stderr


def test_neurons_that_do_not_divide_evenly_are_refused(table, tmp_path):
    (answer, other) = together(
        table, "--target", "height", "--out", tmp_path / "odd", *QUICK[:-1], "33"
    )
    assert (answer[0], other[0]) == (2, 2)
    assert (
        "--num-particles 33 does not divide evenly among 2 devices; pass --num-particles 34"
        in answer[2]
    )
    assert not (tmp_path / "odd").exists()
