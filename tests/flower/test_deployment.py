"""A run in Flower's deployment: a client that is killed and comes back, a server that dies, the numbers of it all."""

import json
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.sentences import tells

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from safetensors.numpy import load_file

import langevax
from langevax.federated import MinibatchSARAH
from langevax.federated.server_loop import ServerLoop, client_reply
from tests.flower.faulty import FaultyDeployment
from tests.flower.planted import write_planted_app
from tests.flower.rows import CLIENTS, START, loss

pytestmark = pytest.mark.slow

PATIENCE = 300.0
DEADLINE = 20.0  # an exchange takes 6 seconds, half of it waiting: slack for a machine that is several times slower
SARAH = MinibatchSARAH(step_size=0.05, batch_size=2, period=3)
FEDERATION = langevax.Federation.of(loss, CLIENTS[:2])
KEY = jax.random.key(0)


def in_process(rounds):
    """The server after rounds in which these clients answered."""
    loop = ServerLoop(SARAH, START, key=KEY)
    loop.start(FEDERATION.clients)
    for who in rounds:
        request, replies = loop.next(), {}
        for client, message, key in zip(
            request.clients, request.messages, request.keys, strict=True
        ):
            if client in who:
                problem, key, step = (
                    FEDERATION.client(client),
                    jnp.asarray(key),
                    jnp.int32(request.step),
                )
                exchange = request.scheduled.exchange
                replies[client], _ = client_reply(
                    exchange, problem, (), message, key, "threefry2x32", step
                )
        loop.receive(request, replies)
    return loop


def assert_same(position, counts, expected):
    """To float32 rounding, and what was counted exactly."""
    for name, required in expected.position.items():
        np.testing.assert_allclose(position[name], required, rtol=2e-6, atol=2e-6)
    assert counts == {name: int(value) for name, value in expected.counts.items()}


def test_the_numbers_that_a_deployment_must_have_are_those_of_simulate_where_all_answer():
    loop = in_process([[0, 1]] * 3)
    assert_same(
        loop.position,
        loop.counts,
        langevax.simulate(SARAH, FEDERATION, START, key=KEY, num_steps=3),
    )


def wait_for(run, words, after=0):
    """Until the server says so, in a line beyond the first `after`."""
    end = time.monotonic() + PATIENCE
    while not any(words in line for line in run.lines()[after:]):
        assert time.monotonic() < end, run.lines()
        time.sleep(0.1)


def answered_in(lines):
    """Return who answered, by round: one of two is client 0, which nobody killed."""
    actual = [
        re.search(r"\[ROUND (\d+)/\d+\] (\d) of 2 answered", line) for line in lines
    ]
    return {int(one.group(1)): list(range(int(one.group(2)))) for one in actual if one}


def test_a_deployment_survives_a_killed_client_and_a_dead_server_and_has_the_same_numbers(
    tmp_path,
):
    app, saved = write_planted_app(tmp_path / "planted"), tmp_path / "saved"
    settings = {
        "checkpoint": str(saved),
        "deadline": DEADLINE,
        "num-clients": 2,
        "patience": 20,
    }
    with FaultyDeployment(2, logs=tmp_path / "logs-1", patience=PATIENCE) as engine:
        run = engine.launch(
            app, {**settings, "rounds": 50, "out": str(tmp_path / "killed")}
        )
        wait_for(run, "2 clients are connected")
        engine.kill_node(1)
        engine.restart_node(1)
        wait_for(run, "1 of 2 answered")
        wait_for(run, "2 of 2 answered", after=len(run.lines()))
        engine.kill_server()
        assert run.wait(PATIENCE).status == "lost"
    rounds = answered_in(run.lines())
    with FaultyDeployment(2, logs=tmp_path / "logs-2", patience=PATIENCE) as engine:
        settings |= {
            "rounds": len(rounds) + 1,
            "resume": True,
            "out": str(tmp_path / "out"),
        }
        outcome = engine.run(app, settings, timeout=PATIENCE)
        assert outcome.finished, outcome
    tells(outcome.log.read_text(), len(rounds))
    last = json.loads((tmp_path / "out" / "sarah" / "history.jsonl").read_text())
    assert last["round"] == len(rounds)
    expected = in_process([*rounds.values(), last["answered"]])
    actual = load_file(tmp_path / "out" / "sarah" / "model.safetensors")
    counts = json.loads((tmp_path / "out" / "sarah" / "result.json").read_text())[
        "counts"
    ]
    assert_same({name: actual[f"['{name}']"] for name in START}, counts, expected)
