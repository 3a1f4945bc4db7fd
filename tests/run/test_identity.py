"""A run is what it computes: whatever changes its numbers is another run, by name, and nothing else is."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import langevax
from langevax import CheckpointError
from langevax.algorithm import trace_floats
from langevax.run import identity
from langevax.run.program import RunParts
from tests.run.setting import Script, assert_same_bits, fix_chunks, simulate
from tests.sentences import refuses

ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def identity_of(problem, algorithm=None):
    """Return the identity that `simulate` compares."""
    position, key = jnp.zeros(3), jax.random.key(0)
    parts = {
        "algorithm": algorithm or langevax.Langevin(0.1, 0.5),
        "problem": problem,
        "start": position,
        "key": key,
    }
    algorithm, problem = identity.abstract(
        trace_floats((parts["algorithm"], parts["problem"]), jnp.float32)
    )
    state, _ = eqx.filter_eval_shape(algorithm.init, problem, position, key)
    shapes = identity.one_chain((position, state), None)
    traced = identity.traced_parts(RunParts(algorithm, problem, key), *shapes)
    return identity.of(parts)._replace(traced=traced)


def named(factor):
    """Functions of one name and other numbers."""

    def loss(x, a):
        return factor * jnp.sum((x - a) ** 2)

    return loss


def enclosing(value):
    def loss(x, a):
        weight = len(value) if isinstance(value, str) else value
        return jnp.sum(weight * (x - a) ** 2)

    return loss


def with_default(default):
    def loss(x, a, scale=default):
        return jnp.sum((x - a) ** 2) * scale

    return loss


def of_body(power):
    """Two bodies under one name."""
    if power == 2:

        def loss(x, a):
            return jnp.sum((x - a) ** 2)
    else:

        def loss(x, a):
            return jnp.sum((x - a) ** 4)

    return loss


class Scaled:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x, a):
        return self.scale * jnp.sum((x - a) ** 2)


def square(scale, x, a):
    return scale * jnp.sum((x - a) ** 2)


def fourth(scale, x, a):
    return scale * jnp.sum((x - a) ** 4)


def host_gradient(scale):
    def gradient(x, rows):
        return scale * (x - rows.mean(axis=0))

    return gradient


def external(gradient):
    return langevax.ExternalSum(gradient, ROWS)


def finite(loss):
    return langevax.FiniteSum(loss, ROWS)


RATES = [np.array([rate], np.float32) for rate in (0.1, 0.2)]
PAIRS = {
    "closures over arrays": (
        finite,
        enclosing(np.ones(3)),
        enclosing(np.array([1.0, 1.0, 2.0])),
    ),
    "closures over text": (finite, enclosing("a"), enclosing("ab")),
    "default arguments": (finite, with_default(1.0), with_default(2.0)),
    "bodies of one name": (finite, of_body(2), of_body(4)),
    "callable objects": (finite, Scaled(1.0), Scaled(2.0)),
    "partials of two functions": (finite, partial(square, 1.0), partial(fourth, 1.0)),
    "lambdas": (finite, lambda x, a: jnp.sum(x * a), lambda x, a: jnp.sum(x * a * a)),
    "functions of the host": (
        external,
        host_gradient(np.ones(3)),
        host_gradient(np.zeros(3)),
    ),
    "partials on the host": (external, partial(square, 1.0), partial(fourth, 1.0)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_another_loss_is_another_run_and_an_equal_one_is_not(pair):
    problem, one, other = PAIRS[pair]
    refused, accepted = identity_of(problem(one)).compare(identity_of(problem(other)))
    assert "the loss differs" in refused
    assert accepted == []
    assert identity_of(problem(one)).compare(identity_of(problem(one))) == ([], [])


def test_equal_functions_of_two_definitions_are_one_run():
    assert identity_of(finite(named(2.0))).compare(identity_of(finite(named(2.0)))) == (
        [],
        [],
    )
    assert identity_of(external(host_gradient(1.0))).compare(
        identity_of(external(host_gradient(1.0)))
    ) == ([], [])


def test_one_row_in_forty_megabytes_is_named():
    rows = np.zeros((10**7, 1), np.float32)
    saved = identity.describe({"problem": langevax.FiniteSum(named(1.0), rows)})
    rows[1] = 1
    current = identity.describe({"problem": langevax.FiniteSum(named(1.0), rows)})
    refused, _ = identity.RunIdentity(current, {}, {}, {}).compare(
        identity.RunIdentity(saved, {}, {}, {})
    )
    assert len(refused) == 1
    assert refused[0].startswith(
        "row data differ: problem.data was float32[10000000, 1] checksum"
    )


def test_schedules_of_other_numbers_are_named():
    def decaying(rate):
        return lambda step: 0.1 / (1 + jnp.asarray(rate)[0] * step.astype(jnp.float32))

    pair = [
        identity_of(finite(named(1.0)), langevax.Langevin(decaying(rate), 0.5))
        for rate in RATES
    ]
    refused, _ = pair[0].compare(pair[1])
    assert refused == ["the schedule algorithm.step_size differs"]
    schedule = optax.cosine_decay_schedule(0.1, 100)
    with jax.numpy_dtype_promotion("standard"):
        pair = [
            identity_of(finite(named(1.0)), langevax.Langevin(schedule, 0.5))
            for _ in range(2)
        ]
    assert pair[0] == pair[1]


def test_where_versions_differ_a_loss_is_another_only_if_its_code_is():
    saved = identity_of(finite(named(1.0)))
    old = saved.versions | {"jax": "0.1"}
    traced_otherwise = saved._replace(
        versions=old, traced=saved.traced | {"loss": "0", "step": "0"}
    )
    refused, accepted = saved.compare(traced_otherwise)
    assert refused == []
    assert accepted == [
        f"jax was 0.1, now {jax.__version__}",
        "the loss is traced differently",
    ]
    rewritten = identity_of(finite(of_body(4)))._replace(
        settings=saved.settings, versions=old
    )
    assert saved.compare(rewritten)[0] == ["the loss differs"]


@pytest.mark.slow
def test_the_identity_is_the_same_in_another_process():
    code = "import json; from tests.run import test_identity as t; print(json.dumps(t.reference()))"
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, timeout=300, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(
        json.dumps(reference())
    )


def reference():
    """Identities of three runs with constants, schedules, callbacks and neurons."""
    inputs = np.asarray(ROWS)
    risk = langevax.MeanFieldRisk(
        langevax.neurons.Tanh(),
        langevax.losses.squared,
        inputs,
        inputs[:, 0],
        precision=0.1,
    )
    position = jax.ShapeDtypeStruct((4, 4), jnp.float32)
    svrg = langevax.Langevin(
        optax.cosine_decay_schedule(0.1, 9),
        0.5,
        langevax.gradients.SVRG(batch_size=2, period=3),
    )
    with jax.numpy_dtype_promotion("standard"):
        return [
            identity_of(finite(enclosing(np.arange(3.0, dtype=np.float32))), svrg),
            identity_of(external(host_gradient(np.arange(3.0)))),
            identity.digest(
                eqx.filter_make_jaxpr(lambda r, x: r.value_and_gradient(x))(
                    risk, position
                )[0]
            ),
        ]


# at resume


def in_steps(length, scale=1.0):
    """An algorithm whose class has one name and another step."""

    class Steps(Script):
        def step(self, problem, state, key, step):
            state, info = super().step(problem, state, key, step)
            return state._replace(position=scale * state.position), info

    return {"algorithm": Steps(lambda step: {}), "record_every": None, "average": None}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    fix_chunks(monkeypatch, 10)
    simulate(
        20,
        run=langevax.Run(checkpoint=tmp_path / "run", checkpoint_seconds=0.0),
        **in_steps(1),
    )
    return tmp_path / "run"


@pytest.mark.slow
def test_a_step_that_is_traced_differently_is_named_and_accepted_on_demand(saved):
    resumed = partial(simulate, 30, **in_steps(1, scale=2.0))
    with refuses(CheckpointError, "resume='anyway'"):
        resumed(run=langevax.Run(saved, resume=True))
    assert resumed(run=langevax.Run(saved, resume="anyway")).steps == 30
    record = json.loads((saved / "run.json").read_text())
    assert [entry["differences"] for entry in record["continued"]] == [
        ["the step is traced differently"]
    ]
    assert resumed(run=langevax.Run(saved, resume=True)).steps == 30


def test_another_version_is_named_and_accepted_on_demand(saved, monkeypatch):
    versions = identity.versions()
    monkeypatch.setattr(identity, "versions", lambda: {**versions, "langevax": "9.9"})
    resumed = partial(simulate, 30, **in_steps(1))
    with refuses(CheckpointError, f"{versions['langevax']} 9.9"):
        resumed(run=langevax.Run(saved, resume=True))
    assert resumed(run=langevax.Run(saved, resume="anyway")).steps == 30
    with refuses(CheckpointError):
        resumed(run=langevax.Run(saved, resume="anyway"), seed=1)
    for bad in ("always", 1, None):
        with refuses(TypeError, "resume"):
            resumed(run=langevax.Run(saved, resume=bad))


@pytest.mark.slow
def test_states_and_records_of_another_run_or_step_are_refused(tmp_path, monkeypatch):
    fix_chunks(monkeypatch, 10)
    for name in ("one", "two"):
        simulate(
            20, run=langevax.Run(checkpoint=tmp_path / name, checkpoint_seconds=0.0)
        )
    one, two = tmp_path / "one", tmp_path / "two"
    resumed = partial(simulate, 30, run=langevax.Run(checkpoint=one, resume=True))
    shutil.move(one / "state" / "20", tmp_path / "state of 20")
    shutil.copytree(one / "state" / "10", one / "state" / "20")
    with refuses(CheckpointError, "20 10"):
        resumed()
    shutil.rmtree(one / "state" / "20")
    shutil.copytree(two / "state" / "20", one / "state" / "20")
    with refuses(CheckpointError, "20"):
        resumed()
    shutil.rmtree(one / "state" / "20")
    shutil.move(tmp_path / "state of 20", one / "state" / "20")
    record = sorted((one / "trace").iterdir())[0]
    content = record.read_bytes()
    shutil.copy(two / "trace" / record.name, record)
    with refuses(CheckpointError, record.name):
        resumed()
    record.write_bytes(content)
    assert_same_bits(resumed(), simulate(30))
