"""Transfers between host and device: nothing within a chunk of steps, and a fixed number of arrays between chunks.

On CPUs JAX refuses arrays and numbers that a program would fetch from the host (`jax.transfer_guard`), but reading is
free there and never refused; reads are counted where they pass through NumPy.
"""

import gc
import threading
from contextlib import closing
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax._src.array import ArrayImpl

import langevax
from langevax import DivergenceError, Langevin, gradients, meanfield, neurons, samplers
from langevax.meanfield import clouds as clouds_module
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.run import program
from langevax.sklearn import MeanFieldRegressor
from tests.run.setting import (
    DRIVER,
    assert_same_bits,
    fix_chunks,
    langevin,
    problem,
    simulate,
    squared_distance,
)

INPUTS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
CALLBACK = "callback"  # in the name of the call with which a program asks the host


def risk():
    return langevax.MeanFieldRisk(
        neurons.Tanh(),
        langevax.losses.squared,
        INPUTS,
        np.tanh(INPUTS[:, 0]),
        precision=np.float32(0.1),
    )


def federation():
    return langevax.Federation(squared_distance, INPUTS.reshape(4, 3, 3))


@pytest.fixture
def chunks(monkeypatch):
    """Chunks run where nothing may come from the host; says how many there were and what callbacks programs have."""
    seen, advance = SimpleNamespace(number=0, texts={}), program.advance

    def guarded(chunk, *arguments):
        kind = type(chunk.parts.algorithm)
        if kind not in seen.texts:
            seen.texts[kind] = advance.lower(chunk, *arguments).as_text()
        seen.number += 1
        with jax.transfer_guard("disallow"):
            return advance(chunk, *arguments)

    monkeypatch.setattr(program, "advance", guarded)
    return seen


@pytest.fixture
def reads(monkeypatch):
    """Arrays of the device that NumPy and Python numbers were made of."""
    counted, lock = SimpleNamespace(number=0), threading.Lock()

    def count():
        with lock:
            counted.number += 1

    def counting(function):
        def convert(array, *arguments, **options):
            if isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer):
                count()
            return function(array, *arguments, **options)

        return convert

    value = ArrayImpl._value.fget
    monkeypatch.setattr(
        ArrayImpl, "_value", property(lambda array: (count(), value(array))[1])
    )
    for name in ("asarray", "array"):
        monkeypatch.setattr(np, name, counting(getattr(np, name)))
    return counted


RUNS = {
    "chains of SVRG": (langevin(), problem, jnp.zeros(3), 2),
    "a schedule": (
        Langevin(optax.linear_schedule(0.1, 0.01, 50), 0.1),
        problem,
        jnp.zeros(3),
        None,
    ),
    "SLEDGE": (
        Langevin(0.1, 0.1, gradients.SLEDGE(batch_size=3)),
        problem,
        jnp.zeros(3),
        None,
    ),
    "MALA": (samplers.MALA(0.1, 0.1), problem, jnp.zeros(3), 2),
    "a cloud": (meanfield.MFLD(0.1, 0.01), risk, jnp.ones((8, 4)), None),
    "dual ascent": (meanfield.PSDCA(temperature=0.1), risk, jnp.ones((8, 4)), None),
    "rounds of clients": (
        langevax.federated.FLEDGE(0.1, 2),
        federation,
        jnp.zeros(3),
        None,
    ),
}


SLOW = "dual ascent", "rounds of clients", "SLEDGE"  # to compile


@pytest.mark.parametrize(
    "run",
    [pytest.param(run, marks=pytest.mark.slow if run in SLOW else ()) for run in RUNS],
)
def test_a_chunk_exchanges_nothing_with_the_host(chunks, run):
    algorithm, make, start, num_chains = RUNS[run]
    options = {"problem": make(), "num_chains": num_chains}
    simulate(20, algorithm, start, **options)
    assert chunks.number > 1
    assert not [text for text in chunks.texts.values() if CALLBACK in text]


def test_a_gradient_on_the_host_is_seen_in_the_program(chunks):
    """The test above would see a callback if there were one."""
    outside = langevax.ExternalSum(
        lambda position, rows: position - rows.mean(0), INPUTS
    )
    simulate(2, Langevin(0.1, 0.1), jnp.zeros(3), problem=outside, num_chains=None)
    assert CALLBACK in chunks.texts[Langevin]


def test_an_array_on_the_host_is_refused_in_a_chunk(chunks):
    """The test above would refuse one."""
    parts, one = (
        program.RunParts(langevin(), problem(), jax.random.key(0)),
        jnp.int32(1),
    )
    carry = program.begin(parts, jnp.zeros(3))
    chunk = program.Chunk(parts, one, one)
    carry = carry._replace(step=np.int32(0))
    with pytest.raises(
        jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"
    ):
        program.advance(chunk, carry, None)


def test_reads_do_not_grow_with_the_steps_of_a_chunk(monkeypatch, reads):
    """Records are read once a chunk, whatever their number."""
    fix_chunks(monkeypatch, 10**6)
    numbers = []
    for num_steps in (8, 400, 4000):
        reads.number = 0
        simulate(num_steps)
        numbers.append(reads.number)
    assert 0 < numbers[0] == numbers[1] == numbers[2]


def test_reads_of_a_run_are_those_of_its_chunks(monkeypatch, reads):
    """Per chunk: whether the position is finite, and each array of the records."""
    fix_chunks(monkeypatch, 8)
    numbers = []
    for num_steps in (8, 16, 80):
        reads.number = 0
        simulate(num_steps)
        numbers.append(reads.number)
    per_chunk = numbers[1] - numbers[0]
    leaves = (
        1 + 3
    )  # positions; a count in two words, each read where it is gathered and where it is widened
    assert 1 < per_chunk <= 2 * (1 + leaves)
    assert numbers[2] - numbers[0] == 9 * per_chunk


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::langevax.sklearn.LinearModelWarning",
    "ignore::langevax.sampling.SamplingWarning",
)
def test_fits_and_samples_run_in_such_chunks(chunks):
    MeanFieldRegressor(num_particles=20, num_steps=20, random_state=0).fit(
        INPUTS, INPUTS[:, 0]
    )
    numbers = [chunks.number]
    target = langevax.posterior(
        None, lambda m, y: -((y - m) ** 2) / 2, INPUTS[:, 0], prior_precision=1.0
    )
    for algorithm in (langevax.NUTS(), Langevin()):
        langevax.sample(
            target,
            jnp.zeros(()),
            key=jax.random.key(0),
            num_samples=100,
            algorithm=algorithm,
        )
        numbers.append(chunks.number)
    assert np.diff(numbers, prepend=0).min() > 1
    assert not [text for text in chunks.texts.values() if CALLBACK in text]


@pytest.mark.slow
def test_moves_of_a_certificate_exchange_nothing_with_the_host(monkeypatch, reads):
    """A block goes to the device, moves there, and comes back: as many reads for forty moves as for four."""
    law = GibbsLaw.of(risk(), 0.1)
    tilt = law.tilt(jnp.asarray(0.1 * INPUTS[:, 0]), 0.1)

    def guarded(function):
        def run(*arguments):
            with jax.transfer_guard("disallow"):
                return function(*arguments)

        return run

    for name in ("_moved", "_features", "_cell_sums", "_descended"):
        monkeypatch.setattr(clouds_module, name, guarded(getattr(clouds_module, name)))
    with closing(Clouds(law, 12, jax.random.key(0))) as clouds:
        cloud, numbers = clouds.prior(2 * clouds.block), []
        target, factor = clouds.target(tilt), np.eye(law.size)
        for num_moves in (4, 40):
            reads.number = 0
            clouds.moved(target, cloud, factor, 0.1, num_moves)
            numbers.append(reads.number)
        clouds.features(cloud)
        clouds.cell_sums(
            tilt, cloud, np.ones(len(cloud)), np.zeros(len(cloud), np.int32), 1
        )
        clouds.descended(tilt, cloud, 10)
    assert numbers == [
        2 * 5,
        2 * 5,
    ]  # positions, three values and the acceptance of each of two blocks


# States that are replaced where they lie


@pytest.fixture
def replaced(monkeypatch):
    """Every state counts as large; lists what was deleted of those that chunks were called with."""
    monkeypatch.setattr(DRIVER, "LARGE_STATE", 0)
    deleted, in_place = [], program.advance_in_place

    def observed(chunk, carry, buffer):
        after = in_place(chunk, carry, buffer)
        deleted.append(
            all(leaf.is_deleted() for leaf in jax.tree.leaves((carry, buffer)))
        )
        return after

    monkeypatch.setattr(program, "advance_in_place", observed)
    return deleted


@pytest.mark.slow
@pytest.mark.parametrize("run", ["chains of SVRG", "a cloud"])
def test_a_large_state_is_replaced_and_the_numbers_are_the_same(
    monkeypatch, replaced, run
):
    algorithm, make, start, num_chains = RUNS[run]
    options = {"problem": make(), "num_chains": num_chains}
    in_place = simulate(20, algorithm, start, **options)
    assert len(replaced) > 1
    assert all(replaced)
    assert not start.is_deleted()
    monkeypatch.setattr(DRIVER, "LARGE_STATE", 2**60)
    assert_same_bits(in_place, simulate(20, algorithm, start, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"callbacks": (lambda *_: None,), "callback_every": 4},
        {"checkpoint": "saved"},
    ],
)
def test_states_that_others_read_are_not_replaced(replaced, tmp_path, options):
    if "checkpoint" in options:
        options = {"run": langevax.Run(checkpoint=tmp_path / options["checkpoint"])}
    simulate(8, **options)
    assert replaced == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "start", [np.full(1, 0.75, np.float32), lambda key: jax.random.uniform(key, (1,))]
)
def test_a_run_that_diverges_ends_alike_whether_or_not_states_are_replaced(
    monkeypatch, replaced, start
):
    """The state before a chunk is gone, and is computed again from the start."""
    fix_chunks(monkeypatch, 7)
    parabola = langevax.FiniteSum(squared_distance, jnp.zeros((4, 1)))
    errors = []
    for large in (0, 2**60):
        monkeypatch.setattr(DRIVER, "LARGE_STATE", large)
        with pytest.raises(DivergenceError) as caught:
            simulate(
                200,
                Langevin(11.0, 0.1),
                start,
                problem=parabola,
                num_chains=None,
                record_every=3,
            )
        errors.append(caught.value)
    assert replaced
    assert errors[0].step == errors[1].step > 7
    assert_same_bits(errors[0].result, errors[1].result)


def test_a_carry_that_is_donated_has_buffers_of_its_own():
    """A state may be the user's own array, hold one array twice, and hold a key."""
    start, other, zero = jnp.ones(3), jnp.zeros(2), jnp.int32(0)
    state = {
        "position": start,
        "anchor": start,
        "table": other,
        "again": other,
        "key": jax.random.key(0),
    }
    owned = program.with_own_buffers(
        program.Carry(zero, state, {}, {}, jnp.int32(1), None), start
    ).state
    arrays = [
        start,
        *(owned[name] for name in ("position", "anchor", "table", "again")),
    ]
    assert len({array.unsafe_buffer_pointer() for array in arrays}) == 5
    assert (
        owned["again"] is other
    )  # the first of its buffer, by name: copied only where it must be
    np.testing.assert_array_equal(owned["anchor"], start)
    assert owned["key"] is state["key"]


@pytest.mark.slow
def test_a_program_that_replaces_its_state_needs_room_for_one():
    """What the compiled program shares between arguments and results: the cloud, which the other program has twice."""
    cloud, one = jnp.ones((5000, 4)), jnp.int32(1)
    parts = program.RunParts(meanfield.MFLD(0.1, 0.01), risk(), jax.random.key(0))
    carry = program.begin(parts, cloud)
    chunk = program.Chunk(parts, one, one)
    in_place = (
        program.advance_in_place.lower(chunk, carry, None)
        .compile()
        .compiled.memory_analysis()
    )
    apart = program.advance.lower(chunk, carry, None)
    apart = apart.compile().compiled.memory_analysis()
    assert in_place.alias_size_in_bytes >= cloud.nbytes
    assert apart.alias_size_in_bytes == 0
    sizes = [
        m.argument_size_in_bytes + m.output_size_in_bytes - m.alias_size_in_bytes
        for m in (in_place, apart)
    ]
    assert sizes[1] - sizes[0] >= cloud.nbytes


@pytest.mark.slow
@pytest.mark.parametrize(("large", "once"), [(0, True), (2**60, False)])
def test_a_replaced_state_is_held_once(monkeypatch, large, once):
    """Also by a run whose start is drawn: it is drawn again if it is needed."""
    monkeypatch.setattr(DRIVER, "LARGE_STATE", large)
    fix_chunks(monkeypatch, 2)
    shape, alive = (1237, 4), []
    all_finite = program.all_finite
    gc.collect()
    others = sum(array.shape == shape for array in jax.live_arrays())

    def counted(position):
        alive.append(sum(array.shape == shape for array in jax.live_arrays()) - others)
        return all_finite(position)

    monkeypatch.setattr(program, "all_finite", counted)
    options = {
        "problem": risk(),
        "num_chains": None,
        "record_every": None,
        "average": None,
    }
    simulate(
        6,
        meanfield.MFLD(0.1, 0.01),
        lambda key: jax.random.normal(key, shape),
        **options,
    )
    assert len(alive) == 3
    assert all((number == 1) == once for number in alive[1:])
