"""Flower's deployment engine: a plain app, killed processes, and nothing left behind.

Its simulation engine is tested in test_simulation.py.
"""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.sentences import refuses, tells

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from tests.flower.faulty import FaultyDeployment
from tests.flower.observed import LOOPBACKS, assert_all_is_gone, listening
from tests.flower.plain import write_plain_app
from tools.engines import (
    Deployment,
    EngineError,
    Simulation,
    app_config,
)

pytestmark = pytest.mark.slow

PATIENCE = 300.0


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return write_plain_app(tmp_path_factory.mktemp("apps") / "plain")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    with FaultyDeployment(
        2, logs=tmp_path_factory.mktemp("logs"), patience=PATIENCE
    ) as engine:
        yield engine
        nodes = list(engine.nodes.values())
    assert_all_is_gone(engine)
    assert [node.exit_code for node in nodes] == [
        -signal.SIGKILL
    ] * 2  # nobody waits for them to take leave


def test_a_deployment_runs_an_app_and_a_killed_node_comes_back(
    app, deployment, tmp_path
):
    """Each client is a process of its own. Without keys a node that is back is another one."""
    before = dict(deployment.node_ids)
    deployment.kill_node(1)
    deployment.restart_node(1)
    assert deployment.node_ids[1] not in before.values()
    settings = {
        "rounds": 1,
        "enough": 2,
        "out": str(tmp_path / "out.json"),
    }  # the dead node is asked, too
    outcome = deployment.run(app, settings, timeout=PATIENCE)
    assert outcome.finished, outcome
    [answers] = json.loads((tmp_path / "out.json").read_text())["rounds"]
    assert [answer["partition-id"] for answer in answers] == [0, 1]
    assert {answer["node"] for answer in answers} == set(
        map(str, deployment.node_ids.values())
    )
    assert len({answer["pid"] for answer in answers}) == 2
    assert {answer["FLWR_HOME"] for answer in answers} == {str(deployment.home)}
    if Path("/proc/net/tcp").exists():
        assert listening(deployment.family.processes()) <= LOOPBACKS


def test_a_server_app_that_fails_is_reported(app, deployment):
    lines = []
    outcome = deployment.run(
        app, {"trouble": "raise"}, timeout=PATIENCE, on_line=lines.append
    )
    assert (outcome.status, outcome.finished) == ("failed", False)
    assert "planted trouble" in "\n".join([outcome.details, *lines])


def test_a_run_is_stopped_after_its_time_and_on_request(app, deployment):
    runs = [deployment.launch(app, {"trouble": "sleep"}) for _ in range(2)]
    while not all("sleeping" in run.lines() for run in runs):
        time.sleep(0.1)
    runs[0].stop()
    assert runs[0].wait(PATIENCE).status == "stopped"
    outcome = runs[1].wait(timeout=0.5)
    assert (outcome.status, outcome.details) == (
        "timed out",
        "stopped after 0.5 seconds",
    )


def test_a_dead_server_is_noticed(app):
    with FaultyDeployment(1, patience=PATIENCE) as engine:
        run = engine.launch(app, {"trouble": "sleep"})
        while "sleeping" not in run.lines():
            time.sleep(0.1)
        engine.kill_server()
        outcome = run.wait(PATIENCE)
        assert outcome.status == "lost"
        tells(outcome.details, "SuperLink -9")
    assert_all_is_gone(engine)


def test_a_server_that_cannot_start_reports_its_log(monkeypatch):
    engine = Deployment(1, patience=PATIENCE)
    monkeypatch.setattr(engine, "_server_options", ["--no-such-option"])
    with (
        refuses(EngineError, "SuperLink 2"),
        engine,
    ):
        pass
    assert_all_is_gone(engine)


def test_mistakes_are_found_before_anything_starts(app, tmp_path):
    with refuses(ValueError, "num_clients"):
        Simulation(0)
    with refuses(ValueError, "cpus"):
        Simulation(1, cpus=0)
    engine = Deployment(1)
    with refuses(ValueError):
        engine.run(tmp_path / "nothing")
    with refuses(ValueError, "'round' 'enough' 'out' 'rounds' 'trouble'"):
        engine.run(app, {"round": 3})
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with refuses(ValueError):
        engine.run(tmp_path)
    with refuses(RuntimeError):
        engine.flwr("ls")


def test_nested_settings_have_dotted_names(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        "[tool.flwr.app.config]\nrounds = 3\nstep.size = 0.5\n"
    )
    assert app_config(tmp_path) == {"rounds": 3, "step.size": 0.5}


def test_telemetry_is_off_whatever_the_user_has_set(monkeypatch):
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setenv("FLWR_HOME", "/home/me/.flwr")
    monkeypatch.setenv("FLWR_INTERNAL_GRPC_FLEET_API", "1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    environment = Simulation(1).environment
    names = (
        "FLWR_TELEMETRY_ENABLED",
        "RAY_USAGE_STATS_ENABLED",
        "FLWR_DISABLE_UPDATE_CHECK",
        "JAX_PLATFORMS",
    )
    assert [environment[name] for name in names] == ["0", "0", "1", "cpu"]
    assert environment["FLWR_HOME"] != "/home/me/.flwr"
    assert "FLWR_INTERNAL_GRPC_FLEET_API" not in environment
