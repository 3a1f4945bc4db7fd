"""Products in bfloat16: operands of 8 bits, sums in float32, forth and back; and nothing at all unless asked for."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from langevax import MeanFieldRisk, losses, neurons
from langevax.problems import matmul

pytestmark = pytest.mark.mostly_compiling

D, N, PARTICLES = (
    4096,
    24,
    16,
)  # so long that sums in bfloat16 are seen: they lose a bit for each factor of four
COARSE = (
    2**-12,
    2**-7,
)  # relative errors of rounded operands; those of float32 are below 1e-5
NEURONS = {
    "tanh": neurons.Tanh(2.0),
    "tanh-tanh": neurons.TanhTanh(),
    "three outputs": neurons.TanhTanh(num_outputs=3),
    "parity": neurons.Parity(),
    "linear": neurons.Linear(),
}


def bfloat16():
    return jax.default_matmul_precision("bfloat16")


def rounded(x):
    """To 8 bits, by another hand than the code's."""
    return np.asarray(x, np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def off(actual, exact):
    """Relative error of an array."""
    actual, exact = np.asarray(actual, np.float64), np.asarray(exact, np.float64)
    return np.linalg.norm(actual - exact) / np.linalg.norm(exact)


def matrices(seed=0):
    rng = np.random.default_rng(seed)
    shapes = (PARTICLES, D), (D, N), (PARTICLES, N)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def risk_and_cloud(neuron, features=D):
    rng = np.random.default_rng(1)
    inputs = (rng.standard_normal((N, features)) / np.sqrt(features)).astype(np.float32)
    targets = rng.standard_normal((N, *neuron.output_shape)).astype(np.float32)
    cloud = rng.standard_normal((PARTICLES, neuron.particle_size(features))).astype(
        np.float32
    )
    return MeanFieldRisk(neuron, losses.squared, inputs, targets), jnp.asarray(cloud)


def test_a_product_and_its_gradient_are_those_of_rounded_operands_summed_in_float32():
    a, b, back = matrices()
    with bfloat16():
        actual, vjp = jax.vjp(matmul.dot, a, b)
        of_a, of_b = vjp(back)
    exact = {"a b": (actual, a, b), "da": (of_a, back, b.T), "db": (of_b, a.T, back)}
    for name, (array, left, right) in exact.items():
        assert array.dtype == np.float32, name
        assert off(array, rounded(left) @ rounded(right)) < 2e-6, name
        assert (
            COARSE[0]
            < off(array, np.asarray(left, np.float64) @ np.asarray(right, np.float64))
            < COARSE[1]
        ), name


def test_a_derivative_forwards_is_that_of_the_same_product():
    a, b, _ = matrices()
    with bfloat16():
        actual, slope = jax.jvp(lambda a: matmul.dot(a, b), (a,), (a,))
    assert off(slope, actual) < 2**-7


def test_other_shapes_round_alike():
    a, b, _ = matrices()
    with bfloat16():
        assert off(matmul.dot(a[0], b[:, 0]), rounded(a[0]) @ rounded(b[:, 0])) < 2e-5
        actual = matmul.tensordot(a, a * 2, 2)
        assert off(actual, np.sum(rounded(a) * rounded(2 * a))) < 2e-6
        with jax.numpy_dtype_promotion("standard"):
            mixed = matmul.dot(a, jnp.arange(D))
        assert off(mixed, rounded(a) @ rounded(np.arange(D))) < 2e-6
        assert mixed.dtype == jnp.float32


def test_in_float64_runs_operands_have_8_bits_and_sums_64():
    a, b, back = matrices()
    with jax.enable_x64(), bfloat16():
        wide = [jnp.asarray(array, jnp.float64) for array in (a, b, back)]
        actual, vjp = jax.vjp(matmul.dot, *wide[:2])
        assert actual.dtype == jnp.float64
        assert off(actual, rounded(a) @ rounded(b)) < 1e-14
        assert off(vjp(wide[2])[0], rounded(back) @ rounded(b).T) < 1e-14


def plain(weights, x):
    return jnp.tanh(jnp.dot(weights[:-1], x) + weights[-1])


def ours(weights, x):
    return jnp.tanh(matmul.preactivation(weights, x))


# 3, 7 or 47 and a bias fill a tile of columns; 4, 8 or 48 leave no space for it
@pytest.mark.slow
@pytest.mark.parametrize("features", [1, 3, 4, 5, 7, 8, 20, 47, 48, 50])
def test_a_preactivation_has_the_derivatives_of_its_formula(features):
    """Of weights and inputs, forwards, backwards and twice, mapped as a layer maps it; float64 to 1e-13."""
    rng = np.random.default_rng(2)
    with jax.enable_x64():
        shapes = (5, features + 1), (4, features)
        here, there = (
            [jnp.asarray(rng.standard_normal(shape)) for shape in shapes]
            for _ in range(2)
        )

        def layer(function):
            return jax.vmap(jax.vmap(function, (None, 0)), (0, None))

        def twice(function):
            slope = jax.grad(
                lambda *a: jnp.sum(jnp.cos(layer(function)(*a))), argnums=(0, 1)
            )
            return jax.jvp(slope, here, there)

        forwards = [jax.jvp(layer(function), here, there) for function in (ours, plain)]
        for actual, expected in (forwards, (twice(ours), twice(plain))):
            jax.tree.map(
                lambda f, w: np.testing.assert_allclose(f, w, rtol=1e-13, atol=1e-13),
                actual,
                expected,
            )


def test_the_gradient_of_a_preactivation_is_one_product_and_no_sum_over_rows():
    """Activations (particles x rows) are read once on the way back; in bfloat16, which would round the sum, twice."""

    def operations(features, context=None):
        risk, cloud = risk_and_cloud(neurons.Tanh(), features)
        with jax.default_matmul_precision(context):
            program = eqx.filter_make_jaxpr(lambda risk, cloud: risk.gradient(cloud))(
                risk, cloud
            )[0]
        read = [
            e
            for e in program.eqns
            if e.invars and e.invars[0].aval.shape == (PARTICLES, N)
        ]
        return [
            (e.primitive.name, e.outvars[0].aval.shape)
            for e in read
            if e.primitive.name in ("dot_general", "reduce_sum")
        ]

    def one_product(columns):
        return [
            ("reduce_sum", (N,)),
            ("dot_general", (PARTICLES, columns)),
        ]  # the first is the mean over particles

    assert [operations(f) for f in (3, 9, 39, 40, 50)] == [
        one_product(columns) for columns in (4, 16, 40, 48, 64)
    ]
    assert ("reduce_sum", (PARTICLES,)) in operations(9, "bfloat16")
    for features in (4, 16, 48):  # which leave no space for a bias
        assert ("reduce_sum", (PARTICLES,)) in operations(features)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEURONS)
def test_outputs_and_gradients_are_off_by_the_rounding_of_operands(name):
    risk, cloud = risk_and_cloud(NEURONS[name])
    with jax.enable_x64():
        wide = MeanFieldRisk(
            risk.neuron,
            risk.loss,
            *(np.asarray(a, np.float64) for a in (risk.inputs, risk.targets)),
        )
        position = jnp.asarray(cloud, jnp.float64)
        exact = [np.asarray(quantity) for quantity in quantities(wide, position)]
    for low, high, context in ((*COARSE, "bfloat16"), (0.0, 1e-5, None)):
        with jax.default_matmul_precision(context):
            for actual, expected in zip(quantities(risk, cloud), exact, strict=True):
                assert actual.dtype == jnp.float32
                assert low < off(actual, expected) < high, context


@eqx.filter_jit
def quantities(risk, cloud):
    """Return all that runs ask of a risk: outputs, gradient, and the particles' gradients under a frozen dual."""
    one = risk.of_one_particle(risk.targets / 2)
    return risk.outputs(cloud), risk.gradient(cloud), jax.vmap(one.gradient)(cloud)


@pytest.mark.parametrize("name", NEURONS)
def test_matrix_units_compute_every_product_of_a_gradient(name):
    risk, cloud = risk_and_cloud(NEURONS[name], features=5)
    with bfloat16():
        traced = jax.jit(lambda x: quantities(risk, x)).trace(cloud)
    for platform, algorithm in (("cuda", "bf16"), ("cpu", None)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        precisions = [
            re.search("lhs_precision_type = (\\w+)", line)
            for line in text.splitlines()
            if "dot_general" in line
        ]
        assert len(precisions) >= 5
        assert {actual and actual[1] for actual in precisions} == {algorithm}


@pytest.mark.parametrize("setting", [None, "float32", "tensorfloat32"])
def test_at_other_precisions_the_program_is_that_of_plain_products(
    setting, monkeypatch
):
    risk, cloud = risk_and_cloud(NEURONS["three outputs"], features=5)

    def program():
        with jax.default_matmul_precision(setting):
            return str(jax.make_jaxpr(lambda x: quantities.__wrapped__(risk, x))(cloud))

    ours = program()
    monkeypatch.setattr(matmul, "dot", jnp.dot)
    monkeypatch.setattr(
        matmul, "tensordot", lambda a, b, axes: jnp.tensordot(a, b, axes=axes)
    )
    assert program() == ours
    assert "reduce_precision" not in ours


@pytest.mark.slow
def test_programs_of_one_setting_are_not_used_in_another():
    risk, cloud = risk_and_cloud(NEURONS["tanh"], features=5)
    before = quantities(risk, cloud)[1]
    with bfloat16():
        coarse = quantities(risk, cloud)[1]
    assert not np.array_equal(before, coarse)
    assert np.array_equal(before, quantities(risk, cloud)[1])
