"""Plans of `sample`: what they are asked for, and what an algorithm leaves "auto"."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, gradients
from langevax.run import Run
from langevax.sampling.methods import SamplingMethod
from langevax.sampling.plans import PLANS
from langevax.sampling.plans.exact import ExactDraws
from langevax.sampling.plans.full_gradients import FullGradients
from langevax.sampling.plans.minibatches import Minibatches
from tests.sentences import refuses

KEY = jax.random.key(0)
QUIET = Run(progress=False)


def normal(x):
    return -jnp.sum(x**2) / 2


def test_each_algorithm_asks_for_one_plan():
    kinds = [kind for plan in PLANS for kind in plan.algorithms]
    assert len(kinds) == len(set(kinds)) == 7


def test_costs_order_the_plans():
    """Exact draws before passes and batches, which are compared by their gradients of rows."""
    assert ExactDraws().cost(None) == 0
    assert type(PLANS[-1]) is FullGradients
    assert type(PLANS[-2]) is Minibatches
    assert np.isnan(PLANS[0].cost(None))


@pytest.mark.slow
def test_nuts_is_adapted_to_the_acceptance_that_is_passed():
    """Steps are shorter for a larger one."""
    options = {"key": KEY, "num_samples": 300, "run": QUIET}
    sizes = [
        langevax.sample(normal, jnp.zeros(5), algorithm=algorithm, **options).step_size
        for algorithm in (
            langevax.NUTS(target_accept=0.6),
            langevax.NUTS(),
            langevax.NUTS(target_accept=0.95),
        )
    ]
    assert sizes[0] > sizes[1] > 1.3 * sizes[2]


@pytest.mark.slow
def test_nuts_runs_in_simulate_at_its_step_size():
    """N(0, 4 T) at T = 1/4: variances to 5 errors of about 2,000 effective draws."""
    problem = langevax.Function(lambda x: jnp.sum(x**2) / 2)
    nuts = langevax.NUTS(step_size=0.7, temperature=0.25)
    run = langevax.simulate(
        nuts,
        problem,
        jnp.zeros(2),
        key=KEY,
        num_steps=600,
        num_chains=4,
        record_every=1,
    )
    draws = np.asarray(run.positions)[:, 100:].reshape(-1, 2)
    np.testing.assert_allclose(draws.var(0), 0.25, rtol=0.15)


@pytest.mark.parametrize("step_size", [0.1, 0.5, 0.99])
def test_a_step_of_pcn_is_that_which_was_passed(step_size):
    method = SamplingMethod(langevax.PCN(step_size), 1.0)
    algorithm = method(method.number_of(step_size))
    np.testing.assert_allclose(algorithm.step_size, step_size, rtol=1e-5)


@pytest.mark.parametrize(
    ("algorithm", "facts"),
    [
        (langevax.MALA(), "step_size MALA 'auto' langevax.sample"),
        (langevax.Langevin(0.1), "temperature Langevin 'auto'"),
        (langevax.NUTS(0.1), "temperature NUTS 'auto'"),
        (
            langevax.Langevin(0.1, 1.0, gradient=gradients.SVRG(2)),
            "period SVRG 'auto'",
        ),
        (
            langevax.Langevin(0.1, 1.0, gradient=gradients.Minibatch()),
            "batch_size Minibatch 'auto'",
        ),
        (langevax.ReplicaExchange(), "step_size MALA 'auto'"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_sample_chooses_is_a_number_in_simulate(algorithm, facts):
    problem = FiniteSum(lambda x, a: jnp.sum((x - a) ** 2), jnp.ones((4, 2)))
    with refuses(ValueError, facts):
        langevax.simulate(algorithm, problem, jnp.zeros(2), key=KEY, num_steps=1)


def test_sizes_that_are_auto_are_refused_by_minimize():
    with refuses(ValueError, "batch_size SVRG 'auto'"):
        gradients.SVRG().check_sizes()


@pytest.mark.parametrize("change", [{"step_size": 0.1}, {"variance": 2.0}])
def test_what_nuts_adapts_is_not_passed_to_sample(change):
    with refuses(ValueError, "NUTS target_accept"):
        langevax.sample(
            normal, jnp.zeros(2), key=KEY, algorithm=langevax.NUTS(**change)
        )


def test_a_run_that_is_none_is_refused_before_anything_runs():
    with refuses(TypeError, "run 'x' langevax.Run(checkpoint=folder)"):
        langevax.sample(normal, jnp.zeros(3), key=KEY, run="x")


def test_an_algorithm_of_ones_own_is_tuned_as_what_it_extends():
    class MyMALA(langevax.MALA):
        pass

    assert SamplingMethod(MyMALA(), 1.0).is_exact
