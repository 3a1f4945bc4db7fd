"""Networks along a path: their slopes, their duals, and the optimum of quadrature."""

from contextlib import closing

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.optimize import minimize

from langevax import MeanFieldRisk, losses, neurons
from langevax.meanfield import homotopy
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.homotopy import Newton, OutputCovariance
from langevax.meanfield.network_path import NetworkPath
from tests.meanfield.known_optima import smooth

SCALE = 3.0
NODES, SHARES = np.polynomial.hermite_e.hermegauss(100)


def kappa(s):
    """log E exp(s tanh a) of a standard normal a, by Gauss and Hermite."""
    powers = np.exp(np.multiply.outer(s, np.tanh(NODES)))
    return np.log(powers @ SHARES / SHARES.sum())


def slope(s, step=1e-4):
    return (kappa(s + step) - kappa(s - step)) / (2 * step)


def risk_of(loss="squared", n=12, weights=None, precision=1.0):
    rng = np.random.default_rng(0)
    inputs = np.float32(rng.normal(size=(n, 2)))
    t = np.tanh(2 * inputs[:, 0]) + inputs[:, 1] / 2
    targets = np.float32(t if loss == "squared" else np.where(t > 0, 1, -1))
    options = {} if weights is None else {"weights": np.float32(weights)}
    neuron, own = neurons.TanhTanh(SCALE), getattr(losses, loss)
    return MeanFieldRisk(neuron, own, inputs, targets, np.float32(precision), **options)


class Around:
    """A cloud of the prior and Newton's model around it, at a dual vector that is not the best."""

    def __init__(self, risk, temperature=0.3, size=60):
        self.risk, self.temperature = risk, temperature
        self.law = GibbsLaw.of(risk, 1.0)
        self.newton = Newton(risk, self.law, np.random.default_rng(0))
        cloud = jax.random.normal(jax.random.key(0), (size, self.law.size))
        self.features = np.asarray(self.law.features(cloud))
        start = -0.4 * np.asarray(risk.targets, np.float64)
        self.dual = np.asarray(homotopy.project(risk, jnp.float32(start)))
        self.tilt = self.law.tilt(jnp.asarray(self.dual), temperature)

    def target(self):
        return self.newton.target(self.dual, self.features, self.tilt, self.temperature)

    def covariance(self):
        return self.newton._covariance(
            self.features, np.asarray(self.tilt), self.temperature
        )


def test_slopes_answer_a_dual_as_the_weighted_cloud_of_its_law_does():
    """The derivative by the dual of N w_j R kappa'(s_j), by differences of weights and kappa themselves."""
    around = Around(risk_of())
    push = np.random.default_rng(1).normal(size=12) / 30
    features = np.float64(around.features)
    s = features @ np.float64(around.tilt)[:, 0]
    along = -SCALE * features @ push / around.temperature

    def network(share):
        weights = np.exp(kappa(s + share * along) - kappa(s))
        return weights / weights.mean() * SCALE * slope(s + share * along)

    change = (network(1e-3) - network(-1e-3)) / 2e-3
    assert np.abs(change).max() > 0.3
    response = around.covariance().response(push)
    np.testing.assert_allclose(response[:, 0], network(0) + change, atol=2e-3)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_network_of_a_step_has_the_dual_to_which_it_leads(loss):
    """l'(its outputs) = dual at rows of weight > 0, and the dual of a row of weight 0 stays what it was."""
    weights = np.r_[0.0, 2.0, np.ones(10)]
    around = Around(risk_of(loss, weights=weights))
    dual, slopes = around.target()
    z, y = around.features.T @ slopes[:, 0] / len(slopes), around.risk.targets
    derivative = z - y if loss == "squared" else -y / (1 + np.exp(y * z))
    np.testing.assert_allclose(derivative[1:], dual[1:], atol=3e-3)
    assert np.abs(dual - around.dual)[1:].max() > 0.07
    assert dual[0] == around.dual[0]


def random_covariance(size, rows, outputs):
    rng = np.random.default_rng(2)
    features, slopes = rng.normal(size=(size, rows)), rng.normal(size=(size, outputs))
    slopes[0] = 0
    curvatures = rng.uniform(0, 1, size=(size, outputs))
    curvatures[:3] = 0
    return OutputCovariance(features, slopes, curvatures, 0.2)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_root_of_the_covariance_is_one(outputs):
    rows, size = 30, 10
    covariance = random_covariance(size, rows, outputs)
    root = covariance.root
    B = np.stack([root @ row for row in np.eye(rows * outputs)], axis=1)
    assert B.shape == (size * outputs, rows * outputs)
    np.testing.assert_allclose(B.T @ B, covariance.matrix, atol=1e-10)
    back = [root.transposed(particle) for particle in np.eye(size * outputs)]
    np.testing.assert_allclose(np.stack(back), B, atol=1e-12)
    factors = np.random.default_rng(4).normal(size=(rows, outputs, outputs))
    weights = factors @ factors.transpose(0, 2, 1)
    whole = scipy.linalg.block_diag(*weights)
    np.testing.assert_allclose(root.gram(weights), B @ whole @ B.T, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "outputs", "direct", "accuracy"),
    [
        (8, 1, True, 1e-6),  # by particles, which are fewer than rows
        (40, 1, True, 1e-6),
        (8, 3, True, 1e-6),
        (40, 3, False, 1e-3),  # by conjugate gradients
    ],
)
def test_newtons_matrix_is_inverted(size, outputs, direct, accuracy, monkeypatch):
    monkeypatch.setattr(homotopy, "DIRECT", 10**6 if direct else 0)
    rng, n = np.random.default_rng(3), 12
    shape = () if outputs == 1 else (outputs,)
    targets = np.zeros((n, *shape), np.float32)
    neuron = neurons.TanhTanh(SCALE, None if outputs == 1 else outputs)
    inputs, weights = np.ones((n, 2), np.float32), np.float32(rng.uniform(0.5, 2, n))
    weights /= weights.mean()
    risk = MeanFieldRisk(
        neuron, losses.squared, inputs, targets, np.float32(1), weights=weights
    )
    newton = Newton(risk, GibbsLaw.of(risk, 1.0), rng)
    factors = rng.normal(size=(n, outputs, outputs))
    curvatures = factors @ factors.transpose(0, 2, 1)
    covariance, error = (
        random_covariance(size, n, outputs),
        rng.normal(size=n * outputs),
    )
    S = np.zeros((n * outputs, n * outputs))
    for i in range(n):
        rows = slice(i * outputs, (i + 1) * outputs)
        S[rows, rows] = curvatures[i]
    W = np.repeat(weights / n, outputs)[:, None]
    expected = np.linalg.solve(np.eye(n * outputs) + covariance.matrix @ (W * S), error)
    actual = newton._inverse(covariance, curvatures, error)(error)
    np.testing.assert_allclose(actual, expected, atol=accuracy * np.abs(expected).max())
    assert np.abs(expected - error).max() > 0.1


def down(risk, *temperatures, size=512, seed=0, count=1):
    """The last network, and whether each temperature was reached."""
    with closing(NetworkPath(risk, size, jax.random.key(seed))) as path:
        networks = [path.down_to(temperature, count) for temperature in temperatures]
    assert all(len(one) == count for one in networks)
    return networks[-1][-1]


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_outputs_of_a_path_are_those_of_the_optimum(loss):
    """Of one weight a neuron, by quadrature."""
    problem = smooth(loss, 0.05)
    risk = eqx.tree_at(lambda r: r.precision, problem.risk, jnp.float32(1))
    expected = problem.grid.outputs(problem.grid.gibbs(problem.optimal_dual()))
    hotter = smooth(loss, 0.1)
    other = hotter.grid.outputs(hotter.grid.gibbs(hotter.optimal_dual()))
    z = down(risk, 0.2, 0.05, count=3).outputs()[:, 0]
    error = np.abs(z - expected).max()
    assert error < 0.05
    assert error < np.abs(z - other).max() / 2  # of twice the temperature


def optimum(risk, temperature):
    """Outputs at the maximum of the dual, of neurons R tanh(a) tanh(w x + b) on a grid of (w, b)."""
    x, y = np.float64(risk.inputs)[:, 0], np.float64(risk.targets)
    points = np.linspace(-5, 5, 101)
    w, b = (part.reshape(-1) for part in np.meshgrid(points, points))
    log_prior = -(w**2 + b**2) / 2
    log_prior -= np.log(np.exp(log_prior).sum())
    features = np.tanh(np.multiply.outer(w, x) + b[:, None])
    table = np.linspace(-80, 80, 8001)
    values, slopes = kappa(table), slope(table)

    def law(dual):
        s = -SCALE * features @ dual / (len(x) * temperature)
        logs = log_prior + np.interp(s, table, values)
        total = np.log(np.exp(logs - logs.max()).sum()) + logs.max()
        z = SCALE * (np.exp(logs - total) * np.interp(s, table, slopes)) @ features
        return total, z

    def lacking(dual):
        total, z = law(dual)
        value = np.mean(dual**2 / 2 + dual * y) + temperature * total
        return value, (dual + y - z) / len(x)

    best = minimize(lacking, np.zeros(len(x)), jac=True, method="BFGS").x
    return law(best)[1]


def test_neurons_with_output_weights_reach_the_optimum_of_quadrature():
    inputs = np.float32([[-1.5], [-0.5], [0.2], [1.0]])
    targets = np.float32([-1.0, 0.5, 0.8, -0.6])
    neuron = neurons.TanhTanh(SCALE)
    risk = MeanFieldRisk(neuron, losses.squared, inputs, targets, np.float32(1))
    z = down(risk, 0.1, 0.03, count=3).outputs()[:, 0]
    expected, hotter = optimum(risk, 0.03), optimum(risk, 0.06)
    assert np.abs(z - expected).max() < 0.05
    assert np.abs(z - expected).max() < np.abs(z - hotter).max() / 2


@pytest.mark.parametrize("lost", [False, True])
def test_the_mass_of_lost_neurons_is_found(lost):
    """Of two far steps, neurons of the left one alone are left in the cloud, and the path goes on."""
    x = np.r_[np.linspace(-9, -3, 6), np.linspace(3, 9, 6)]
    y = np.tanh(2 * (x - np.sign(x) * 6))
    inputs, targets = np.float32(x[:, None]), np.float32(y)
    neuron = neurons.TanhTanh(SCALE)
    risk = MeanFieldRisk(neuron, losses.squared, inputs, targets, np.float32(1))
    with closing(NetworkPath(risk, 512, jax.random.key(0))) as path:
        for temperature in (0.3, 0.1, 0.03, 0.01):
            network = path.down_to(temperature, 3)[-1]
        if lost:
            rung = path.rung
            weight, bias = rung.pilot.cloud.T
            left = np.resize(np.flatnonzero(weight * bias > 0), 512)
            path.rung = rung._replace(pilot=rung.pilot.resampled(left))
            network = path.down_to(0.01, 3)[-1]
        outside = path.outside()
    error = np.abs(network.outputs()[:, 0] - optimum(risk, 0.01)).max()
    assert (outside > 10 and error > 0.3) if lost else (outside < 1 and error < 0.05)


def test_legs_and_keys():
    """The same key and legs are the same network to the last bit; other legs lead to the same outputs."""
    risk = risk_of()
    networks = [down(risk, 0.1, 0.03), down(risk, 0.1, 0.03), down(risk, 0.03)]
    one, same, direct = (network.outputs() for network in networks)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, direct)
    np.testing.assert_allclose(direct, one, atol=0.1)


def test_a_row_of_weight_five_is_five_rows():
    plain, weighted = risk_of(), risk_of(weights=np.r_[5.0, np.ones(11)])
    copies = np.r_[0, 0, 0, 0, np.arange(12)]
    arrays = plain.inputs[copies], plain.targets[copies], plain.precision
    repeated = MeanFieldRisk(plain.neuron, plain.loss, *arrays)
    z, again, without = (
        down(risk, 0.1, count=3).outputs()[:, 0] for risk in (weighted, repeated, plain)
    )
    error = np.abs(z - again[4:]).max()
    assert error < 0.05
    assert error < np.abs(z - without).max() / 2


def test_particles_are_neurons_of_these_outputs():
    """`positions` with slopes in the place of output weights, in NumPy."""
    risk = risk_of(precision=4.0)
    with closing(NetworkPath(risk, 64, jax.random.key(0))) as path:
        (network,) = path.down_to(0.1)
        slopes, w, b = np.split(network.positions(path.law), [1, 3], axis=1)
    z = np.mean(slopes * np.tanh(w @ np.asarray(risk.inputs).T + b), axis=0)
    np.testing.assert_allclose(z, network.outputs()[:, 0], atol=1e-4)
    assert 0.1 < w.std() < 2  # 1/2 under the prior
