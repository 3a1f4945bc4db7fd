"""What clients measure beyond the loss, callbacks, the best model, and runs that end when they no longer improve."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from tests.sentences import refuses

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from safetensors.numpy import load_file

import langevax
from langevax.federated import MinibatchSGD
from langevax.flower import Task, client_app
from langevax.flower.evaluation import BestModel, RoundRecord
from langevax.flower.server import serve
from tests.flower.local_grid import LocalGrid
from tests.flower.rows import CLIENTS, NUM_CLIENTS, START, loss, problem
from tests.flower.setting import FEDERATION, KEY, strategy_of

SGD = MinibatchSGD(step_size=0.1)


def metrics(context):
    """The weight on the first input; clients 0 and 1 count for one example and three, the others for none."""
    client = context.node_config["partition-id"]
    return lambda x: {
        "first": client + float(x["w"][0]),
        "num-examples": {0: 1, 1: 3}.get(client, 0),
    }


def sums(context):
    """Clients of different sizes, without a value."""
    client = context.node_config["partition-id"]
    inputs, targets = CLIENTS[client]
    rows = inputs[: client + 2], targets[: client + 2]
    return langevax.ExternalSum(lambda x, r: jax.tree.map(np.zeros_like, x), rows)


TASK = Task(SGD, START, problem, metrics=metrics)


def evaluated(values, metric="loss", mode="min", stop_after=None):
    best = BestModel(metric, mode, stop_after)
    for i, value in enumerate(values):
        best.add(
            RoundRecord(
                i + 1, {metric: value}, {0: {metric: value}}, {}, f"position {i + 1}"
            )
        )
    return best


def test_the_best_model_is_that_of_the_best_evaluation():
    best = evaluated([3.0, 1.0, np.nan, 1.0, 2.0], stop_after=4)
    assert (
        best.round,
        best.value,
        best.position,
        best.not_improved,
        best.exhausted,
    ) == (
        2,
        1.0,
        "position 2",
        3,
        False,
    )
    assert evaluated([3.0, 1.0, np.nan, 1.0, 2.0], stop_after=3).exhausted
    assert evaluated([0.1, 0.9, 0.5], "accuracy", "max").round == 2
    assert not evaluated([1.0] * 99).exhausted
    assert evaluated([np.nan, np.inf]).position is None


@pytest.mark.slow
def test_metrics_of_clients_are_weighted_by_rows_or_by_their_examples_and_recorded_for_each():
    records = []
    strategy = strategy_of(SGD, callbacks=[records.append])
    grid = LocalGrid(client_app(TASK), NUM_CLIENTS)
    result = strategy.start(grid, num_rounds=3, evaluate_every=2, evaluate_fn=None)
    assert [record.round for record in records] == [1, 2, 3]
    assert records[0].metrics == {}
    last = records[-1]
    w = float(strategy.loop.position["w"][0])
    assert last.metrics["first"] == pytest.approx(0.25 * w + 0.75 * (1 + w), rel=1e-6)
    assert last.metrics["loss"] == pytest.approx(
        float(FEDERATION.value(last.position)), rel=1e-5
    )
    assert last.clients[4]["first"] == pytest.approx(4 + w)
    assert last.clients[4]["loss"] == pytest.approx(
        float(FEDERATION.client(4).value(last.position)), rel=1e-5
    )
    assert last.counts == strategy.loop.counts
    assert dict(result.evaluate_metrics_clientapp[3]) == last.metrics
    assert [record.round for record in strategy.rounds] == [2, 3]


def test_without_a_loss_metrics_are_weighted_by_rows():
    task = dataclasses.replace(
        TASK,
        problem=sums,
        metrics=lambda c: lambda x: {"id": c.node_config["partition-id"]},
    )
    records = []
    strategy = strategy_of(SGD, callbacks=[records.append])
    strategy.start(LocalGrid(client_app(task), NUM_CLIENTS), num_rounds=1)
    rows = np.arange(NUM_CLIENTS) + 2
    assert records[0].metrics == {
        "id": pytest.approx(np.average(np.arange(NUM_CLIENTS), weights=rows))
    }
    equal = strategy_of(SGD, callbacks=[records.append], weights="uniform")
    equal.start(LocalGrid(client_app(task), NUM_CLIENTS), num_rounds=1)
    assert records[1].metrics == {"id": 2.0}


def run(task, tmp_path, callbacks=(), **config):
    config = {
        "rounds": 6,
        "seed": 3,
        "out": str(tmp_path / "out"),
        "deadline": 0.05,
    } | config
    grid = LocalGrid(client_app(task), NUM_CLIENTS, config)
    return serve(task, grid, config, callbacks)


@pytest.mark.slow
def test_a_run_that_no_longer_improves_ends_and_its_best_model_is_written(tmp_path):
    """At step 3 the loss rises from the first round on: the best model is that of round 1, and three more are run."""
    task = dataclasses.replace(
        TASK,
        algorithm=MinibatchSGD(step_size=3.0),
        evaluate=lambda config: lambda x: {"norm": abs(x["w"]).sum()},
    )
    strategy, _ = run(task, tmp_path, **{"stop-after": 3, "rounds": 50})
    assert (strategy.loop.step, strategy.best.round) == (4, 1)
    first = langevax.simulate(
        task.algorithm, FEDERATION, START, key=KEY, num_steps=1
    ).position
    written = load_file(tmp_path / "out" / "best.safetensors")
    np.testing.assert_allclose(written["['w']"], first["w"], rtol=1e-5)
    content = json.loads((tmp_path / "out" / "result.json").read_text())
    assert content["best"] == {
        "metric": "loss",
        "round": 1,
        "value": pytest.approx(content["loss"]["1"]),
    }
    by_server, _ = run(
        task,
        tmp_path / "norm",
        **{"best-metric": "server/norm", "best-mode": "max", "rounds": 3},
    )
    assert by_server.best.round == 3


def lines(folder):
    text = (folder / "out" / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_metrics_are_written_as_the_run_goes_and_continued_by_a_resumed_one(tmp_path):
    """A server that dies in the callback of round 4, after its checkpoint, and one that is resumed."""

    def dies(record):
        assert any(line["round"] == record.round for line in lines(tmp_path / "a"))
        if record.round == 4:
            raise RuntimeError("killed")

    saved = {"checkpoint": str(tmp_path / "checkpoint")}
    with refuses(RuntimeError):
        run(TASK, tmp_path / "a", [dies], **saved)
    resumed, _ = run(TASK, tmp_path / "a", **saved, resume=True)
    whole, _ = run(TASK, tmp_path / "b")
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    assert (resumed.best.round, resumed.best.value) == (
        whole.best.round,
        whole.best.value,
    )
    (second,) = [line for line in lines(tmp_path / "a") if line["round"] == 2]
    assert second.keys() == {"round", "metrics", "clients", "counts"}
    assert list(second["counts"]) == ["exchanges", "vectors", "bytes", "evaluations"]
    assert list(second["clients"]["3"]) == list(second["metrics"]) == ["loss", "first"]


def test_the_best_model_of_a_resumed_run_is_that_before(tmp_path):
    task = dataclasses.replace(TASK, algorithm=MinibatchSGD(step_size=3.0))
    saved = {"checkpoint": str(tmp_path / "checkpoint"), "stop-after": 2}
    run(task, tmp_path, **saved, rounds=2)
    strategy, _ = run(task, tmp_path, **saved, rounds=50, resume=True)
    assert (strategy.loop.step, strategy.best.round) == (3, 1)
    first = langevax.simulate(
        task.algorithm, FEDERATION, START, key=KEY, num_steps=1
    ).position
    np.testing.assert_allclose(strategy.best.position["w"], first["w"], rtol=1e-5)
    other, _ = run(
        task, tmp_path, **saved | {"best-metric": "first"}, rounds=4, resume=True
    )
    assert (other.best.metric, other.best.round) == ("first", 4)


def test_a_callback_stops_the_run_and_others_are_refused():
    strategy = strategy_of(SGD, callbacks=[lambda record: record.round == 2])
    strategy.start(LocalGrid(client_app(TASK), NUM_CLIENTS), num_rounds=9)
    assert strategy.loop.step == 2
    with refuses(TypeError, "None"):
        strategy_of(SGD, callbacks=[lambda record: 1]).start(
            LocalGrid(client_app(TASK), NUM_CLIENTS), num_rounds=1
        )
    with refuses(TypeError, "callbacks"):
        strategy_of(SGD, callbacks=print)


def test_metrics_that_cannot_be_used_are_refused_with_what_there_is():
    grid = LocalGrid(client_app(TASK), NUM_CLIENTS)
    with refuses(ValueError, "'accuracy' 'loss' 'first'"):
        strategy_of(SGD, best=BestModel("accuracy")).start(grid, num_rounds=1)
    with refuses(ValueError, "mode 'min' 'max' 'least'"):
        BestModel("loss", "least")
    with refuses(TypeError, "best"):
        strategy_of(SGD, best="loss")
    with refuses(ValueError, "stop_after evaluate_every 0"):
        strategy_of(SGD, best=BestModel(stop_after=2)).start(
            grid, num_rounds=1, evaluate_every=0
        )
    task = dataclasses.replace(TASK, metrics=lambda context: lambda x: {"loss": 1.0})
    with refuses(ValueError, "'loss'"):
        strategy_of(SGD).start(LocalGrid(client_app(task), NUM_CLIENTS), num_rounds=1)


def test_a_number_that_is_infinite_everywhere_has_no_mean(tmp_path):
    task = dataclasses.replace(TASK, metrics=lambda context: lambda x: {"far": np.inf})
    strategy, _ = run(task, tmp_path, rounds=1)
    assert lines(tmp_path)[0]["clients"]["3"]["far"] == np.inf
    assert "far" not in strategy.rounds[0].metrics


def test_the_loss_is_compiled_once_for_all_clients_and_rounds():
    calls, traced = [], []

    def counted(x, row):
        calls.append(row)
        return loss(x, row)

    def rows(context):
        return langevax.FiniteSum(counted, CLIENTS[context.node_config["partition-id"]])

    def note(record):
        traced.append(len(calls))

    strategy = strategy_of(SGD, callbacks=[note])
    strategy.start(
        LocalGrid(client_app(Task(SGD, START, rows)), NUM_CLIENTS), num_rounds=3
    )
    assert traced[0] == traced[1] == traced[2] > 0
