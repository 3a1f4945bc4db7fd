"""A run is what it computes: whatever changes its numbers is another run, by name, and nothing else is."""

import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import langevax
from langevax import CheckpointError
from langevax.algorithm import trace_floats
from langevax.run import identity
from langevax.run.program import Observers, RunParts, begin
from tests.run.setting import Script, assert_same_bits, fix_chunks, simulate
from tests.sentences import refuses

ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def computed_by(problem, algorithm=None, record=None):
    """Return the outputs that `simulate` compares, at one position."""
    algorithm = algorithm or langevax.Langevin(0.1, 0.5)
    shared = trace_floats((algorithm, problem), jnp.float32)
    parts = RunParts(*shared, jax.random.key(0), Observers(record, None))
    carry = begin(parts, jnp.array([0.3, -1.2, 2.0]))
    return identity.outputs(parts, carry, carry)


def differing(one, other):
    return identity.differences(one, other, jnp.float32)


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


def towards(scale, x, rows):
    return scale * (x - rows.mean(axis=0))


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
    "partials on the host": (external, partial(towards, 1.0), partial(towards, 2.0)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_another_loss_is_another_run_and_an_equal_one_is_not(pair):
    problem, one, other = PAIRS[pair]
    differ = differing(computed_by(problem(one)), computed_by(problem(other)))
    assert differ == (["loss", "value"] if problem is finite else ["loss"])
    assert computed_by(problem(one)) == computed_by(problem(one))


def test_equal_functions_of_two_definitions_are_one_run():
    for problem, loss in ((finite, named), (external, host_gradient)):
        assert computed_by(problem(loss(2.0))) == computed_by(problem(loss(2.0)))


def test_another_record_is_another_run():
    one, other = (
        computed_by(finite(named(1.0)), record=record)
        for record in (lambda p, s: s.position[0], lambda p, s: s.position[1])
    )
    assert differing(one, other) == ["record"]


def test_rounding_is_not_another_run():
    saved = computed_by(finite(named(1.0)))
    loss = [number * (1 + 1e-5) for number in saved["loss"]]
    assert differing(saved, saved | {"loss": loss}) == []


def test_a_function_without_a_gradient_is_compared_by_its_value():
    def rounded(factor):
        def value(x):
            shape = jax.ShapeDtypeStruct((), x.dtype)
            return jax.pure_callback(lambda x: np.sum(x) * factor, shape, x)

        return langevax.Function(value)

    walk = langevax.PCN(0.5, temperature=1.0)
    problems = [
        langevax.Function(rounded(factor).fun, precision=1.0) for factor in (1.0, 2.0)
    ]
    one, other = (computed_by(problem, walk) for problem in problems)
    assert differing(one, other) == ["loss"]


def test_one_row_in_forty_megabytes_is_named():
    rows = np.zeros((10**7, 1), np.float32)
    saved = identity.describe({"problem": langevax.FiniteSum(named(1.0), rows)})
    rows[1] = 1
    current = identity.describe({"problem": langevax.FiniteSum(named(1.0), rows)})
    refused, _ = identity.RunIdentity(current, {}).compare(
        identity.RunIdentity(saved, {})
    )
    assert len(refused) == 1
    assert refused[0].startswith(
        "row data differ: problem.data was float32[10000000, 1] checksum"
    )


def test_schedules_of_other_numbers_are_named():
    def decaying(rate):
        return lambda step: 0.1 / (1 + jnp.asarray(rate)[0] * step.astype(jnp.float32))

    one, other = (
        computed_by(finite(named(1.0)), langevax.Langevin(decaying(rate), 0.5))
        for rate in RATES
    )
    assert differing(one, other) == ["schedule algorithm.step_size"]


def test_a_schedule_that_changes_much_later_is_named():
    def falling_at(step):
        return optax.piecewise_constant_schedule(0.1, {step: 0.1})

    with jax.numpy_dtype_promotion("standard"):
        one, other = (
            computed_by(
                finite(named(1.0)), langevax.Langevin(falling_at(10**power), 0.5)
            )
            for power in (5, 6)
        )
    assert differing(one, other) == ["schedule algorithm.step_size"]


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
def test_another_step_is_another_run(saved):
    with refuses(CheckpointError, "step"):
        simulate(30, run=langevax.Run(saved, resume=True), **in_steps(1, scale=2.0))


class Solver:
    """A library's object, of which nothing but its results is known."""

    def __init__(self, rate):
        self.rate = rate

    def gradient(self, position, rows):
        return self.rate * (position - rows.mean(axis=0))


def test_another_object_behind_a_gradient_is_another_run(tmp_path):
    run = partial(simulate, algorithm=langevax.Langevin(0.1, 0.5), average=None)
    run(10, problem=external(Solver(0.1).gradient), run=langevax.Run(tmp_path))
    again = langevax.Run(tmp_path, resume=True)
    with refuses(CheckpointError, "loss"):
        run(20, problem=external(Solver(-5.0).gradient), run=again)
    same = external(Solver(0.1).gradient)
    assert_same_bits(run(20, problem=same, run=again), run(20, problem=same))


def test_another_value_of_one_gradient_is_another_run(tmp_path):
    def run(scale, num_steps, resume):
        def gradient(position, rows):
            return position - rows.mean(axis=0)

        def value(position, rows):
            return scale + float(((position - rows) ** 2).sum(axis=1).mean()) / 2

        return simulate(
            num_steps,
            problem=langevax.ExternalSum(gradient, ROWS, value),
            algorithm=langevax.MALA(0.001, 1.0),
            average=None,
            run=langevax.Run(tmp_path, resume=resume),
        )

    run(1, 10, False)
    with refuses(CheckpointError, "value"):
        run(np.float32(5), 20, True)
    assert run(1, 20, True).steps == 20


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
