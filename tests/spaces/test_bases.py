"""Properties that all bases have."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.sentences import refuses
from tests.spaces.cases import CASES, ON_DEVICE, WITH_FREQUENCIES

pytestmark = pytest.mark.mostly_compiling

every_basis = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def coefficients_of(basis):
    """Of one shape in all tests, which so share their programs."""
    return np.random.default_rng(0).normal(size=(2, 3, basis.num_modes))


@every_basis
def test_values_give_the_coefficients_back(case):
    """Orthonormal on the grid: `analyze` undoes `synthesize`."""
    x = jnp.asarray(coefficients_of(case.basis), jnp.float32)
    values = case.basis.synthesize(x)
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(case.basis.analyze(values), x, atol=1e-5)


@every_basis
def test_values_give_the_coefficients_back_in_float64(case):
    with jax.enable_x64():
        x = jnp.asarray(coefficients_of(case.basis))
        values = case.basis.synthesize(x)
        assert values.dtype == case.basis.analyze(values).dtype == jnp.float64
        np.testing.assert_allclose(case.basis.analyze(values), x, atol=1e-12)


@every_basis
def test_synthesis_is_evaluation_on_the_grid(case):
    x = jnp.asarray(coefficients_of(case.basis), jnp.float32)
    values, expected = (
        case.basis.synthesize(x),
        x @ case.basis.evaluate(case.basis.grid).T,
    )
    assert values.shape == (2, 3, len(case.basis.grid))
    np.testing.assert_allclose(values, expected, atol=2e-5)


@every_basis
def test_the_functions_are_those_of_the_formula(case):
    x = coefficients_of(case.basis)
    expected = x @ case.functions(case.points).T
    values = case.basis.at(jnp.asarray(x, jnp.float32), case.points)
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, expected, atol=3e-5)
    with jax.enable_x64():
        np.testing.assert_allclose(
            case.basis.at(jnp.asarray(x), case.points), expected, atol=1e-9
        )


@every_basis
def test_batches_are_rows(case):
    x = jnp.asarray(coefficients_of(case.basis), jnp.float32)
    values, one = case.basis.synthesize(x), case.basis.synthesize(x[1, 2])
    np.testing.assert_allclose(values[1, 2], one, atol=1e-5)
    np.testing.assert_allclose(
        case.basis.analyze(values)[1, 2], case.basis.analyze(one), atol=1e-5
    )


@every_basis
def test_fewer_modes_are_the_first(case):
    cut = case.basis.with_modes(4)
    assert cut.num_modes == 4
    np.testing.assert_allclose(
        cut.evaluate(case.points), case.basis.evaluate(case.points)[:, :4], atol=1e-6
    )
    np.testing.assert_allclose(
        cut.analyze(cut.synthesize(jnp.eye(4))), np.eye(4), atol=3e-6
    )


@pytest.mark.parametrize("name", ["cosine", "sine", "fourier"])
def test_intervals_extend_to_more_modes(name):
    case = CASES[name]
    more = case.basis.with_modes(40)
    np.testing.assert_allclose(
        more.evaluate(case.points)[:, :8],
        case.basis.evaluate(case.points)[:, :8],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        more.analyze(more.synthesize(jnp.eye(40))), np.eye(40), atol=3e-6
    )


@pytest.mark.parametrize(
    "name", ["tensor", "kernel", "components", "graph", "elements", "matrix"]
)
def test_others_refuse_more_modes_than_they_hold(name):
    with refuses(ValueError, "num_modes 40"):
        CASES[name].basis.with_modes(40)


@pytest.mark.parametrize("name", WITH_FREQUENCIES)
def test_frequencies_do_not_decrease(name):
    basis = CASES[name].basis
    assert basis.frequencies.shape == (basis.num_modes,)
    assert basis.frequencies.dtype == np.float64
    lowest = np.pi / 3 if name == "sine" else 0.0
    assert basis.frequencies[0] == pytest.approx(lowest, abs=1e-6)
    assert basis.frequencies[-1] > lowest
    assert (np.diff(basis.frequencies) >= 0).all()


@pytest.mark.parametrize("name", ["kernel", "components", "matrix"])
def test_without_frequencies_the_error_names_the_eigenvalues(name):
    with refuses(ValueError, "basis.eigenvalues"):
        _ = CASES[name].basis.frequencies


@every_basis
def test_wrong_shapes_are_named(case):
    with refuses(ValueError, "coefficients"):
        case.basis.synthesize(jnp.ones(case.basis.num_modes + 1))
    with refuses(ValueError, "values"):
        case.basis.analyze(jnp.ones(len(case.basis.grid) + 1))
    with refuses(ValueError, "points"):
        case.basis.evaluate(case.points[:, None])


@every_basis
@pytest.mark.parametrize("num_modes", [0, 2.5, True])
def test_invalid_numbers_of_modes_are_refused(case, num_modes):
    with refuses((ValueError, TypeError), "num_modes"):
        case.basis.with_modes(num_modes)


@every_basis
def test_a_basis_passes_through_jit_and_is_traced_once(case):
    traces = []

    @eqx.filter_jit
    def there_and_back(basis, x):
        traces.append(basis)
        return basis.analyze(basis.synthesize(x))

    x = jnp.asarray(coefficients_of(case.basis), jnp.float32)
    for basis in (case.basis, jax.tree.map(lambda leaf: leaf, case.basis)):
        np.testing.assert_allclose(there_and_back(basis, x), x, atol=1e-5)
    assert len(traces) == 1


@pytest.mark.parametrize("name", ON_DEVICE)
def test_traced_points_do(name):
    basis, _, points = CASES[name]
    points = jnp.asarray(points, None if points.dtype.kind == "i" else jnp.float32)
    np.testing.assert_allclose(
        eqx.filter_jit(basis.evaluate)(points), basis.evaluate(points), atol=2e-5
    )


@pytest.mark.parametrize("name", ON_DEVICE)
def test_traced_points_of_float32_do_in_64_bit_mode(name):
    basis, _, points = CASES[name]
    with jax.enable_x64():
        points = jnp.asarray(points, None if points.dtype.kind == "i" else jnp.float32)
        assert eqx.filter_eval_shape(basis.evaluate, points).dtype == jnp.float64
