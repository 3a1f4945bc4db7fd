"""The federated methods against NumPy transcripts, round by round with the same draws, in float64.

Five clients of 1 to 7 rows, weighed by size, half of the answers missing: in some exchanges nobody answers. The
documented keys: round s has key fold_in(key, s), its exchange j fold_in(that, j), split in three for whom to ask, who
answers and what they draw; client i has fold_in(the last, i), which is split over local steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random

import langevax
from langevax import Federation, federated, trees
from langevax.algorithm import INIT_STEP
from langevax.federated import sampling
from langevax.gradients import batches
from tests.papers import transcripts_federated as transcripts

pytestmark = pytest.mark.mostly_compiling

COUNTS, D, ASKED, LOCAL_STEPS, B, ROUNDS, PERIOD = (3, 1, 7, 4, 7), 3, 3, 3, 2, 10, 4
STEP_SIZE, DROPOUT, RADIUS = 0.2, 0.5, 0.05
KEY, P = (
    74,
    len(COUNTS),
)  # of this key: lost exchanges of every kind after moves, and answered ones after those
START = np.array([0.5, -1.0, 2.0])
WEIGHTS = np.array(COUNTS) / sum(COUNTS)


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64():
        yield


RNG = np.random.default_rng(0)
TABLES = [
    (RNG.normal(size=(n, D)), RNG.normal(size=n) + i) for i, n in enumerate(COUNTS)
]


def cauchy(x, row):
    """log(1 + residual^2), not convex."""
    features, target = row
    return jnp.log1p((features @ x - target) ** 2)


def gradient(i, x, rows):
    features, targets = TABLES[i] if rows is None else (a[rows] for a in TABLES[i])
    residuals = features @ x - targets
    return (2 * residuals / (1 + residuals**2)) @ features / len(residuals)


class Draws:
    """The library's draws, by its key scheme."""

    def __init__(self, clients):
        self.clients = clients
        self.drawn = jax.jit(
            lambda key, p: sampling.draw(key, clients, p), static_argnums=1
        )
        self.permuted = jax.jit(batches.permuted)
        self.ball = jax.jit(
            lambda key: trees.ball_like(jnp.asarray(START), RADIUS, key=key)
        )

    def answers(self, round_key, number, asked, draws=lambda i, key: None):
        """(i, share, draws) of those who answered exchange `number`, in the order they were asked."""
        select, drop, reply = random.split(random.fold_in(round_key, number), 3)
        selection = self.drawn(select, asked)
        ids = np.arange(P) if selection.ids is None else np.asarray(selection.ids)
        answered = np.asarray(random.uniform(drop, (len(ids),), jnp.float64) >= DROPOUT)
        shares = np.asarray(selection.shares)
        chosen = zip(ids.tolist(), shares, answered, strict=True)
        return [
            (i, share, draws(i, random.fold_in(reply, i)))
            for i, share, there in chosen
            if there
        ]

    def rows(self, i, key, size):
        """A batch of distinct rows of client i, all where it has no more."""
        n = COUNTS[i]
        return np.asarray(
            self.permuted(key, jnp.arange(min(size, n), dtype=jnp.int32), jnp.int32(n))
        )

    def local_batches(self, i, key):
        return [self.rows(i, k, B) for k in random.split(key, LOCAL_STEPS)]

    def epochs(self, number):
        """A pass is as many batches as make the client's rows, rounded up over all passes."""

        def draws(i, key):
            tau = -(-number * COUNTS[i] // B)
            return [self.rows(i, random.fold_in(key, k), B) for k in range(tau)]

        return draws

    def local_sarah(self, noisy):
        def draws(i, key):
            first, rest = random.split(key)
            keys = [random.split(k) for k in random.split(rest, LOCAL_STEPS - 1)]
            noises = [
                self.ball(k) if noisy else 0.0
                for k in (first, *(noise for _, noise in keys))
            ]
            return [self.rows(i, batch, B) for batch, _ in keys], noises

        return draws


ROUND_KEYS = [random.fold_in(random.key(KEY), step) for step in range(ROUNDS)]


@pytest.fixture
def federation():
    return Federation.of(cauchy, TABLES)


@pytest.fixture
def draws(federation):
    return Draws(federation.clients)


def path(algorithm, federation):
    key = random.key(KEY)
    return langevax.simulate(
        algorithm,
        federation,
        jnp.asarray(START),
        key=key,
        num_steps=ROUNDS,
        record_every=1,
    )


class Cost(NamedTuple):
    """Of one exchange: how many were asked, vectors down and up, answers in each round, gradients of a client."""

    asked: int
    down: int
    up: int
    answers: list
    gradients: Callable[[int], int]


def assert_same_path(result, expected, *costs, numbers_up=0):
    """The same numbers, of draws where somebody and nobody answered; and the costs of all exchanges."""
    actual = np.concatenate([START[None], result.positions])
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    assert np.abs(np.diff(actual, axis=0)).max() > 0.05
    assert {bool(answers) for cost in costs for answers in cost.answers} == {
        False,
        True,
    }
    exchanges = [(cost, answers) for cost in costs for answers in cost.answers]
    vectors = sum(
        cost.asked * cost.down + len(answers) * cost.up for cost, answers in exchanges
    )
    assert result.exchanges == len(exchanges)
    assert result.vectors == vectors
    assert result.bytes == 8 * (
        D * vectors + numbers_up * sum(len(answers) for _, answers in exchanges)
    )
    assert result.evaluations == sum(
        cost.gradients(COUNTS[i]) for cost, answers in exchanges for i, *_ in answers
    )


LOCAL_ROWS = lambda n: LOCAL_STEPS * min(B, n)
SARAH_ROWS = lambda n: 2 * (LOCAL_STEPS - 1) * min(B, n)


def test_fedavg(federation, draws):
    rounds = [draws.answers(key, 0, ASKED, draws.local_batches) for key in ROUND_KEYS]
    method = federated.FedAvg(
        STEP_SIZE, LOCAL_STEPS, B, ASKED, server_step_size=1.5, dropout=DROPOUT
    )
    expected = transcripts.fedavg(gradient, START, STEP_SIZE, 1.5, rounds)
    assert_same_path(
        path(method, federation), expected, Cost(ASKED, 1, 1, rounds, LOCAL_ROWS)
    )


@pytest.mark.slow
def test_minibatch_sgd(federation, draws):
    rounds = [
        draws.answers(key, 0, ASKED, lambda i, k: draws.rows(i, k, B))
        for key in ROUND_KEYS
    ]
    result = path(
        federated.MinibatchSGD(STEP_SIZE, B, ASKED, dropout=DROPOUT), federation
    )
    expected = transcripts.minibatch_sgd(gradient, START, STEP_SIZE, rounds)
    assert_same_path(result, expected, Cost(ASKED, 1, 1, rounds, lambda n: min(B, n)))


@pytest.mark.parametrize("option", ["I", "II"])
def test_scaffold(federation, draws, option):
    rounds = [draws.answers(key, 0, ASKED, draws.local_batches) for key in ROUND_KEYS]
    method = federated.SCAFFOLD(
        STEP_SIZE, LOCAL_STEPS, B, ASKED, option, server_step_size=1.2, dropout=DROPOUT
    )
    result = path(method, federation)
    expected, c, controls = transcripts.scaffold(
        gradient, WEIGHTS, START, STEP_SIZE, 1.2, option, rounds
    )
    cost = Cost(
        ASKED, 2, 2, rounds, lambda n: LOCAL_ROWS(n) + (n if option == "I" else 0)
    )
    assert_same_path(result, expected, cost)
    np.testing.assert_allclose(c, WEIGHTS @ controls, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.state.server.control, c, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.state.memories, controls, rtol=0, atol=1e-12)


OPTIMIZERS = {
    "momentum": lambda: transcripts.Momentum(0.9),
    "adam": lambda: transcripts.Adaptive(0.9, 0.99, 1e-3),
    "yogi": lambda: transcripts.Adaptive(0.9, 0.99, 1e-3, yogi=True, initial=1e-6),
    "adagrad": lambda: transcripts.Adagrad(1e-3),
    "of optax": lambda: transcripts.Momentum(0.5),
}


@pytest.mark.parametrize(
    "name",
    [
        name if name == "adam" else pytest.param(name, marks=pytest.mark.slow)
        for name in OPTIMIZERS
    ],
)
def test_fedavg_with_an_optimizer_of_the_server(federation, draws, name):
    """A lost round moves neither the position nor the moments."""
    optimizer = optax.sgd(1.0, momentum=0.5) if name == "of optax" else name
    rounds = [draws.answers(key, 0, ASKED, draws.local_batches) for key in ROUND_KEYS]
    method = federated.FedAvg(
        STEP_SIZE,
        LOCAL_STEPS,
        B,
        ASKED,
        server_step_size=0.7,
        dropout=DROPOUT,
        server_optimizer=optimizer,
    )
    expected = transcripts.fedprox(
        gradient, START, STEP_SIZE, 0.7, 0.0, rounds, OPTIMIZERS[name]()
    )
    assert_same_path(
        path(method, federation), expected, Cost(ASKED, 1, 1, rounds, LOCAL_ROWS)
    )


@pytest.mark.slow
def test_scaffold_with_momentum(federation, draws):
    rounds = [draws.answers(key, 0, ASKED, draws.local_batches) for key in ROUND_KEYS]
    method = federated.SCAFFOLD(
        STEP_SIZE,
        LOCAL_STEPS,
        B,
        ASKED,
        "II",
        server_step_size=0.6,
        dropout=DROPOUT,
        server_optimizer="momentum",
    )
    momentum = transcripts.Momentum(0.9)
    expected, *_ = transcripts.scaffold(
        gradient, WEIGHTS, START, STEP_SIZE, 0.6, "II", rounds, momentum
    )
    assert_same_path(
        path(method, federation), expected, Cost(ASKED, 2, 2, rounds, LOCAL_ROWS)
    )


def test_scaffold_m(federation, draws):
    rounds = [draws.answers(key, 0, ASKED, draws.local_batches) for key in ROUND_KEYS]
    result = path(
        federated.SCAFFOLDM(
            STEP_SIZE, LOCAL_STEPS, B, ASKED, 0.6, server_step_size=1.2, dropout=DROPOUT
        ),
        federation,
    )
    expected, c, controls, g = transcripts.scaffold_m(
        gradient, WEIGHTS, START, STEP_SIZE, 1.2, 0.4, rounds
    )
    assert_same_path(result, expected, Cost(ASKED, 2, 2, rounds, LOCAL_ROWS))
    np.testing.assert_allclose(result.state.server.control, c, rtol=0, atol=1e-12)
    np.testing.assert_allclose(c, WEIGHTS @ controls, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.state.memories, controls, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.state.server.direction, g, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_fedprox(federation, draws):
    rounds = [draws.answers(key, 0, ASKED, draws.local_batches) for key in ROUND_KEYS]
    method = federated.FedProx(
        STEP_SIZE, LOCAL_STEPS, B, ASKED, 0.8, server_step_size=1.5, dropout=DROPOUT
    )
    expected = transcripts.fedprox(
        gradient, START, STEP_SIZE, 1.5, 0.8, rounds, transcripts.PlainSteps()
    )
    assert_same_path(
        path(method, federation), expected, Cost(ASKED, 1, 1, rounds, LOCAL_ROWS)
    )


def test_fednova(federation, draws):
    """Two passes: clients of 3, 1, 7, 4 and 7 rows take 3, 1, 7, 4 and 7 steps on batches of two."""
    rounds = [draws.answers(key, 0, ASKED, draws.epochs(2)) for key in ROUND_KEYS]
    method = federated.FedNova(
        STEP_SIZE, 2, B, ASKED, server_step_size=1.2, dropout=DROPOUT
    )
    expected = transcripts.fednova(gradient, START, STEP_SIZE, 1.2, rounds)
    cost = Cost(ASKED, 1, 1, rounds, lambda n: -(-2 * n // B) * min(B, n))
    assert_same_path(path(method, federation), expected, cost, numbers_up=1)


@pytest.mark.slow
def test_feddyn(federation, draws):
    rounds = [draws.answers(key, 0, ASKED, draws.local_batches) for key in ROUND_KEYS]
    result = path(
        federated.FedDyn(STEP_SIZE, LOCAL_STEPS, B, ASKED, 0.8, dropout=DROPOUT),
        federation,
    )
    expected, h, linear = transcripts.feddyn(
        gradient, WEIGHTS, START, STEP_SIZE, 0.8, rounds
    )
    assert_same_path(result, expected, Cost(ASKED, 1, 1, rounds, LOCAL_ROWS))
    np.testing.assert_allclose(result.state.server.linear, h, rtol=0, atol=1e-12)
    np.testing.assert_allclose(h, WEIGHTS @ linear, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.state.memories, linear, rtol=0, atol=1e-12)


def test_mime_sgd(federation, draws):
    """The second exchange asks the clients of the first: the same draw of whom to ask."""
    rounds = []
    for key in ROUND_KEYS:
        first = draws.answers(key, 0, ASKED)
        select = random.split(random.fold_in(key, 0), 3)[0]
        ids = np.asarray(draws.drawn(select, ASKED).ids).tolist()
        _, drop, reply = random.split(random.fold_in(key, 1), 3)
        there = np.asarray(random.uniform(drop, (ASKED,), jnp.float64) >= DROPOUT)
        shares = dict(
            zip(ids, np.asarray(draws.drawn(select, ASKED).shares), strict=True)
        )
        asked = [i for i, answered in zip(ids, there, strict=True) if answered]
        rounds.append(
            (
                first,
                [
                    (i, shares[i], draws.local_batches(i, random.fold_in(reply, i)))
                    for i in asked
                ],
            )
        )
    result = path(
        federated.MimeSGD(STEP_SIZE, LOCAL_STEPS, B, ASKED, dropout=DROPOUT), federation
    )
    expected = transcripts.mime_sgd(gradient, START, STEP_SIZE, rounds)
    first, second = zip(*rounds, strict=True)
    costs = (
        Cost(ASKED, 1, 1, first, lambda n: n),
        Cost(ASKED, 2, 1, second, lambda n: 2 * LOCAL_ROWS(n)),
    )
    assert_same_path(result, expected, *costs)


def renewals_and_differences(rounds, batch_size):
    """x is sent for all rows at the start of a stage; x and x_prev for a batch at both in the other rounds."""
    others = [answers for t, answers in enumerate(rounds) if t % PERIOD]
    return Cost(P, 1, 1, rounds[::PERIOD], lambda n: n), Cost(
        P, 2, 1, others, lambda n: 2 * min(batch_size, n)
    )


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [False, True])
def test_bvr(federation, draws, noisy):
    estimate = lambda i, key: draws.rows(i, key, LOCAL_STEPS * B)
    local = draws.local_sarah(noisy)
    rounds = [
        (draws.answers(key, 0, None, estimate), draws.answers(key, 1, 1, local))
        for key in ROUND_KEYS
    ]
    if noisy:
        method = federated.BVRLPSGD(
            STEP_SIZE, LOCAL_STEPS, B, RADIUS, period=PERIOD, dropout=DROPOUT
        )
    else:
        method = federated.BVRLSGD(
            STEP_SIZE, LOCAL_STEPS, B, period=PERIOD, dropout=DROPOUT
        )
    expected = transcripts.bvr_l_psgd(gradient, START, STEP_SIZE, PERIOD, rounds)
    estimates, locals_ = zip(*rounds, strict=True)
    anew, others = renewals_and_differences(estimates, LOCAL_STEPS * B)
    assert_same_path(
        path(method, federation),
        expected,
        anew,
        others,
        Cost(1, 2, 1, locals_, SARAH_ROWS),
    )


@pytest.mark.slow
def test_minibatch_sarah(federation, draws):
    rounds = [
        draws.answers(key, 0, None, lambda i, k: draws.rows(i, k, B))
        for key in ROUND_KEYS
    ]
    result = path(
        federated.MinibatchSARAH(STEP_SIZE, B, period=PERIOD, dropout=DROPOUT),
        federation,
    )
    expected = transcripts.minibatch_sarah(gradient, START, STEP_SIZE, PERIOD, rounds)
    assert_same_path(result, expected, *renewals_and_differences(rounds, B))


@pytest.mark.parametrize("initial_table", ["mini", "full"])
def test_fledge(federation, draws, initial_table):
    """The table held lazily is the table written out; at the start, too, half of the clients are missing."""
    init_key = random.fold_in(random.key(KEY), INIT_STEP)
    opening = draws.answers(init_key, 0, None if initial_table == "full" else ASKED)
    assert 0 < len(opening) < P
    local = draws.local_sarah(noisy=True)
    rounds = [
        (draws.answers(key, 0, 1, local), draws.answers(key, 1, ASKED))
        for key in ROUND_KEYS
    ]
    method = federated.FLEDGE(
        STEP_SIZE, LOCAL_STEPS, B, ASKED, initial_table, RADIUS, dropout=DROPOUT
    )
    result = path(method, federation)
    expected, v = transcripts.fledge(
        gradient, WEIGHTS, START, STEP_SIZE, opening, rounds
    )
    locals_, anchors = zip(*rounds, strict=True)
    first = Cost(P if initial_table == "full" else ASKED, 1, 1, [opening], lambda n: n)
    anchor = Cost(ASKED, 2, 2, anchors, lambda n: 2 * n)
    assert_same_path(
        result, expected, first, Cost(1, 2, 1, locals_, SARAH_ROWS), anchor
    )
    np.testing.assert_allclose(result.state.server.gradient, v, rtol=0, atol=1e-12)
