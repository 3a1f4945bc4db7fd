"""Runs with matrix products in bfloat16: they end as near the optimum, differ, and leave certificates alone."""

from contextlib import contextmanager, nullcontext

import jax
import numpy as np
import pytest

import langevax
from langevax.meanfield import certify, duality_gap
from langevax.sklearn import MeanFieldRegressor
from tests.run.setting import assert_same_bits
from tests.sentences import refuses

TEMPERATURE = 0.1


def table():
    inputs = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    return inputs, np.tanh(2 * inputs[:, 0]).astype(np.float32)


def risk(neuron=None):
    neuron = langevax.neurons.TanhTanh(2.0) if neuron is None else neuron
    return langevax.MeanFieldRisk(
        neuron, langevax.losses.squared, *table(), precision=TEMPERATURE
    )


def dual(problem, state):
    return problem.dual(state.position)


def run(num_steps=5, seed=1, start=None, matmul_precision=None, **options):
    """Mean-field Langevin, its dual averaged."""
    problem, mfld = (
        risk(),
        langevax.meanfield.MFLD(step_size=0.3, temperature=TEMPERATURE),
    )
    start = problem.prior(TEMPERATURE, 400) if start is None else start
    options = {"num_steps": num_steps, "average": dual, **options}
    with precision_of(matmul_precision):
        return langevax.simulate(
            mfld, problem, start, key=jax.random.key(seed), **options
        )


def precision_of(name):
    return nullcontext() if name is None else jax.default_matmul_precision(name)


def trained(precision):
    """The mean dual over 400 steps, after as many."""
    return run(
        400,
        seed=2,
        start=run(400, matmul_precision=precision),
        matmul_precision=precision,
    ).average.mean


def estimated(dual):
    return duality_gap(
        risk(), dual, TEMPERATURE, key=jax.random.key(3), num_particles=500
    )


def bfloat16():
    return jax.default_matmul_precision("bfloat16")


@contextmanager
def bfloat16_everywhere():
    """In all threads, which begin outside of their caller's contexts."""
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    try:
        yield
    finally:
        jax.config.update("jax_default_matmul_precision", None)


@pytest.mark.long
def test_training_in_bfloat16_ends_as_near_the_optimum_as_in_float32():
    fine, coarse = (
        estimated(trained(precision)) for precision in ("float32", "bfloat16")
    )
    assert (
        coarse.gap < 0.01 * np.mean(table()[1] ** 2) / 2
    )  # of what is lost without a network
    for number, error in (("gap", "gap_error"), ("bound", "bound_error")):
        apart = getattr(coarse, number) - getattr(fine, number)
        assert abs(apart) < 3 * np.hypot(
            getattr(coarse, error), getattr(fine, error)
        ), number


@pytest.mark.slow
def test_runs_follow_jaxs_own_setting():
    plain, fine, coarse = (
        run(matmul_precision=precision) for precision in (None, "float32", "bfloat16")
    )
    with bfloat16():
        assert_same_bits(run(), coarse)
        assert_same_bits(run(matmul_precision="float32"), fine)
    assert_same_bits(run(), plain)
    differences = np.abs(np.asarray(coarse.position - plain.position))
    assert 1e-5 < differences.max() < 1e-2


@pytest.mark.slow
def test_a_certificate_is_in_float32_at_any_matmul_precision():
    g, options = -0.2 * table()[1], {"key": jax.random.key(4), "effort": 5e7}
    fine, estimate = certify(risk(), TEMPERATURE, **options), estimated(g)
    with bfloat16_everywhere():
        coarse, again = certify(risk(), TEMPERATURE, **options), estimated(g)
    assert fine.trustworthy
    assert fine.num_descents > 0
    for name in ("lower_bound", "upper_bound", "history", "work"):
        assert getattr(coarse, name) == getattr(fine, name), name
    assert np.array_equal(coarse.dual, fine.dual)
    assert (again.gap, again.bound, again.gap_error) == (
        estimate.gap,
        estimate.bound,
        estimate.gap_error,
    )


@pytest.mark.slow
def test_a_saved_run_continues_with_the_precision_that_it_had(tmp_path):
    coarse, plain = tmp_path / "coarse", tmp_path / "plain"
    run(3, run=langevax.Run(checkpoint=coarse), matmul_precision="bfloat16")
    run(3, run=langevax.Run(checkpoint=plain))
    with refuses(langevax.run.CheckpointError, "matmul_precision 'bfloat16'"):
        run(5, run=langevax.Run(checkpoint=coarse, resume=True))
    with refuses(langevax.run.CheckpointError, "matmul_precision 'bfloat16'"):
        run(
            5,
            run=langevax.Run(checkpoint=plain, resume=True),
            matmul_precision="bfloat16",
        )
    with bfloat16():
        resumed = run(5, run=langevax.Run(checkpoint=coarse, resume=True))
    assert_same_bits(resumed, run(5, matmul_precision="bfloat16"))


@pytest.mark.slow
def test_an_estimator_that_is_fitted_in_bfloat16_predicts_as_well():
    def fitted():
        return MeanFieldRegressor(
            num_particles=100, temperature=0.01, num_steps=60, random_state=0
        ).fit(*table())

    fine = fitted()
    with bfloat16():
        coarse = fitted()
    assert not np.array_equal(fine.particles_, coarse.particles_)
    assert abs(fine.score(*table()) - coarse.score(*table())) < 0.01
