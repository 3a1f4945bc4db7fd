"""MeanFieldRisk against NumPy, and N times the autodiff of the averaged network's risk."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from langevax import MeanFieldRisk, losses, neurons, platforms
from langevax.problems import mean_field
from tests.errorbars import assert_mean
from tests.jaxprs import shapes
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

N, D, PARTICLES = 7, 2, 5
BATCH = [4, 1, 4]

call = eqx.filter_jit(lambda function, *arguments: function(*arguments))


def inputs(size=N):
    return np.random.default_rng(0).normal(size=(size, D))


def scalar_risk(**options):
    targets = np.random.default_rng(1).normal(size=N)
    return MeanFieldRisk(
        neurons.Tanh(2.0),
        losses.squared,
        jnp.asarray(inputs()),
        jnp.asarray(targets),
        **options,
    )


def class_risk(**options):
    """Three classes, by a neuron with three outputs."""
    targets = jnp.asarray(np.arange(N) % 3)
    return MeanFieldRisk(
        neurons.TanhTanh(3.0, 3),
        losses.softmax,
        jnp.asarray(inputs()),
        targets,
        **options,
    )


RISKS = pytest.mark.parametrize("make", [scalar_risk, class_risk])


def cloud_for(risk, size=PARTICLES):
    return jnp.asarray(np.random.default_rng(2).normal(size=(size, risk.particle_size)))


@eqx.filter_jit
def numbers(risk, cloud):
    """Everything a risk says of a cloud, in one program."""
    value, gradient = risk.value_and_gradient(cloud)
    return {
        "value": (risk.value(cloud), value),
        "gradient": (risk.gradient(cloud), gradient),
        "components": risk.gradients_at(cloud, jnp.arange(N, dtype=jnp.int32)),
        "batch": risk.gradient_at(cloud, jnp.array(BATCH, jnp.int32)),
        "outputs": risk.outputs(cloud),
        "dual": risk.dual(cloud),
    }


@eqx.filter_jit
def row_losses(risk, cloud):
    """The averaged network's loss on each row, as one formula over all rows and particles, and its Jacobian."""

    def losses(cloud):
        activations = jax.vmap(
            lambda x: jax.vmap(lambda theta: risk.neuron(theta, x))(cloud)
        )(risk.inputs)
        return jax.vmap(risk.loss)(jnp.mean(activations, axis=1), risk.targets)

    return losses(cloud), jax.jacrev(losses)(cloud)


def assert_close(actual, expected, tolerance=1e-13):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance),
        actual,
        expected,
    )


@RISKS
def test_gradients_are_num_particles_times_those_of_the_averaged_network(make):
    """Of the whole, of single rows, and of a batch, in which a row may come twice."""
    with jax.enable_x64():
        risk = make()
        cloud = cloud_for(risk)
        measured = numbers(risk, cloud)
        values, jacobian = (np.asarray(a) for a in row_losses(risk, cloud))
        assert_close(measured["value"], 2 * (values.mean(),))
        assert_close(measured["gradient"], 2 * (PARTICLES * jacobian.mean(axis=0),))
        assert_close(measured["components"], PARTICLES * jacobian)
        assert_close(measured["batch"], PARTICLES * jacobian[BATCH].mean(axis=0))
        assert risk.size == risk.max_size == N


def test_the_gradient_is_the_first_variation_in_numpy():
    """(1/n) sum_i (z_i - y_i) grad h(theta_r, x_i), for the neuron 2 tanh(<w, x> + b)."""
    with jax.enable_x64():
        risk = scalar_risk()
        cloud = np.asarray(cloud_for(risk))
        measured = numbers(risk, jnp.asarray(cloud))
        activations = np.tanh(
            cloud[:, :D] @ inputs().T + cloud[:, D:]
        )  # (particles, rows)
        dual = 2 * activations.mean(axis=0) - np.asarray(risk.targets)
        features = np.concatenate([inputs(), np.ones((N, 1))], axis=1)
        assert_close(
            measured["gradient"][0], (2 * (1 - activations**2) * dual) @ features / N
        )
        assert_close(measured["dual"], dual)
        assert_close(measured["outputs"], 2 * activations.mean(axis=0))


@RISKS
def test_frozen_at_its_own_dual_the_gradient_is_the_same(make):
    """Of the risk with the dual frozen, and of one particle alone; with the ridge in the potential of both."""
    with jax.enable_x64():
        risk = make(precision=0.3)
        cloud = cloud_for(risk)

        def gradients(risk, cloud):
            dual = risk.dual(cloud)
            alone = risk.of_one_particle(dual)
            frozen = risk.linearized(dual).gradient(cloud)
            return (
                risk.gradient(cloud),
                frozen,
                jax.vmap(alone.gradient)(cloud),
                jax.vmap(alone.potential_gradient)(cloud),
            )

        gradient, *frozen, with_ridge = call(gradients, risk, cloud)
        for other in frozen:
            assert_close(other, gradient)
        assert_close(with_ridge, gradient + 0.3 * np.asarray(cloud))


def test_frozen_elsewhere_particles_no_longer_interact():
    """Moving the other particles moves the gradient of the first, but not that of the risk with a frozen dual."""
    with jax.enable_x64():
        risk = scalar_risk()
        cloud = cloud_for(risk)
        moved, dual = cloud.at[1:].add(0.7), numbers(risk, cloud)["dual"]
        first = lambda risk, cloud: risk.linearized(dual).gradient(cloud)[0]
        assert_close(call(first, risk, moved), numbers(risk, cloud)["gradient"][0][0])
        assert (
            np.abs(
                numbers(risk, moved)["gradient"][0]
                - numbers(risk, cloud)["gradient"][0]
            ).max()
            > 0.1
        )


def test_the_potential_of_one_particle_is_its_formula():
    """U_g = (1/n) sum_i g_i h(theta, x_i) + ridge |theta|^2, with precision = 2 ridge."""
    with jax.enable_x64():
        risk = scalar_risk(precision=0.6)
        dual, theta = np.linspace(-1, 1, N), np.array([0.5, -1.0, 0.2])
        expected = (
            np.mean(dual * 2 * np.tanh(inputs() @ theta[:2] + theta[2]))
            + 0.3 * theta @ theta
        )
        assert_close(
            call(risk.of_one_particle(jnp.asarray(dual)).potential, jnp.asarray(theta)),
            expected,
        )


@RISKS
def test_particles_are_exchangeable(make):
    """A permuted cloud has the same outputs and the permuted gradient."""
    with jax.enable_x64():
        risk, order = make(), np.array([3, 0, 4, 1, 2])
        cloud = cloud_for(risk)
        measured, permuted = numbers(risk, cloud), numbers(risk, cloud[order])
        assert_close(permuted["outputs"], measured["outputs"])
        assert_close(
            permuted["gradient"][0], np.asarray(measured["gradient"][0])[order]
        )
        assert_close(
            permuted["components"], np.asarray(measured["components"])[:, order]
        )


def test_a_doubled_cloud_has_the_same_gradient_twice_over():
    with jax.enable_x64():
        risk = scalar_risk()
        cloud = cloud_for(risk)
        measured, doubled = (
            numbers(risk, cloud),
            numbers(risk, jnp.concatenate([cloud, cloud])),
        )
        assert_close(doubled["outputs"], measured["outputs"])
        assert_close(doubled["gradient"][0], np.tile(measured["gradient"][0], (2, 1)))


def test_outputs_are_the_mean_of_the_neurons_at_any_inputs():
    with jax.enable_x64():
        risk = class_risk()
        cloud, others = cloud_for(risk), inputs(4) + 1
        a, w, b = np.split(np.asarray(cloud), [3, 3 + D], axis=1)
        activations = (
            3 * np.tanh(a)[:, None, :] * np.tanh(w @ others.T + b)[:, :, None]
        )  # (particles, rows, classes)
        assert_close(
            call(risk.outputs, cloud, jnp.asarray(others)), activations.mean(axis=0)
        )
        assert numbers(risk, cloud)["outputs"].shape == (N, 3)


def test_integer_weights_are_repeated_rows():
    """Batches are drawn uniformly, so that each component carries its weight: their mean is the gradient still."""
    with jax.enable_x64():
        repeats, plain = np.array([1, 0, 2, 1, 3, 0, 1]), scalar_risk()
        cloud = cloud_for(plain)
        measured = numbers(scalar_risk(weights=repeats.astype(float)), cloud)
        values, jacobian = (np.asarray(a) for a in row_losses(plain, cloud))
        scale = repeats * N / repeats.sum()
        assert_close(measured["value"], 2 * (np.average(values, weights=repeats),))
        assert_close(
            measured["gradient"],
            2 * (PARTICLES * np.average(jacobian, axis=0, weights=repeats),),
        )
        assert_close(
            measured["components"], PARTICLES * scale[:, None, None] * jacobian
        )
        assert_close(
            measured["batch"],
            np.mean(np.asarray(measured["components"])[BATCH], axis=0),
        )


@pytest.mark.slow
def test_padding_does_not_matter():
    """Four rows in use of seven, the others junk, in value, gradients, and one particle's potential."""
    with jax.enable_x64():
        used, weights = 4, np.random.default_rng(3).uniform(0.1, 1, size=N)
        full = scalar_risk()
        short = [a[:used] for a in (full.inputs, full.targets)]
        reference = MeanFieldRisk(
            full.neuron, full.loss, *short, precision=0.2, weights=weights[:used]
        )
        junk = [a.at[used:].set(1e5) for a in (full.inputs, full.targets)]
        padded = MeanFieldRisk(
            full.neuron,
            full.loss,
            *junk,
            precision=0.2,
            weights=weights,
            count=used,
            block_size=3,
        )
        cloud, indices = cloud_for(full), jnp.array([3, 0])

        def of_rows_in_use(risk):
            dual = jnp.concatenate(
                [
                    jnp.asarray([0.5, -1.0, 2.0, 0.1]),
                    jnp.full(risk.max_size - used, 9.0),
                ]
            )
            alone = risk.of_one_particle(dual)
            return (
                *risk.value_and_gradient(cloud),
                risk.gradient_at(cloud, indices),
                risk.gradients_at(cloud, indices),
                alone.potential(cloud[0]),
            )

        for actual, expected in zip(
            call(of_rows_in_use, padded), call(of_rows_in_use, reference), strict=True
        ):
            assert_close(actual, expected, 1e-10)
        assert int(padded.size) == used


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "enabled", "tolerance"),
    [(scalar_risk, False, 3e-6), (class_risk, True, 1e-13)],
)
def test_numbers_do_not_depend_on_the_block(make, enabled, tolerance, monkeypatch):
    """All at once, three rows at a time, and as large clouds are taken: tiles of two particles and two rows."""
    with jax.enable_x64(enabled):
        cloud, measured = cloud_for(make()), []
        weights = np.arange(1.0, N + 1)
        for block_size in (None, 3, "tiles"):
            if block_size == "tiles":
                tiles = platforms.CPU._replace(
                    most_activations=PARTICLES - 1, tile_rows=2, tile_particles=2
                )
                monkeypatch.setattr(platforms, "CPU", tiles)
                block_size = None
            risk = make(block_size=block_size, weights=weights)
            measured.append(
                eqx.filter_jit(lambda risk, cloud: _blocked(risk, cloud))(risk, cloud)
            )  # traced each time
            assert (
                measured[-1][2].dtype
                == cloud.dtype
                == (jnp.float64 if enabled else jnp.float32)
            )
        for others in measured[1:]:
            assert_close(measured[0], others, tolerance)


def _blocked(risk, cloud):
    batch = jnp.array(BATCH, jnp.int32)
    return (
        risk.outputs(cloud),
        *risk.value_and_gradient(cloud),
        risk.gradient_at(cloud, batch),
    )


def test_large_clouds_are_taken_in_tiles():
    """10 million particles and 1,000 rows: nothing is as large as a row of their activations, but the clouds."""
    many, rows = 10_000_000, 1_000
    shape = jax.ShapeDtypeStruct((many, D + 1), jnp.float32)
    risk = MeanFieldRisk(
        neurons.Tanh(),
        losses.squared,
        np.ones((rows, D), np.float32),
        np.ones(rows, np.float32),
    )
    jaxpr = jax.make_jaxpr(
        lambda cloud: (risk.gradient(cloud), risk.value(cloud), risk.outputs(cloud))
    )(shape)
    tile = platforms.CPU.tile_rows * platforms.CPU.tile_particles
    assert (
        max(np.prod(s, dtype=int) for s in shapes(jaxpr) if s[-1:] != (D + 1,)) <= tile
    )


@pytest.mark.parametrize(
    ("particles", "rows", "shared", "expected"),
    [
        (1_000, 400, False, 400),
        (1_000, 10**6, False, 2048),
        (5_000, 10**6, False, 419),
        (10_000, 10**6, False, 256),
        (2**16, 1_000, False, 256),
        (2**16 + 1, 1_000, False, None),
        (10**7, 1, False, 1),
        (2**14, 1_024, True, 1_024),
        (2**14 + 1, 1_024, True, None),
        (10, 2_049, True, None),
    ],
)
def test_blocks_hold_what_is_fast_and_no_more(particles, rows, shared, expected):
    assert mean_field.rows_of_a_block(particles, rows, shared) == expected


def test_the_prior_has_variance_temperature_over_precision():
    """40,000 draws in each of three coordinates; a missing factor 2 or square root is far outside."""
    risk = scalar_risk(precision=2 * 0.25)
    draws = np.asarray(
        risk.prior(temperature=0.1, num_particles=40_000)(jax.random.key(0))
    )
    assert draws.shape == (40_000, 3)
    assert draws.dtype == np.float32
    assert_mean(draws, 0.0)
    assert_mean(draws**2, 0.1 / 0.5, wrong=0.1 / 0.25)
    assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 4.5 / 200


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"inputs": np.zeros((0, D))}, ""),
        ({"inputs": np.full((N, D), np.inf)}, "inputs"),
        ({"targets": np.zeros(N + 1)}, ""),
        ({"targets": np.full(N, np.nan)}, "targets"),
        ({"precision": -0.1}, "precision"),
        ({"weights": -np.ones(N)}, "weights"),
        ({"count": N + 1}, "count"),
        ({"block_size": 0}, "block_size"),
    ],
)
def test_a_mistake_is_named(arguments, facts):
    good = {
        "neuron": neurons.Tanh(),
        "loss": losses.squared,
        "inputs": inputs(),
        "targets": np.zeros(N),
    }
    with refuses(ValueError, facts):
        MeanFieldRisk(**(good | arguments))


def test_there_is_no_prior_without_a_ridge():
    with refuses(ValueError, "0"):
        scalar_risk().prior(temperature=0.1, num_particles=3)


@pytest.mark.slow
def test_a_prior_drawn_on_the_host_has_the_numbers_of_the_program():
    """Sizes on both sides of a power of two; to the rounding of a square root."""
    for particles in (1, 3, 5, 8, 13):
        risk = MeanFieldRisk(
            neurons.Tanh(), losses.squared, jnp.ones((2, 2)), jnp.ones(2), precision=0.3
        )
        prior, key = risk.prior(0.1, particles), jax.random.key(particles)
        np.testing.assert_allclose(prior.draw_on_host(key), prior(key), rtol=1e-6)
