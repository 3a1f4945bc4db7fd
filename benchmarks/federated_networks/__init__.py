"""Federated methods on networks: `python -m benchmarks federated_networks [OPTIONS]`.

Steps of every method are tuned on seed 100 of the first setting of a task, by successive halving: all candidates for a
quarter of the exchanges, the third with the largest mean accuracy for all. The chosen ones then run on other seeds and
settings. Each run is a line of a file, appended; what is there is not run again, so that a comparison can be stopped
and continued. A failure is a line with its message, and is run again next time.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from benchmarks import results
from benchmarks.federated_networks.methods import METHODS
from benchmarks.federated_networks.report import (
    COSTS,
    identity,
    printed,
    read,
)
from benchmarks.federated_networks.tasks import TASKS, NetworkTask, make
from benchmarks.results import Record
from langevax.algorithm import trace_floats
from langevax.federated import Federated

OUT = Path("out/federated_networks.jsonl")
EXCHANGES = 80
TUNING_SEED = 100
START_FOLD = 2**31 - 1  # of the key of the exchanges before the first round


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks federated_networks", description=__doc__
    )
    parser.add_argument(
        "--tasks",
        type=results.names_of(TASKS),
        default=list(TASKS),
        help=f"of {','.join(TASKS)}",
    )
    parser.add_argument(
        "--methods",
        type=results.names_of(METHODS),
        default=list(METHODS),
        help=f"of {', '.join(METHODS)}",
    )
    parser.add_argument(
        "--settings",
        help="only these, separated by commas, such as 20,100; all by default",
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds; 3")
    parser.add_argument(
        "--exchanges", type=int, default=EXCHANGES, help=f"of a run; {EXCHANGES}"
    )
    results.add_options(parser, OUT)
    results.add_page_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] = ()) -> None:
    """Run what is missing in the file, then print the report as Markdown."""
    options = parsed(arguments)
    if not options.report:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        results.append(options.out, missing(options), options.budget_hours)
    report = printed(
        record for record in read(options.out) if record["task"] in options.tasks
    )
    results.show(report, options.write, "federated_networks")


def missing(options: argparse.Namespace) -> Iterator[Record]:
    """Yield the runs that the file lacks; each method of a task is tuned first."""
    done = {
        identity(record): record
        for record in read(options.out)
        if "error" not in record
    }
    for task in options.tasks:
        for method in options.methods:
            yield from records(task, method, options, done)


def records(
    task: str,
    method: str,
    options: argparse.Namespace,
    done: dict[tuple[Any, ...], Record],
) -> Iterator[Record]:
    """Yield the tuning of a method on a task, and its runs, without those that are done."""
    chosen = done.get((task, None, method, None))
    if chosen is None:
        chosen = _guarded(
            {"task": task, "method": method},
            lambda: tuned(task, method, options.exchanges),
        )
        if chosen is None:
            return
        yield chosen
    if "error" in chosen:
        return
    settings = options.settings.split(",") if options.settings else list(TASKS[task])
    for setting, seed in (
        (setting, seed) for setting in settings for seed in range(options.seeds)
    ):
        if setting in TASKS[task] and (task, setting, method, seed) not in done:
            names = {"task": task, "setting": setting, "method": method, "seed": seed}
            numbers = chosen["step_size"], chosen["value"]
            record = _guarded(
                names,
                lambda s=setting, i=seed, n=numbers: measured(
                    task, s, i, method, n, options.exchanges
                ),
            )
            if record is not None:
                yield record


def _guarded(names: Record, measure: Any) -> Record | None:
    """Return the record, with the error where there was one; None where a package is missing."""
    began = time.process_time()
    try:
        record = names | measure()
    except ModuleNotFoundError as error:
        print(
            f"{names['task']} needs {error.name}; run pip install --group bench",
            file=sys.stderr,
        )
        return None
    except Exception as error:  # one failed run must not end hours of them
        traceback.print_exc()
        record = {**names, "error": f"{type(error).__name__}: {error}"[:300]}
    record["cpu_s"] = round(time.process_time() - began, 2)
    shown = {key: value for key, value in record.items() if not isinstance(value, list)}
    print(
        *shown.values(), max(record.get("accuracy", [0])), file=sys.stderr, flush=True
    )
    return record


@cache
def _task(name: str, setting: str, seed: int) -> NetworkTask:
    return make(name, setting, seed)


def tuned(task: str, method: str, num_exchanges: int) -> Record:
    """Return the candidate with the largest mean accuracy, by successive halving."""
    place = _task(task, next(iter(TASKS[task])), TUNING_SEED)
    best = METHODS[method].candidates()
    for share, fraction in ((0.25, 1 / 3), (1.0, 0.0)):
        scores = [
            float(
                np.mean(
                    curve(place, method, numbers, TUNING_SEED, num_exchanges, share)[
                        "accuracy"
                    ]
                )
            )
            for numbers in best
        ]
        order = np.argsort(scores)[::-1]
        best = [best[i] for i in order[: max(1, round(fraction * len(best)))]]
    return {
        "step_size": best[0][0],
        "value": best[0][1],
        "mean_accuracy": round(max(scores), 4),
    }


def measured(
    task: str,
    setting: str,
    seed: int,
    method: str,
    numbers: tuple[float, float],
    num_exchanges: int,
) -> Record:
    """Return accuracies and running costs of one run."""
    return curve(_task(task, setting, seed), method, numbers, seed, num_exchanges)


def curve(
    place: NetworkTask,
    method: str,
    numbers: tuple[float, float],
    seed: int,
    num_exchanges: int,
    share: float = 1.0,
) -> Record:
    """Return the accuracy on held-out rows after each round of a share of the exchanges, and what it had cost."""
    algorithm = METHODS[method].of(*numbers, place.clients_per_round)
    opening, in_a_round = (
        len(algorithm.initial_exchanges()),
        len(algorithm.exchanges(place.federation.clients)),
    )
    rounds = max(1, (round(share * num_exchanges) - opening) // in_a_round)
    traced = trace_floats(algorithm, jnp.float32)
    accuracy, first, later = _run(
        traced, place, random.key(seed), jnp.int32(rounds), num_exchanges
    )
    record: Record = {
        "accuracy": [
            round(float(a), 4) for a in np.nan_to_num(np.asarray(accuracy[:rounds]))
        ]
    }
    for name in COSTS:
        totals = int(first[name]) + np.cumsum(
            np.asarray(later[name][:rounds], np.int64)
        )
        record[name] = totals.tolist()
    return record


@eqx.filter_jit
def _run(
    algorithm: Federated, place: NetworkTask, key: Any, num_rounds: Any, longest: int
) -> Any:
    """One program for both rungs of tuning and for all numbers of a method: the loop ends after `num_rounds`."""
    state, first = algorithm.init(
        place.federation, place.start, random.fold_in(key, START_FOLD)
    )
    blank = {name: jnp.zeros(longest, jnp.uint32) for name in COSTS}

    def one(step: Any, carry: Any) -> Any:
        state, accuracy, later = carry
        state, used = algorithm.step(
            place.federation, state, random.fold_in(key, step), step
        )
        later = {name: later[name].at[step].set(used[name]) for name in COSTS}
        return state, accuracy.at[step].set(place.accuracy(state.position)), later

    start = state, jnp.zeros(longest, jnp.float32), blank
    _, accuracy, later = lax.fori_loop(jnp.int32(0), num_rounds, one, start)
    return accuracy, first, later
