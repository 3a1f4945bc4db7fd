"""Growth of costs: seconds of a step on one core over three decades of each size, and the exponent at the large end.

Exponents are those of the last decade, with standard errors from five repeats, beside what the algorithm should cost. A
compiled `advance` is called for s and for 3 s steps; their difference over 2 s is a step, without what a run costs at
all. Seconds are those of the processor, bound to one core: other processes take none of them. Written to
out/growth.json, drawn in out/growth.svg and out/growth.png.

    python -m benchmarks growth
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.driver import logistic
from benchmarks.largest import Parts
from langevax.algorithm import trace_floats
from langevax.figures.theme import GREY, METHODS, OKABE_ITO, style
from langevax.problems.problem import Function
from langevax.run import chains, program

REPEATS, LEAST = (
    5,
    0.05,
)  # differences at each size, and seconds that the shorter call takes at least
MOST_STEPS = 10**8


@dataclass(frozen=True)
class Grown:
    """A method, the size that grows, and the seconds of a step: sizes by repeats."""

    method: str
    size: str
    beside: str
    sizes: list[int]
    seconds: list[list[float]]
    expected: float

    @property
    def medians(self) -> list[float]:
        return [float(np.median(each)) for each in self.seconds]

    @property
    def exponent(self) -> float:
        """Of the medians over the last decade: small sizes cost what a step costs at all."""
        return power(self.sizes, self.medians)

    @property
    def error(self) -> float:
        """Standard error of the exponent, from one fit for each repeat."""
        fits = [
            power(self.sizes, list(repeat)) for repeat in np.transpose(self.seconds)
        ]
        return float(np.std(fits, ddof=1) / np.sqrt(len(fits)))


def power(sizes: list[int], seconds: list[float]) -> float:
    """The slope of log seconds in log size over the last decade of sizes."""
    x, y = np.log(sizes), np.log(seconds)
    last = x >= x[-1] - np.log(10) - 1e-9
    return float(np.polyfit(x[last], y[last], 1)[0])


def on_one_core() -> None:
    """Bind this process to a core, before JAX counts those that it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def steps_of(parts: Parts) -> Callable[[int], Any]:
    """steps -> the carry after so many from the start, by one compiled program."""
    problem, algorithm = trace_floats((parts.problem, parts.algorithm), jnp.float32)
    start, number = parts.start, parts.num_chains
    if callable(start):
        start = start(jax.random.key(1))
    if number is not None:
        start = jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), start)
    split = chains.of(start, number)
    run = program.RunParts(algorithm, problem, jax.random.key(0), chains=split)
    carry = program.begin(run, start)

    def advanced(steps: int) -> Any:
        chunk = program.Chunk(run, jnp.int32(steps), jnp.int32(program.NO_GRID))
        return jax.block_until_ready(program.advance(chunk, carry, None)[0])

    return advanced


def seconds_of_a_step(advanced: Callable[[int], Any], unit: int = 1) -> list[float]:
    """One difference for each repeat; steps are whole multiples of `unit`, a period of the algorithm."""

    def took(steps: int) -> float:
        began = time.process_time()
        advanced(steps)
        return time.process_time() - began

    took(unit)
    steps = unit
    while (long := took(steps)) < LEAST and steps < MOST_STEPS:
        steps *= max(2, min(8, round(1.2 * LEAST / max(long, 1e-4))))
    return differences(took, steps)


def differences(
    took: Callable[[int], float], steps: int, repeats: int = REPEATS
) -> list[float]:
    """`repeats` times (took(3 s) - took(s)) / 2 s; one that is not above 0 doubles s, and all are taken again."""
    while True:
        steps_seconds: list[float] = []
        while len(steps_seconds) < repeats:
            short, long = took(steps), took(3 * steps)
            if long <= short:
                break
            steps_seconds.append((long - short) / (2 * steps))
        else:
            return steps_seconds
        steps *= 2
        if steps > MOST_STEPS:
            raise ArithmeticError(
                f"{3 * steps // 2} steps took no longer than {steps // 2}: the clock stands still."
            )


FILE = Path("out/growth.json")
THREE = (100, 1_000, 10_000, 31_623, 100_000)


class Size(NamedTuple):
    """A method, which of its sizes grows, the power expected, and `make(size) -> (parts, steps of a period)`."""

    method: str
    size: str
    beside: str
    sizes: tuple[int, ...]
    expected: float
    make: Callable[[int], tuple[Parts, int]]


def rows_of(size: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(
        (size, columns), np.float32
    ) / np.float32(columns**0.5)


def risk_of(size: int, columns: int, precision: float) -> lx.MeanFieldRisk:
    inputs = rows_of(size, columns)
    return lx.MeanFieldRisk(
        lx.neurons.Tanh(),
        lx.losses.squared,
        inputs,
        np.tanh(3 * inputs[:, 0]),
        precision,
    )


def mfld(size: int = 200, columns: int = 20, particles: int = 200) -> tuple[Parts, int]:
    risk = risk_of(size, columns, 0.01)
    return Parts(
        lx.meanfield.MFLD(step_size=0.1, temperature=0.01),
        risk,
        risk.prior(0.01, particles),
    ), 1


def coordinate(size: int = 200, particles: int = 1_000) -> tuple[Parts, int]:
    """Steps between refreshes: none is due, and at this temperature weights stay even."""
    risk = risk_of(size, 20, 1.0)
    return Parts(
        lx.meanfield.PSDCA(temperature=1.0, period=2**30),
        risk,
        risk.prior(1.0, particles),
    ), 1


def refresh(size: int = 200, particles: int = 200) -> tuple[Parts, int]:
    """A refresh at every step but the first: one move, so two passes of each particle over the rows."""
    risk = risk_of(size, 20, 1.0)
    return Parts(
        lx.meanfield.PSDCA(temperature=1.0, period=1, num_inner_steps=1),
        risk,
        risk.prior(1.0, particles),
    ), 1


def regression(
    gradient: Callable[..., Any], size: int = 10_000, columns: int = 20
) -> tuple[Parts, int]:
    inputs, root = rows_of(size, columns), round(size**0.5)
    problem = lx.FiniteSum(
        logistic, (inputs, np.sign(inputs[:, 0]) + np.float32(0)), precision=1 / size
    )
    return Parts(
        lx.Langevin(0.05, 1 / size, gradient(root, root)), problem, jnp.zeros(columns)
    ), root


def modes(count: int) -> tuple[Parts, int]:
    prior = lx.spaces.GaussianPrior(
        lx.spaces.Cosine(count), lx.spaces.spectra.power(count)
    )
    problem = Function(
        lambda x: jnp.mean(prior.basis.synthesize(x) ** 2) / 2, prior.precision(0.01)
    )
    algorithm = lx.Langevin(0.1, 1.0, integrator=lx.integrators.Exponential())
    return Parts(algorithm, problem, jnp.zeros(count)), 1


def many_chains(count: int) -> tuple[Parts, int]:
    problem = lx.FiniteSum(lambda x, row: ((x - row) ** 2).sum() / 2, rows_of(100, 10))
    return Parts(lx.Langevin(0.1, 0.5), problem, jnp.zeros(10), count), 1


def fledge(
    clients: int = 16, columns: int = 100, num_local_steps: int = 4
) -> tuple[Parts, int]:
    inputs = rows_of(clients * 4, columns).reshape(clients, 4, columns)
    federation = lx.Federation(
        lambda x, row: (row[0] @ x - row[1]) ** 2 / 2,
        (inputs, inputs[..., 0] + np.float32(1)),
    )
    few = max(1, round(clients**0.5))
    method = lx.federated.FLEDGE(
        1e-3, num_local_steps, batch_size=1, clients_per_round=few
    )
    return Parts(method, federation, jnp.zeros(columns)), -(
        -clients // few
    )  # after which its table is folded


def sizes() -> tuple[Size, ...]:
    svrg, sarah = lx.gradients.SVRG, lx.gradients.SARAH
    million, wide = (
        (1_000, 10_000, 100_000, 316_228, 1_000_000),
        (4, 40, 400, 1_265, 4_000),
    )
    smooth = (
        1_000,
        10_000,
        100_000,
        320_000,
        1_000_000,
    )  # no large prime factors, for which a transform is slow
    root = "B = m = √n"
    return (
        Size("MFLD", "rows n", "N = 200, d = 20", THREE, 1, lambda k: mfld(size=k)),
        Size("MFLD", "columns d", "n = N = 200", wide, 1, lambda k: mfld(columns=k)),
        Size(
            "MFLD",
            "particles N",
            "n = 1,000, d = 20",
            THREE,
            1,
            lambda k: mfld(1_000, particles=k),
        ),
        Size(
            "MFLD, one row",
            "particles N",
            "n = 1, d = 20",
            THREE,
            1,
            lambda k: mfld(1, particles=k),
        ),
        Size(
            "P-SDCA, a coordinate",
            "rows n",
            "M = 1,000, d = 20",
            THREE,
            0,
            lambda k: coordinate(size=k),
        ),
        Size(
            "P-SDCA, a coordinate",
            "particles M",
            "n = 200, d = 20",
            THREE,
            1,
            lambda k: coordinate(particles=k),
        ),
        Size(
            "P-SDCA, a refresh",
            "rows n",
            "M = 200, d = 20",
            THREE,
            1,
            lambda k: refresh(size=k),
        ),
        Size(
            "P-SDCA, a refresh",
            "particles M",
            "n = 200, d = 20",
            THREE,
            1,
            lambda k: refresh(particles=k),
        ),
        Size(
            "SVRG-LD",
            "rows n",
            f"{root}, d = 20",
            million,
            0.5,
            lambda k: regression(svrg, size=k),
        ),
        Size(
            "SVRG-LD",
            "columns d",
            f"{root}, n = 10,000",
            wide,
            1,
            lambda k: regression(svrg, columns=k),
        ),
        Size(
            "SARAH-LD",
            "rows n",
            f"{root}, d = 20",
            million,
            0.5,
            lambda k: regression(sarah, size=k),
        ),
        Size("functions", "modes K", "as many grid points", smooth, 1, modes),
        Size(
            "LD",
            "chains",
            "n = 100, d = 10",
            (10, 100, 1_000, 3_162, 10_000),
            1,
            many_chains,
        ),
        Size(
            "FLEDGE",
            "clients P",
            "d = 100, √P asked",
            THREE,
            0.5,
            lambda k: fledge(clients=k),
        ),
        Size(
            "FLEDGE",
            "columns d",
            "P = 16, 4 asked",
            THREE,
            1,
            lambda k: fledge(columns=k),
        ),
        Size(
            "FLEDGE",
            "local steps",
            "P = 16, d = 100",
            wide,
            1,
            lambda k: fledge(num_local_steps=k),
        ),
    )


def measured(size: Size, at: tuple[int, ...] = ()) -> Grown:
    """Seconds of a step at each of the sizes; no refresh may have come where coordinate steps are counted."""
    chosen, seconds = at or size.sizes, []
    for each in chosen:
        parts, unit = size.make(each)
        advanced = steps_of(parts)
        seconds.append(seconds_of_a_step(advanced, unit))
        if size.method == "P-SDCA, a coordinate" and (
            came := int(advanced(1_000).counts["refreshes"].low)
        ):
            raise RuntimeError(
                f"{came} refreshes in 1,000 coordinate steps at {size.size} = {each}."
            )
    return Grown(
        size.method, size.size, size.beside, list(chosen), seconds, size.expected
    )


def main() -> None:
    """Print seconds a step at each end, the exponent of the last decade and the one to expect, in Markdown."""
    on_one_core()
    print(
        "| method | grows | beside it | from | to | us a step | exponent | expected |\n"
        + "|---" * 8
        + "|"
    )
    curves = []
    for size in sizes():
        grown = measured(size)
        curves.append(grown)
        first, last = (1e6 * grown.medians[i] for i in (0, -1))
        ends = f"{grown.sizes[0]:,} | {grown.sizes[-1]:,} | {first:,.1f} to {last:,.0f}"
        exponents = f"{grown.exponent:.2f} ± {grown.error:.2f} | {grown.expected:g}"
        print(
            f"| {grown.method} | {grown.size} | {grown.beside} | {ends} | {exponents} |",
            flush=True,
        )
    written = [
        asdict(grown) | {"exponent": grown.exponent, "error": grown.error}
        for grown in curves
    ]
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(written, indent=1) + "\n")
    draw(curves, FILE.with_suffix(".svg"), FILE.with_suffix(".png"))


OTHERS = {
    "MFLD, one row": (OKABE_ITO[5], "d"),
    "P-SDCA, a coordinate": (OKABE_ITO[3], "^"),
    "P-SDCA, a refresh": (OKABE_ITO[4], "p"),
    "functions": (OKABE_ITO[5], "P"),
    "FLEDGE": (OKABE_ITO[4], "X"),
}
CLOUDS, REST = "particles N, M", "modes K, chains, clients P, local steps"
PANELS = {
    "rows n": "rows n",
    "columns d": "columns d",
    "particles N": CLOUDS,
    "particles M": CLOUDS,
}


def draw(curves: list[Grown], *files: Path) -> None:
    """Log-log panels; every line says its method, its exponent with the standard error, and the expected one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels: dict[str, list[Grown]] = {
        name: [] for name in ("rows n", "columns d", CLOUDS, REST)
    }
    for grown in curves:
        panels[PANELS.get(grown.size, REST)].append(grown)
    with matplotlib.rc_context(style()):
        figure, axes = plt.subplots(2, 2, figsize=(10.5, 8.4))
        for axis, (title, inside) in zip(axes.flat, panels.items(), strict=True):
            for grown in inside:
                one(axis, grown, alone=title != REST)
            axis.set(
                xscale="log",
                yscale="log",
                title=title,
                xlabel="size",
                ylabel="seconds a step, one core",
            )
            low, high = axis.get_ylim()
            axis.set_ylim(low, high * (high / low) ** 0.45)  # space for the names
            axis.legend(
                loc="upper left", fontsize=8.5, handlelength=1.2, labelspacing=0.3
            )
        for file in files:
            figure.savefig(
                file, metadata={"Date": None} if file.suffix == ".svg" else None
            )
        plt.close(figure)


def one(axis, grown: Grown, alone: bool) -> None:
    """Points with the standard error of their repeats, and the expected power through those of the last decade."""
    colour, marker = OTHERS.get(grown.method) or METHODS.get(grown.method, (GREY, "."))
    x, y = np.asarray(grown.sizes, float), np.asarray(grown.medians)
    spread = np.std(grown.seconds, axis=1, ddof=1) / np.sqrt(len(grown.seconds[0]))
    filled = colour if grown.size != "local steps" else "none"
    name = grown.method if alone else f"{grown.method}, {grown.size}"
    label = (
        f"{name}: {grown.exponent:.2f} ± {grown.error:.2f}, expected {grown.expected:g}"
    )
    axis.errorbar(
        x,
        y,
        spread,
        fmt=marker,
        color=colour,
        markerfacecolor=filled,
        label=label,
        elinewidth=0.8,
    )
    last = x >= x[-1] / 10.001
    middle = np.exp(np.mean(np.log(y[last]) - grown.expected * np.log(x[last])))
    ends = np.array([x[last][0], x[-1]])
    axis.plot(ends, middle * ends**grown.expected, color=colour)


if __name__ == "__main__":
    main()
