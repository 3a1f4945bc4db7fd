"""Runs on four virtual devices, `python -m tests.run.sharded`: facts for `test_sharding.py` as one JSON line."""

import json
import os
import re
import tempfile

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import langevax
from langevax.run import position_of, program
from langevax.run.start import place
from tests.run.setting import squared_distance

SAMPLES, PARTICLES, STEPS = 20, 64, 30
CALL = re.compile(r"= (\S+|\(.*?\)) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")


def communication(algorithm, problem, positions, mesh, record=None, num_chains=None):
    """What one compiled `advance` sends between devices, as `operation shape`."""
    observers = program.Observers(record, None)
    algorithm, problem = program.trace_floats((algorithm, problem), jnp.float32)
    positions, problem = place(positions, problem, mesh)
    key, stop, every = jax.random.key(0), jnp.int32(5), jnp.int32(2)
    carry = program.begin(algorithm, problem, observers, positions, key, num_chains)
    buffer = program.make_buffer(algorithm, problem, observers, carry, num_chains)
    lowered = program.advance.lower(algorithm, problem, observers, carry, buffer, key, stop, every, num_chains)
    calls = CALL.findall(lowered.compile().compiled.as_text())
    return [f"{operation} {re.sub('{.*?}', '', shape)}" for shape, operation in calls]


def main():
    mesh = jax.make_mesh((4,), ("particles",))
    rows = np.random.default_rng(0).normal(size=(SAMPLES, 3)).astype(np.float32)
    risk = langevax.MeanFieldRisk(
        langevax.neurons.Tanh(), langevax.losses.squared, rows, np.sign(rows[:, 0]), precision=0.1
    )
    cloud = risk.prior(0.1, PARTICLES)(jax.random.key(1))
    mfld = langevax.meanfield.MFLD(step_size=0.1, temperature=0.01)
    distance, eight = langevax.FiniteSum(squared_distance, rows), jnp.zeros((8, 3))
    langevin = langevax.Langevin(0.1, 0.5)

    sent = {
        "particles": communication(mfld, risk, cloud, mesh),
        "particles recorded": communication(mfld, risk, cloud, mesh, record=position_of),
        "chains": communication(langevin, distance, eight, mesh, num_chains=8),
        "chains recorded": communication(langevin, distance, eight, mesh, record=position_of, num_chains=8),
    }

    options = {"key": jax.random.key(0), "num_steps": STEPS, "record_every": 7, "average": position_of}
    alone = langevax.simulate(mfld, risk, cloud, **options)
    shared = langevax.simulate(mfld, risk, cloud, sharding=mesh, **options)
    with tempfile.TemporaryDirectory() as directory:
        saving = {"sharding": NamedSharding(mesh, PartitionSpec("particles")), "checkpoint": directory}
        langevax.simulate(mfld, risk, cloud, **saving, **options | {"num_steps": 20})
        resumed = langevax.simulate(mfld, risk, cloud, resume=True, **saving, **options)

    def difference(left, right):
        return max(
            float(np.abs(np.asarray(left.position) - np.asarray(right.position)).max()),
            float(np.abs(left.positions - right.positions).max()),
            float(np.abs(left.average.mean - right.average.mean).max()),
        )

    try:
        langevax.simulate(mfld, risk, cloud[:6], sharding=mesh, **options)
    except ValueError as error:
        refusal = str(error)
    print(
        json.dumps(
            {
                "sent": sent,
                "refusal of 6 particles": refusal,
                "shards": sorted(shard.data.shape for shard in shared.position.addressable_shards),
                "devices": len(shared.position.sharding.device_set),
                "difference": difference(alone, shared),
                "difference resumed": difference(shared, resumed),
                "recorded": shared.trace.steps.tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
