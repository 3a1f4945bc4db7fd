"""The federated transcripts against what is known without them."""

import numpy as np
import pytest

from tests.papers import transcripts_federated as transcripts

P, D, K, STEP_SIZE, ROUNDS = 4, 3, 3, 0.1, 6
WEIGHTS = np.array([0.1, 0.2, 0.3, 0.4])
START = np.array([1.0, -2.0, 0.5])


def quadratics(zeta, seed=0):
    """gradient(i, x, rows) of clients with Hessians that differ by zeta, and the gradient of their weighted mean."""
    rng = np.random.default_rng(seed)
    curvatures = 1.0 + zeta * rng.uniform(-1, 1, size=(P, D))
    slopes = 3 * rng.normal(size=(P, D))

    def gradient(i, x, rows):
        return curvatures[i] * x + slopes[i]

    return gradient, lambda x: WEIGHTS @ (curvatures * x + slopes)


def descent(gradient, steps):
    x, iterates = START, [START]
    for _ in range(ROUNDS):
        for _ in range(steps):
            x = x - STEP_SIZE * gradient(x)
        iterates.append(x)
    return np.array(iterates)


def everyone(draws):
    return [(i, WEIGHTS[i], draws) for i in range(P)]


def random_clients(rng, draws, num_clients=2):
    return [
        (i, 1 / num_clients, draws) for i in rng.choice(P, num_clients, replace=False)
    ]


NO_NOISE = [None] * (K - 1), [0.0] * K
ONE_STEP = [], [0.0]


def test_all_clients_and_one_local_step_are_gradient_descent():
    gradient, mean = quadratics(zeta=0.8)
    expected = descent(mean, 1)
    single, batch = [everyone([None])] * ROUNDS, [everyone(None)] * ROUNDS
    both = list(zip(single, single, strict=True))
    local = [(everyone(None), [(2, 1.0, ONE_STEP)])] * ROUNDS
    swapped = [(anchor[1], anchor[0]) for anchor in local]
    paths = [
        transcripts.fedavg(gradient, START, STEP_SIZE, 1.0, single),
        transcripts.minibatch_sgd(gradient, START, STEP_SIZE, batch),
        transcripts.scaffold(gradient, WEIGHTS, START, STEP_SIZE, 1.0, "I", single)[0],
        transcripts.scaffold(gradient, WEIGHTS, START, STEP_SIZE, 1.0, "II", single)[0],
        transcripts.mime_sgd(gradient, START, STEP_SIZE, both),
        transcripts.bvr_l_psgd(gradient, START, STEP_SIZE, 3, local),
        transcripts.minibatch_sarah(gradient, START, STEP_SIZE, 3, batch),
        transcripts.fledge(
            gradient, WEIGHTS, START, STEP_SIZE, everyone(None), swapped
        )[0],
    ]
    for path in paths:
        np.testing.assert_allclose(path, expected, rtol=0, atol=1e-13)


def test_with_one_hessian_sarah_methods_take_local_steps_for_global_ones():
    """K steps of one client are K steps of gradient descent, with few clients and a table of few answers, too."""
    gradient, mean = quadratics(zeta=0.0)
    rng = np.random.default_rng(1)
    locals_ = [[(int(rng.integers(P)), 1.0, NO_NOISE)] for _ in range(ROUNDS)]
    bvr = transcripts.bvr_l_psgd(
        gradient, START, STEP_SIZE, 3, [(everyone(None), local) for local in locals_]
    )
    rounds = [(local, random_clients(rng, None)) for local in locals_]
    fledge, v = transcripts.fledge(
        gradient, WEIGHTS, START, STEP_SIZE, everyone(None), rounds
    )
    for path in (bvr, fledge):
        np.testing.assert_allclose(path, descent(mean, K), rtol=0, atol=1e-13)
    np.testing.assert_allclose(v, mean(fledge[-1]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("option", ["I", "II"])
def test_scaffolds_server_control_is_the_mean_of_the_clients(option):
    gradient, _ = quadratics(zeta=0.8)
    rng = np.random.default_rng(1)
    rounds = [random_clients(rng, [None] * K) for _ in range(ROUNDS)]
    _, c, controls = transcripts.scaffold(
        gradient, WEIGHTS, START, STEP_SIZE, 1.0, option, rounds
    )
    np.testing.assert_allclose(c, WEIGHTS @ controls, rtol=0, atol=1e-13)
    assert np.abs(c).max() > 0.1


def test_fledges_table_forgets_and_a_frozen_or_stale_one_does_not():
    """Along the same draws the error of v is far below what entries would give that are left alone until asked."""
    gradient, mean = quadratics(zeta=0.3)
    rng = np.random.default_rng(2)
    rounds = [
        ([(int(rng.integers(P)), 1.0, NO_NOISE)], random_clients(rng, None))
        for _ in range(4)
    ]
    path, v = transcripts.fledge(
        gradient, WEIGHTS, START, STEP_SIZE, everyone(None), rounds
    )
    frozen = np.array([gradient(i, START, None) for i in range(P)])
    for x, (_, anchor) in zip(path[1:], rounds, strict=True):
        for i, _, _ in anchor:
            frozen[i] = gradient(i, x, None)
    error = np.linalg.norm(v - mean(path[-1]))
    assert 1e-3 < error < 0.5 * np.linalg.norm(WEIGHTS @ frozen - mean(path[-1]))
