"""The theory of long steps against tabled numbers, its limits, finite differences, and the network itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from langevax.theory.feature_learning import (
    activation,
    errors_one_step,
    kernel_floor,
    unified,
)
from langevax.theory.feature_learning.one_step import (
    student_and_teacher,
    tables_of_point,
)
from tests.errorbars import assert_mean
from tests.sentences import refuses
from tests.theory.feature_learning.spiked import spiked_errors

pytestmark = pytest.mark.mostly_compiling

SETTING = {
    "neurons_per_dim": 2.0,
    "ridge": 1e-3,
    "student": "erf",
    "teacher": "erf",
    "noise": 0.1,
}


@pytest.mark.slow
def test_numbers_are_those_of_the_digest_and_go_below_the_floor():
    ratios = np.array([1, 2.5, 4, 8])
    errors = errors_one_step(ratios, step_size=1000**0.5, num_neurons=1000, **SETTING)
    np.testing.assert_allclose(
        errors.risk, [0.21911, 0.16722, 0.06653, 0.03111], atol=6e-6
    )
    assert errors.risk[-1] < kernel_floor("erf")


@pytest.mark.slow
def test_neurons_without_end_leave_the_closed_form():
    numbers = (np.array([4.0, 1.5]), 2.0, 0.01, np.array([3.0, 0.0]), "erf", "erf", 0.1)
    long = errors_one_step(*numbers, num_neurons=10**9)
    closed = errors_one_step(*numbers)
    np.testing.assert_allclose(long, closed, rtol=2e-7)
    assert long.risk[0] == pytest.approx(0.101324, abs=6e-7)


@pytest.mark.long
@pytest.mark.parametrize("unit_rows", [False, True])
def test_equal_readouts_are_the_spiked_features_of_scalars(unit_rows):
    """An odd pair and one that is not; the second derivation has only traces of Marchenko and Pastur."""
    for student, number in (
        ("erf", 0.024920 if not unit_rows else 0.025087),
        ("centred softplus", None),
    ):
        numbers = (
            np.array([8.0, 3.0]),
            2.0,
            np.array([0.01, 0.1]),
            2e4,
            student,
            "erf",
            0.1,
        )
        how = {"num_neurons": 1e8, "unit_rows": unit_rows}
        spiked = spiked_errors(*numbers, **how)
        unified = errors_one_step(*numbers, **how, readout="constant")
        np.testing.assert_allclose(spiked, unified, rtol=1e-6)
        if number is not None:
            assert spiked.risk[0] == pytest.approx(number, abs=6e-7)


@pytest.mark.slow
def test_a_teacher_with_kinks_and_the_peak_come_through():
    """Samples as many as neurons and hardly a ridge."""
    numbers = (2.0, 2.0, 1e-6, 30.0, jnp.tanh, "centred relu", 0.1)
    errors = errors_one_step(*numbers, num_neurons=1000)
    assert np.all(np.isfinite(errors))
    assert errors.risk > 0.5
    np.testing.assert_allclose(
        errors,
        errors_one_step(*numbers[:4], "tanh", *numbers[5:], num_neurons=1000),
        rtol=1e-6,
    )


def test_a_teacher_without_a_linear_part_is_not_found():
    quadratic = lambda t: t**2 - 1
    for step_size in (0.0, 30.0):  # one by one, by the program of the test above
        assert (
            errors_one_step(
                4.0, 2.0, 0.1, step_size, "erf", quadratic, 0.1, num_neurons=1000
            ).risk
            > 0.9 * 2
        )


@pytest.mark.slow
def test_the_network_itself_has_this_risk():
    """The gradient step, fresh samples, ridge, and a test set; the closed form is far away at this step."""
    rng = np.random.default_rng(0)
    d, N, n, noise, ridge = 150, 300, 900, 0.1, 1e-2
    step = np.sqrt(N)
    beta = np.zeros(d)
    beta[0] = 1
    risks, trains = [], []

    def data(size):
        x = rng.normal(size=(size, d))
        return x, erf(x @ beta)

    for _ in range(12):
        w, a = rng.normal(size=(d, N)) / np.sqrt(d), rng.normal(size=N) / np.sqrt(N)
        x, y = data(n)
        hidden = x @ w
        residual = (
            y + noise * rng.normal(size=n) - erf(hidden) @ a / np.sqrt(N)
        ) / np.sqrt(N)
        slope = 2 / np.sqrt(np.pi) * np.exp(-(hidden**2))
        w = w + step * np.sqrt(N) * x.T @ (np.outer(residual, a) * slope) / n
        x, y = data(n)
        features, labels = erf(x @ w), y + noise * rng.normal(size=n)
        outer = np.linalg.solve(
            features.T @ features / n + ridge * np.eye(N), features.T @ labels / n
        )
        trains.append(np.mean((labels - features @ outer) ** 2))
        x, y = data(3000)
        risks.append(np.mean((erf(x @ w) @ outer - y) ** 2))
    errors = errors_one_step(
        n / d, N / d, ridge, step, "erf", "erf", noise, num_neurons=N
    )
    closed = errors_one_step(n / d, N / d, ridge, step, "erf", "erf", noise)
    for samples, expected, wrong in zip((risks, trains), errors, closed, strict=True):
        assert_mean(samples, expected, slack=0.05 * expected, wrong=wrong)


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences():
    """In the logarithms of ridge and step size, backwards, and once more forwards: the second derivative as well."""
    named = (*student_and_teacher("erf", "erf"), "constant", False)

    def risk(logarithms):
        ridge, step = jnp.exp(logarithms)
        tables = tables_of_point(
            named, step, *(jnp.asarray(v) for v in (1000.0, 0.1, 4.0))
        )
        return unified(
            *(jnp.asarray(v) for v in (4.0, 2.0, 1000.0)),
            ridge,
            jnp.asarray(0.1),
            tables,
        ).risk

    direction = np.array([0.6, 0.8])

    @jax.jit
    def along(points):
        value_and_grad = jax.value_and_grad(risk)
        return jax.lax.map(
            lambda x: jax.jvp(value_and_grad, (x,), (jnp.asarray(direction),)), points
        )

    h = 1e-3
    with jax.enable_x64():
        points = (
            jnp.log(jnp.asarray([0.01, 20.0]))
            + h * jnp.asarray([0.0, 1, -1])[:, None] * direction
        )
        (risks, slopes), (_, curvatures) = jax.tree.map(np.asarray, along(points))
    np.testing.assert_allclose(
        slopes[0] @ direction, (risks[1] - risks[2]) / (2 * h), rtol=1e-5
    )
    np.testing.assert_allclose(
        curvatures[0], (slopes[1] - slopes[2]) / (2 * h), rtol=1e-5
    )


@pytest.mark.slow
def test_meaningless_arguments_are_refused():
    numbers = {"samples_per_dim": 4.0, "step_size": 1.0, **SETTING}
    with refuses(ValueError, "readout 'uniform'"):
        errors_one_step(**numbers, readout="uniform")
    with refuses(RuntimeError, "1e-09"):
        errors_one_step(2.0, 2.0, 1e-9, 30.0, "erf", "erf", 0.1, num_neurons=1000)
    with refuses(ValueError, "student"):
        errors_one_step(
            **(numbers | {"student": activation(jnp.sign, kinks=[0])}), num_neurons=100
        )
