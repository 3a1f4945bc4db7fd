"""Adaptive steps: they are the inverse curvature of the risk, follow it in turn, and resume bit for bit."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import Function, MeanFieldRisk, Run, losses, neurons, simulate
from langevax.gradients import SVRG, Full, Minibatch
from langevax.meanfield import MFLD, PDA, FictitiousPlay
from langevax.meanfield.adaptive_steps import (
    DualCurvatureSteps,
    LossCurvatureSteps,
)
from langevax.meanfield.mfld import steps_at
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

TEMPERATURE = 0.05


def table(num_rows=40):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(num_rows, 3)) * [1.0, 0.3, 2.0]
    return np.float32(inputs), np.sign(np.float32(inputs @ [1.0, -2.0, 0.5]))


def weighted_risk(neuron, loss=losses.logistic, targets=None):
    """40 rows, 33 of them in use, with weights."""
    inputs, labels = table()
    weights = np.linspace(0.5, 1.5, 40)
    return MeanFieldRisk(
        neuron,
        loss,
        inputs,
        labels if targets is None else targets,
        0.2,
        weights,
        count=33,
    )


@eqx.filter_jit
def curvatures_at(risk, cloud):
    return jax.vmap(risk.loss.local_curvature)(risk.outputs(cloud), risk.targets)


compiled_steps_at = eqx.filter_jit(steps_at)


def state_of(_problem, state):
    return state


def states(algorithm, risk, start, num_steps, **run):
    """The state after each step."""
    recording = {"record": state_of, "record_every": 1}
    return simulate(
        algorithm,
        risk,
        start,
        key=jax.random.key(1),
        num_steps=num_steps,
        **recording,
        **run,
    )


def test_steps_are_the_inverse_second_derivative_of_the_risk():
    """Linear neurons, whose slope bounds are exact: by autodiff, along the shift of all particles by a coordinate."""
    risk = weighted_risk(neurons.Linear())
    aligned = 3 * jnp.float32(
        [[1.0, -2.0, 0.5], [0.8, -1.6, 0.4]]
    )  # no row has the wrong sign
    curvatures = curvatures_at(risk, aligned)
    hessian = jax.jit(jax.hessian(lambda shift: risk.value(aligned + shift)))(
        jnp.zeros(3)
    )
    np.testing.assert_allclose(
        compiled_steps_at(risk, 1.5, curvatures),
        1.5 / (np.diag(hessian) + 0.2),
        rtol=1e-5,
    )
    assert (
        np.max(np.diag(hessian) / np.mean(np.asarray(risk.inputs) ** 2, 0)) < 0.2
    )  # far from the bound .25


@pytest.mark.slow
def test_the_steps_of_many_classes_are_stable():
    """The risk bends by no more than relative / step - precision along any mixture of the outputs' weights."""
    labels = np.arange(40, dtype=np.int32) % 4
    risk = weighted_risk(neurons.TanhTanh(3.0, num_outputs=4), losses.softmax, labels)
    cloud = risk.prior(TEMPERATURE, 50)(jax.random.key(0))
    curvatures = curvatures_at(risk, cloud)

    def shifted(shift):  # outputs move by as much as the neurons' bound allows
        outputs = risk.outputs(cloud) + 3.0 * shift
        return risk.mean_over_rows(jax.vmap(risk.loss)(outputs, risk.targets))

    largest = np.linalg.eigvalsh(jax.jit(jax.hessian(shifted))(jnp.zeros(4)))[-1]
    bound = 1 / compiled_steps_at(risk, 1.0, curvatures)[:4] - 0.2
    assert np.all(largest <= bound)
    assert np.all(bound < 3 * largest)


@pytest.mark.slow
def test_rows_are_measured_in_turn_and_fall_by_at_most_the_growth():
    """Against a transcript: rows of a measurement, padding skipped, at the outputs before the step."""
    risk, num_rows = weighted_risk(neurons.TanhTanh(8.0)), 14
    algorithm = LossCurvatureSteps(MFLD(1.0, TEMPERATURE), 1.5, num_rows)
    result = states(
        algorithm, risk, risk.prior(TEMPERATURE, 30), 8 * LossCurvatureSteps.every
    )
    recorded = result.positions
    start = risk.prior(TEMPERATURE, 30).draw_on_host(
        jax.random.fold_in(jax.random.key(1), 2**32 - 2)
    )
    clouds = [start, *recorded.inner.position]
    inputs, targets, weights = (
        np.asarray(a, float) for a in (risk.inputs, risk.targets, risk.row_weights())
    )

    def measured(cloud):
        a, w, b = cloud[:, 0], cloud[:, 1:4], cloud[:, 4]
        margins = targets * (
            8 * np.tanh(a) @ np.tanh(w @ inputs.T + b[:, None]) / len(cloud)
        )
        p = 1 / (1 + np.exp(-np.maximum(margins, 0)))
        return p * (1 - p)

    expected, limited = measured(np.asarray(start, float)), 0
    for step in range(8 * LossCurvatureSteps.every):
        if step % LossCurvatureSteps.every == 0:
            rows = (
                step // LossCurvatureSteps.every * num_rows + np.arange(num_rows)
            ) % 33
            new = measured(np.asarray(clouds[step], float))[rows]
            limited += np.sum(new < expected[rows] / LossCurvatureSteps.growth)
            expected[rows] = np.maximum(new, expected[rows] / LossCurvatureSteps.growth)
        np.testing.assert_allclose(recorded.curvatures[step], expected, rtol=2e-3)
        share = expected * weights / 33
        bends = 64 * np.concatenate([[share.sum()], share @ inputs**2, [share.sum()]])
        np.testing.assert_allclose(
            recorded.step_size[step], 1.5 / (bends + 0.2), rtol=2e-3
        )
    assert limited > 0
    assert recorded.step_size[-1][0] > 2 * recorded.step_size[0][0]


@pytest.mark.slow
def test_a_step_is_that_of_the_dynamics_with_these_step_sizes():
    risk = weighted_risk(neurons.TanhTanh(3.0))
    start = risk.prior(TEMPERATURE, 20)
    end = states(LossCurvatureSteps(MFLD(1.0, TEMPERATURE), 1.5, 40), risk, start, 1)
    mfld = MFLD(end.state.step_size, TEMPERATURE)
    expected = simulate(mfld, risk, start, key=jax.random.key(1), num_steps=1)
    np.testing.assert_allclose(end.position, expected.position, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("make", [PDA, FictitiousPlay])
def test_inner_steps_follow_the_length_of_the_dual(make):
    labels = np.arange(40, dtype=np.int32) % 3
    risk = weighted_risk(neurons.TanhTanh(3.0, num_outputs=3), losses.softmax, labels)
    start = risk.prior(TEMPERATURE, 20)
    inner = make(1.0, TEMPERATURE, num_inner_steps=2)
    end = states(DualCurvatureSteps(inner, 0.6), risk, start, 3)
    cloud = start.draw_on_host(jax.random.fold_in(jax.random.key(1), 2**32 - 2))
    duals = [np.asarray(risk.dual(cloud)), *end.positions.inner.dual]
    for step, dual in enumerate(duals[1:], start=1):
        share = (
            np.linalg.norm(dual, axis=1)
            * np.asarray(risk.row_weights())
            / 33
            / (3 * np.sqrt(3))
        )
        moments = share @ np.asarray(risk.inputs, float) ** 2
        bends = 9 * np.concatenate([np.full(3, share.sum()), moments, [share.sum()]])
        np.testing.assert_allclose(
            end.positions.step_size[step - 1], 0.6 / (bends + 0.2), rtol=1e-4
        )
    lengths = np.linalg.norm(duals[0], axis=1) / (3 * np.sqrt(3))
    one = simulate(
        dataclasses.replace(
            inner, step_size=compiled_steps_at(risk, 0.6, jnp.float32(lengths))
        ),
        risk,
        start,
        key=jax.random.key(1),
        num_steps=1,
    )
    np.testing.assert_allclose(
        end.positions.inner.position[0], one.position, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "gradient", [Full(), pytest.param(Minibatch(8), marks=pytest.mark.slow), SVRG(4, 5)]
)
def test_a_run_resumes_bit_for_bit(tmp_path, gradient):
    risk = weighted_risk(neurons.TanhTanh(8.0))
    algorithm = LossCurvatureSteps(MFLD(1.0, TEMPERATURE, gradient), 1.5, 14)
    start = risk.prior(TEMPERATURE, 30)
    whole = states(algorithm, risk, start, 33)
    states(algorithm, risk, start, 13, run=Run(checkpoint=tmp_path))
    resumed = states(
        algorithm, risk, start, 33, run=Run(checkpoint=tmp_path, resume=True)
    )
    assert eqx.tree_equal(resumed.state, whole.state)
    np.testing.assert_array_equal(
        resumed.positions.step_size, whole.positions.step_size
    )


def test_another_relative_step_size_compiles_nothing():
    compiled = []
    risk = weighted_risk(neurons.TanhTanh(8.0))
    start = risk.prior(TEMPERATURE, 30)
    states(LossCurvatureSteps(MFLD(1.0, TEMPERATURE), 1.5, 14), risk, start, 7)
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _seconds, **_: (
            compiled.append(event)
            if event.endswith("backend_compile_duration")
            else None
        )
    )
    states(LossCurvatureSteps(MFLD(1.0, TEMPERATURE), 0.5, 14), risk, start, 7)
    assert compiled == []


@pytest.mark.parametrize(
    "algorithm",
    [
        LossCurvatureSteps(MFLD(1.0, TEMPERATURE), 1.5, 14),
        DualCurvatureSteps(PDA(1.0, TEMPERATURE), 0.6),
    ],
)
def test_a_problem_without_a_dual_is_refused(algorithm):
    with refuses(TypeError, f"{type(algorithm).__name__} MeanFieldRisk"):
        simulate(
            algorithm,
            Function(jnp.sum),
            jnp.zeros((2, 2)),
            key=jax.random.key(0),
            num_steps=1,
        )


@pytest.mark.slow
def test_settings_out_of_range_are_refused():
    with refuses(ValueError, "relative_step_size"):
        LossCurvatureSteps(MFLD(1.0, TEMPERATURE), 0.0, 14)
    with refuses(ValueError, "num_rows"):
        LossCurvatureSteps(MFLD(1.0, TEMPERATURE), 1.0, 0)
    with refuses(ValueError, "relative_step_size"):
        DualCurvatureSteps(PDA(1.0, TEMPERATURE), -1.0)
