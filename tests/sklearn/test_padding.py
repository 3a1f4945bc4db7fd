"""Columns and rows of padding change nothing but the shapes that are compiled."""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.meanfield import certify, duality_gap
from langevax.problems import losses
from langevax.problems.neurons import TanhTanh
from langevax.sklearn import (
    KernelLangevinRegressor,
    MeanFieldClassifier,
    MeanFieldRegressor,
    TwoPhaseReLURegressor,
    training,
)
from langevax.sklearn.table import row_span
from langevax.sklearn.training import Network, TrainingTask, slopes
from tests.sentences import refuses
from tests.sklearn.tables import QUICK, STEPS, diabetes

pytestmark = pytest.mark.mostly_compiling

N, D, TEMPERATURE = 50, 5, 0.05
MAPS = Path("/proc/self/maps")

compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _seconds, **_: (
        compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
)


def network(kind="squared"):
    """50 rows of five columns, stored as 52 rows of eight."""
    rng = np.random.default_rng(0)
    inputs, weights = (
        rng.standard_normal((N, D)).astype(np.float32),
        rng.uniform(0.5, 2, N),
    )
    numbers, labels = (
        np.float32(rng.standard_normal((N, 3))),
        rng.integers(0, 3, N).astype(np.int32),
    )
    task = {
        "squared": TrainingTask(
            TanhTanh(3.0), losses.squared, numbers[:, 0], numbers[:, :1], None
        ),
        "outputs": TrainingTask(
            TanhTanh(3.0, 3), losses.squared, numbers, numbers, None
        ),
        "logistic": TrainingTask(
            TanhTanh(3.0),
            losses.logistic,
            np.float32(2 * (labels > 0) - 1),
            numbers,
            labels,
        ),
        "softmax": TrainingTask(
            TanhTanh(3.0, 3), losses.softmax, labels, numbers, labels
        ),
    }[kind]
    return Network(task, inputs, weights, 1.0)


def both(kind="squared", size=40):
    """The risks with and without padding, and the same particles for each."""
    wide = network(kind)
    risks = wide.risk(TEMPERATURE), wide.exact().risk(TEMPERATURE)
    rng = np.random.default_rng(1)
    clouds = [
        rng.standard_normal((size, risk.particle_size)).astype(np.float32)
        for risk in risks
    ]
    clouds[1] = training.narrowed(wide.task.neuron, clouds[0], wide.width, D)
    return risks, clouds


class Readings(NamedTuple):
    """Quantities of a risk at particles."""

    value: jax.Array
    gradient: jax.Array
    dual: jax.Array
    outputs: jax.Array
    single_values: jax.Array
    """Of each particle, where a dual vector holds the others."""
    single_gradients: jax.Array


@eqx.filter_jit
def readings(risk, cloud, dual=None):
    """All in one program; `dual` is that of the cloud by default."""
    own = risk.dual(cloud)
    single = risk.of_one_particle(own if dual is None else dual)
    singles = jax.vmap(single.value)(cloud), jax.vmap(single.gradient)(cloud)
    return Readings(*risk.value_and_gradient(cloud), own, risk.outputs(cloud), *singles)


@functools.cache
def both_readings(kind):
    """The risk with padding, its readings and those without padding, for one dual vector."""
    (wide, exact), (cloud, same) = both(kind)
    assert (wide.inputs.shape, exact.inputs.shape) == ((52, 8), (N, D))
    narrow = readings(exact, jnp.asarray(same))
    padded = jnp.concatenate([narrow.dual, jnp.repeat(narrow.dual[:1], 2, axis=0)])
    return wide, readings(wide, jnp.asarray(cloud), padded), narrow


KINDS = pytest.mark.parametrize("kind", ["squared", "outputs", "logistic", "softmax"])


@pytest.mark.slow
@KINDS
def test_objective_gradient_and_dual_are_those_without_padding(kind):
    risk, wide, exact = both_readings(kind)
    np.testing.assert_allclose(wide.value, exact.value, rtol=1e-5)
    gradient = np.asarray(wide.gradient)
    np.testing.assert_allclose(
        training.narrowed(risk.neuron, gradient, 8, D), exact.gradient, atol=1e-6
    )
    first = risk.neuron.input_weights(8).start
    np.testing.assert_array_equal(gradient[:, first + D : first + 8], 0)
    np.testing.assert_allclose(wide.dual[:N], exact.dual, atol=1e-6)


@pytest.mark.slow
@KINDS
def test_steps_without_noise_are_those_without_padding(kind):
    """From the same particles, so that predictions are those of a fit whose padding is dropped."""
    (wide, exact), clouds = both(kind)
    descent = langevax.Langevin(step_size=0.3, temperature=0.0)
    ends = [
        np.asarray(
            langevax.simulate(
                descent, risk, jnp.asarray(cloud), key=jax.random.key(0), num_steps=30
            ).position
        )
        for risk, cloud in zip((wide, exact), clouds, strict=True)
    ]
    np.testing.assert_allclose(
        training.narrowed(wide.neuron, ends[0], 8, D), ends[1], atol=2e-5
    )


@KINDS
def test_a_certificate_reads_off_particles_what_it_does_without_padding(kind):
    """D and the gap depend on particles by their potentials and outputs alone, in which padding has no part."""
    risk, wide, exact = both_readings(kind)
    np.testing.assert_allclose(wide.single_values, exact.single_values, atol=2e-6)
    gradients = training.narrowed(risk.neuron, np.asarray(wide.single_gradients), 8, D)
    np.testing.assert_allclose(gradients, exact.single_gradients, atol=2e-6)
    np.testing.assert_allclose(wide.outputs[:N], exact.outputs, atol=1e-6)


@pytest.mark.long
def test_certificates_with_and_without_padding_agree_and_have_the_same_errors():
    (wide, exact), (_, same) = both(size=400)
    dual = exact.dual(jnp.asarray(same)) / 3
    padded = jnp.concatenate([dual, jnp.repeat(dual[:1], 2, axis=0)])
    runs = {"num_replicates": 16, "num_particles": 500, "key": jax.random.key(0)}
    estimates = [
        duality_gap(risk, g, TEMPERATURE, **runs)
        for risk, g in ((wide, padded), (exact, dual))
    ]
    error = np.hypot(*(estimate.bound_error for estimate in estimates))
    assert abs(estimates[0].bound - estimates[1].bound) < 4.5 * error
    assert estimates[0].bound_error < 2 * estimates[1].bound_error
    certificates = [
        certify(risk, TEMPERATURE, key=jax.random.key(1), effort=2e8)
        for risk in (wide, exact)
    ]
    assert all(certificate.trustworthy for certificate in certificates)
    lower, upper = (
        [getattr(c, end) for c in certificates]
        for end in ("lower_bound", "upper_bound")
    )
    assert max(lower) <= min(upper)
    assert max(lower) - min(lower) < max(c.width for c in certificates)


@pytest.mark.slow
def test_predictions_are_those_of_the_padded_particles():
    """The last record's dual vector is outputs less targets, of the particles as they were trained."""
    X, y = diabetes()
    model = MeanFieldRegressor(**STEPS).fit(X[:100, :5], y[:100])
    assert (model.network_.width, model.network_.length, model.particles_.shape) == (
        8,
        104,
        (100, 7),
    )
    targets = (y[:100] - model.target_mean_) / model.target_scale_
    *_, z = model.staged_outputs(X[:100, :5])
    last = model.history_["dual"][-1]
    inputs = model.standardiser_(X[:100, :5])
    for row, dual in zip(model.network_.inputs, last, strict=True):
        (place,) = np.flatnonzero(np.all(inputs == row, axis=1))
        assert z[place] - targets[place] == pytest.approx(dual, abs=2e-5)


@pytest.mark.slow
def test_slopes_in_blocks_are_those_of_the_neuron():
    rng = np.random.default_rng(0)
    neuron = TanhTanh(2.0, 3)
    cloud, inputs = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32)
        for shape in ((30, 9), (7, 5))
    )
    table = np.asarray(inputs)
    expected = jax.jit(jax.vmap(jax.jacrev(lambda x: neuron.mean(cloud, x[None])[0])))(
        inputs
    )
    np.testing.assert_allclose(slopes(neuron, cloud, table), expected, atol=1e-6)


def test_a_subset_stored_like_the_whole_is_the_same_problem():
    rows = np.arange(0, N, 3)
    fold, bare = (
        network().subset(rows, network().length),
        network().subset(rows).exact(),
    )
    assert fold.risk(TEMPERATURE).inputs.shape == (52, 8)
    particles = np.random.default_rng(0).standard_normal((20, D + 2)).astype(np.float32)
    value = eqx.filter_jit(lambda risk, cloud: risk.value(cloud))
    values = [
        value(problem.risk(TEMPERATURE), jnp.asarray(problem.rotated(particles)))
        for problem in (fold, bare)
    ]
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_rotated_particles_come_back():
    particles = (
        np.random.default_rng(0).standard_normal((4, 20, D + 4)).astype(np.float32)
    )
    there = network("softmax").rotated(particles)
    assert there.shape == (4, 20, 12)
    np.testing.assert_allclose(
        network("softmax").rotated(there, back=True), particles, atol=1e-5
    )


@pytest.mark.slow
def test_rows_of_a_large_table_are_not_padded(monkeypatch):
    monkeypatch.setattr(training, "MOST_PADDED", 90)
    X, y = diabetes()
    model = MeanFieldRegressor(**QUICK | {"num_steps": 2}).fit(X[:99, :5], y[:99])
    assert (model.network_.length, model.network_.width) == (99, 8)
    assert model.certificate(effort=1e6).dual.shape == (99,)


@pytest.mark.slow
def test_other_numbers_of_columns_and_rows_compile_nothing():
    """Nine to twelve columns and 97 to 104 rows, labels as well, predictions and a warm start included.

    Pieces of so many columns are of other widths, each with a program of its own.
    """
    X, y = diabetes()
    X = np.column_stack([X, X[:, :2] ** 2])
    for estimator, targets in ((MeanFieldRegressor, y), (MeanFieldClassifier, y > 140)):
        settings = QUICK | {"validation": "auto", "scaling": "columns"}
        estimator(**settings).fit(X[:104], targets[:104]).predict(X)
        before = len(compiled)
        for rows, columns in ((97, 9), (104, 11)):
            table = X[:rows, :columns]
            model = estimator(**settings).fit(table, targets[:rows])
            model.predict(X[:, :columns])
            assert model.particles_.shape == (100, columns + 2)
        assert len(compiled) == before


@pytest.mark.slow
def test_programs_of_many_shapes_are_forgotten(monkeypatch):
    monkeypatch.setattr(training, "MOST_SHAPES", 2)
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    monkeypatch.setattr(training, "_shapes", set())
    X, y = diabetes()
    X = np.column_stack([X, X])
    counts = []
    for columns in (3, 4, 7, 8, 11, 4, 13):
        MeanFieldRegressor(**QUICK | {"num_steps": 1}).fit(X[:50, :columns], y[:50])
        counts.append(len(cleared))
    assert counts == [0, 0, 0, 0, 1, 1, 2]


@pytest.mark.long
@pytest.mark.parametrize(
    "model",
    [
        TwoPhaseReLURegressor(
            2,
            num_restarts=2,
            weight_decay=0.0,
            num_explore_steps=2,
            num_converge_steps=2,
        ),
        KernelLangevinRegressor(
            num_modes=4, num_chains=2, num_samples=4, num_warmup=1, thinning=1
        ),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::langevax.sampling.SamplingWarning",
)
def test_other_estimators_forget_programs_too(monkeypatch, model):
    monkeypatch.setattr(training, "MOST_SHAPES", 1)
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    monkeypatch.setattr(training, "_shapes", set())
    X, y = diabetes()
    for rows, columns in ((40, 3), (40, 3), (80, 5)):
        model.set_params(random_state=0).fit(X[:rows, :columns], y[:rows])
    assert len(cleared) == 1


@pytest.mark.skipif(not MAPS.exists(), reason="memory maps are those of Linux")
@pytest.mark.slow
def test_memory_maps_do_not_grow_with_the_number_of_shapes(monkeypatch):
    monkeypatch.setattr(training, "MOST_SHAPES", 2)
    monkeypatch.setattr(training, "_shapes", set())
    X, y = diabetes()
    X, maps = np.column_stack([X, X]), []
    for columns in (4, 8, 12, 16, 20):
        MeanFieldRegressor(**QUICK | {"num_steps": 1}).fit(X[:50, :columns], y[:50])
        maps.append(MAPS.read_bytes().count(b"\n"))
    assert maps[4] < maps[1] + 20  # one shape's programs, where there were two


@pytest.mark.parametrize(
    ("size", "facts"),
    [
        (2 * 10**9, "num_particles 2000000000"),
        (10**13, "num_particles 2147483647"),
    ],
)
def test_more_particles_than_memory_holds_are_refused(size, facts):
    inputs = np.random.default_rng(0).normal(size=(4, 100))
    with refuses(ValueError, facts, varies=True):
        MeanFieldRegressor(num_particles=size, temperature=0.1, scaling="columns").fit(
            inputs, np.arange(4.0)
        )


@pytest.mark.slow
def test_few_rows_of_many_columns_are_learned_in_the_directions_that_they_span():
    """The outputs are those on all columns, and weights that no row sees have the law of the prior."""
    rng, d = np.random.default_rng(0), 1_200
    inputs, targets = (
        rng.standard_normal((30, d)).astype(np.float32),
        np.float32(rng.standard_normal(30)),
    )
    task = TrainingTask(TanhTanh(3.0), losses.squared, targets, targets[:, None], None)
    whole = Network(task, inputs, np.ones(30), 4.0)
    seen = dataclasses.replace(whole, span=row_span(inputs))
    particles = (rng.standard_normal((200, d + 2)) / 2).astype(np.float32)
    risks = [problem.risk(TEMPERATURE) for problem in (whole, seen)]
    assert [risk.inputs.shape[1] for risk in risks] == [1_280, 32]
    rotated = [jnp.asarray(problem.rotated(particles)) for problem in (whole, seen)]
    z = [risk.outputs(cloud) for risk, cloud in zip(risks, rotated, strict=True)]
    np.testing.assert_allclose(z[1][:30], z[0][:30], atol=1e-5)
    again = seen.rotated(rotated[1], back=True)
    np.testing.assert_allclose(seen.rotated(again), rotated[1], atol=1e-5)
    assert not np.allclose(again[:, 1:-1], particles[:, 1:-1], atol=0.1)
    outside = again[:, 1:-1] - again[:, 1:-1] @ seen.span @ seen.span.T
    assert (
        abs(outside.var() * d / (d - 30) * 4.0 - 1) < 0.02
    )  # of 1 / 4, prior_precision = 4
    half = seen.subset(np.arange(15), num_rows=seen.length)
    held = half.risk(TEMPERATURE, and_at=inputs[15:]).inputs[15:30]
    np.testing.assert_allclose(
        jnp.linalg.norm(held, axis=1), np.linalg.norm(inputs[15:], axis=1), rtol=1e-4
    )
