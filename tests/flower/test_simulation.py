"""One run in Flower's simulation: the numbers of `simulate`, bad replies that are rejected, and nothing left behind."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from safetensors.numpy import load_file

import langevax
from tests.flower.observed import LOOPBACKS, assert_all_is_gone, listening, title_of
from tests.flower.planted import write_planted_app
from tests.flower.rows import NUM_CLIENTS, START
from tests.flower.setting import FEDERATION, FLEDGE_SERVER, WITH_MEMORY
from tools.engines import Simulation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None,
        reason="Ray is not installed: pip install 'langevax[flower]'",
    ),
]
PATIENCE = 300.0
ASKED = 5
CLEAN = {"fledge": FLEDGE_SERVER, "scaffold": WITH_MEMORY}
FAULTS = {
    "nan:1@1": "is not finite",
    "inf:2@1": "is not finite",
    "shape:3@2": "has shape (1,)",
    "norm:4@3": "times the usual",
    "replay:1@4": "it answers number 3, not number 4",
    "foreign:2@4": "it answers run another, not run",
    "error:3@5": "planted trouble",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Ray takes seconds to start: once for three methods, with faults in the last. Five clients on two processes."""
    folder, recorded = (
        tmp_path_factory.mktemp("simulation"),
        SimpleNamespace(lines=[], addresses=set(), titles=set()),
    )
    app = write_planted_app(folder / "planted")
    settings = {
        "methods": " ".join([*CLEAN, "sarah"]),
        "faults": " ".join(FAULTS),
        "rounds": 6,
        "asked": ASKED,
    }
    settings["out"] = str(folder / "out")
    with Simulation(
        NUM_CLIENTS, cpus=2, logs=folder / "logs", patience=PATIENCE
    ) as engine:
        with ThreadPoolExecutor() as pool:
            running = pool.submit(
                engine.run,
                app,
                settings,
                on_line=recorded.lines.append,
                timeout=PATIENCE,
            )
            while not running.done():
                pids = engine.family.processes()
                recorded.addresses |= (
                    listening(pids) if Path("/proc/net/tcp").exists() else set()
                )
                recorded.titles |= {title for pid in pids if (title := title_of(pid))}
                time.sleep(1.0)
        recorded.outcome, recorded.engine, recorded.out = (
            running.result(),
            engine,
            folder / "out",
        )
    assert recorded.outcome.finished, recorded.outcome
    return recorded


@pytest.mark.parametrize("method", CLEAN)
def test_a_simulation_has_the_numbers_of_simulate(run, method):
    """To float32 rounding, and what was counted exactly."""
    expected = langevax.simulate(
        CLEAN[method], FEDERATION, START, key=jax.random.key(0), num_steps=6
    )
    actual = load_file(run.out / method / "model.safetensors")
    for name, required in expected.position.items():
        np.testing.assert_allclose(
            actual[f"['{name}']"], required, rtol=2e-6, atol=2e-6
        )
    counts = json.loads((run.out / method / "result.json").read_text())["counts"]
    assert counts == {name: int(value) for name, value in expected.counts.items()}


def test_bad_replies_are_rejected_and_named_in_a_simulation(run):
    text = (run.out / "sarah" / "history.jsonl").read_text()
    history = [json.loads(line) for line in text.splitlines()]
    assert [row["late"] for row in history] == [[]] * 6
    for fault, reason in FAULTS.items():
        client, _, number = fault.partition(":")[2].partition("@")
        assert reason in history[int(number)]["rejected"][client]
        assert int(client) not in history[int(number)]["answered"]
    assert sum(len(row["rejected"]) for row in history) == len(FAULTS)


def test_a_simulation_runs_an_app_and_leaves_nothing(run):
    """On the loopback interface, lines printed as they arrive; clients share processes; Ray ends with the engine."""
    assert_all_is_gone(run.engine)
    answers = json.loads((run.out / "answers.json").read_text())
    assert [sorted(one["partition-id"] for one in entry) for entry in answers] == [
        list(range(NUM_CLIENTS))
    ] * ASKED
    answers = [answer for entry in answers for answer in entry]
    assert {answer["num-partitions"] for answer in answers} == {NUM_CLIENTS}
    assert {answer["FLWR_HOME"] for answer in answers} == {str(run.engine.home)}
    assert len({answer["pid"] for answer in answers}) == 2
    own_values = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    assert {answer["JAX_COMPILATION_CACHE_DIR"] for answer in answers} == {own_values}
    assert [line for line in run.lines if line.startswith("asked")] == [
        f"asked {i}" for i in range(ASKED)
    ]
    assert run.outcome.log.read_text().count(f"asked {ASKED - 1}") == 1
    logs = {path.name for path in run.outcome.log.parent.iterdir()}
    assert logs == {"superlink.log", run.outcome.log.name}


@pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(),
    reason="what processes listen on is looked up in /proc",
)
def test_ray_is_ours_and_listens_on_the_loopback_interface_only(run):
    assert any("raylet" in title for title in run.titles)
    assert sum(title.startswith("ray::") for title in run.titles) > 2
    assert run.addresses
    assert run.addresses <= LOOPBACKS
