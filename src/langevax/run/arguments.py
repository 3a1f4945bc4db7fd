"""What `simulate` refuses before anything is compiled."""

from typing import Any

from jax.sharding import Mesh, NamedSharding

from langevax import checks
from langevax.algorithm import Algorithm
from langevax.problems.matmul import PRECISIONS
from langevax.problems.problem import Problem
from langevax.run.program import MAX_STEPS


def check_run(algorithm: Any, problem: Any, key: Any, num_steps: Any, num_chains: Any) -> None:
    """Raise unless there is something to run, a key, and a length."""
    if not isinstance(algorithm, Algorithm):
        raise TypeError(f"algorithm must be an Algorithm such as langevax.Langevin(...), got {algorithm!r}.")
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a Problem such as langevax.FiniteSum(...), got {type(problem).__name__}.")
    algorithm.check(problem)
    checks.typed_key(key)
    checks.positive_int("num_steps", num_steps, minimum=0)
    if num_steps > MAX_STEPS:
        raise ValueError(f"num_steps must be at most {MAX_STEPS}, got {num_steps}; run further phases from the result.")
    if num_chains is not None:
        checks.positive_int("num_chains", num_chains)


def check_observers(record: Any, record_every: Any, average: Any, callbacks: Any, callback_every: Any) -> None:
    """Raise unless what looks at the run can be called, and its grids are intervals."""
    for name, value in (("record_every", record_every), ("callback_every", callback_every)):
        if value is not None:
            checks.positive_int(name, value)
    for name, value in (("record", record), ("average", average)):
        if value is not None and not callable(value):
            raise TypeError(f"{name} must be a function {name}(problem, state) -> pytree, got {value!r}.")
    if not isinstance(callbacks, list | tuple) or not all(callable(callback) for callback in callbacks):
        raise TypeError(
            f"callbacks must be a list of functions callback(trace, state), got {callbacks!r}; pass [callback]."
        )
    if callbacks and callback_every is None:
        raise ValueError("callback_every is None, so that no callback would ever be called; pass callback_every=k.")


def check_surroundings(checkpoint: Any, resume: Any, checkpoint_seconds: Any, sharding: Any, products: Any) -> None:
    """Raise unless it is clear where the run is saved, where it computes and how precisely."""
    if resume and checkpoint is None:
        raise ValueError("resume is True but checkpoint is None; pass checkpoint=directory, the one to go on from.")
    checks.number("checkpoint_seconds", checkpoint_seconds)
    if sharding is not None and not isinstance(sharding, Mesh | NamedSharding):
        raise TypeError(f"sharding must be a jax.sharding.Mesh or NamedSharding, got {sharding!r}.")
    if products is not None and products not in PRECISIONS:
        raise ValueError(f"products must be None or one of {', '.join(map(repr, PRECISIONS))}, got {products!r}.")
