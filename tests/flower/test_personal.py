"""Personal leaves: trained by each client, never sent; against a calculation by hand."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from safetensors.numpy import load_file

import langevax
from langevax.federated import FLEDGE, SCAFFOLD, FedAvg
from langevax.flower import PersonalLeaves, Task, client_app
from langevax.flower.server import serve
from tests.flower.local_grid import LocalGrid

CLIENTS, ROWS, H, K, OWN_STEP, L = 3, 4, 0.1, 2, 0.2, 3
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(CLIENTS, ROWS)).astype(np.float32)
TARGETS = (2 * INPUTS + np.arange(CLIENTS)[:, None]).astype(
    np.float32
)  # a slope for all, an intercept for each
START = {"body": jnp.array([0.5]), "head": {"intercept": jnp.array(0.0)}}


def loss(x, row):
    return (row[0] * x["body"][0] + x["head"]["intercept"] - row[1]) ** 2 / 2


def problem(context):
    client = context.node_config["partition-id"]
    return langevax.FiniteSum(loss, (INPUTS[client], TARGETS[client]))


def gradient(x, rows):
    inputs, targets = rows
    error = inputs * x["body"][0] + x["head"]["intercept"] - targets
    return {
        "body": np.array([np.mean(error * inputs)]),
        "head": {"intercept": np.mean(error)},
    }


def external(context):
    client = context.node_config["partition-id"]
    value = lambda x, rows: np.mean(
        (rows[0] * x["body"][0] + x["head"]["intercept"] - rows[1]) ** 2 / 2
    )
    return langevax.ExternalSum(gradient, (INPUTS[client], TARGETS[client]), value)


def by_hand(rounds):
    """FedAvg of the slope; each client first takes L steps of its intercept at the slope of the server."""
    w, b = 0.5, np.zeros(CLIENTS)
    for _ in range(rounds):
        for _ in range(L):
            b = b - OWN_STEP * np.mean(INPUTS * w + b[:, None] - TARGETS, axis=1)
        slopes = np.full(CLIENTS, w)
        for _ in range(K):
            slopes = slopes - H * np.mean(
                (INPUTS * slopes[:, None] + b[:, None] - TARGETS) * INPUTS, axis=1
            )
        w = slopes.mean()
    return w, b, np.mean((INPUTS * w + b[:, None] - TARGETS) ** 2 / 2)


TASK = Task(
    FedAvg(step_size=H, num_local_steps=K),
    START,
    problem,
    metrics=lambda context: lambda x: {"intercept": float(x["head"]["intercept"])},
    evaluate=lambda config: lambda x: {"of the start": float(x["head"]["intercept"])},
    personal=PersonalLeaves(["head"], step_size=OWN_STEP, num_steps=L),
)


@pytest.mark.parametrize("own_problem", [problem, external])
def test_heads_are_trained_first_and_the_rest_is_averaged(own_problem, tmp_path):
    config = {"rounds": 3, "out": str(tmp_path), "deadline": 0.05}
    grid = LocalGrid(
        client_app(dataclasses.replace(TASK, problem=own_problem)), CLIENTS, config
    )
    strategy, _ = serve(TASK, grid, config)
    w, b, value = by_hand(3)
    np.testing.assert_allclose(strategy.loop.position["body"], [w], rtol=1e-5)
    last = strategy.rounds[-1]
    np.testing.assert_allclose(
        [last.clients[i]["intercept"] for i in range(CLIENTS)], b, rtol=1e-5
    )
    assert last.metrics["loss"] == pytest.approx(value, rel=1e-4)
    assert last.metrics["server/of the start"] == 0.0
    assert last.counts["bytes"] == 3 * CLIENTS * 2 * 4  # one number down and one up
    assert list(load_file(tmp_path / "model.safetensors")) == ["['body']"]
    assert (
        json.loads((tmp_path / "result.json").read_text())["counts"]["vectors"]
        == 3 * CLIENTS * 2
    )


def test_control_variates_of_the_shared_leaves_go_with_them():
    config = {"rounds": 60, "deadline": 0.05, "evaluate-every": 20}
    task = dataclasses.replace(
        TASK, algorithm=SCAFFOLD(step_size=0.3, num_local_steps=K)
    )
    strategy, _ = serve(task, LocalGrid(client_app(task), CLIENTS, config), config)
    np.testing.assert_allclose(strategy.loop.position["body"], [2.0], atol=0.02)
    np.testing.assert_allclose(
        [strategy.rounds[-1].clients[i]["intercept"] for i in range(CLIENTS)],
        [0, 1, 2],
        atol=0.05,
    )


def test_names_that_are_no_leaves_and_methods_that_compare_rounds_are_refused():
    def split(names):
        return PersonalLeaves(names, 0.1, 1).split(START)

    assert split(["head/intercept"])[1]["body"] is None
    assert (
        PersonalLeaves(["last"], 0.1, 1).split(
            {"first.weight": 1.0, "last.weight": 2.0}
        )[0]["last.weight"]
        is None
    )
    with pytest.raises(
        ValueError,
        match="names has 'hea', but the leaves are body, head/intercept; name one",
    ):
        split(["hea"])
    with pytest.raises(
        ValueError, match="names has all leaves of the model; name fewer"
    ):
        split(["head", "body"])
    with pytest.raises(
        TypeError,
        match=r"names must be a list of names of leaves, got 'head'; pass \['head'\]",
    ):
        PersonalLeaves("head", 0.1, 1)
    with pytest.raises(ValueError, match="step_size"):
        PersonalLeaves(["head"], -0.1, 1)
    fledge = FLEDGE(step_size=H, num_local_steps=K)
    with pytest.raises(
        ValueError,
        match=r"FLEDGE compares gradients of earlier rounds, .*; take one of FedAvg",
    ):
        dataclasses.replace(TASK, algorithm=fledge).algorithm_of({})
