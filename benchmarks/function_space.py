"""Functions as unknowns: what a step costs for many modes, what the semi-implicit step saves, and fast transforms.

A step of Langevin dynamics with a trace-class prior, per integrator, beside drawing its normal numbers alone in a
compiled loop; the steps that the semi-implicit and the explicit scheme need, exactly, to bring the law of the low modes
within a Wasserstein distance; `synthesize` and `analyze` beside the bare transforms of JAX.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.case import Candidate, Case
from benchmarks.beside.measure import in_turns, median, ratio
from benchmarks.driver import simulated
from langevax.keys import unrolled
from langevax.problems.problem import Function
from papers.function_space_laws import stability_limit, steps_to_wasserstein

MODES = (1_000, 10_000, 100_000, 1_000_000)
RIDGE, TEMPERATURE, STEP_SIZE = 0.01, 1.0, 0.1
LOW, SHARE = (
    50,
    0.1,
)  # the modes whose law counts, and the distance to it as a share of their spread


def target(num_modes: int) -> Function:
    """A quadratic loss of 1 / (k + 1) in each mode, and the penalty of eigenvalues (k + 1)^-2."""
    basis = lx.spaces.Cosine(num_modes)
    prior = lx.spaces.GaussianPrior(basis, lx.spaces.spectra.power(num_modes))
    curvature = jnp.asarray(1 / np.arange(1.0, num_modes + 1), jnp.float32)
    return Function(lambda x: jnp.vdot(curvature, x * x) / 2, prior.precision(RIDGE))


def on_a_grid(num_modes: int) -> Function:
    """Cauchy's loss at each point of a grid, the same penalty: a gradient takes a transform and its transpose."""
    basis = lx.spaces.Cosine(num_modes)
    prior = lx.spaces.GaussianPrior(basis, lx.spaces.spectra.power(num_modes))
    return Function(
        lambda x: jnp.mean(jnp.log1p(basis.synthesize(x) ** 2)) / 2,
        prior.precision(RIDGE),
    )


def langevin(
    problem: Callable[[int], Function], num_modes: int, steps: int
) -> Callable[[], jax.Array]:
    """Semi-implicit steps."""
    chain = lx.Langevin(
        STEP_SIZE, TEMPERATURE, integrator=lx.integrators.SemiImplicit()
    )
    return simulated(chain, problem(num_modes), jnp.zeros(num_modes), steps)


def compiled(
    body: Callable[[jax.Array, jax.Array], jax.Array], num_modes: int, steps: int
) -> Callable[[], jax.Array]:
    """body(numbers, i) again and again in a compiled loop."""
    loop = jax.jit(lambda x: jax.lax.fori_loop(0, steps, lambda i, x: body(x, i), x))
    start = jnp.ones(num_modes)
    return lambda: loop(start).block_until_ready()


def with_normals(total: jax.Array, i: jax.Array) -> jax.Array:
    """A draw for each mode."""
    return total + jax.random.normal(
        jax.random.fold_in(unrolled(jax.random.key(0)), i), total.shape
    )


def with_transforms(x: jax.Array, i: jax.Array) -> jax.Array:
    """There and back."""
    back = jax.scipy.fft.dct(jax.scipy.fft.idct(x, norm="ortho"), norm="ortho")
    return x - 1e-3 * jax.lax.optimization_barrier(back)


def case(
    name: str,
    problem: Callable[[int], Function],
    num_modes: int,
    floors: dict[str, Any],
) -> Case:
    """A step, and parts of it alone; aims are named with the floors."""
    steps = max(40, 4_000_000 // num_modes)
    return Case(
        f"functions, {name}, {num_modes:,} modes",
        "a step",
        (
            Candidate(
                "langevax",
                functools.partial(langevin, problem, num_modes),
                steps,
                "ours",
            ),
            *(
                Candidate(
                    floor,
                    functools.partial(compiled, body, num_modes),
                    steps,
                    "floor",
                    aim=aim,
                )
                for floor, (body, aim) in floors.items()
            ),
        ),
    )


def both(x: jax.Array, i: jax.Array) -> jax.Array:
    """Transforms and normals."""
    return with_normals(with_transforms(x, i), i)


ALONE = {"its normals alone": (with_normals, 1.5)}
WITH_TRANSFORMS = {
    "two transforms alone": (with_transforms, None),
    "two transforms and normals, together": (both, None),
}
CASES = (
    *(
        case("loss by modes", target, num_modes, ALONE)
        for num_modes in (10_000, 1_000_000)
    ),
    *(
        case("loss on a grid", on_a_grid, num_modes, WITH_TRANSFORMS)
        for num_modes in (16_384, 262_144)
    ),
)


def steps() -> None:
    """Time of a step by either integrator, and its ratio to drawing alone."""
    print("modes | us a step: semi-implicit | exponential | normals alone | ratios")
    for num_modes in MODES:
        count = max(20, 4_000_000 // num_modes)
        exponential = lx.Langevin(
            STEP_SIZE, TEMPERATURE, integrator=lx.integrators.Exponential()
        )
        candidates = {
            "semi-implicit": langevin(target, num_modes, count),
            "exponential": simulated(
                exponential, target(num_modes), jnp.zeros(num_modes), count
            ),
            "normals": compiled(with_normals, num_modes, count),
        }
        times = in_turns(candidates)
        each = [median(times[name]) / count * 1e6 for name in candidates]
        ratios = [
            ratio(times, name, "normals") for name in ("semi-implicit", "exponential")
        ]
        print(
            f"{num_modes:>9,} | {each[0]:9.1f} | {each[1]:9.1f} | {each[2]:9.1f} | {ratios[0]:.2f} {ratios[1]:.2f}"
        )


def wasserstein() -> None:
    """Steps to the law of the low modes: each scheme at the best step of a grid below its limit."""
    for num_modes in (64, 512, 4096, 65_536):
        modes = np.arange(1.0, num_modes + 1)
        precision, curvature = RIDGE * modes**2, 1 / modes
        spread = np.sqrt(np.sum(TEMPERATURE / (precision + curvature)[:LOW]))
        fewest = {}
        for name in ("semi_implicit", "explicit"):
            limit = min(stability_limit(name, precision, curvature), 2.0)
            tries = [
                steps_to_wasserstein(
                    name,
                    h,
                    precision[:LOW],
                    curvature[:LOW],
                    TEMPERATURE,
                    SHARE * spread,
                )
                for h in limit
                * np.array([0.99, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01])
            ]
            fewest[name] = min(tries)
        ours, euler = fewest["semi_implicit"], fewest["explicit"]
        print(
            f"{num_modes:>7,} modes: {ours:,.0f} steps semi-implicit, {euler:,.0f} explicit, ratio {euler / ours:,.0f}"
        )


def transforms() -> None:
    """The bases' transforms beside JAX's own."""
    for num_modes in (1024, 16_384, 262_144):
        cosine, fourier = (
            lx.spaces.Cosine(num_modes),
            lx.spaces.Fourier(num_modes - 1, num_points=num_modes),
        )
        x = jnp.ones(num_modes)
        half = jax.lax.complex(
            jnp.ones(num_modes // 2 + 1), jnp.zeros(num_modes // 2 + 1)
        )
        bare_cosine = jax.jit(lambda x: jax.scipy.fft.idct(x, norm="ortho"))
        bare_fourier = jax.jit(lambda s, n=num_modes: jnp.fft.irfft(s, n))
        ours = {
            "cosine": cosine.synthesize,
            "fourier": fourier.synthesize,
        }  # as a user calls them
        repeat = max(1, 200_000 // num_modes) * 20

        def many(function, argument, repeat=repeat):
            def call():
                for _ in range(repeat):
                    last = function(argument)
                last.block_until_ready()

            return call

        times = in_turns(
            {
                "cosine": many(ours["cosine"], x),
                "idct": many(bare_cosine, x),
                "fourier": many(ours["fourier"], x[1:]),
                "irfft": many(bare_fourier, half),
            }
        )
        line = ", ".join(
            f"{name} {median(t) / repeat * 1e6:.0f}" for name, t in times.items()
        )
        ratios = ratio(times, "cosine", "idct"), ratio(times, "fourier", "irfft")
        print(
            f"{num_modes:>8,} points, us: {line}; ratios {ratios[0]:.2f} {ratios[1]:.2f}"
        )


def main() -> None:
    """All three."""
    steps()
    wasserstein()
    transforms()


if __name__ == "__main__":
    main()
