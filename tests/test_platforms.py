"""Programs of other platforms than CPUs: other blocks, no forms that only CPUs gain from, and the same numbers."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

import langevax
from langevax import gradients, keys, losses, neurons, platforms
from langevax.problems import matmul, mean_field
from tests.jaxprs import primitives, shapes

KEY = random.key(0)
INPUTS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@pytest.fixture
def elsewhere(monkeypatch):
    """Programs are made as for an accelerator."""
    monkeypatch.setattr(platforms, "platform", lambda: "gpu")


def test_the_platform_is_that_of_the_default_device():
    assert platforms.platform() == "cpu"
    for device in (jax.devices("cpu")[0], "cpu"):
        with jax.default_device(device):
            assert platforms.platform() == "cpu"
    assert platforms.sizes() is platforms.CPU


def test_a_default_device_given_by_name_counts(monkeypatch):
    config = SimpleNamespace(jax_default_device="tpu")
    monkeypatch.setattr(platforms, "jax", SimpleNamespace(config=config))
    assert platforms.platform() == "tpu"
    assert platforms.sizes() is platforms.ACCELERATOR


def test_keys_are_left_to_jax_elsewhere(elsewhere):
    assert keys.unrolled(KEY) is KEY


def test_inputs_are_filled_up_on_cpus_alone(monkeypatch):
    def concatenated():
        def slope(weights):
            return jax.vmap(lambda x: matmul.preactivation(weights, x))(
                jnp.asarray(INPUTS)
            ).sum()

        return "concatenate" in primitives(jax.make_jaxpr(jax.grad(slope))(jnp.ones(4)))

    assert concatenated()
    monkeypatch.setattr(platforms, "platform", lambda: "gpu")
    assert not concatenated()


@pytest.mark.parametrize(
    ("particles", "rows", "expected"),
    [
        (10**4, 10**4, 10**4),
        (10**5, 10**4, 1342),
        (10**6, 10**4, 256),
        (2**22 + 1, 10**4, None),
    ],
)
def test_blocks_of_clouds_are_large_elsewhere(elsewhere, particles, rows, expected):
    """Up to 512 MB of activations with many rows, 4 GB with few; beyond, tiles of 512 MB."""
    assert mean_field.rows_of_a_block(particles, rows) == expected
    best = platforms.ACCELERATOR
    assert best.tile_rows * best.tile_particles == best.block_activations == 2**27


def test_a_full_pass_has_the_blocks_of_the_platform_unless_its_user_chose_others(
    elsewhere,
):
    rows = jax.ShapeDtypeStruct((2**17, 2), jnp.float32)

    def largest(**options):
        def gradient(rows):
            return langevax.FiniteSum(
                lambda x, row: jnp.sum((x - row) ** 2), rows, **options
            ).gradient(jnp.zeros(2))

        return max(
            shape[0] for shape in shapes(jax.make_jaxpr(gradient)(rows)) if shape
        )

    assert largest() == platforms.ACCELERATOR.pass_rows
    assert largest(block_size=1000) < 1100


def quantities(risk, finite_sum, cloud):
    """Return all that blocks and forms enter: passes over a cloud, over rows, and tables of gradients."""
    table = gradients.SLEDGE(batch_size=4).init(finite_sum, cloud[0])[0].table
    return (
        risk.value_and_gradient(cloud),
        risk.outputs(cloud),
        finite_sum.gradient(cloud[0]),
        table,
    )


@pytest.mark.slow
def test_numbers_are_the_same_on_all_platforms(monkeypatch):
    """In small blocks of each kind, traced each time; float32."""
    monkeypatch.setattr(
        platforms,
        "CPU",
        platforms.CPU._replace(block_activations=64, fewest_rows=4, largest_block=8),
    )
    tiles = platforms.ACCELERATOR._replace(
        most_activations=0, tile_rows=16, tile_particles=5
    )
    monkeypatch.setattr(platforms, "ACCELERATOR", tiles)
    risk = langevax.MeanFieldRisk(
        neurons.Tanh(), losses.squared, INPUTS, np.tanh(INPUTS[:, 0]), 0.1
    )
    finite_sum = langevax.FiniteSum(
        lambda x, row: jnp.tanh(x[:3] @ row + x[3]) ** 2, INPUTS
    )
    cloud, measured = random.normal(KEY, (12, 4)), []
    for platform in ("cpu", "gpu"):
        monkeypatch.setattr(platforms, "platform", lambda platform=platform: platform)
        measured.append(
            eqx.filter_jit(lambda *parts: quantities(*parts))(risk, finite_sum, cloud)
        )
    for ours, others in zip(*map(jax.tree.leaves, measured), strict=True):
        np.testing.assert_allclose(ours, others, rtol=2e-5, atol=1e-6)
