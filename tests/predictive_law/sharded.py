"""A predictive law on four virtual devices, `python -m tests.predictive_law.sharded`: facts for its test as JSON."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import langevax as lx
from langevax.predictive_law.cloud import (
    advance,
    first_cloud,
    square_root_of_covariance,
)
from langevax.predictive_law.leave_one_out import log_mean_exp
from tests.predictive_law.cases import (
    COUNTS,
    draws_of,
    log_likelihood,
    log_prior,
    problem_of,
    table,
)
from tests.predictive_law.grids import solve

PARTICLES, SHARES = 64, (1.0, 0.3)
CALL = re.compile(
    r"= (\S+|\(.*?\)) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)


def mesh_of(devices):
    return Mesh(np.array(jax.devices()[:devices]), ("particles",))


def block_of(problem, draws):
    """Return the arguments of one block of moves at a share of 0.3."""
    cloud = first_cloud(problem, draws, log_mean_exp(problem.log_likelihoods(draws)))
    weights = jnp.asarray(problem.in_blocks(np.ones(problem.size, np.float32)))
    factor = jnp.asarray(square_root_of_covariance(draws))
    return problem, cloud, jnp.float32(0.3), weights, factor, jax.random.key(1)


def main():
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update(
        "jax_disable_most_optimizations", True
    )  # what is sent stays, in less time
    draws = draws_of(solve(*table(COUNTS), 1.0).weights, 4 * PARTICLES)
    problem = problem_of(COUNTS, PARTICLES)
    alone = advance(*block_of(problem, draws[:PARTICLES]))
    facts = {
        "moved": float(np.abs(np.asarray(alone.points) - draws[:PARTICLES]).max()),
        "block": {},
        "path": {},
    }
    for devices in (1, 2, 4):
        split = problem.over(mesh_of(devices))
        arguments = block_of(split, draws[:PARTICLES])
        end = advance(*arguments)
        facts["block"][str(devices)] = max(
            float(
                np.abs(
                    np.asarray(getattr(end, name)) - np.asarray(getattr(alone, name))
                ).max()
            )
            for name in ("points", "log_steps", "log_means")
        )
    rows = np.arange(5, 25)
    few = (
        problem.over(mesh_of(4)).of_rows(rows, PARTICLES).log_likelihoods(draws[:7])
    )  # of particles that do not split
    facts["uneven"] = float(
        np.abs(few - problem.log_likelihoods(draws[:7])[:, rows]).max()
    )
    facts["lies"] = str(end.points.sharding.spec)
    text = advance.lower(*arguments).compile().compiled.as_text()
    facts["sent"] = [
        f"{operation} {re.sub('{.*?}', '', shape)}"
        for shape, operation in CALL.findall(text)
    ]
    options = {
        "draws": jnp.asarray(draws[:, 0]),
        "bayes_shares": SHARES,
        "num_particles": PARTICLES,
        "num_folds": None,
    }
    for devices in (None, 2, 4):
        mesh = None if devices is None else mesh_of(devices)
        law = lx.predictive(
            log_prior,
            log_likelihood,
            COUNTS,
            key=jax.random.key(0),
            sharding=mesh,
            **options,
        )
        facts["path"][str(devices)] = [
            law.path.fit.tolist(),
            law.path.loo.tolist(),
            law.path.fit_error.tolist(),
        ]
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
