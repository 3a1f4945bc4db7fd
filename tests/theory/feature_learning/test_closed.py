"""The closed form against its limits, tabled numbers, the resolvent of a sampled matrix, and finite differences."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax.theory.feature_learning import (
    closed_form,
    errors_one_step,
    hermite_coefficients,
    improvement,
    kernel_floor,
)
from langevax.theory.feature_learning.small_step import traces
from tests.sentences import refuses

SETTING: dict[str, Any] = {
    "neurons_per_dim": 2.0,
    "ridge": 1e-3,
    "student": "erf",
    "teacher": "erf",
    "noise": 0.1,
}
RATIOS = np.array([1, 2.5, 4, 8])
GRID = 512  # points of the random grids; a power of two


def settings(seed):
    """Random points of the six numbers, over decades."""
    rng = np.random.default_rng(seed)
    lows_and_highs = [(0.3, 30), (0.3, 30), (1e-5, 3), (0.05, 10), (1e-3, 1), (0.3, 30)]
    names = (
        "samples_per_dim",
        "neurons_per_dim",
        "ridge",
        "step_size",
        "noise",
        "gradient_samples_per_dim",
    )
    draws = [np.exp(rng.uniform(*np.log(ends), GRID)) for ends in lows_and_highs]
    return dict(zip(names, draws, strict=True))


@pytest.mark.slow
def test_numbers_are_those_of_the_digest():
    risks = [
        errors_one_step(RATIOS, step_size=eta, **SETTING).risk for eta in (0.0, 1.0)
    ]
    expected = [
        [0.321692, 0.293408, 0.150738, 0.101156],
        [0.308251, 0.284305, 0.145860, 0.097747],
    ]
    np.testing.assert_allclose(risks, expected, rtol=1e-5)
    assert errors_one_step(
        2.5, 1.5, 0.02, 0.0, "erf", "tanh", 0.2
    ).risk == pytest.approx(0.152953, abs=6e-7)


@pytest.mark.parametrize("ratio", [0.4, 1.0, 3.0])
def test_traces_are_those_of_a_sampled_matrix(ratio):
    d = 400
    w = np.random.default_rng(0).normal(size=(d, int(ratio * d))) / np.sqrt(d)
    squares = np.zeros(d), np.zeros(int(ratio * d))
    values = np.linalg.svd(w, compute_uv=False) ** 2
    for s in squares:
        s[: len(values)] = values
    a, z = 0.7, 0.2
    expected = [np.mean(1 / (a * s + z)) for s in squares] + [
        np.mean(a * s / (a * s + z)) for s in squares
    ]
    with jax.enable_x64():
        closed = jax.jit(traces)(jnp.asarray(a), jnp.asarray(z), jnp.asarray(ratio))
        without = jax.jit(traces)(jnp.asarray(0.0), jnp.asarray(z), jnp.asarray(ratio))
    np.testing.assert_allclose(closed, expected, rtol=1e-2)
    np.testing.assert_allclose(without, (1 / z, 1 / z, 0, 0))


def test_a_step_of_nothing_changes_nothing():
    still, moved = (
        errors_one_step(RATIOS, step_size=eta, **SETTING).risk for eta in (0.0, 1e-6)
    )
    np.testing.assert_allclose(moved, still, atol=1e-12, rtol=0)
    gain = improvement(RATIOS, step_size=1e-6, **SETTING)
    assert np.all((gain > 1e-16) & (gain < 1e-12))
    np.testing.assert_array_equal(improvement(RATIOS, step_size=0.0, **SETTING), 0)


def test_a_ridge_without_end_learns_nothing():
    teacher = hermite_coefficients("tanh")
    everything = teacher.linear**2 + teacher.rest**2
    errors = errors_one_step(3.0, 2.0, 1e12, 1.0, "erf", "tanh", 0.3)
    np.testing.assert_allclose(errors, (everything, everything + 0.09), rtol=1e-10)


@pytest.mark.slow
def test_a_linear_teacher_without_noise_is_learned_by_many_samples_and_neurons():
    errors = errors_one_step(
        1e6, np.array([1e3, 1e4]), 1e-9, 0.0, "erf", lambda t: t, 0.0
    )
    assert np.all(errors.risk < [3e-4, 3e-5])


def test_infinitely_many_neurons_are_linear_ridge_on_the_inputs():
    """Penalty mu2^2 / (mu1^2 psi1), the teacher's rest as label noise: the risk of isotropic ridge regression."""
    student, teacher = hermite_coefficients("erf"), hermite_coefficients("tanh")
    ratio, noise = 3.0, 0.2
    penalty = (student.rest / student.linear) ** 2 / ratio
    variance = teacher.rest**2 + noise**2
    # kappa = penalty + kappa / (ratio (1 + kappa)) for covariance I
    b = 1 - penalty - 1 / ratio
    kappa = (-b + np.sqrt(b**2 + 4 * penalty)) / 2
    df2 = 1 / (ratio * (1 + kappa) ** 2)
    linear = (teacher.linear**2 * (kappa / (1 + kappa)) ** 2 + variance) / (
        1 - df2
    ) - noise**2
    risk = errors_one_step(ratio, 1e8, 1e-12, 0.0, "erf", "tanh", noise).risk
    assert risk == pytest.approx(linear, rel=1e-6) == pytest.approx(0.057963, abs=6e-7)


def test_many_samples_and_neurons_come_down_to_the_floor():
    floor = kernel_floor("tanh")
    at_floor = errors_one_step(1e12, 1e6, 1e-12, 0.0, "erf", "tanh", 0.0).risk
    assert 0 < at_floor - floor < 4e-6
    assert errors_one_step(
        1e9, 2.0, 1e-12, 0.0, "erf", "tanh", 0.0
    ).risk - floor == pytest.approx(0.0295, abs=6e-5)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("erf", "erf"), ("centred softplus", "tanh"), ("tanh", "centred relu")],
)
def test_steps_never_harm_and_never_pass_the_floor(student, teacher):
    where = settings(1) | {"student": student, "teacher": teacher}
    gain, risk = improvement(**where), errors_one_step(**where).risk
    assert gain.min() > 0
    assert risk.min() > kernel_floor(teacher)
    still = errors_one_step(**(where | {"step_size": 0.0})).risk
    np.testing.assert_allclose(still - risk, gain, rtol=1e-9, atol=1e-12 * still.max())


@pytest.mark.slow
def test_steps_gain_more_the_longer_they_are_and_nothing_with_infinitely_many_neurons():
    gains = improvement(
        1e6, 2.0, 1e-3, np.array([0.1, 0.5, 1, 3, 10, 100]), "erf", "tanh", 0.1
    )
    assert np.all(np.diff(gains) > 0)
    assert 0 < improvement(4.0, 1e5, 1e-3, 1.0, "erf", "tanh", 0.1) < 1e-8


def test_an_endless_step_leaves_the_alignment_of_the_gradient():
    """The gain's numerator tends to s1^2 z m cos^2, cos^2 = s1^2 / (s1^2 + E y^2 / psi0)."""
    student, teacher = hermite_coefficients("erf"), hermite_coefficients("tanh")
    noise, ratio, neurons = 0.3, 5.0, 2.0
    signal = teacher.linear**2
    cosine = signal / (signal + (signal + teacher.rest**2 + noise**2) / ratio)
    far = closed(3.0, neurons, 0.01, 1e7, noise, ratio, student, teacher)
    still = closed(3.0, neurons, 0.01, 0.0, noise, ratio, student, teacher)

    def shrunk(k):
        z = (student.rest**2 + k) / student.linear**2
        b = z + neurons - 1
        return 2 * z / (b + np.sqrt(b**2 + 4 * z))

    kappa, h = float(still.kappa), 1e-5
    slope = (shrunk(kappa + h) - shrunk(kappa - h)) / (2 * h)
    # the formula's own denominator, from the risk of a teacher whose linear part is all that is left
    quiet = closed(
        3.0,
        neurons,
        0.01,
        0.0,
        1.0,
        ratio,
        student,
        teacher._replace(linear=1e-9, rest=0.0),
    )
    freedom = 1 / (float(quiet.risk) + 1)
    assert float(far.improvement) == pytest.approx(
        signal * cosine * (shrunk(kappa) - kappa * slope) / freedom, rel=1e-6
    )


def closed(*numbers_then_coefficients):
    *numbers, student, teacher = numbers_then_coefficients
    values = (*numbers, student.linear, student.rest, teacher.linear, teacher.rest)
    with jax.enable_x64():
        return jax.tree.map(
            lambda leaf: leaf[0], closed_jit(*(jnp.full(4, v) for v in values))
        )


closed_jit = jax.jit(closed_form)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("erf", lambda t: t**2 - 1), (lambda t: t**2 - 1, "erf")],
    ids=["teacher", "student"],
)
def test_without_a_linear_part_a_step_gains_nothing(student, teacher):
    """And the risk is that of predicting 0 plus what fitting noise costs: never below the teacher's variance."""
    assert improvement(4.0, 2.0, 0.1, 3.0, student, teacher, 0.1) == pytest.approx(
        0, abs=1e-30
    )
    c = hermite_coefficients(teacher)
    assert (
        errors_one_step(4.0, 2.0, 0.1, 3.0, student, teacher, 0.1).risk
        > c.linear**2 + c.rest**2
    )


def test_the_peak_where_samples_are_neurons_is_finite_and_where_it_should_be():
    ratios = np.array([1.8, 2.0, 2.2])
    for ridge in (1e-3, 1e-9, 1e-15):
        risk, train = errors_one_step(ratios, 2.0, ridge, 1.0, "erf", "erf", 0.1)
        assert np.all(np.isfinite(risk))
        assert np.all(train >= 0)
        assert ridge > 1e-6 or np.argmax(risk) == 1


def test_sizes_far_apart_keep_their_digits():
    """Nearly equal settings at the ends of the scale give nearly equal risks."""
    for psi in (1e-8, 1e-3, 1e8):
        near = errors_one_step(
            2.0, np.array([psi, psi * (1 + 1e-9)]), 0.1, 1.0, "erf", "tanh", 0.1
        ).risk
        assert near[0] == pytest.approx(near[1], rel=1e-8)
    nothing = hermite_coefficients("tanh")
    assert errors_one_step(
        2.0, 1e-8, 0.1, 0.0, "erf", "tanh", 0.1
    ).risk == pytest.approx(nothing.linear**2 + nothing.rest**2, rel=1e-6)


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences():
    """First and second derivatives in the logarithms of ridge and step size, through the implicit root."""
    of_student, of_teacher = hermite_coefficients("erf"), hermite_coefficients("tanh")

    def risk(logarithms):
        ridge, step = jnp.exp(logarithms)
        settings = (3.0, 2.0, ridge, step, 0.1, 3.0, *of_student[1:3], *of_teacher[1:3])
        return closed_form(*(jnp.asarray(v) for v in settings)).risk

    everything = jax.jit(
        jax.vmap(lambda x: (risk(x), jax.grad(risk)(x), jax.hessian(risk)(x)))
    )
    h = 1e-4
    with jax.enable_x64():
        at = jnp.log(jnp.asarray([0.02, 1.0]))
        points = at + h * jnp.asarray([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
        risks, slopes, curvatures = (np.asarray(v) for v in everything(points))
    np.testing.assert_allclose(
        slopes[0], (risks[1::2] - risks[2::2]) / (2 * h), rtol=1e-6
    )
    np.testing.assert_allclose(
        curvatures[0], (slopes[1::2] - slopes[2::2]) / (2 * h), rtol=1e-6
    )


def test_meaningless_arguments_are_refused():
    for name, value in [
        ("ridge", 0.0),
        ("samples_per_dim", -1.0),
        ("neurons_per_dim", np.inf),
        ("noise", -0.1),
    ]:
        arguments = {"samples_per_dim": 3.0, "step_size": 1.0, **SETTING, name: value}
        with refuses(ValueError, f"{name} 0"):
            errors_one_step(**arguments)
    for name in ("student", "teacher"):
        with refuses(ValueError, f"{name} 0 0.3989"):
            errors_one_step(
                samples_per_dim=3.0, step_size=1.0, **(SETTING | {name: "relu"})
            )


def test_arguments_broadcast():
    grid = errors_one_step(RATIOS[:, None], step_size=np.array([0.0, 1.0]), **SETTING)
    assert grid.risk.shape == grid.training_error.shape == (4, 2)
    assert grid.risk[2, 1] == errors_one_step(4.0, step_size=1.0, **SETTING).risk
    assert errors_one_step(np.zeros(0), step_size=1.0, **SETTING).risk.shape == (0,)
