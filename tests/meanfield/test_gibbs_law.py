"""The law with its output weights integrated out: the table, the gradient, and the full law by quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grid_laws import quadrature_weights, tensor_grid
from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield.gibbs_law import GibbsLaw, OutputWeight, output_weight_table

TEMPERATURE = 0.1
AXIS = np.linspace(-7, 7, 71)


def by_quadrature(s, deviation):
    """kappa, kappa' and kappa'' of one s by trapezoids in a, ten times finer than the table's."""
    a = np.arange(-9 * deviation - 12, 9 * deviation + 12, 0.002 * min(1, deviation))
    logs = s * np.tanh(a) - (a / deviation) ** 2 / 2
    weights = np.exp(logs - logs.max())
    kappa = (
        logs.max()
        + np.log(weights.sum())
        - np.log(np.exp(-((a / deviation) ** 2) / 2).sum())
    )
    mean = weights @ np.tanh(a) / weights.sum()
    return kappa, mean, weights @ (np.tanh(a) - mean) ** 2 / weights.sum()


@pytest.mark.parametrize("deviation", [0.7, 2.0])
def test_the_table_is_that_of_quadrature(deviation):
    """Seven decades of s, both signs: 1e-6 of kappa, 1e-6 of its slope, a thousandth of its curvature."""
    with jax.enable_x64():
        table = OutputWeight(*map(jnp.asarray, output_weight_table(deviation)))
        for s in np.geomspace(1e-3, 1e4, 22):
            expected = by_quadrature(s, deviation)
            kappa, slope, curvature = (float(value) for value in table(jnp.asarray(s)))
            assert kappa == pytest.approx(expected[0], abs=1e-6)
            assert slope == pytest.approx(expected[1], abs=1e-6)
            assert curvature == pytest.approx(expected[2], rel=1e-3, abs=1e-9)
            mirrored = [float(value) for value in table(jnp.asarray(-s))]
            assert mirrored == [kappa, -slope, curvature]


def risk_of(num_outputs=None, scale=2.0, **options):
    inputs = np.linspace(-1.5, 1.5, 4)[:, None]
    shape = (4,) if num_outputs is None else (4, num_outputs)
    targets = np.sin(np.arange(np.prod(shape))).reshape(shape)
    neuron = neurons.TanhTanh(scale, num_outputs)
    return MeanFieldRisk(
        neuron,
        losses.squared,
        jnp.asarray(inputs),
        jnp.asarray(targets),
        0.2,
        **options,
    )


@pytest.mark.parametrize(
    "neuron", [neurons.TanhTanh(2.0), neurons.TanhTanh(2.0, 2), neurons.Tanh(2.0)]
)
def test_the_gradient_is_that_of_finite_differences(neuron):
    rng = np.random.default_rng(0)
    with jax.enable_x64():
        shape = (6, *neuron.output_shape)
        inputs, dual = (
            jnp.asarray(rng.normal(size=(6, 3))),
            jnp.asarray(3 * rng.normal(size=shape)),
        )
        risk = MeanFieldRisk(
            neuron, losses.squared, inputs, dual, 0.1, weights=rng.uniform(0.5, 2, 6)
        )
        law = GibbsLaw.of(risk, TEMPERATURE)
        tilt, cloud = law.tilt(dual, TEMPERATURE), rng.normal(size=(5, law.size))
        _, gradient = law.value_and_gradient(tilt, jnp.asarray(cloud))
        for coordinate in range(law.size):
            step = 1e-2 * np.eye(law.size)[coordinate]
            ahead, behind = (
                law.value_and_gradient(tilt, jnp.asarray(cloud + s * step))[0]
                for s in (1, -1)
            )
            difference = (np.asarray(ahead) - np.asarray(behind)) / 2e-2
            np.testing.assert_allclose(
                gradient[:, coordinate], difference, rtol=2e-3, atol=2e-3
            )


def test_v_is_minus_the_potential_over_the_temperature():
    """For a neuron without output weight, from the risk's own potential; rows of weight 0 do not count."""
    rng = np.random.default_rng(1)
    with jax.enable_x64():
        inputs, dual = (
            jnp.asarray(rng.normal(size=(6, 2))),
            jnp.asarray(rng.normal(size=6)),
        )
        options = {"weights": np.array([1.0, 2.0, 0.5, 0.0, 1.0, 3.0]), "count": 5}
        risk = MeanFieldRisk(
            neurons.Tanh(2.0), losses.squared, inputs, dual, 0.1, **options
        )
        law = GibbsLaw.of(risk, TEMPERATURE)
        cloud = jnp.asarray(rng.normal(size=(7, law.size)))
        particles = cloud * law.deviations
        potential = np.asarray(
            jax.vmap(risk.of_one_particle(dual).value)(particles)
        )  # without its precision
        values, _ = law.value_and_gradient(law.tilt(dual, TEMPERATURE), cloud)
        np.testing.assert_allclose(values, -potential / TEMPERATURE, rtol=1e-6)


@pytest.mark.parametrize("num_outputs", [None, 2])
def test_integrated_output_weights_are_those_of_the_full_law(num_outputs):
    """Outputs, log Z and E[-V / T] on the grid of (w, b), against those on the grid of (a, w, b)."""
    with jax.enable_x64():
        risk = risk_of(num_outputs)
        dual = 0.6 * risk.targets
        law = GibbsLaw.of(risk, TEMPERATURE)
        tilt = law.tilt(dual, TEMPERATURE)
        assert law.size == 2
        points, measure = tensor_grid(AXIS, 2)
        prior = measure * np.exp(-np.sum(points**2, 1) / 2) / (2 * np.pi)
        values, _ = law.value_and_gradient(tilt, jnp.asarray(points))
        weights = prior * np.exp(np.asarray(values))
        activity = law.activity(tilt, jnp.asarray(points))
        share = weights / weights.sum()
        outputs = np.einsum("g,gi,gc->ic", share, activity.features, activity.slopes)
        exponent = share @ np.asarray(activity.exponent)

        full = quadrature_of_the_full_law(risk, dual, points, prior)
        assert np.log(weights.sum()) == pytest.approx(full["log_partition"], abs=1e-5)
        np.testing.assert_allclose(outputs, full["outputs"], atol=1e-5)
        # e is the mean of -V / T and not kappa, the logarithm of its mean exponential
        assert exponent == pytest.approx(full["exponent"], abs=1e-4)
        assert abs(share @ np.asarray(values) - full["exponent"]) > 0.05
        for c in range(outputs.shape[1]):
            spread = activity.features**2 * activity.curvatures[:, c : c + 1]
            means = (
                activity.features * activity.slopes[:, c : c + 1] - outputs[:, c]
            ) ** 2
            np.testing.assert_allclose(
                share @ np.asarray(spread + means), full["variances"][:, c], atol=1e-4
            )


def quadrature_of_the_full_law(risk, dual, points, prior):
    """log Z, outputs, variances of h and E[-V / T], from the neuron of the risk and the grid of each output weight."""
    deviation = np.sqrt(TEMPERATURE / 0.2)
    normal = quadrature_weights(AXIS) * np.exp(-(AXIS**2) / 2) / np.sqrt(2 * np.pi)
    features = np.tanh(
        deviation * (points[:, :1] * np.asarray(risk.inputs)[:, 0] + points[:, 1:])
    )
    outer = 2.0 * np.tanh(deviation * AXIS)
    duals = np.asarray(dual).reshape(4, -1)
    sums = (
        -features @ duals / (4 * TEMPERATURE)
    )  # (grid, outputs): -V / T is their sum with outer weights
    logs = sums[:, :, None] * outer
    moments = [np.exp(logs) @ (normal * outer**power) for power in range(3)]
    weights = prior * moments[0].prod(1)
    share = weights / weights.sum()
    first, second = moments[1] / moments[0], moments[2] / moments[0]
    outputs = np.einsum("g,gi,gc->ic", share, features, first)
    return {
        "log_partition": np.log(weights.sum()),
        "outputs": outputs,
        "variances": np.einsum("g,gi,gc->ic", share, features**2, second) - outputs**2,
        "exponent": float(share @ (sums * first).sum(1)),
    }


def test_output_weights_of_several_deviations_are_not_integrated_out():
    precision = np.array([0.1, 0.2, 0.1, 0.1], np.float32)
    inputs, targets = np.ones((3, 1), np.float32), np.zeros((3, 2), np.float32)
    risk = MeanFieldRisk(
        neurons.TanhTanh(2.0, 2), losses.squared, inputs, targets, precision
    )
    law = GibbsLaw.of(risk, TEMPERATURE)
    assert law.output_weight is None
    assert law.size == 4
