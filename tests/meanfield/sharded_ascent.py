"""P-SDCA on four virtual devices, `python -m tests.meanfield.sharded_ascent`: facts for its test as one JSON line."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import langevax
from langevax.algorithm import trace_floats
from langevax.meanfield import PSDCA
from langevax.run import program
from langevax.run.start import place

SAMPLES, PARTICLES, STEPS = 20, 256, 60
CALL = re.compile(
    r"= (\S+|\(.*?\)) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)
BEGIN = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
NAME = re.compile(r"(?:body|condition|calls|to_apply)=%?([\w.\-]+)")


def sent(text):
    """{where: [operation shape]} of a compiled program; where: the branches taken on the way, "" outside of any."""
    computations, entry = {}, ""
    for line in text.splitlines():
        if match := BEGIN.match(line):
            name = match[2]
            computations[name] = []
            entry = name if match[1] else entry
        elif computations:
            computations[name].append(line)
    calls = {}

    def walk(name, where):
        for line in computations[name]:
            calls.setdefault(where, []).extend(
                f"{operation} {re.sub('{.*?}', '', shape)}"
                for shape, operation in CALL.findall(line)
            )
            for inner in NAME.findall(line):
                walk(inner, where)
            if branches := re.search(r"branch_computations=\{(.*?)\}", line):
                for number, branch in enumerate(
                    branches[1].replace("%", "").split(", ")
                ):
                    walk(branch, where + str(number))

    walk(entry, "")
    return {where: sorted(made) for where, made in calls.items() if made}


def of_advance(algorithm, problem, positions, mesh):
    """Return what a compiled stretch of steps sends, and whether weights lie where particles do from the start."""
    algorithm, problem = trace_floats((algorithm, problem), jnp.float32)
    positions, problem = place(positions, problem, mesh)
    parts = program.RunParts(algorithm, problem, jax.random.key(0))
    carry = program.begin(parts, positions)
    chunk = program.Chunk(parts, jnp.int32(5), jnp.int32(program.NO_GRID))
    lowered = program.advance.lower(chunk, carry, None)
    return sent(lowered.compile().compiled.as_text()), str(
        carry.state.log_weights.sharding.spec
    )


def mesh_of(devices):
    return Mesh(np.array(jax.devices()[:devices]), ("particles",))


def main():
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update(
        "jax_disable_most_optimizations", True
    )  # what is sent stays, in two thirds of the time
    rows = np.random.default_rng(0).normal(size=(SAMPLES, 3)).astype(np.float32)
    risk = langevax.MeanFieldRisk(
        langevax.neurons.Tanh(2.0),
        langevax.losses.squared,
        rows,
        np.sign(rows[:, 0]),
        precision=0.1,
    )
    classes = langevax.MeanFieldRisk(
        langevax.neurons.TanhTanh(num_outputs=3),
        langevax.losses.softmax,
        rows,
        np.arange(SAMPLES) % 3,
        precision=0.1,
    )
    ascent, key = (
        PSDCA(0.02, num_inner_steps=3, curvature="variance"),
        jax.random.key(0),
    )
    cloud = risk.prior(0.02, PARTICLES)(jax.random.key(1))
    facts = {"step": {}}
    for name, problem in {"squared": risk, "softmax": classes}.items():
        start = problem.prior(0.02, PARTICLES)(jax.random.key(1))
        facts["step"][name], facts["weights lie"] = of_advance(
            ascent, problem, start, mesh_of(4)
        )

    alone = langevax.simulate(ascent, risk, cloud, key=key, num_steps=STEPS)
    facts["refreshes"] = alone.counts["refreshes"]
    facts["moved"] = float(np.abs(np.asarray(alone.position) - np.asarray(cloud)).max())
    facts["difference"] = {}
    for devices in (1, 4):
        end = langevax.simulate(
            ascent, risk, cloud, key=key, num_steps=STEPS, sharding=mesh_of(devices)
        )
        pairs = [
            (getattr(end.state, name), getattr(alone.state, name))
            for name in ("position", "dual", "log_weights")
        ]
        facts["difference"][str(devices)] = max(
            float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs
        )

    print(json.dumps(facts))


if __name__ == "__main__":
    main()
