"""The two phases one by one: gradients, the switch, the noise, signs that stay, the rate near a teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import trees
from langevax.teacher_student import (
    Converge,
    Explore,
    ReLUNetwork,
    orthogonal_teacher,
    teach,
)
from langevax.teacher_student.networks import clip, clipped, on_sphere
from langevax.teacher_student.phases import ClippedError
from tests.errorbars import assert_mean
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

BOUND = 1.5


@pytest.fixture
def in_float64():
    with jax.enable_x64():
        yield


def random_theta(seed, num_neurons, dim, scale=1.0):
    rng = np.random.default_rng(seed)
    return ReLUNetwork(
        scale * rng.normal(size=num_neurons),
        scale * rng.normal(size=(num_neurons, dim)),
    )


def as_arrays(network):
    return jax.tree.map(jnp.asarray, network)


def test_clip_is_bounded_odd_and_half_a_square_near_zero(in_float64):
    r = jnp.array([1e-3, 0.3, 40.0])
    assert clip(r, 5.0)[0] == pytest.approx(1e-6 / 2, rel=1e-6)
    assert clip(r, 5.0)[2] == 5.0
    np.testing.assert_array_equal(clip(-r, 5.0), -clip(r, 5.0))


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["explore", "converge"])
def test_gradient_is_that_of_finite_differences(in_float64, phase):
    rng = np.random.default_rng(0)
    settings = Explore(precision=0.1, bound=BOUND) if phase == "explore" else Converge()
    problem = settings.problem(rng.normal(size=(9, 3)), rng.normal(size=9))
    theta = as_arrays(random_theta(1, 4, 3))
    gradient = problem.potential_gradient(theta)
    potential, shift = jax.jit(lambda position: problem.potential(position)), 1e-6
    for seed in range(5):
        way = as_arrays(random_theta(seed, 4, 3))
        way = way if phase == "explore" else way._replace(outer=jnp.zeros(4))
        move = lambda length: jax.tree.map(lambda a, b: a + length * b, theta, way)  # noqa: B023
        slope = float(potential(move(shift)) - potential(move(-shift))) / (2 * shift)
        assert float(trees.dot(gradient, way)) == pytest.approx(slope, abs=1e-8)
    if phase == "converge":
        np.testing.assert_array_equal(gradient.outer, 0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_switch_keeps_the_function(in_float64, scale):
    """For signs of both kinds, a neuron that is off, and numbers far into the clip."""
    theta = as_arrays(random_theta(2, 6, 4, scale))
    theta = theta._replace(outer=theta.outer.at[2].set(0.0))
    assert {-1.0, 1.0} < set(np.sign(theta.outer).tolist())
    x = on_sphere(jax.random.key(0), 50, 4, jnp.float64)
    network = ClippedError(BOUND).network(theta)
    np.testing.assert_allclose(
        network.outputs(x),
        clipped(theta, BOUND).outputs(x),
        rtol=0,
        atol=1e-14 * scale**4,
    )
    assert set(np.asarray(network.outer).tolist()) == {-1.0, 0.0, 1.0}


@pytest.mark.slow
def test_phases_agree_on_the_loss_where_they_meet(in_float64):
    rng = np.random.default_rng(3)
    data = rng.normal(size=(20, 4)), rng.normal(size=20)
    theta = as_arrays(random_theta(4, 5, 4))
    before = Explore(bound=BOUND).problem(*data).value(theta)
    after = Converge().problem(*data).value(ClippedError(BOUND).network(theta))
    assert float(before) == pytest.approx(float(after), rel=1e-12)


@pytest.mark.slow
def test_noise_of_exploration_has_the_stationary_variance_of_a_quadratic():
    """Inputs 0 leave the penalty alone: T / (p (1 - h p / 2)) with p its precision, in every coordinate."""
    explore = Explore(
        step_size=0.5, temperature=0.03, annealing=1.0, precision=0.8, num_steps=40
    )
    start = ReLUNetwork(jnp.zeros(20), jnp.zeros((20, 4)))
    chains = langevax.simulate(
        explore.algorithm(),
        explore.problem(jnp.zeros((1, 4)), jnp.zeros(1)),
        start,
        key=jax.random.key(0),
        num_steps=40,
        num_chains=200,
    )
    p, h = 0.8, 0.5
    expected = 0.03 / (p * (1 - h * p / 2))
    outer, inner = (np.asarray(leaf).reshape(200, -1) for leaf in chains.position)
    assert_mean(
        np.mean(np.hstack([outer, inner]) ** 2, axis=1), expected, wrong=0.03 / p
    )
    assert_mean(np.mean(outer**2, axis=1), expected)


@pytest.mark.slow
def test_convergence_near_a_teacher_is_linear_at_the_rate_of_the_local_hessian(
    in_float64,
):
    teacher = orthogonal_teacher(2, 3, dtype=jnp.float64)
    X, y = teach(teacher, 80, noise=0.0, key=jax.random.key(2))
    converge = Converge()
    problem = converge.problem(X, y)
    active = np.asarray(X @ teacher.inner.T > 0)
    features = np.concatenate(
        [
            s * a[:, None] * np.asarray(X)
            for s, a in zip((1, -1), active.T, strict=True)
        ],
        axis=1,
    )
    curvatures, axes = np.linalg.eigh(features.T @ features / len(X))
    step_size = float(converge.algorithm(X, 2).step_size)  # pyright: ignore[reportArgumentType]
    assert step_size == pytest.approx(
        1 / np.linalg.eigvalsh(np.asarray(X.T @ X) / len(X))[-1]
    )
    assert curvatures[-1] < 2 / step_size

    slowest = axes[:, 0].reshape(2, 3)
    start = teacher._replace(
        inner=teacher.inner + 1e-4 * slowest
    )  # within the teacher's pieces
    end = langevax.simulate(
        converge.algorithm(X, 2), problem, start, key=jax.random.key(3), num_steps=60
    ).position
    contraction = np.linalg.norm(end.inner - teacher.inner) / 1e-4
    assert contraction == pytest.approx((1 - step_size * curvatures[0]) ** 60, rel=1e-6)


@pytest.mark.slow
def test_teacher_and_data_are_what_they_say():
    teacher = orthogonal_teacher(3, 5, num_positive=1)
    np.testing.assert_array_equal(teacher.outer, [1, -1, -1])
    X, y = teach(teacher, 4000, noise=0.2, key=jax.random.key(4))
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=1e-5)
    errors = np.asarray(y - teacher.outputs(X))
    assert np.abs(errors).max() < 0.2 * np.sqrt(3) + 1e-6
    assert_mean(errors, 0.0)
    assert_mean(errors**2, 0.04, wrong=0.04 / 3)
    assert_mean(np.asarray(X) ** 2, 1 / 5)


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: Explore(step_size=0.0), "step_size 0"),
        (lambda: Explore(temperature=-1.0), "temperature 0"),
        (lambda: Explore(bound=0.0), "bound 0"),
        (lambda: Explore(plateau=True), "plateau True 50.0"),
        (lambda: Explore(num_steps=-1), "num_steps 0"),
        (lambda: Converge(step_size=-0.1), "step_size 0"),
        (lambda: orthogonal_teacher(4, 3), "num_neurons 4 3"),
    ],
    ids=["step", "temperature", "bound", "plateau", "length", "second step", "teacher"],
)
def test_mistakes_are_named(make, facts):
    with refuses(ValueError, facts):
        make()
