"""Bad input: each is refused with an error that names the argument, the value and the remedy.

The checks of annotations, which are on in tests only, are off here: users have none.
"""

import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import langevax
from tests.run.setting import (
    SIZE,
    assert_same_tree,
    langevin,
    problem,
    simulate,
    squared_distance,
)
from tests.sentences import refuses

ROWS = np.ones((12, SIZE), np.float32)


@pytest.fixture(autouse=True)
def without_annotation_checks():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def spoiled(value):
    data = ROWS.copy()
    data[4, 1] = value
    return data


def minibatch(**options):
    return langevax.Langevin(0.1, 0.5, langevax.gradients.Minibatch(**options))


def run(**options):
    return lambda: simulate(8, **options)


def plainly(**options):
    """`langevax.simulate` without the defaults of these tests."""
    arguments = {"key": jax.random.key(0), "num_steps": 8} | options
    algorithm, data = (
        arguments.pop("algorithm", langevin()),
        arguments.pop("problem", problem()),
    )
    start = arguments.pop("start", jnp.zeros(SIZE))
    return lambda: langevax.simulate(algorithm, data, start, **arguments)


REFUSED = {
    "NaN in the data": (
        lambda: langevax.FiniteSum(squared_distance, spoiled(np.nan)),
        ValueError,
        ["data[4, 1] is nan (1 non-finite entries)", "drop or impute these rows"],
    ),
    "infinity in named data": (
        lambda: langevax.FiniteSum(squared_distance, {"x": spoiled(-np.inf)}),
        ValueError,
        ["data['x'][4, 1] is -inf", "drop or impute"],
    ),
    "NaN in the inputs": (
        lambda: langevax.MeanFieldRisk(
            langevax.neurons.Tanh(),
            langevax.losses.squared,
            spoiled(np.nan),
            np.ones(12, np.float32),
        ),
        ValueError,
        ["inputs[4, 1] is nan", "drop or impute"],
    ),
    "empty data": (
        lambda: langevax.FiniteSum(squared_distance, np.ones((0, SIZE), np.float32)),
        ValueError,
        ["data is empty (0 rows)", "pass at least one row"],
    ),
    "no data": (
        lambda: langevax.FiniteSum(squared_distance, ()),
        ValueError,
        ["data holds no array, got ()", "pass arrays with one row per component"],
    ),
    "leading axes that disagree": (
        lambda: langevax.FiniteSum(squared_distance, (ROWS, np.ones(11, np.float32))),
        ValueError,
        [
            "leading axes of data disagree (data[0]: 12, data[1]: 11)",
            "pass the same number of rows",
        ],
    ),
    "a loss that is not scalar": (
        run(problem=langevax.FiniteSum(lambda x, a: x - a, ROWS)),
        ValueError,
        ["loss must return a scalar, got shape (3,)", "sum or average"],
    ),
    "NaN in the start": (
        run(start=np.array([0, np.nan, 1], np.float32)),
        ValueError,
        ["start[0, 1] is nan", "start from finite numbers"],
    ),
    "infinity in a drawn start": (
        run(start=lambda key: jnp.full(SIZE, jnp.inf)),
        ValueError,
        ["start[0, 0] is inf", "start from finite numbers"],
    ),
    "integers as a start": (
        plainly(start={"w": np.zeros(SIZE, np.int32)}),
        TypeError,
        ["start['w'] must be floating, got int32", "astype(float)"],
    ),
    "words as a start": (
        plainly(start={"w": "zero"}),
        TypeError,
        ["start['w'] must be an array, got 'zero'", "pass"],
    ),
    "nothing as a start": (
        plainly(start=()),
        ValueError,
        ["start holds no array, got ()", "pass a pytree"],
    ),
    "an empty start": (
        plainly(start=jnp.zeros((0, 2))),
        ValueError,
        ["start is empty, of shape (0, 2)", "pass"],
    ),
    "a batch larger than n": (
        run(algorithm=minibatch(batch_size=13)),
        ValueError,
        ["batch_size is 13 but the problem has 12 components", "batch_size <= 12"],
    ),
    "a batch of none": (
        lambda: minibatch(batch_size=0),
        ValueError,
        ["batch_size must be at least 1, got 0", "pass"],
    ),
    "period 0": (
        lambda: langevax.gradients.SVRG(batch_size=2, period=0),
        ValueError,
        ["period must be at least 1, got 0", "pass an int >= 1"],
    ),
    "a period that is no int": (
        lambda: langevax.gradients.SARAH(batch_size=2, period=2.5),
        TypeError,
        ["period must be an int or 'auto', got 2.5 of type float", "pass an int"],
    ),
    "a negative temperature": (
        lambda: langevax.Langevin(0.1, -0.5),
        ValueError,
        ["temperature must be finite and >= 0, got -0.5", "pass a number >= 0"],
    ),
    "a NaN temperature": (
        lambda: langevax.Langevin(0.1, np.nan),
        ValueError,
        ["temperature", "got nan", "pass"],
    ),
    "no temperature for MALA": (
        lambda: langevax.MALA(0.1, 0.0),
        ValueError,
        ["temperature", "> 0, got 0.0", "pass"],
    ),
    "a negative step": (
        lambda: langevax.Langevin(-0.1, 0.5),
        ValueError,
        ["step_size must be finite and > 0, got -0.1", "pass a number > 0"],
    ),
    "a step of 0": (
        lambda: langevax.Langevin(0.0, 0.5),
        ValueError,
        ["step_size", "> 0, got 0.0", "pass"],
    ),
    "a NaN step": (
        lambda: langevax.Langevin(jnp.nan, 0.5),
        ValueError,
        ["step_size", "got nan", "pass"],
    ),
    "an infinite step": (
        lambda: langevax.Langevin(np.inf, 0.5),
        ValueError,
        ["step_size", "got inf", "pass"],
    ),
    "words as a step": (
        lambda: langevax.Langevin("small", 0.5),
        TypeError,
        [
            "step_size must be a number or a schedule of the step or 'auto', got 'small'",
            "pass a float > 0",
        ],
    ),
    "a boolean of NumPy as a step": (
        lambda: langevax.Langevin(np.True_, 0.5),
        TypeError,
        [
            "step_size must be a number or a schedule of the step or 'auto', got True",
            "pass a float > 0",
        ],
    ),
    "a schedule for a precision": (
        lambda: langevax.FiniteSum(squared_distance, ROWS, precision=lambda step: 0.1),
        TypeError,
        ["precision must be a number, got a function", "pass a float >= 0"],
    ),
    "a count that is neither an int nor auto": (
        lambda: langevax.gradients.SVRG(2, 0.5),
        TypeError,
        ["period must be an int or 'auto', got 0.5", "pass an int"],
    ),
    "an old key": (
        plainly(key=jnp.array([0, 0], jnp.uint32)),
        TypeError,
        [
            "key must be a typed key, got an old-style uint32 key",
            "jax.random.wrap_key_data(old_key)",
        ],
    ),
    "a seed for a key": (
        plainly(key=0),
        TypeError,
        ["key must be a typed key, got int", "jax.random.key(seed)"],
    ),
    "no key": (
        plainly(key=None),
        TypeError,
        ["key must be a typed key, got NoneType", "jax.random.key(seed)"],
    ),
    "several keys": (
        plainly(key=jax.random.split(jax.random.key(0), 3)),
        ValueError,
        ["key must be one key, got an array of keys of shape (3,)", "pass one of them"],
    ),
    "no algorithm": (
        plainly(algorithm=0.1),
        TypeError,
        ["algorithm must be an Algorithm", "got 0.1", "langevax.Langevin("],
    ),
    "no problem": (
        plainly(problem=ROWS),
        TypeError,
        ["problem must be a Problem", "got an array of float32", "FiniteSum("],
    ),
    "negative num_steps": (
        plainly(num_steps=-1),
        ValueError,
        ["num_steps must be at least 0, got -1", "pass"],
    ),
    "num_steps as a float": (
        plainly(num_steps=1e3),
        TypeError,
        ["num_steps must be an int, got 1000.0", "pass"],
    ),
    "more steps than int32": (
        plainly(num_steps=2**31),
        ValueError,
        ["num_steps must be at most 2147483646, got 2147483648", "pass"],
    ),
    "no chains": (
        plainly(num_chains=0),
        ValueError,
        ["num_chains must be at least 1, got 0", "pass"],
    ),
    "record_every 0": (
        plainly(record_every=0),
        ValueError,
        ["record_every must be at least 1, got 0", "pass"],
    ),
    "callback_every 0": (
        plainly(callbacks=[print], callback_every=0),
        ValueError,
        ["callback_every must be at least 1, got 0", "pass"],
    ),
    "callbacks without a grid": (
        plainly(callbacks=[print]),
        ValueError,
        [
            "callback_every is None",
            "no callback would ever be called",
            "pass callback_every=k",
        ],
    ),
    "a callback that is no list": (
        plainly(callbacks=len, callback_every=2),
        TypeError,
        [
            "callbacks must be a list of functions",
            "<built-in function len>",
            "pass [callback]",
        ],
    ),
    "a record that is no function": (
        plainly(record="position", record_every=2),
        TypeError,
        ["record must be a function", "got 'position'", "record(problem, state)"],
    ),
    "an average that is no function": (
        plainly(average=True),
        TypeError,
        ["average must be a function", "got True", "average(problem, state)"],
    ),
    "resume from nowhere": (
        lambda: langevax.Run(resume=True),
        ValueError,
        ["resume is True but checkpoint is None", "pass checkpoint=directory"],
    ),
    "a boolean of NumPy as progress": (
        lambda: langevax.Run(progress=np.True_),
        TypeError,
        ["progress must be True, False, 'auto' or a function"],
    ),
    "a function as checkpoint_seconds": (
        lambda: langevax.Run("nowhere", checkpoint_seconds=lambda step: 1.0),
        TypeError,
        ["checkpoint_seconds must be a number, got a function", "pass"],
    ),
    "a callback that returns a number": (
        plainly(callbacks=[lambda trace, state: 1], callback_every=2),
        TypeError,
        [
            "a callback must return a boolean or None, got 1",
            "return True to stop the run",
        ],
    ),
    "negative checkpoint_seconds": (
        lambda: langevax.Run("nowhere", checkpoint_seconds=-1.0),
        ValueError,
        ["checkpoint_seconds must be finite and >= 0, got -1.0", "pass"],
    ),
    "words as progress": (
        lambda: langevax.Run(progress="yes"),
        TypeError,
        [
            "progress must be True, False, 'auto' or a function of (words, share), got 'yes'"
        ],
    ),
    "a folder as run": (
        plainly(run="folder"),
        TypeError,
        ["run must be a Run, got 'folder'", "langevax.Run(checkpoint=folder)"],
    ),
    "no progress": (
        lambda: langevax.Run(progress=None),
        TypeError,
        [
            "progress must be True, False, 'auto' or a function of (words, share), got None"
        ],
    ),
    "stacked scalars": (
        plainly(start=langevax.Stacked({"w": jnp.zeros(2), "b": jnp.array(0.0)})),
        ValueError,
        [
            "start['b'] is a scalar, but Stacked positions have the chains along axis 0",
            "pass an array",
        ],
    ),
    "stacked leaves that disagree": (
        plainly(
            start=langevax.Stacked(
                {"w": jnp.zeros((2, SIZE)), "x": jnp.zeros((3, SIZE))}
            )
        ),
        ValueError,
        [
            "start['x'] has shape (3, 3), so 3 chains along axis 0, but another leaf has 2",
            "one position per chain",
        ],
    ),
    "stacked positions of another number of chains": (
        plainly(start=langevax.Stacked(jnp.zeros((2, SIZE))), num_chains=4),
        ValueError,
        [
            "start has shape (2, 3), so 2 chains along axis 0, but num_chains is 4",
            "one position per chain",
        ],
    ),
    "stacked nothing": (
        plainly(start=langevax.Stacked(())),
        ValueError,
        ["start holds no array", "pass a pytree"],
    ),
    "stacked words": (
        plainly(start=langevax.Stacked("zero")),
        TypeError,
        ["start must be an array, got 'zero'"],
    ),
    "no stacked chain": (
        plainly(start=langevax.Stacked(jnp.zeros((0, SIZE)))),
        ValueError,
        ["start is empty, of shape (0, 3)"],
    ),
    "a number of devices as sharding": (
        plainly(sharding=4),
        TypeError,
        ["sharding must be a Mesh or a NamedSharding, got 4", "jax.make_mesh("],
    ),
}


@pytest.mark.parametrize(("call", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_a_mistake_is_refused_with_its_value_and_the_remedy(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert re.search(re.escape(word), str(caught.value)), str(caught.value)


@pytest.mark.slow
def test_chains_that_disagree_with_the_start():
    first = simulate(0)
    with refuses(ValueError, "num_chains 3 2"):
        simulate(4, start=first, num_chains=3)
    with refuses(ValueError, "phases 2 None"):
        first.then(simulate(0, num_chains=None, average=None))


def test_a_start_that_does_not_split_over_the_devices():
    mesh = jax.make_mesh((1,), ("particles",))
    with refuses(ValueError, "1 0"):
        plainly(start=jnp.array(0.0), sharding=mesh)()


def end(start=None, key=None, **options):
    start, key = (
        jnp.zeros(SIZE) if start is None else start,
        jax.random.key(0) if key is None else key,
    )
    return langevax.simulate(
        langevin(), options.get("problem", problem()), start, key=key, num_steps=2
    ).position


TRANSFORMED = {
    "jit over the start": lambda: jax.jit(end)(jnp.zeros(SIZE)),
    "jit over nothing": lambda: jax.jit(lambda: end())(),
    "jit over the key": lambda: jax.jit(lambda key: end(key=key))(jax.random.key(0)),
    "vmap over keys": lambda: jax.vmap(lambda key: end(key=key))(
        jax.random.split(jax.random.key(0), 2)
    ),
    "vmap over starts": lambda: jax.vmap(end)(jnp.zeros((2, SIZE))),
    "vmap over stacked starts": lambda: jax.vmap(lambda x: end(langevax.Stacked(x)))(
        jnp.zeros((2, 2, SIZE))
    ),
    "grad by the start": lambda: jax.grad(lambda x: end(x).sum())(jnp.zeros(SIZE)),
    "grad by the data": lambda: jax.grad(
        lambda rows: end(problem=langevax.FiniteSum(squared_distance, rows)).sum()
    )(ROWS),
}


@pytest.mark.parametrize("call", TRANSFORMED.values(), ids=TRANSFORMED)
def test_a_run_inside_a_transformation_is_refused_in_a_sentence(call):
    with refuses(TypeError, "jax.jit jax.vmap jax.grad num_chains"):
        call()


def test_a_refused_run_does_not_occupy_its_checkpoint(tmp_path):
    scalar = langevax.FiniteSum(lambda x, a: x - a, ROWS)
    with refuses(ValueError, "loss"):
        simulate(8, problem=scalar, run=langevax.Run(tmp_path / "run"))
    assert simulate(8, run=langevax.Run(tmp_path / "run")).steps == 8


KEYED = {"key": jax.random.key(0)}
UNSAVED = {
    "minimize": lambda run: langevax.minimize(jnp.sum, jnp.ones(2), **KEYED, run=run),
    "anneal": lambda run: langevax.optimize.anneal(
        jnp.sum, jnp.ones(2), **KEYED, run=run
    ),
    "two_phase": lambda run: langevax.teacher_student.two_phase(
        ROWS, ROWS[:, 0], 2, **KEYED, run=run
    ),
    "TwoPhaseReLURegressor": lambda run: langevax.sklearn.TwoPhaseReLURegressor(
        run=run
    ).fit(ROWS, ROWS[:, 0]),
    "KernelLangevinRegressor": lambda run: langevax.sklearn.KernelLangevinRegressor(
        run=run
    ).fit(ROWS, ROWS[:, 0]),
}


@pytest.mark.parametrize("name", UNSAVED)
def test_what_saves_nothing_refuses_a_checkpoint(name, tmp_path):
    with refuses(ValueError, f"{name} checkpoint run=Run(...)"):
        UNSAVED[name](langevax.Run(tmp_path / "run"))


def test_batch_sizes_may_be_integers_of_numpy():
    algorithm = langevax.Langevin(
        0.1, 0.5, langevax.gradients.SVRG(np.int64(3), np.int64(5))
    )
    assert_same_tree(simulate(8, algorithm=algorithm).position, simulate(8).position)
