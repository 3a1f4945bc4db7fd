"""The moments of control variates against simulated chains, and against what they must equal."""

import jax
import jax.numpy as jnp
import numpy as np

import langevax
from langevax.theory.moments import QuadraticChain
from tests.errorbars import assert_mean

SIZE, STEP_SIZE, TEMPERATURE, NUM_STEPS, CENTER = 6, 0.3, 0.2, 5, 4.0
OPTIONS = {"step_size": STEP_SIZE, "temperature": TEMPERATURE, "num_steps": NUM_STEPS}


def components():
    rng = np.random.default_rng(0)
    curvatures = rng.normal(1.0, 0.8, size=(SIZE, 1))
    return curvatures, 0.7 * curvatures + rng.normal(size=(SIZE, 1))


def moment_chain():
    return QuadraticChain(*components(), np.array([1.0]), np.array([1.0]), **OPTIONS)


def exact(center, batch_size=2):
    return moment_chain().control_variate(
        np.array([center]), batch_size=batch_size, replace=False
    )


def test_moments_are_those_of_chains():
    curvatures, slopes = (jnp.asarray(v, jnp.float32) for v in components())
    problem = langevax.FiniteSum(
        lambda x, row: jnp.sum(row[0] * x**2 / 2 + row[1] * x), (curvatures, slopes)
    )
    gradient = langevax.gradients.ControlVariate(
        batch_size=2, center=jnp.full(1, CENTER)
    )
    chain = langevax.Langevin(
        step_size=STEP_SIZE, temperature=TEMPERATURE, gradient=gradient
    )
    x = langevax.simulate(
        chain,
        problem,
        jnp.ones(1),
        key=jax.random.key(1),
        num_steps=NUM_STEPS,
        num_chains=100_000,
    ).position
    right, elsewhere = exact(CENTER), exact(0.0)
    assert_mean(x, right.first[-1])
    assert_mean(np.asarray(x) ** 2, right.second[-1], wrong=elsewhere.second[-1])


def test_full_batches_are_ld():
    np.testing.assert_allclose(
        exact(CENTER, batch_size=SIZE).second, moment_chain().ld().second, rtol=1e-13
    )
