"""`stop="certified"`: a training ends where its outputs are as near to a certified optimum as that is known."""

import functools
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from langevax import Run
from langevax.meanfield import certify
from langevax.sklearn import MeanFieldRegressor, base, load, stopping
from langevax.sklearn.stopping import CertifiedStop, _excess, late_clouds
from langevax.sklearn.training import root_key
from tests.meanfield.known_optima import smooth
from tests.sentences import warns

SETTINGS = {
    "num_particles": 200,
    "num_steps": 400,
    "temperature": 0.2,
    "scaling": "columns",
    "random_state": 0,
}


@functools.cache
def table():
    """Thirty rows, the first of them twice, and weights of which one is 0."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    X[29] = X[0]
    y = np.tanh(X[:, 0]) + X[:, 1] / 2
    weights = np.ones(30)
    weights[[3, 7]] = [0.0, 2.0]
    return X, y, weights


@functools.cache
def fitted():
    """Not to be changed by a test."""
    return MeanFieldRegressor(**SETTINGS, stop="certified").fit(*table())


@pytest.fixture
def as_before(monkeypatch):
    """Certificates of the same table are those of `fitted`, without the time that they take."""
    certificate, network = fitted().certificate_, fitted().network_
    first = np.unique(fitted().row_places_, return_index=True)[1][
        -len(network.inputs) :
    ]
    outputs = np.zeros(network.length)
    outputs[: len(network.inputs)] = certificate.outputs[first]
    distinct = stopping.replace(certificate, outputs=outputs)
    monkeypatch.setattr(stopping, "certify", lambda *_, **__: distinct)
    return distinct


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_excess_of_outputs_is_what_is_above_the_optimum_but_for_the_entropy(loss):
    """P(q) - min P = excess + T KL(q || optimum), of any law q, by quadrature."""
    problem = smooth(loss)
    grid, dual = problem.grid, problem.optimal_dual()
    best = grid.gibbs(dual)
    for law in (grid.prior(), grid.gibbs(dual / 3), grid.gibbs(-dual), best):
        above = grid.primal_objective(law) - grid.primal_objective(best)
        z, u = (
            jnp.asarray(grid.outputs(density), jnp.float32) for density in (law, best)
        )
        assert float(_excess(problem.risk, z, u)) == pytest.approx(
            above - grid.temperature * grid.kl(law, best), abs=2e-6
        )


@pytest.mark.slow
def test_the_excess_is_of_weighted_rows_without_padding():
    network = fitted().network_
    risk, n = network.risk(0.2), len(network.inputs)
    z, u = np.random.default_rng(1).normal(size=(2, network.length)).astype(np.float32)
    square = np.average((z - u)[:n] ** 2 / 2, weights=network.weights)
    assert float(_excess(risk, jnp.asarray(z), jnp.asarray(u))) == pytest.approx(
        square, rel=1e-5
    )


@pytest.mark.slow
def test_training_ends_long_before_a_plateau_with_outputs_near_the_certified_ones():
    X, _, weights = table()
    model, certificate = fitted(), fitted().certificate_
    assert certificate.trustworthy
    assert model.converged_
    assert model.n_iter_ < 100
    assert certificate.outputs.shape == (30,)
    bound = max(
        certificate.width,
        stopping.CLOSE * (certificate.prior_objective - certificate.lower_bound),
    )
    excess = np.average(
        (model.outputs(X) - certificate.outputs) ** 2 / 2, weights=weights
    )
    assert 0 < excess <= bound * 1.001
    assert certificate.outputs[0] == certificate.outputs[29]
    assert MeanFieldRegressor(**SETTINGS, stop=None).fit(*table()).certificate_ is None


def test_the_network_that_predicts_is_the_one_that_is_compared(as_before):
    network = fitted().network_
    stop = CertifiedStop(network.risk(0.2), as_before)
    trace = type(
        "Trace",
        (),
        {"values": {"particles": network.rotated(fitted().history_["particles"])}},
    )
    assert stop(trace, None) is True
    weights = network.weights / network.weights.sum()
    here = fitted()._outputs(table()[0])[
        np.unique(fitted().row_places_, return_index=True)[1][-len(weights) :]
    ]
    assert stop.excess(trace) == pytest.approx(
        weights @ (here - as_before.outputs[: len(weights)]) ** 2 / 2, rel=1e-3
    )
    assert len(late_clouds(np.zeros((100, 3, 2)))) == stopping.NUM_CLOUDS
    np.testing.assert_array_equal(late_clouds(np.arange(5)), [2, 3, 4])


@pytest.mark.slow
def test_a_run_that_goes_on_ends_at_the_same_step(as_before, tmp_path):
    saved = {"run": Run(tmp_path / "run", resume=True), "stop": "certified"}

    def interrupt(trace, state):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "stop_at_plateau", interrupt)
        with pytest.raises(KeyboardInterrupt):
            MeanFieldRegressor(**SETTINGS | saved | {"stop": "plateau"}).fit(*table())
    resumed = MeanFieldRegressor(**SETTINGS | saved).fit(*table())
    assert resumed.n_iter_ == fitted().n_iter_
    np.testing.assert_array_equal(resumed.particles_, fitted().particles_)


@pytest.mark.slow
def test_a_network_far_from_the_certified_one_is_named(as_before, monkeypatch):
    """Four neurons, and a training that is too short to be compared before its end."""
    monkeypatch.setattr(stopping, "CLOSE", 1e-4)
    monkeypatch.setattr(CertifiedStop, "bound", property(lambda stop: stopping.CLOSE))
    for settings in ({"num_particles": 4}, {"num_steps": 2}):
        with warns(ConvergenceWarning, "num_steps num_particles"):
            model = MeanFieldRegressor(**SETTINGS | settings, stop="certified").fit(
                *table()
            )
        assert model.n_iter_ == settings.get("num_steps", 400)


def test_an_interval_that_is_not_trusted_leaves_the_end_to_the_plateau(monkeypatch):
    monkeypatch.setattr(stopping, "EFFORT", 1e4)
    with warns(ConvergenceWarning):
        model = MeanFieldRegressor(**SETTINGS, stop="certified").fit(*table())
    at_plateau = MeanFieldRegressor(**SETTINGS).fit(*table())
    assert not model.certificate_.trustworthy
    assert model.n_iter_ == at_plateau.n_iter_
    np.testing.assert_array_equal(model.particles_, at_plateau.particles_)


def test_a_certificate_is_not_saved(tmp_path):
    fitted().save(tmp_path / "model.safetensors")
    assert not hasattr(load(tmp_path / "model.safetensors"), "certificate_")


@pytest.mark.slow
def test_the_interval_is_that_of_certify():
    network = fitted().network_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = certify(
            network.risk(0.2),
            0.2,
            key=root_key(fitted()._seed()),
            effort=stopping.EFFORT,
        )
    assert (again.lower_bound, again.upper_bound) == (
        fitted().certificate_.lower_bound,
        fitted().certificate_.upper_bound,
    )
