"""FLEDGE's tables: written in place, free of drift in float32, anchored anew when a client has left."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from federated import WavyLoss, dialled_federation
from langevax import Federation, federated
from langevax.algorithm import trace_floats
from langevax.run import program

pytestmark = pytest.mark.mostly_compiling

P, D = 48, 40


@pytest.mark.slow
@pytest.mark.compiled_as_usual
@pytest.mark.parametrize(
    "method",
    [
        federated.FLEDGE(0.1, 2, 1, clients_per_round=4, dropout=0.1),
        federated.SCAFFOLD(0.1, 2, 1, clients_per_round=4),
    ],
    ids=["FLEDGE", "SCAFFOLD"],
)
def test_a_round_copies_no_table_and_computes_for_selected_clients_alone(method):
    """In the compiled loop: no copy of anything of P x D but the arguments at the start, and no P x D gradients."""
    federation = dialled_federation(P, 2, D, seed=0)
    method = trace_floats(method, jnp.float32)
    parts = program.RunParts(method, federation, jax.random.key(0))
    carry = program.begin(parts, jnp.zeros(D))
    chunk = program.Chunk(parts, jnp.int32(5), jnp.int32(2**31 - 1))
    compiled = program.advance.lower(chunk, carry, None).compile()
    text = compiled.compiled.as_text()
    tables = [
        line for line in text.splitlines() if re.search(rf"= f32\[{P},{D}\]", line)
    ]
    copies = [line for line in tables if " copy(" in line and "nodonate" not in line]
    assert copies == []
    assert sum(" scatter(" in line for line in tables) in (1, 2)
    gradients = [
        line
        for line in tables
        if re.search(r" (dot|multiply|sine|cosine|reduce)\(", line)
    ]
    assert gradients == []


@pytest.mark.slow
def test_the_servers_table_does_not_drift_in_float32():
    """After 2,000 rounds v is the mean of the table: folding leaves rounding of P / p rounds only."""
    federation = dialled_federation(
        20, 2, 5, hessian_heterogeneity=1.0, row_heterogeneity=0.0, seed=0
    )
    method = federated.FLEDGE(0.01, 1, clients_per_round=5, radius=0.05)
    result = langevax.simulate(
        method, federation, jnp.ones(5), key=jax.random.key(0), num_steps=2000
    )
    server = result.state.server
    table = np.asarray(server.table, np.float64) + np.asarray(server.shift, np.float64)
    np.testing.assert_allclose(server.gradient, table.mean(axis=0), rtol=0, atol=3e-7)


@pytest.mark.slow
def test_a_client_that_is_gone_leaves_and_the_next_phase_is_anchored_anew():
    """v of the new phase is the gradient of those who stayed; the old one still counted the client."""
    with jax.enable_x64():
        federation = dialled_federation(
            6, 2, 5, hessian_heterogeneity=2.0, gradient_heterogeneity=5.0, seed=0
        )
        method = federated.FLEDGE(0.02, 2, clients_per_round=2)
        first = langevax.simulate(
            method, federation, jnp.ones(5), key=jax.random.key(0), num_steps=10
        )
        rest = langevax.Federation(
            federation.loss,
            jax.tree.map(lambda a: jnp.delete(a, 3, axis=0), federation.data),
            jnp.delete(federation.counts, 3),
            federation.regularizer,
            jnp.delete(federation.weights, 3),
        )
        second = langevax.simulate(
            method, rest, first, key=jax.random.key(1), num_steps=0
        )
        exact = rest.gradient(first.position)
        np.testing.assert_allclose(
            second.state.server.gradient, exact, rtol=0, atol=1e-12
        )
        assert np.linalg.norm(first.state.server.gradient - exact) > 0.3


@pytest.mark.slow
def test_chains_run_side_by_side():
    federation = dialled_federation(6, 2, 3, seed=0)
    method = federated.FLEDGE(0.05, 2, 1, clients_per_round=2)
    both = langevax.simulate(
        method,
        federation,
        jnp.ones(3),
        key=jax.random.key(0),
        num_steps=5,
        num_chains=2,
    )
    assert both.position.shape == (2, 3)
    assert np.abs(both.position[0] - both.position[1]).max() > 1e-3
    assert both.vectors == 2 * (6 * 2 + 5 * (4 * 2 + 3))


@pytest.mark.slow
def test_a_thousand_clients_of_unequal_size():
    """Padded to the largest, ten asked a round: the run arrives near the optimum of the mean over all rows."""
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 9, 1000)
    slopes = rng.normal(size=(1000, 8, 2)).astype(np.float32)
    federation = Federation(
        WavyLoss(jnp.ones(2)), (slopes, np.zeros_like(slopes)), counts
    )
    method = federated.FLEDGE(0.05, 4, 2, clients_per_round=10)
    result = langevax.simulate(
        method, federation, jnp.ones(2), key=jax.random.key(0), num_steps=40
    )
    assert float(jnp.linalg.norm(federation.gradient(result.position))) < 1e-3
    assert result.exchanges == 1 + 2 * 40
    assert result.vectors == 2 * 1000 + 40 * (4 * 10 + 3)
