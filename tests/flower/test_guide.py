"""Statements of docs/flower.md on the examples: ten changed lines, two apps of one model, code that runs."""

import ast
import difflib
import importlib
import itertools
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "flower"
APPS = ("fedavg", "fledge")
MOST = 10


def guide():
    return (ROOT / "docs" / "flower.md").read_text(encoding="utf-8")


def text_of(app):
    """Each file of an app that is not empty, by its place; of Python one statement a line, however it is laid out."""
    paths = sorted(
        path
        for path in (EXAMPLES / app).rglob("*")
        if path.suffix in (".py", ".toml", ".md")
    )
    texts = {
        str(path.relative_to(EXAMPLES / app)): path.read_text(encoding="utf-8")
        for path in paths
    }
    return {
        name: ast.unparse(ast.parse(text)) if name.endswith(".py") else text
        for name, text in texts.items()
    }


def changed_lines(before, after):
    """Lines of `after` that a line diff adds or changes; blank ones and those that disappear do not count."""
    diff = difflib.unified_diff(
        before.splitlines(), after.splitlines(), lineterm="", n=0
    )
    added = [
        line[1:] for line in itertools.islice(diff, 2, None) if line.startswith("+")
    ]
    return [line for line in added if line.strip()]


def test_the_count_of_changed_lines_is_that_of_the_diff():
    before, after = "a\nb\nc\nd\n", "a\nB\n\nc\ne\nf\n"
    assert changed_lines(before, after) == ["B", "e", "f"]
    assert changed_lines("", "++x\n") == ["++x"]


def test_ten_lines_lead_from_fedavg_to_fledge():
    before, after = (text_of(app) for app in APPS)
    assert before.keys() == after.keys()
    changed = [
        line for name in after for line in changed_lines(before[name], after[name])
    ]
    assert len(changed) <= MOST, changed
    shown = [
        line[1:]
        for block in guide().split("```diff\n")[1:]
        for line in block.partition("```")[0].splitlines()
        if line.startswith("+") and line[1:].strip()
    ]
    assert shown == changed


@pytest.fixture
def modules_of(monkeypatch):
    """Modules of the package `digits`, of one app and then of the other."""
    pytest.importorskip(
        "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
    )
    pytest.importorskip("torch", reason="PyTorch is not installed")

    def forget():
        for name in [
            name for name in sys.modules if name.partition(".")[0] == "digits"
        ]:
            del sys.modules[name]

    def load(app, *names):
        forget()
        with monkeypatch.context() as patched:
            patched.syspath_prepend(EXAMPLES / app)
            return [importlib.import_module(f"digits.{name}") for name in names]

    yield load
    forget()


def test_both_apps_have_the_same_model_and_rows(modules_of):
    import torch

    states, rows = [], []
    for app in APPS:
        (task,) = modules_of(app, "task")
        assert EXAMPLES / app in Path(task.__file__).parents
        torch.manual_seed(0)
        states.append(task.Net().state_dict())
        rows.append([task.load_data(client, 3) for client in range(3)])
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    for one, other in zip(*rows, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    (_, labels), (_, held) = task.load_all()
    assert sum(len(mine) for _, mine in rows[0]) == len(labels) == 1797 - len(held)


@pytest.mark.parametrize("app", APPS)
def test_an_app_runs_and_learns(app, modules_of, tmp_path, monkeypatch):
    """The loss of rows held out falls in both rounds, and the network that is written is the one that was tested."""
    client, server, task = modules_of(app, "client_app", "server_app", "task")
    from flwr.app import ArrayRecord, Context, RecordDict
    from safetensors.torch import load_file

    from tests.flower.local_grid import LocalGrid

    config = tomllib.loads(text_of(app)["pyproject.toml"])["tool"]["flwr"]["app"][
        "config"
    ]
    config |= {"num-server-rounds": 2, "out": str(tmp_path)}
    losses, evaluate = {}, server.evaluate

    def noted(done, arrays):
        actual = evaluate(done, arrays)
        losses[done] = actual["loss"]
        return actual

    monkeypatch.setattr(server, "evaluate", noted)
    grid = LocalGrid(client.app, num_partitions=2, run_config=config)
    server.app(grid, Context(1, 1, {}, RecordDict(), config))
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    first = evaluate(0, ArrayRecord(task.Net().state_dict()))["loss"]
    assert first > losses[1] > losses[2]
    written = ArrayRecord(load_file(tmp_path / "model.safetensors"))
    assert evaluate(2, written)["loss"] == pytest.approx(losses[2], rel=1e-6)


def test_the_code_of_the_guide_runs():
    pytest.importorskip(
        "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
    )
    from types import SimpleNamespace

    blocks = re.findall(r"```python\n(.*?)```", guide(), re.DOTALL)
    assert len(blocks) == 2
    names = {}
    exec(compile("\n".join(blocks), "flower.md", "exec"), names)
    context = SimpleNamespace(node_config={"partition-id": 1}, run_config={})
    own_values, numpys, w = (
        names["problem"](context),
        names["numpy_problem"](context),
        np.ones(3, np.float32),
    )
    np.testing.assert_allclose(own_values.gradient(w), numpys.gradient(w), rtol=1e-5)
    np.testing.assert_allclose(own_values.value(w), numpys.value(w), rtol=1e-5)
    assert names["evaluate"]({})(np.array([1, -2, 0.5]))["distance"] == 0
    assert names["task"].algorithm_of({"step-size": 0.1}).clients_per_round == 2


def test_tests_and_keys_that_the_guide_names_are_there():
    written = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "tests" / "flower").glob("test_*.py")
    )
    named = re.findall(r"`(test_\w+)`", guide())
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in written] == []
    pytest.importorskip(
        "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
    )
    from langevax.flower.server import RUN_CONFIG

    table = guide().partition("## Settings of a run")[2].partition("\n## ")[0]
    assert set(
        re.findall(
            r"`([a-z-]+)`", "".join(re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE))
        )
    ) == set(RUN_CONFIG)


def test_arrays_come_out_by_the_names_that_they_went_in_by():
    """A server's own arrays: by key where the position is a dict of these names, else in their order."""
    pytest.importorskip(
        "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
    )
    from flwr.app import Array, ArrayRecord

    from langevax.flower import wire
    from tests.flower.setting import FLEDGE_SERVER, grid_of, strategy_of

    def run(initial):
        """Return what `evaluate_fn` saw last, which is also the result."""
        recorded = []
        result = strategy_of(FLEDGE_SERVER).start(
            grid_of(FLEDGE_SERVER),
            initial,
            num_rounds=1,
            evaluate_fn=lambda done, arrays: recorded.append(arrays),
        )
        actual = [
            {name: array.numpy().tolist() for name, array in arrays.items()}
            for arrays in (*recorded, result.arrays)
        ]
        assert actual[-1] == actual[-2]
        return actual[-1]

    w, b = np.full(3, 2, np.float32), np.float32(1)
    by_key = run(ArrayRecord({"w": Array(w), "b": Array(np.asarray(b))}))
    in_order = run(ArrayRecord([np.asarray(b), w]))
    assert (list(by_key), list(in_order)) == (["b", "w"], ["0", "1"])
    assert list(by_key.values()) == list(in_order.values())
    many = ArrayRecord([np.float32([i]) for i in range(12)])
    like = [np.zeros(1, np.float32)] * 12
    assert [
        a.item() for a in wire.unpack(many, like, wire.names_of(many, like))
    ] == list(range(12))
