"""Descent is Langevin at temperature 0, and draws nothing."""

import jax
import jax.numpy as jnp
import numpy as np

import langevax
from langevax.teacher_student import Converge, ReLUNetwork
from langevax.teacher_student.phases import Descent
from tests.sentences import refuses


def setting():
    rng = np.random.default_rng(0)
    X, y = np.float32(rng.normal(size=(9, 3))), np.float32(rng.normal(size=9))
    start = ReLUNetwork(
        jnp.array([1.0, -1.0]), jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)
    )
    return Converge(precision=0.2).problem(X, y), start


def test_it_is_langevin_at_temperature_zero():
    """With a decay of some of the numbers; what is counted too."""
    problem, start = setting()
    ours, theirs = (
        langevax.simulate(
            algorithm, problem, start, key=jax.random.key(0), num_steps=20, num_chains=2
        )
        for algorithm in (Descent(0.3), langevax.Langevin(0.3, 0.0))
    )
    np.testing.assert_allclose(ours.position.inner, theirs.position.inner, rtol=1e-5)
    np.testing.assert_array_equal(ours.position.outer, theirs.position.outer)
    assert ours.evaluations == theirs.evaluations == 2 * 20 * 9


def test_no_key_is_used():
    problem, start = setting()
    algorithm = Descent(0.3)
    state, _ = algorithm.init(problem, start, jax.random.key(0))
    step = jax.make_jaxpr(
        lambda state, key: algorithm.step(problem, state, key, jnp.int32(0))[0]
    )
    assert "random" not in str(step(state, jax.random.key(0)))


def test_a_step_below_zero_is_named():
    with refuses(ValueError, "step_size 0"):
        Descent(-0.1)
