"""FLEDGE over a thousand clients with models of ten thousand numbers: exchanges per second.

The floor is what the arithmetic reads: 32 clients' rows and table entries, out of 1,000 of each that lie in memory. A
table that were copied each exchange would cost 40 MB there and back.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.measure import in_turns, median

CLIENTS, ROWS, DIM, ASKED = 1_000, 2, 10_000, 32
LOCAL_STEPS, ROUNDS = 4, 400


def squared(x, row):
    inputs, target = row
    return (inputs @ x - target) ** 2 / 2


def main() -> None:
    """Print exchanges and vectors per second for both ways to hold the table, and for FedAvg with as many clients."""
    print(f"P = {CLIENTS:,}, p = {ASKED}, d = {DIM:,}, K = {LOCAL_STEPS}; load {os.getloadavg()[0]:.1f}")
    print(f"{'':<24} {'exchanges/s':>12} {'vectors/s':>12} {'MB/s moved':>12}")
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((CLIENTS, ROWS, DIM), np.float32) / np.float32(DIM**0.5)
    federation = lx.Federation(squared, (inputs, inputs[..., 0] + np.float32(1)))
    common = {"step_size": 0.1, "num_local_steps": LOCAL_STEPS, "batch_size": 1, "clients_per_round": ASKED}
    methods = {
        "FLEDGE, server's table": lx.federated.FLEDGE(**common),
        "FLEDGE, clients' table": lx.federated.FLEDGE(**common, table="client"),
        "FedAvg": lx.federated.FedAvg(**common),
    }
    starts = {
        name: lx.simulate(method, federation, jnp.zeros(DIM), key=jax.random.key(0), num_steps=1)
        for name, method in methods.items()
    }

    def run(method, num_steps):
        return lx.simulate(method, federation, jnp.zeros(DIM), key=jax.random.key(0), num_steps=num_steps)

    calls = {}
    for name, method in methods.items():
        calls[f"{name}, 1"] = lambda method=method: run(method, 1)
        calls[name] = lambda method=method: run(method, ROUNDS + 1)
    times = in_turns(calls, repeats=3)
    for name, method in methods.items():
        spent = median(times[name]) - median(times[f"{name}, 1"])  # without the start, which asks all clients
        counts = {k: v - starts[name].counts[k] for k, v in run(method, ROUNDS + 1).counts.items()}
        rates = [counts["exchanges"] / spent, counts["vectors"] / spent, counts["bytes"] / spent / 1e6]
        print(f"{name:<24} {rates[0]:>12,.0f} {rates[1]:>12,.0f} {rates[2]:>12,.0f}")


if __name__ == "__main__":
    main()
