"""The federation of the claim: its parameters do what they say, and f is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from federated import dialled_federation
from tests.sentences import refuses

ZETA, SIGMA, D = 1.5, 3.0, 4


@pytest.mark.slow
def test_hessians_differ_by_zeta_gradients_at_the_optimum_by_sigma_and_the_mean_is_known():
    with jax.enable_x64():
        federation = dialled_federation(6, 4, D, ZETA, SIGMA, condition=10.0, seed=0)
        x = jnp.asarray(np.random.default_rng(1).normal(size=D))
        np.testing.assert_allclose(
            federation.gradient(x), federation.loss.mean_gradient(x), rtol=0, atol=1e-12
        )
        np.testing.assert_allclose(
            federation.value(x), federation.loss.mean(x), rtol=0, atol=1e-12
        )
        hessian = jax.jit(lambda i, x: jax.hessian(federation.client(i).value)(x))
        for point in (x, jnp.zeros(D)):
            hessians = np.array([hessian(i, point) for i in range(6)])
            between = [np.linalg.norm(a - b, 2) for a in hessians for b in hessians]
            assert max(between) == pytest.approx(ZETA, abs=1e-10)
        gradients = federation.gradients_at(jnp.zeros(D), jnp.arange(6))
        np.testing.assert_allclose(
            np.linalg.norm(gradients, axis=1), SIGMA, rtol=0, atol=1e-12
        )
        assert (
            np.linalg.eigvalsh(hessian(0, jnp.full(D, np.pi / 2))).min() < 0
        )  # not convex


def test_signs_are_balanced_over_even_numbers_only():
    with refuses(ValueError, "num_clients 5 4"):
        dialled_federation(5, 4, seed=0)
