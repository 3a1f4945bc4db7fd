"""The same numbers in process, in Flower's simulation and in its deployment; faults, deaths, a resumed server."""

import csv
import dataclasses
import json
import time
from importlib.util import find_spec

import jax
import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower is not installed: pip install 'langevax[flower]'")

from safetensors.numpy import load_file

import langevax
from langevax.federated import FLEDGE, MinibatchSARAH
from langevax.flower.engines import Deployment, Simulation
from tests.flower.planted import write_planted_app
from tests.flower.rows import CLIENTS, NUM_CLIENTS, START, loss

PATIENCE = 300.0
FLEDGE_SERVER = FLEDGE(step_size=0.05, local_steps=3, batch_size=2, clients_per_round=4)
FLEDGE_CLIENT = dataclasses.replace(FLEDGE_SERVER, table="client")
SARAH = MinibatchSARAH(step_size=0.05, batch_size=2, period=3)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return write_planted_app(tmp_path_factory.mktemp("apps") / "planted")


def in_process(algorithm, num_clients, rounds):
    federation = langevax.Federation.of(loss, CLIENTS[:num_clients])
    return langevax.simulate(algorithm, federation, START, key=KEY, num_steps=rounds)


def assert_same_numbers(folder, expected):
    """To float32 rounding, and what was counted exactly."""
    found = load_file(folder / "model.safetensors")
    for name, wanted in expected.position.items():
        np.testing.assert_allclose(found[f"['{name}']"], wanted, rtol=2e-6, atol=2e-6)
    counts = json.loads((folder / "result.json").read_text())["counts"]
    assert counts == {name: int(value) for name, value in expected.counts.items()}


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'langevax[flower]'")
def test_a_simulation_has_the_numbers_of_simulate_and_refuses_rubbish(app, tmp_path):
    faults = {
        "nan:1@1": "is not finite", "inf:2@1": "is not finite", "shape:3@2": "has shape (1,)",
        "norm:4@3": "times the usual", "replay:1@4": "it answers number 3, not number 4",
        "foreign:2@4": "it answers run another, not run", "error:3@5": "planted trouble",
    }  # fmt: skip
    with Simulation(NUM_CLIENTS, logs=tmp_path / "logs", patience=PATIENCE) as engine:
        for method, algorithm in (("fledge", FLEDGE_SERVER), ("fledge-client", FLEDGE_CLIENT)):
            settings = {"method": method, "rounds": 3, "out": str(tmp_path / method)}
            outcome = engine.run(app, settings, timeout=PATIENCE)
            assert outcome.finished, outcome
            assert_same_numbers(tmp_path / method, in_process(algorithm, NUM_CLIENTS, 3))
        settings = {"method": "sarah", "rounds": 7, "out": str(tmp_path / "faults"), "faults": " ".join(faults)}
        outcome = engine.run(app, settings, timeout=PATIENCE)
        assert outcome.finished, outcome
    seen = history(tmp_path / "faults")
    assert [row["late"] for row in seen] == [""] * 7
    for fault, reason in faults.items():
        client, _, number = fault.partition(":")[2].partition("@")
        (found,) = [one for one in seen[int(number)]["refused"].split("; ") if one.startswith(f"{client}: ")]
        assert reason in found
        assert client not in seen[int(number)]["answered"].split()
    refused = sum(len(row["refused"].split("; ")) for row in seen if row["refused"])
    assert refused == len(faults)


def wait_for(run, words, after=0):
    """Until the server says so, in a line beyond the first `after`."""
    end = time.monotonic() + PATIENCE
    while not any(words in line for line in run.lines()[after:]):
        assert time.monotonic() < end, run.lines()
        time.sleep(0.1)


def test_a_deployment_has_the_same_numbers_survives_a_killed_client_and_resumes_after_the_server_died(app, tmp_path):
    saved = str(tmp_path / "saved")
    settings = {"method": "sarah", "checkpoint": saved, "deadline": 20.0, "num-clients": 2}
    with Deployment(2, logs=tmp_path / "logs-1", patience=PATIENCE) as engine:
        outcome = engine.run(app, {**settings, "rounds": 2, "out": str(tmp_path / "clean")}, timeout=PATIENCE)
        assert outcome.finished, outcome
        assert_same_numbers(tmp_path / "clean", in_process(SARAH, 2, 2))
        folder = tmp_path / "killed"
        run = engine.launch(app, {**settings, "rounds": 50, "resume": True, "out": str(folder)})
        wait_for(run, "Resumed after round 2")
        engine.kill_node(1)
        wait_for(run, "1 of 2 answered")
        engine.start_node(1)
        wait_for(run, "2 of 2 answered", after=len(run.lines()))
        engine.kill_server()
        assert run.wait(PATIENCE).status == "lost"
    with Deployment(2, logs=tmp_path / "logs-2", patience=PATIENCE) as engine:
        run = engine.launch(app, {**settings, "rounds": 50, "resume": True})
        wait_for(run, "Resumed after round")
        wait_for(run, "2 of 2 answered")
        run.stop()
