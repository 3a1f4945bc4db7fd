"""Numbers of a run that several processes share, each with a device; every process runs this file.

python -m tests.run.several PORT PROCESSES INDEX FOLDER [killed | mistaken]
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

SAMPLES, PARTICLES, STEPS, HALF = 20, 24, 30, 15


def parts():
    """An algorithm, a problem, a cloud to start from, and what is asked of the run."""
    import jax

    import langevax
    from langevax.run.simulate import position_of

    rows = np.random.default_rng(0).normal(size=(SAMPLES, 3)).astype(np.float32)
    risk = langevax.MeanFieldRisk(
        langevax.neurons.Tanh(),
        langevax.losses.squared,
        rows,
        np.sign(rows[:, 0]),
        precision=0.1,
    )
    mfld = langevax.meanfield.MFLD(step_size=0.1, temperature=0.01)
    options = {
        "key": jax.random.key(0),
        "record_every": 5,
        "average": position_of,
        "run": langevax.Run(progress=False),
    }
    return mfld, risk, risk.prior(0.1, PARTICLES), options


def chains():
    """Eight chains, which send nothing to each other."""
    import jax
    import jax.numpy as jnp

    import langevax

    problem = langevax.FiniteSum(
        lambda x, row: ((x - row) ** 2).sum() / 2, jnp.arange(6.0).reshape(2, 3)
    )
    options = {
        "key": jax.random.key(1),
        "num_steps": STEPS,
        "num_chains": 8,
        "record_every": 10,
        "run": langevax.Run(progress=False),
    }
    return (
        langevax.Langevin(0.1, 0.5, langevax.gradients.SVRG(batch_size=1, period=3)),
        problem,
        jnp.zeros(3),
        options,
    )


def fitted(mesh):
    """A regressor of few steps on devices that share its particles."""
    from langevax.run import Run
    from langevax.sklearn import MeanFieldRegressor

    rows = np.random.default_rng(0).normal(size=(SAMPLES, 3))
    model = MeanFieldRegressor(
        num_particles=PARTICLES,
        temperature=0.05,
        scaling="columns",
        num_steps=HALF,
        sharding=mesh,
        run=Run(progress=False),
        random_state=0,
    )
    return model.fit(rows, np.tanh(2 * rows[:, 0]))


def main(port: str, processes: str, index: str, folder: str, fault: str = ""):
    import jax

    from langevax.run import process_group

    jax.config.update("jax_num_cpu_devices", 1)
    with process_group(f"127.0.0.1:{port}", int(processes), int(index)):
        mesh = jax.make_mesh((int(processes),), ("particles",))
        if fault:
            fail(fault, mesh, index)
        facts = measured(mesh, Path(folder))
        (Path(folder) / f"{index}.json").write_text(json.dumps(facts))


def fail(fault: str, mesh, index: str):
    """A run without end, in the midst of which process 1 is gone."""
    import langevax

    def go(*_):
        if index == "1" and fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if index == "1":
            raise RuntimeError("a mistake of process 1 alone")

    mfld, risk, cloud, options = parts()
    langevax.simulate(
        mfld,
        risk,
        cloud,
        num_steps=10**9,
        sharding=mesh,
        callbacks=[go],
        callback_every=HALF,
        **options,
    )


def measured(mesh, folder: Path) -> dict:
    import jax

    import langevax
    from langevax.run import gather, processes

    mfld, risk, cloud, options = parts()
    shared, saved = {"sharding": mesh, **options}, folder / "saved"
    first = langevax.simulate(
        mfld,
        risk,
        cloud,
        num_steps=HALF,
        **shared | {"run": langevax.Run(checkpoint=saved, progress=False)},
    )
    if processes.is_first():  # for one process to go on from
        shutil.copytree(saved, folder / "half")
    processes.wait_for_all("copied")
    resumed = langevax.simulate(
        mfld,
        risk,
        cloud,
        num_steps=STEPS,
        **shared | {"run": langevax.Run(saved, resume=True, progress=False)},
    )
    through = langevax.simulate(mfld, risk, cloud, num_steps=STEPS, **shared)
    alone = langevax.simulate(
        mfld, risk, cloud, num_steps=STEPS, **options
    )  # of this process, beside the others
    algorithm, problem, start, chain_options = chains()
    many = langevax.simulate(algorithm, problem, start, sharding=mesh, **chain_options)
    by_rows = jax.make_mesh((len(jax.devices()),), ("rows",))
    halves = langevax.simulate(
        mfld, risk, cloud, num_steps=STEPS, **options | {"sharding": by_rows}
    )
    theirs = langevax.simulate(
        mfld,
        risk,
        cloud,
        num_steps=STEPS,
        **shared
        | {"run": langevax.Run(folder / "of one", resume=True, progress=False)},
    )  # begun by one process
    return {
        "devices": len(through.position.sharding.device_set),
        "own particles": [
            list(shard.data.shape) for shard in through.position.addressable_shards
        ],
        "steps": [first.steps, resumed.steps, theirs.steps],
        "recorded": through.trace.steps.tolist(),
        "evaluations": through.evaluations,
        "through": gather(through.position).tolist(),
        "resumed": gather(resumed.position).tolist(),
        "of one": gather(theirs.position).tolist(),
        "rows": gather(halves.position).tolist(),
        "row records": np.asarray(halves.positions).tolist(),
        "fitted": fitted(mesh).particles_.tolist(),
        "alone": gather(alone.position).tolist(),
        "chains": gather(many.position).tolist(),
        "chain records": np.asarray(many.positions).tolist(),
        "records": np.asarray(resumed.positions).tolist(),
        "mean": np.asarray(through.average.mean).tolist(),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
