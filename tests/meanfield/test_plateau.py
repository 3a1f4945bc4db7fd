"""The end of a run's descent: noise is distinguished from drift at any scale, and a correlated standstill is one."""

from types import SimpleNamespace

import numpy as np
import pytest

from langevax.meanfield.mfld import stop_at_plateau


def has_settled(duals):
    """Whether training ends with these records of the dual vector."""
    return stop_at_plateau(SimpleNamespace(values={"dual": duals}), None)


def autoregressive(records, size, memory, rng):
    steps, values = rng.normal(size=(records, size)), np.zeros((records, size))
    for k in range(1, records):
        values[k] = memory * values[k - 1] + np.sqrt(1 - memory**2) * steps[k]
    return values


@pytest.mark.parametrize("scale", [1e-4, 1.0])
def test_standstill_and_drift(scale):
    rng = np.random.default_rng(0)
    still = [has_settled(scale * autoregressive(100, 300, 0.5, rng)) for _ in range(20)]
    drift = np.linspace(0, 3, 100)[:, None]
    moving = [
        has_settled(scale * (drift + autoregressive(100, 300, 0.5, rng)))
        for _ in range(20)
    ]
    assert np.mean(still) > 0.9
    assert not np.any(moving)


def test_a_relaxation_is_waited_for():
    """exp(-t / 30) with little noise: not at 60 records, but at 400."""
    rng = np.random.default_rng(1)
    noise = 1e-3 * rng.normal(size=(400, 50))
    path = np.exp(-np.arange(400) / 30)[:, None] + noise
    assert not has_settled(path[:60])
    assert has_settled(path)


def test_a_few_records_never_suffice():
    assert not has_settled(np.random.default_rng(2).normal(size=(49, 300)))
