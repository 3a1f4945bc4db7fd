"""Losses, their conjugates, SDCA's coordinate update, and gaps that keep their digits."""

from decimal import Decimal, localcontext
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from langevax.problems import losses

CLASSES = 4
MARGIN = {"logistic": losses.logistic, "hinge": losses.SmoothedHinge(width=0.3)}
SCALAR = {"squared": losses.squared, **MARGIN}
ALL = {"squared vector": losses.squared, **MARGIN, "softmax": losses.softmax}
KNOWN = {**ALL, **SCALAR, "linear": losses.linear}

each = pytest.mark.parametrize("name", ALL)
each_scalar = pytest.mark.parametrize("name", SCALAR)
each_margin = pytest.mark.parametrize("name", MARGIN)


@cache
def rows(name, method="__call__"):
    """A method of a loss over rows, compiled once for all tests."""
    return jax.jit(jax.vmap(getattr(KNOWN[name], method)))


@cache
def slopes(name, method="__call__"):
    """Its gradient in the first argument."""
    return jax.jit(jax.vmap(jax.grad(getattr(KNOWN[name], method))))


def examples(name, dtype, count=300, seed=0):
    """Rows (z, feasible dual, y), outputs of many sizes, borders of the domain among the duals."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-2, 1.5, count)
    if name == "softmax":
        y = rng.integers(0, CLASSES, count).astype(np.int32)
        share = rng.dirichlet(np.full(CLASSES, 0.5), count)
        share[::9] = np.eye(CLASSES)[rng.integers(0, CLASSES, len(share[::9]))]
        return (sizes[:, None] * rng.normal(size=(count, CLASSES))).astype(dtype), (share - vertex(y)).astype(dtype), y
    if name in MARGIN:
        y = rng.choice([-1.0, 1.0], count)
        share = rng.uniform(size=count)
        share[::9], share[1::9] = 0.0, 1.0
        return (sizes * rng.normal(size=count)).astype(dtype), (-y * share).astype(dtype), y.astype(dtype)
    shape = (count, CLASSES) if name == "squared vector" else (count,)
    return tuple(rng.normal(size=shape).astype(dtype) * 3 for _ in range(3))


def extremes(name, dtype):
    """Rows at |z| = 1e4 and 0 with duals on the border."""
    if name == "softmax":
        outputs = [[1e4, 0, 0, -1e4], [-1e4, 1e4, 1e4, 0], [0, 0, 0, 0], [-1e4, -1e4, -1e4, -1e4]]
        cases = [(z, vertex(corner) - vertex(y), y) for z in outputs for corner in range(4) for y in range(4)]
        z, dual, y = (np.array(column) for column in zip(*cases, strict=True))
        return z.astype(dtype), dual.astype(dtype), y.astype(np.int32)
    cases = [(z, -y * s, y) for z in (-1e4, -1.0, 0.0, 1.0, 1e4) for s in (0.0, 1.0) for y in (-1.0, 1.0)]
    columns = np.array(cases, dtype).T
    return tuple(np.stack([v] * CLASSES, axis=1) if name == "squared vector" else v for v in columns)


def vertex(y, classes=CLASSES):
    return np.eye(classes)[y]


@pytest.mark.parametrize("name", KNOWN)
def test_derivative_is_the_gradient_of_the_value(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        np.testing.assert_allclose(rows(name, "derivative")(z, y), slopes(name)(z, y), rtol=1e-12, atol=1e-14)


@each
def test_values_match_the_textbook_formulas(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        m = None if name == "softmax" else y * z
        textbook = {
            "squared vector": lambda: np.sum((z - y) ** 2, axis=1) / 2,
            "logistic": lambda: np.logaddexp(0, -m),
            "hinge": lambda: np.where(m >= 1, 0, np.where(m <= 0.7, 0.85 - m, (1 - m) ** 2 / 0.6)),
            "softmax": lambda: scipy.special.logsumexp(z, axis=1) - z[np.arange(len(y)), y],
        }[name]()
        np.testing.assert_allclose(rows(name)(z, y), textbook, rtol=1e-12, atol=1e-13)


@each_scalar
def test_conjugate_is_the_supremum(name):
    for y in (-1.0, 1.0):
        for share in (0.03, 0.4, 0.8):
            best = scipy.optimize.minimize_scalar(
                lambda z, y=y, s=share: at(name, "__call__", z, y) + y * s * z,
                bounds=(-50, 50),
                options={"xatol": 1e-9},
            )
            assert at(name, "conjugate", -y * share, y) == pytest.approx(-best.fun, abs=1e-10)


def at(name, method, *arguments):
    """One number of a scalar loss in float64."""
    with jax.enable_x64():
        return float(rows(name, method)(*(np.array([v]) for v in arguments))[0])


def test_conjugate_of_softmax_is_the_supremum():
    with jax.enable_x64():
        y, dual = np.array([2]), np.array([[0.1, 0.2, -0.35, 0.05]])

        def negative(z):
            z = z[None]
            return float(rows("softmax")(z, y)[0]) - float(np.vdot(dual, z)), np.asarray(
                slopes("softmax")(z, y) - dual
            )[0]

        best = scipy.optimize.minimize(negative, np.zeros(4), jac=True)
        assert float(rows("softmax", "conjugate")(dual, y)[0]) == pytest.approx(-best.fun, abs=1e-9)


@each_margin
def test_conjugate_is_finite_on_the_border_and_infinite_outside(name):
    dual, y = np.array([0.0, -1.0, 1e-3, -1.001], np.float32), np.ones(4, np.float32)
    np.testing.assert_array_equal(rows(name, "in_domain")(dual, y), [True, True, False, False])
    np.testing.assert_array_equal(np.isfinite(rows(name, "conjugate")(dual, y)), [True, True, False, False])
    np.testing.assert_array_equal(np.isfinite(rows(name, "fenchel_young")(y, dual, y)), [True, True, False, False])


def test_conjugate_of_softmax_is_finite_at_vertices_and_infinite_off_the_simplex():
    y, dual = np.zeros(3, np.int32), np.array([[-1, 1, 0], [-0.9, 1, 0], [-1.1, 1.1, 0]], np.float32)
    np.testing.assert_array_equal(rows("softmax", "conjugate")(dual, y), [0, np.inf, np.inf])
    np.testing.assert_array_equal(rows("softmax", "fenchel_young")(dual, dual, y)[1:], [np.inf, np.inf])


@each
def test_derivatives_and_their_averages_are_feasible_in_float32(name):
    z, _, y = examples(name, np.float32)
    duals = np.asarray(rows(name, "derivative")(z, y))
    assert np.all(rows(name, "in_domain")(duals, y))
    weighted = sum(np.float32(k) * duals for k in range(1, 101))  # as dual averaging does
    running = np.float32(2 / (100 * 101)) * weighted
    assert np.all(rows(name, "in_domain")(running, y))


@each
def test_projection_keeps_feasible_duals_and_repairs_the_others(name):
    z, dual, y = examples(name, np.float32)
    np.testing.assert_allclose(rows(name, "project")(dual, y), dual, atol=3e-7)
    astray = dual + np.float32(0.3) * z
    repaired = rows(name, "project")(astray, y)
    assert np.all(rows(name, "in_domain")(repaired, y))
    if name in MARGIN:  # the nearest one
        np.testing.assert_array_equal(-y * repaired, np.clip(-y * astray, 0, 1))


@each_scalar
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_dual_step_is_the_maximiser(name, c):
    bounds, largest = ((0.0, 1.0), 1e4) if name in MARGIN else ((-50.0, 50.0), 15.0)
    for z in (-largest, -20.0, -0.7, 0.2, 15.0, largest):
        for share, y in ((0.0, 1.0), (0.3, -1.0), (0.3, 1.0), (1.0, -1.0)):

            def negative(s, z=z, y=y, share=share):
                return at(name, "conjugate", -y * s, y) + z * y * s + c / 2 * (s - share) ** 2

            best = scipy.optimize.minimize_scalar(negative, bounds=bounds, options={"xatol": 1e-10})
            assert -y * at(name, "dual_step", z, -y * share, y, c) == pytest.approx(best.x, abs=1e-6)


@each
@pytest.mark.parametrize("c", [0.0, 0.01, 1.0, 100.0, 1e4])
def test_dual_step_solves_its_optimality_equation(name, c):
    with jax.enable_x64():
        z, dual, y = examples(name, np.float64)
        new = np.asarray(rows(name, "dual_step")(z, dual, y, np.full(len(z), c)))
        again = rows(name, "derivative")(z - c * (new - dual), y)
        np.testing.assert_allclose(new, again, rtol=1e-12, atol=1e-14 * (1 + 10 * c))


@each
def test_dual_step_stays_at_the_derivative(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        dual = rows(name, "derivative")(z, y)
        np.testing.assert_allclose(rows(name, "dual_step")(z, dual, y, np.full(len(z), 7.0)), dual, atol=1e-14)


def test_dual_step_of_softmax_beats_every_other_feasible_dual():
    with jax.enable_x64():
        z, dual, y = examples("softmax", np.float64)
        c = 3.0

        def objective(u):
            square = np.sum((u - dual) ** 2, axis=1)
            return np.sum(u * z, axis=1) - c / 2 * square - np.asarray(rows("softmax", "conjugate")(u, y))

        best = objective(np.asarray(rows("softmax", "dual_step")(z, dual, y, np.full(len(z), c))))
        rng = np.random.default_rng(1)
        for _ in range(200):
            assert np.all(best >= objective(rng.dirichlet(np.full(CLASSES, 0.5), len(z)) - vertex(y)))


@pytest.mark.parametrize("classes", [2, 1000])
def test_dual_step_of_softmax_converges_whatever_the_number_of_classes(classes):
    rng = np.random.default_rng(2)
    with jax.enable_x64():
        z = rng.normal(size=(40, classes)) * 10.0 ** rng.uniform(-2, 2, (40, 1))
        y = rng.integers(0, classes, 40)
        c = 10.0 ** rng.uniform(-3, 4, 40)
        dual = rng.dirichlet(np.full(classes, 0.3), 40) - vertex(y, classes)
        new = rows("softmax", "dual_step")(z, dual, y, c)
        again = rows("softmax", "derivative")(z - c[:, None] * (new - dual), y)
        assert np.max(np.abs(new - again) / (1 + c[:, None])) < 1e-13


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_is_nan_at_extreme_outputs_and_on_the_border(name, dtype):
    with jax.enable_x64(dtype is np.float64):
        z, dual, y = extremes(name, dtype)
        gap, derivative = rows(name, "fenchel_young")(z, dual, y), rows(name, "derivative")(z, y)
        for array in (rows(name)(z, y), rows(name, "conjugate")(dual, y), gap, slopes(name)(z, y), derivative):
            assert array.dtype == dtype
            assert np.all(np.isfinite(array))
        assert np.all(np.asarray(gap) >= 0)
        np.testing.assert_allclose(slopes(name, "fenchel_young")(z, dual, y), derivative - dual, atol=1e-6)
        for c in (0.0, 0.01, 1e4):
            new = rows(name, "dual_step")(z, dual, y, np.full(len(z), c, dtype))
            assert new.dtype == dtype
            assert np.all(rows(name, "in_domain")(new, y))


@each
def test_gap_is_the_fenchel_young_formula(name):
    with jax.enable_x64():
        z, dual, y = examples(name, np.float64)
        inner = np.sum((dual * z).reshape(len(z), -1), axis=1)
        direct = rows(name)(z, y) + rows(name, "conjugate")(dual, y) - inner
        np.testing.assert_allclose(rows(name, "fenchel_young")(z, dual, y), direct, rtol=1e-12, atol=1e-12)


@each
def test_gap_vanishes_at_the_derivative_to_the_square_of_rounding(name):
    z, _, y = examples(name, np.float32)
    # A dual near its end cannot hold a small rest, and its own rounding is the gap there: keep to fair odds.
    if name == "logistic":
        z = y * np.maximum(y * z, -2)
    if name == "softmax":
        z[np.arange(len(y)), y] = np.maximum(z[np.arange(len(y)), y], np.max(z, axis=1) - 2)
    gap = np.asarray(rows(name, "fenchel_young")(z, rows(name, "derivative")(z, y), y))
    assert np.all(gap >= 0)
    assert np.max(gap) < 1e-12


@each
def test_gap_is_at_least_the_square_that_curvature_promises(name):
    with jax.enable_x64():
        z, dual, y = examples(name, np.float64)
        miss = (rows(name, "derivative")(z, y) - dual).reshape(len(z), -1)
        square = np.sum(np.square(miss), axis=1) / (2 * ALL[name].curvature)
        assert np.all(rows(name, "fenchel_young")(z, dual, y) >= square * (1 - 1e-12))


def relative_entropy(s, p):
    return sum(a * (a / b).ln() if a else Decimal(0) for a, b in zip(s, p, strict=True))


def naive_gap(name, z, dual, y):
    inner = np.sum((dual * z).reshape(len(z), -1), axis=1)
    return np.asarray(rows(name)(z, y) + rows(name, "conjugate")(dual, y) - inner)


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.99, 1.01, 1.4])
def test_gap_of_logistic_keeps_its_digits_in_float32(factor):
    z = np.array([-80, -17.3, -6, -1.2, -0.01, 0.3, 2, 9, 25, 60, 75], np.float32)
    rare = factor / (1 + np.exp(np.abs(z.astype(float))))  # the rare outcome's probability, and a little off
    dual, y = -np.where(z < 0, 1 - rare, rare).astype(np.float32), np.ones_like(z)
    with localcontext(prec=60):
        shares = [-Decimal(float(g)) for g in dual]
        odds = [Decimal(float(a)).exp() for a in z]
        exact = [relative_entropy((s, 1 - s), (1 / (1 + o), o / (1 + o))) for s, o in zip(shares, odds, strict=True)]
    np.testing.assert_allclose(rows("logistic", "fenchel_young")(z, dual, y), np.array(exact, float), rtol=1e-4)
    if factor == 0.99:
        assert np.max(np.abs(naive_gap("logistic", z, dual, y) / np.array(exact, float) - 1)) > 1


@pytest.mark.parametrize("tilt", [0.01, 0.1, 1.0])
def test_gap_of_softmax_keeps_its_digits_in_float32(tilt):
    z, y = np.array([[0.5, -1.0, 2.0, -9.0]], np.float32), np.array([2], np.int32)
    derivative = np.asarray(rows("softmax", "derivative")(z, y))
    # mass moved between the rarest classes, so that the loss dwarfs the gap
    dual = derivative + np.float32(tilt) * derivative[0, 3] * np.array([[0, 1, 0, -1]], np.float32)
    with localcontext(prec=60):
        s = [Decimal(float(g)) + (k == 2) for k, g in enumerate(dual[0])]
        odds = [Decimal(float(a)).exp() for a in z[0]]
        p = [o / sum(odds) for o in odds]
        exact = float(relative_entropy(s, p) - sum(s) + sum(p))  # the rounded s need not sum to one
    assert float(rows("softmax", "fenchel_young")(z, dual, y)[0]) == pytest.approx(exact, rel=1e-4)
    assert abs(naive_gap("softmax", z, dual, y)[0] / exact - 1) > 1e-3


def test_gap_of_softmax_keeps_its_digits_where_the_label_is_all_but_excluded():
    share = np.arange(6) * 2.0**-24  # of the label; what a float32 dual near -1 can hold
    dual = np.stack([share - 1, 1 - share], axis=1).astype(np.float32)
    z, y = np.tile(np.array([0.0, 17.0], np.float32), (6, 1)), np.zeros(6, np.int32)
    with localcontext(prec=60):
        p = 1 / (1 + Decimal(17).exp())
        exact = [relative_entropy((s, 1 - s), (p, 1 - p)) for s in map(Decimal, map(float, share))]
    np.testing.assert_allclose(rows("softmax", "fenchel_young")(z, dual, y), np.array(exact, float), rtol=1e-4)


@pytest.mark.parametrize(("name", "z", "share", "width"), [("squared", 0.3, 0.7007, 1.0), ("hinge", 0.79, 0.707, 0.3)])
def test_gap_of_quadratic_losses_keeps_its_digits_in_float32(name, z, share, width):
    z, dual, y = (np.array([v], np.float32) for v in (z, -share, 1.0))
    exact = (1 - float(z[0]) + width * float(dual[0])) ** 2 / (2 * width)
    assert float(rows(name, "fenchel_young")(z, dual, y)[0]) == pytest.approx(exact, rel=1e-4)
    assert abs(naive_gap(name, z, dual, y)[0] / exact - 1) > 1e-3


@each
def test_curvature_is_the_largest_second_derivative(name):
    with jax.enable_x64():
        z, _, y = examples(name, np.float64)
        if name == "softmax":  # the sharpest place: two classes at even odds
            z[0] = [0.0, 0.0, -50.0, -50.0]
        elif name in MARGIN:
            z[:2] = 0.0, 0.9 * y[1]
        hessians = jax.jit(jax.vmap(jax.hessian(ALL[name])))(z, y)
        largest = np.max(np.linalg.eigvalsh(np.reshape(hessians, (len(z), z[0].size, z[0].size))))
        assert largest == pytest.approx(ALL[name].curvature, rel=1e-12)


def test_softmax_of_two_classes_is_logistic():
    with jax.enable_x64():
        z, dual, y = examples("logistic", np.float64)
        label = np.where(y > 0, 0, 1)
        pair = np.stack([z * y, -z * y], axis=1)[np.arange(len(z))[:, None], np.stack([label, 1 - label], axis=1)] / 2
        duals = np.stack([dual, -dual], axis=1)
        np.testing.assert_allclose(rows("softmax")(pair, label), rows("logistic")(z, y), rtol=1e-12)
        found, expected = (
            rows("softmax", "fenchel_young")(pair, duals, label),
            rows("logistic", "fenchel_young")(z, dual, y),
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-20)


def test_linear_has_its_target_as_the_only_dual():
    y, other, z = jnp.array([1.0, -2.0]), jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
    assert float(losses.linear(z, y)) == -5.0
    for found in (
        losses.linear.derivative(z, y),
        losses.linear.project(other, y),
        losses.linear.dual_step(z, other, y, 1.0),
    ):
        np.testing.assert_array_equal(found, y)
    assert float(losses.linear.fenchel_young(z, y, y)) == float(losses.linear.conjugate(y, y)) == 0.0
    assert float(losses.linear.fenchel_young(z, other, y)) == np.inf


def test_losses_are_compared_by_value():
    assert losses.Squared() == losses.squared
    assert losses.SmoothedHinge(0.5) == losses.SmoothedHinge(width=0.5) != losses.smoothed_hinge
    assert losses.Logistic() != losses.Squared()
    assert hash(losses.SmoothedHinge(0.5)) == hash(losses.SmoothedHinge(0.5))
    assert hash(losses.Softmax()) == hash(losses.softmax)


def test_a_traced_width_of_another_precision_follows_the_position():
    @jax.jit
    def everything(loss, z, dual, y):
        return loss(z, y), loss.conjugate(dual, y), loss.dual_step(z, dual, y, 2.0), loss.fenchel_young(z, dual, y)

    z, dual, y = (np.float32(v) for v in (0.8, -0.4, 1.0))
    with jax.enable_x64():
        found = everything(losses.SmoothedHinge(jnp.asarray(0.3, jnp.float64)), z, dual, y)
        methods = ("__call__", (z, y)), ("conjugate", (dual, y)), ("dual_step", (z, dual, y, 2.0))
        assert {v.dtype for v in found} == {np.dtype(np.float32)}
    for value, (method, arguments) in zip(found, (*methods, ("fenchel_young", (z, dual, y))), strict=True):
        assert float(value) == pytest.approx(at("hinge", method, *map(float, arguments)), rel=1e-5)


@each_scalar
def test_integer_targets_serve_where_numbers_do(name):
    z, dual, y = examples(name, np.float32, count=20)
    y = np.where(y > 0, 1, -1).astype(np.int32)
    found, expected = (rows(name, "fenchel_young")(z, dual, v) for v in (y, y.astype(np.float32)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("loss", "targets", "output_shape", "error", "message"),
    [
        (
            losses.logistic,
            np.array([1.0, 0.0, 1.0]),
            (),
            ValueError,
            "Logistic needs targets -1 or .1, found 0.0; map 0/1",
        ),
        (losses.logistic, np.array([1.0, np.nan]), (), ValueError, "found nan"),
        (losses.smoothed_hinge, np.array([2, 1]), (), ValueError, "SmoothedHinge needs .* found 2; map 0/1 with 2.y-1"),
        (losses.smoothed_hinge, np.array([True, False]), (), TypeError, "dtype bool.*SmoothedHinge.*map 0/1"),
        (losses.logistic, np.ones(3), (2,), ValueError, "Logistic needs scalar outputs.*softmax"),
        (losses.logistic, np.ones((3, 1)), (), ValueError, r"Logistic must have shape \(n,\), got \(3, 1\)"),
        (losses.softmax, np.array([0, 3]), (3,), ValueError, r"Softmax needs labels in \[0, 3\), found 3; number"),
        (losses.softmax, np.array([-1, 1]), (3,), ValueError, "found -1"),
        (losses.softmax, np.array([0.0, 1.0]), (3,), TypeError, "dtype float64, but Softmax needs integer"),
        (losses.softmax, np.eye(3, dtype=int), (3,), ValueError, r"Softmax must have shape \(n,\), got \(3, 3\)"),
        (
            losses.softmax,
            np.array([0, 1]),
            (),
            ValueError,
            r"Softmax needs outputs of shape \(C,\), got \(\).*num_outputs",
        ),
        (losses.squared, np.array([0.0, np.nan]), (), ValueError, r"targets\[1\] is nan.*Squared needs finite"),
        (losses.squared, np.ones((4, 2)), (3,), ValueError, r"Squared must have shape \(n, 3\), got \(4, 2\)"),
        (losses.squared, np.array(["a"]), (), TypeError, "Squared needs numbers"),
        (losses.linear, np.array([np.inf]), (), ValueError, "Linear needs a finite dual"),
    ],
)
def test_unsuitable_targets_are_refused(loss, targets, output_shape, error, message):
    with pytest.raises(error, match=message):
        loss.check_targets(targets, output_shape)


def test_suitable_targets_pass():
    losses.logistic.check_targets(np.array([-1, 1]), ())
    losses.smoothed_hinge.check_targets(jnp.array([-1.0, 1.0]), ())
    losses.softmax.check_targets(np.array([0, 2], np.uint8), (3,))
    losses.squared.check_targets(np.arange(6).reshape(3, 2), (2,))
    losses.linear.check_targets(jnp.ones(3), ())


def test_values_of_tracers_and_mapped_files_are_not_read(tmp_path):
    mapped_rows = np.memmap(tmp_path / "targets", dtype=np.float32, mode="w+", shape=(3,))  # zeros: no labels at all
    losses.logistic.check_targets(mapped_rows, ())

    @jax.jit
    def traced(targets):
        losses.logistic.check_targets(targets, ())
        losses.squared.check_targets(targets, ())
        return targets

    traced(jnp.zeros(3))
    with pytest.raises(ValueError, match="must have shape"):
        losses.squared.check_targets(mapped_rows, (2,))


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="width must be finite and > 0, got 0"):
        losses.SmoothedHinge(width=0.0)
