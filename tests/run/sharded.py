"""Runs on four virtual devices, `python -m tests.run.sharded`: facts for `test_sharding.py` as one JSON line."""

import contextlib
import importlib
import json
import re
import tempfile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import langevax
from langevax import platforms, trees
from langevax.algorithm import trace_floats
from langevax.gradients import SVRG
from langevax.problems.problem import Function
from langevax.run import chains, position_of, program
from langevax.run.start import place
from langevax.sklearn import MeanFieldRegressor
from tests.run.setting import squared_distance

SAMPLES, PARTICLES, STEPS, BLOCK = 20, 64, 30, 3
CALL = re.compile(
    r"= (\S+|\(.*?\)) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)


def advancing(
    algorithm, problem, positions, mesh, record=None, num_chains=None, in_place=False
):
    """The program of a device for one `advance`, compiled; with `in_place` the one that replaces its state."""
    observers = program.Observers(record, None)
    algorithm, problem = trace_floats((algorithm, problem), jnp.float32)
    positions, problem = place(positions, problem, mesh, num_chains)
    key, many = jax.random.key(0), chains.of(positions, num_chains)
    parts = program.RunParts(algorithm, problem, key, observers, many)
    carry = program.begin(parts, positions)
    buffer = program.make_buffer(parts, carry)
    chunk = program.Chunk(parts, jnp.int32(5), jnp.int32(2))
    advance = program.advance_in_place if in_place else program.advance
    lowered = advance.lower(chunk, carry, buffer)
    return lowered.compile().compiled.as_text()


def sent_by(program_text):
    """Return what it sends to other devices, as `operation shape`."""
    return [
        f"{operation} {re.sub('{.*?}', '', shape)}"
        for shape, operation in CALL.findall(program_text)
    ]


def communication(*arguments, **options):
    """Return what one compiled `advance` sends between devices."""
    return sent_by(advancing(*arguments, **options))


def difference(left, right):
    """The largest of positions, records and means."""
    return max(
        float(np.abs(np.asarray(left.position) - np.asarray(right.position)).max()),
        float(np.abs(left.positions - right.positions).max()),
        float(np.abs(left.average.mean - right.average.mean).max()),
    )


@contextlib.contextmanager
def in_tiles():
    """Clouds of this size taken as large ones are: some particles and some rows at a time, and noise drawn apart."""
    before = platforms.CPU, trees.LONG_TABLE
    platforms.CPU = platforms.CPU._replace(
        most_activations=0, tile_rows=8, tile_particles=7
    )
    trees.LONG_TABLE = 0
    yield
    platforms.CPU, trees.LONG_TABLE = before


@contextlib.contextmanager
def replacing_states():
    """Every state counts as large."""
    driver = importlib.import_module(
        "langevax.run.simulate"
    )  # `langevax.run.simulate` is the function
    before, driver.LARGE_STATE = driver.LARGE_STATE, 0
    yield
    driver.LARGE_STATE = before


@contextlib.contextmanager
def as_accelerators():
    """Programs with the blocks of accelerators, small enough to matter here, and without forms for CPUs."""
    before = platforms.ACCELERATOR, platforms.platform
    platforms.ACCELERATOR = before[0]._replace(
        block_activations=PARTICLES * 4, fewest_rows=4, pass_rows=8
    )
    platforms.platform = lambda: "gpu"
    yield
    platforms.ACCELERATOR, platforms.platform = before


def refused(function, *arguments, **options):
    """Return the message of the error."""
    try:
        function(*arguments, **options)
    except ValueError as error:
        return str(error)


def refusal(*arguments, **options):
    """Return the message of `simulate`'s error."""
    return refused(langevax.simulate, *arguments, **options)


def main():
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update(
        "jax_disable_most_optimizations", True
    )  # what is sent stays, in two thirds of the time
    mesh, by_rows = jax.make_mesh((4,), ("particles",)), jax.make_mesh((4,), ("rows",))
    both = jax.make_mesh((2, 2), ("particles", "rows"))
    rows = np.random.default_rng(0).normal(size=(SAMPLES, 3)).astype(np.float32)

    def risk_of(inputs, block_size=None):
        return langevax.MeanFieldRisk(
            langevax.neurons.Tanh(),
            langevax.losses.squared,
            inputs,
            np.sign(inputs[:, 0]),
            0.1,
            block_size=block_size,
        )

    risk, in_blocks = risk_of(rows), risk_of(rows, BLOCK)
    larger = eqx.tree_at(
        lambda risk: risk.neuron, risk_of(rows[:-4]), langevax.neurons.TanhTanh(2.0)
    )
    cloud, large_cloud = (
        r.prior(0.1, PARTICLES)(jax.random.key(1)) for r in (risk, larger)
    )
    mfld = langevax.meanfield.MFLD(step_size=0.1, temperature=0.01)
    batches = SVRG(batch_size=4, period=7)
    svrg_mfld = langevax.meanfield.MFLD(
        step_size=0.1, temperature=0.01, gradient=batches
    )
    distance = langevax.FiniteSum(
        squared_distance, rows, weights=np.arange(1.0, SAMPLES + 1), block_size=BLOCK
    )
    langevin, svrg = langevax.Langevin(0.1, 0.5), langevax.Langevin(0.1, 0.5, batches)
    ascent = langevax.meanfield.PSDCA(temperature=0.1)
    eight, four_clouds = jnp.zeros((8, 3)), jnp.stack([cloud] * 4)

    sent = {
        "particles": communication(mfld, risk, cloud, mesh),
        "particles recorded": communication(
            mfld, risk, cloud, mesh, record=position_of
        ),
        "particles replaced": communication(mfld, risk, cloud, mesh, in_place=True),
        "rows": communication(mfld, in_blocks, cloud, by_rows),
        "particles and rows": communication(mfld, risk, cloud, both),
        "chains": communication(svrg, distance, eight, mesh, num_chains=8),
        "chains one by one": communication(
            ascent, risk, four_clouds, mesh, num_chains=4
        ),
        "chains and rows": communication(langevin, distance, eight, both, num_chains=8),
    }

    with in_tiles():
        of_device = advancing(mfld, larger, large_cloud, mesh)
        sent["particles of a large cloud"] = sent_by(of_device)
        sent["particles and rows of a large cloud"] = communication(
            mfld, larger, large_cloud, both
        )

    options = {
        "key": jax.random.key(0),
        "num_steps": STEPS,
        "record_every": 7,
        "average": position_of,
    }
    alone = langevax.simulate(mfld, risk, cloud, **options)
    shared = langevax.simulate(mfld, risk, cloud, sharding=mesh, **options)
    with replacing_states():
        replaced = langevax.simulate(mfld, risk, cloud, sharding=mesh, **options)
    with tempfile.TemporaryDirectory() as directory:
        saving = {
            "sharding": NamedSharding(mesh, PartitionSpec("particles")),
            "run": langevax.Run(checkpoint=directory, resume=True),
        }
        langevax.simulate(mfld, risk, cloud, **saving, **options | {"num_steps": 20})
        resumed = langevax.simulate(mfld, risk, cloud, **saving, **options)

    runs = {
        "rows": (mfld, in_blocks, cloud, by_rows, {}),
        "particles and rows": (svrg_mfld, in_blocks, cloud, both, {}),
        "chains": (svrg, distance, eight[0], mesh, {"num_chains": 8}),
        "chains one by one": (
            ascent,
            risk,
            risk.prior(0.1, PARTICLES),
            mesh,
            {"num_chains": 4},
        ),
        "chains and rows": (langevin, distance, eight[0], both, {"num_chains": 8}),
    }
    differences = {"particles": difference(alone, shared)}
    for name, (algorithm, problem, start, devices, more) in runs.items():
        one = langevax.simulate(algorithm, problem, start, **options, **more)
        differences[name] = difference(
            one,
            langevax.simulate(
                algorithm, problem, start, sharding=devices, **options, **more
            ),
        )
    with as_accelerators():
        elsewhere = langevax.simulate(
            mfld, risk_of(rows), cloud, sharding=both, **options
        )
        sent["particles and rows on accelerators"] = communication(
            mfld, risk_of(rows), cloud, both
        )
    differences["particles and rows on accelerators"] = difference(alone, elsewhere)
    means = np.arange(1.0, SAMPLES + 1) @ rows / np.arange(1.0, SAMPLES + 1).sum()
    descent = langevax.Langevin(0.1, 0.0)
    reached = langevax.simulate(
        descent, distance, eight[0], sharding=by_rows, **options
    ).position
    one = langevax.simulate(mfld, larger, large_cloud, **options)
    with in_tiles():
        tiled = langevax.simulate(mfld, larger, large_cloud, sharding=both, **options)
    differences["particles and rows of a large cloud"] = difference(one, tiled)
    fit = {
        "num_particles": 64,
        "num_steps": 20,
        "temperature": 0.05,
        "scaling": "columns",
        "random_state": 0,
    }
    ours, theirs = (
        MeanFieldRegressor(sharding=sharding, **fit).fit(rows, rows[:, 0]).particles_
        for sharding in (None, both)
    )
    differences["an estimator"] = float(np.abs(ours - theirs).max())
    _, placed = place(cloud, risk, both)
    nothing = Function(lambda x: jnp.sum(x**2), 0.0)
    print(
        json.dumps(
            {
                "sent": sent,
                "refusal of 6 particles": refusal(
                    mfld, risk, cloud[:6], sharding=mesh, **options
                ),
                "refusal of 18 rows": refusal(
                    mfld, risk_of(rows[:18]), cloud, sharding=by_rows, **options
                ),
                "refusal of no rows": refusal(
                    langevin, nothing, eight, sharding=both, **options
                ),
                "shards": sorted(
                    shard.data.shape for shard in shared.position.addressable_shards
                ),
                "rows of each device": sorted(
                    shard.data.shape for shard in placed.inputs.addressable_shards
                ),
                "draws": [
                    f"f32[{large_cloud.size // share}]" in of_device for share in (1, 4)
                ],
                "off the closed form": float(
                    np.abs(np.asarray(reached) - (1 - 0.9**STEPS) * means).max()
                ),
                "devices": len(shared.position.sharding.device_set),
                "differences": differences,
                "difference resumed": difference(shared, resumed),
                "difference replaced": difference(shared, replaced),
                "recorded": shared.trace.steps.tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
