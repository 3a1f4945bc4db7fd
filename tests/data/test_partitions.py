"""Client splits: every row once, as skewed as asked for, and the stack that a federation takes."""

import jax
import numpy as np
import pytest

from langevax import Federation
from langevax.data import partitions
from tests.sentences import refuses

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 60))


def shares(parts, clients, classes=10):
    """(class, client): fractions of each class."""
    counts = np.array(
        [np.bincount(LABELS[part], minlength=classes) for part in parts]
    ).T
    assert counts.shape == (classes, clients)
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "split",
    [
        lambda seed: partitions.evenly(600, 7, key=jax.random.key(seed)),
        lambda seed: partitions.by_concentration(
            LABELS, 10, 0.35, key=jax.random.key(seed)
        ),
        lambda seed: partitions.by_concentration(
            LABELS, 4, 0.6, key=jax.random.key(seed)
        ),
        lambda seed: partitions.dirichlet(LABELS, 7, 0.3, key=jax.random.key(seed)),
    ],
    ids=["evenly", "concentration", "few clients", "dirichlet"],
)
def test_every_row_is_in_exactly_one_client_and_the_seed_decides(split):
    parts = split(0)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(600))
    assert all(len(part) for part in parts)
    for one, other in zip(parts, split(0), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(
        one.tolist() != other.tolist()
        for one, other in zip(parts, split(1), strict=True)
    )


@pytest.mark.parametrize("q", [0.1, 0.35, 0.6, 0.85])
def test_concentration_gives_a_fraction_of_each_class_to_one_client(q):
    fractions = shares(
        partitions.by_concentration(LABELS, 10, q, key=jax.random.key(3)), 10
    )
    np.testing.assert_allclose(np.diag(fractions), q, atol=0.01)
    others = fractions[~np.eye(10, dtype=bool)]
    np.testing.assert_allclose(others, (1 - q) / 9, atol=1 / 60)


def test_with_more_clients_than_classes_owners_share_the_fraction():
    fractions = shares(
        partitions.by_concentration(LABELS, 20, 0.8, key=jax.random.key(3)), 20
    )
    owns = np.arange(20) % 10 == np.arange(10)[:, None]
    np.testing.assert_allclose(fractions[owns], 0.4, atol=1 / 60)
    np.testing.assert_allclose(fractions[~owns], 0.2 / 18, atol=1 / 60)


def test_with_fewer_clients_than_classes_some_own_several():
    fractions = shares(
        partitions.by_concentration(LABELS, 4, 0.7, key=jax.random.key(3)), 4
    )
    np.testing.assert_allclose(
        fractions[np.arange(10), np.arange(10) % 4], 0.7, atol=0.01
    )


def test_dirichlet_spreads_evenly_when_alpha_is_large_and_on_few_when_small():
    """For proportions of Dirichlet(alpha) over k clients, E sum of squares = (1 + alpha) / (1 + k alpha)."""
    for alpha in (0.1, 1.0, 100.0):
        squares = [
            (
                shares(
                    partitions.dirichlet(LABELS, 5, alpha, key=jax.random.key(seed)), 5
                )
                ** 2
            )
            .sum(axis=1)
            .mean()
            for seed in range(40)
        ]
        expected = (1 + alpha) / (1 + 5 * alpha)
        error = np.std(squares, ddof=1) / np.sqrt(40)
        assert abs(np.mean(squares) - expected) < 4.5 * error + 0.003  # rows are whole


def test_evenly_differs_by_one_row_at_most():
    assert sorted(map(len, partitions.evenly(23, 5, key=jax.random.key(0)))) == [
        4,
        4,
        5,
        5,
        5,
    ]


def test_the_stack_makes_a_federation_of_the_same_rows():
    inputs = np.arange(600.0, dtype=np.float32)
    parts = [np.array([3, 5]), np.array([0]), np.array([7, 8, 9])]
    (rows, labels), counts = partitions.stack((inputs, LABELS), parts)
    assert counts.tolist() == [2, 1, 3]
    np.testing.assert_array_equal(
        rows, [[3, 5, 3], [0, 0, 0], [7, 8, 9]]
    )  # padded with copies of their own
    np.testing.assert_array_equal(labels[2], LABELS[7:10])
    federation = Federation(
        lambda x, row: (x - row[0]) ** 2 / 2, (rows, labels), counts
    )
    assert float(federation.gradient(np.float32(0.0))) == pytest.approx(
        -(3 + 5 + 0 + 7 + 8 + 9) / 6
    )


@pytest.mark.parametrize(
    ("split", "facts"),
    [
        (
            lambda: partitions.evenly(3, 5, key=jax.random.key(0)),
            "num_rows 5 3",
        ),
        (
            lambda: partitions.by_concentration(LABELS, 10, 1.5, key=jax.random.key(0)),
            "concentration 1.5",
        ),
        (
            lambda: partitions.by_concentration(
                LABELS[:20], 15, 1.0, key=jax.random.key(0)
            ),
            "",
        ),
        (
            lambda: partitions.by_concentration(
                LABELS[:, None], 2, 0.5, key=jax.random.key(0)
            ),
            "labels",
        ),
        (
            lambda: partitions.dirichlet(LABELS, 700, 1.0, key=jax.random.key(0)),
            "num_clients 700 600",
        ),
        (
            lambda: partitions.dirichlet(LABELS, 7, 0.0, key=jax.random.key(0)),
            "alpha 0 0.0",
        ),
        (
            lambda: partitions.dirichlet(LABELS[:20], 15, 0.01, key=jax.random.key(0)),
            "1000 15 1",
        ),
        (
            lambda: partitions.stack(LABELS, [[1], []]),
            "parts[1]",
        ),
        (
            lambda: partitions.stack(LABELS, [[600]]),
            "",
        ),
    ],
    ids=range(9),
)
def test_splits_that_cannot_be_are_refused(split, facts):
    with refuses(ValueError, facts):
        split()
