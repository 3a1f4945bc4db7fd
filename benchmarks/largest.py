"""The largest problem of each method that fits in 16 GB: what its compiled programs ask for, and runs that check it.

Sizes come from programs compiled for arrays without memory. One real run of each method, at a size where a gigabyte is
predicted, in a process of its own, measures its peak. Written to out/largest.json too.

    python -m benchmarks largest              # sizes, and runs of a gigabyte
    python -m benchmarks.largest --shapes     # sizes alone
    python -m benchmarks.largest --real       # two steps at 95 % of each size, under a limit of 16 GiB
"""

import json
import math
import mmap
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.driver import logistic
from langevax.algorithm import trace_floats
from langevax.problems.problem import Function
from langevax.run import chains, program

OWN_PAGES = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
TOGETHER = 2**22  # numbers that are drawn at once

Draw = Callable[..., Any]
"""draw(*shape): numbers, or a shape alone."""


@dataclass(frozen=True)
class Parts:
    """Arguments of `simulate`."""

    algorithm: Any
    problem: Any
    start: Any
    num_chains: int | None = None


@dataclass(frozen=True)
class ProgramMemory:
    """Bytes of one compiled program."""

    arguments: int
    outputs: int
    temporaries: int
    in_place: int

    @property
    def total(self) -> int:
        return self.arguments + self.outputs + self.temporaries - self.in_place


@dataclass(frozen=True)
class MemoryNeed:
    """Memory of a run at one size: its two programs, and what lies in its problem and its state."""

    begin: ProgramMemory
    step: ProgramMemory
    problem: int
    state: int

    @property
    def total(self) -> int:
        return max(self.begin.total, self.step.total)


def memory_need(make: Callable[[Draw], Parts]) -> MemoryNeed:
    """From compiled programs for arrays without memory."""

    def built() -> Any:
        parts = make(lambda *shape: jnp.zeros(shape))
        algorithm, problem = trace_floats((parts.algorithm, parts.problem), jnp.float32)
        return algorithm, problem, parts.start, parts.num_chains

    algorithm, problem, start, num_chains = eqx.filter_eval_shape(built)
    algorithm, problem, start = jax.tree.map(
        without_memory, (algorithm, problem, start)
    )
    split = chains.of(start, num_chains)
    run = program.RunParts(algorithm, problem, jax.random.key(0), chains=split)
    begun = eqx.filter_eval_shape(program.begin, run, start)
    carry = jax.tree.map(without_memory, begun)
    begin = program.begin.lower(run, start)
    chunk = program.Chunk(run, jnp.int32(1), jnp.int32(1))
    step = program.advance.lower(chunk, carry, None)
    return MemoryNeed(
        program_memory(begin),
        program_memory(step),
        num_bytes(problem),
        num_bytes(carry),
    )


def program_memory(lowered: Any) -> ProgramMemory:
    analysis = lowered.compile().compiled.memory_analysis()
    return ProgramMemory(
        analysis.argument_size_in_bytes,
        analysis.output_size_in_bytes,
        analysis.temp_size_in_bytes,
        analysis.alias_size_in_bytes,
    )


def num_bytes(tree: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf))


def without_memory(leaf: Any) -> Any:
    """An array of that shape in pages that nobody has touched: a program is lowered for arrays, and reads none."""
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    size = int(np.prod(leaf.shape, dtype=np.int64))
    pages = mmap.mmap(
        -1, max(1, size * leaf.dtype.itemsize), flags=OWN_PAGES, prot=mmap.PROT_READ
    )
    return jax.device_put(
        np.frombuffer(pages, leaf.dtype, size).reshape(leaf.shape), may_alias=True
    )


def drawn(*shape: int) -> jax.Array:
    """Numbers in (-1, 1), in memory that JAX uses where it lies: it copies what does not begin at a round address."""
    size = int(np.prod(shape, dtype=np.int64))
    numbers = np.frombuffer(mmap.mmap(-1, 4 * size, flags=OWN_PAGES), np.float32, size)
    generator = np.random.default_rng(0)
    for begin in range(0, size, TOGETHER):
        part = numbers[begin : begin + TOGETHER]
        generator.random(out=part, dtype=np.float32)
        part *= 2
        part -= 1
    return jax.device_put(numbers.reshape(shape), may_alias=True)


def memory() -> dict[str, int]:
    """Bytes that the system counts."""
    lines = (
        line.split() for line in Path("/proc/self/status").read_text().splitlines()
    )
    return {
        words[0].rstrip(":"): int(words[1]) * 1024
        for words in lines
        if words[-1:] == ["kB"]
    }


LIMIT = 16e9
ITSELF = 0.5e9  # Python, JAX and their threads
CHECKED, REAL = (
    1e9,
    0.95,
)  # bytes of a run that checks; share of the largest size that is run in earnest
GIVEN = 2**34  # bytes of data that a run in earnest may have at all
CLOSE, TRIES = 0.01, 12
FILE = Path("out/largest.json")


@dataclass(frozen=True)
class MethodCase:
    """A method and the size that grows."""

    method: str
    size: str
    beside: str
    make: Callable[[int, Draw], Parts]

    @property
    def name(self) -> str:
        return f"{self.method} in {self.size}"

    def memory_need(self, size: int) -> MemoryNeed:
        return memory_need(lambda draw: self.make(size, draw))


def cloud(algorithm: Any, rows: int, particles: int, draw: Draw) -> Parts:
    inputs, targets = draw(rows, 20), draw(rows)
    risk = lx.MeanFieldRisk(
        lx.neurons.Tanh(), lx.losses.squared, inputs, targets, precision=0.01
    )
    return Parts(algorithm, risk, draw(particles, 21))


def mfld(rows: int, particles: int, draw: Draw) -> Parts:
    return cloud(
        lx.meanfield.MFLD(step_size=0.1, temperature=0.01), rows, particles, draw
    )


def psdca(rows: int, particles: int, draw: Draw) -> Parts:
    # a refresh at every step but the first: it is what needs memory, whatever the number of moves
    return cloud(
        lx.meanfield.PSDCA(temperature=0.01, num_inner_steps=2, period=1),
        rows,
        particles,
        draw,
    )


def regression(gradient: Any, rows: int, columns: int, draw: Draw) -> Parts:
    problem = lx.FiniteSum(logistic, (draw(rows, columns), draw(rows)), precision=1e-3)
    return Parts(lx.Langevin(1e-3, 1e-6, gradient), problem, jnp.zeros(columns))


def many_chains(gradient: Any, count: int, draw: Draw) -> Parts:
    problem = lx.FiniteSum(lambda x, row: ((x - row) ** 2).sum() / 2, draw(100, 10))
    return Parts(
        lx.Langevin(0.1, 0.5, gradient), problem, jnp.zeros((count, 10)), count
    )


def modes(count: int, draw: Draw) -> Parts:
    basis, precision = lx.spaces.Cosine(count), draw(count) ** 2 + np.float32(1)
    problem = Function(lambda x: jnp.mean(basis.synthesize(x) ** 2) / 2, precision)
    return Parts(
        lx.Langevin(0.1, 1.0, integrator=lx.integrators.Exponential()),
        problem,
        jnp.zeros(count),
    )


def federated(clients: int, columns: int, draw: Draw) -> Parts:
    data = draw(clients, 4, columns), draw(clients, 4)
    federation = lx.Federation(lambda x, row: (row[0] @ x - row[1]) ** 2 / 2, data)
    few = max(1, round(clients**0.5))
    # begun by few clients: all at once would send more bytes than an exchange can count (2^32)
    method = lx.federated.FLEDGE(
        1e-6,
        num_local_steps=4,
        batch_size=1,
        clients_per_round=few,
        initial_table="mini",
    )
    return Parts(method, federation, jnp.zeros(columns))


def estimators() -> dict[str, Any]:
    gradients, batch = lx.gradients, 100
    return {
        "LD": gradients.Full(),
        "SVRG-LD": gradients.SVRG(batch, period=100),
        "SARAH-LD": gradients.SARAH(batch, period=100),
        "SLEDGE-LD, table of blocks": gradients.SLEDGE(batch),
        "SLEDGE-LD, table of components": gradients.SLEDGE(batch, table="components"),
    }


def cases() -> Iterator[MethodCase]:
    yield MethodCase(
        "MFLD", "particles N", "n = 1,000, d = 20", lambda k, draw: mfld(1_000, k, draw)
    )
    yield MethodCase(
        "MFLD", "rows n", "N = 100, d = 20", lambda k, draw: mfld(k, 100, draw)
    )
    yield MethodCase(
        "P-SDCA",
        "particles M",
        "n = 1,000, d = 20",
        lambda k, draw: psdca(1_000, k, draw),
    )
    yield MethodCase(
        "P-SDCA", "rows n", "M = 100, d = 20", lambda k, draw: psdca(k, 100, draw)
    )
    for name, gradient in estimators().items():
        yield MethodCase(
            name,
            "rows n",
            "d = 20",
            lambda k, draw, g=gradient: regression(g, k, 20, draw),
        )
        if "table" not in name:
            yield MethodCase(
                name,
                "columns d",
                "n = 1,000",
                lambda k, draw, g=gradient: regression(g, 1_000, k, draw),
            )
        if name in ("LD", "SVRG-LD"):
            yield MethodCase(
                f"chains of {name}",
                "chains",
                "n = 100, d = 10",
                lambda k, draw, g=gradient: many_chains(g, k, draw),
            )
    yield MethodCase("functions, exponential", "modes K", "as many grid points", modes)
    yield MethodCase(
        "FLEDGE",
        "clients P",
        "d = 100, 4 rows each, √P asked",
        lambda k, draw: federated(k, 100, draw),
    )
    yield MethodCase(
        "FLEDGE",
        "columns d",
        "P = 100, 4 rows each, 10 asked",
        lambda k, draw: federated(100, k, draw),
    )


def largest(
    case: MethodCase, limit: float = LIMIT - ITSELF, first: int = 1_000
) -> tuple[int, MemoryNeed]:
    """The largest size that needs no more, to a hundredth: by the rule of three, by halves where blocks jump."""
    fits: tuple[int, MemoryNeed] | None = None
    least_too_much, size = math.inf, first
    for _ in range(TRIES):
        needed = case.memory_need(size)
        if needed.total > limit:
            least_too_much = size
        elif fits is None or size > fits[0]:
            fits = size, needed
            if needed.total >= (1 - CLOSE) * limit:
                return fits
        size = max(1, int(size * (1 - CLOSE / 2) * limit / needed.total))
        if not (fits[0] if fits else 0) < size < least_too_much:
            size = max(1, int((fits[0] if fits else 0) + least_too_much) // 2)
    if fits is None:
        raise ValueError(
            f"{case.name}: {size:,} need {needed.total:,} bytes of {limit:,}, and no smaller one did."
        )
    return fits


def run(case: MethodCase, size: int, num_steps: int, memory_limit: int) -> None:
    """Run in this process; print bytes before and at the peak, and the seconds of a step."""

    def ran(size: int) -> float:
        parts = case.make(size, drawn)
        options = {
            "num_steps": num_steps,
            "callbacks": [lambda trace, state: None],
            "callback_every": 1,
        }
        if parts.num_chains is not None:  # a start for each chain, not one for all
            width = parts.start.shape[1:]
            parts = replace(parts, start=lambda key: jax.random.normal(key, width))
        options |= {
            "key": jax.random.key(0),
            "num_chains": parts.num_chains,
            "run": lx.Run(progress=False),
        }
        began = time.perf_counter()
        lx.simulate(parts.algorithm, parts.problem, parts.start, **options)
        return time.perf_counter() - began

    ran(1_000)
    before = memory()["VmRSS"]
    if memory_limit:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_limit, memory_limit))
    seconds = ran(size)
    print(
        json.dumps(
            {
                "before": before,
                "peak": memory()["VmHWM"],
                "seconds": seconds / num_steps,
            }
        )
    )


def child(
    case: MethodCase, size: int, num_steps: int, memory_limit: int = 0
) -> dict[str, float] | str:
    """Return what `run` prints in a process of its own, or why it failed."""
    numbers = map(str, (size, num_steps, memory_limit))
    command = [sys.executable, "-m", "benchmarks.largest", "--run", case.name, *numbers]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return (
            f"exit code {done.returncode}: "
            + (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
        )
    return json.loads(done.stdout.splitlines()[-1])


def main(shapes: bool = False) -> None:
    """Print a table in Markdown: sizes, the memory they need, and that of a run of a gigabyte over its prediction."""
    columns = (
        "method",
        "grows",
        "beside it",
        "largest",
        "bytes each",
        "data",
        "state",
        "copies and scratch",
    )
    print(f"| {' | '.join(columns)} | run / predicted |\n" + "|---" * 9 + "|")
    records = []
    for case in cases():
        took = None if shapes else checked(case)
        ratio = took["ratio"] if isinstance(took, dict) else 1.0
        size, asks = largest(
            case, (LIMIT - ITSELF) / max(1.0, ratio)
        )  # of what XLA does not know of too
        scratch = asks.total - asks.problem - asks.state
        shares = " | ".join(
            f"{part / asks.total:.0%}" for part in (asks.problem, asks.state, scratch)
        )
        row = {
            "method": case.method,
            "size": case.size,
            "beside": case.beside,
            "largest": size,
            "bytes": asks.total,
        }
        row |= {"needed": asdict(asks), "took": took}
        text = took if isinstance(took, str) else "" if took is None else f"{ratio:.2f}"
        each = asks.total / size
        ends = f"{rounded(size)} | {each:,.0f} | {shares} | {text} |"
        print(f"| {case.method} | {case.size} | {case.beside} | {ends}", flush=True)
        records.append(row)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(records, indent=1) + "\n")


def checked(case: MethodCase) -> dict[str, float] | str:
    """A run of a gigabyte, and how many times what its programs ask for it took."""
    size, asks = largest(case, CHECKED)
    took = child(case, size, num_steps=2)
    if isinstance(took, str):
        return took
    return took | {"size": size, "ratio": (took["peak"] - took["before"]) / asks.total}


def in_earnest() -> None:
    """Two steps of each method at 95 % of the largest size that `main` has written."""
    sizes = {
        f"{row['method']} in {row['size']}": row["largest"]
        for row in json.loads(FILE.read_text())
    }
    print(
        "| method | grows | size | peak, GB | seconds, drawing left out |\n|---|---|---|---|---|"
    )
    for case in cases():
        size = int(REAL * sizes[case.name])
        took = child(case, size, 2, GIVEN)
        text = (
            took
            if isinstance(took, str)
            else f"{took['peak'] / 1e9:.1f} | {took['seconds']:.1f}"
        )
        print(f"| {case.method} | {case.size} | {size:,} | {text} |", flush=True)


def rounded(size: int) -> str:
    """Two digits, rounded down: 20,400,018 is 20,000,000."""
    unit = 10 ** max(0, len(str(size)) - 2)
    return f"{size // unit * unit:,}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--run", name, size, num_steps, memory_limit]:
            run(
                {case.name: case for case in cases()}[name],
                int(size),
                int(num_steps),
                int(memory_limit),
            )
        case ["--real"]:
            in_earnest()
        case arguments:
            main(shapes="--shapes" in arguments)
