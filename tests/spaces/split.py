"""Functions on four virtual devices, `python -m tests.spaces.split`: facts for `test_split.py` as one JSON line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import langevax
from langevax import spaces
from tests.run.sharded import communication

STEPS = 20
SQUARE = [spaces.Cosine(8, 12), spaces.Fourier(8)]  # 8 x 8 modes on 12 x 16 points
LINE = spaces.Cosine(32)


class Bump(langevax.neurons.Linear):
    """`tanh <f, x>` of a function f on its grid."""

    def __call__(self, particle, x):
        return jnp.tanh(jnp.mean(LINE.synthesize(particle) * x))


def regression(basis):
    """A function whose tanh is near to three others, under a prior."""
    prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.3))
    rows = np.random.default_rng(0).normal(size=(3, len(basis.grid))).astype(np.float32)

    def loss(x, row):
        return jnp.mean((jnp.tanh(basis.synthesize(x)) - row) ** 2)

    return langevax.FiniteSum(loss, rows, precision=prior.precision(0.1))


def curvature(basis):
    """x -> a product of the Hessian of a function of x: transforms, transposed ones, and their tangents."""

    def energy(x):
        return jnp.sum(jnp.sin(basis.synthesize(x))) + jnp.sum(
            basis.analyze(basis.synthesize(x) ** 2) ** 2
        )

    return lambda x: jax.jvp(jax.grad(energy), (x,), (jnp.cos(x),))[1]


def over(devices, *names):
    """A sharding of axis 0 of a position."""
    mesh = Mesh(np.asarray(jax.devices()[:devices]), names)
    return NamedSharding(mesh, PartitionSpec(*names))


def error(left, right):
    """The greatest, over the greatest number."""
    return float(
        np.abs(np.asarray(left) - np.asarray(right)).max()
        / np.abs(np.asarray(right)).max()
    )


def main():
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update(
        "jax_disable_most_optimizations", True
    )  # what is sent stays, in two thirds of the time
    langevin = langevax.Langevin(
        0.1, 0.01, integrator=langevax.integrators.Exponential()
    )
    inputs = np.random.default_rng(1).normal(size=(5, 32)).astype(np.float32)
    risk = langevax.MeanFieldRisk(
        Bump(), langevax.losses.squared, inputs, inputs[:, 0], precision=0.1
    )
    cloud = 0.3 * jax.random.normal(jax.random.key(1), (8, 32))
    square = spaces.TensorProduct(SQUARE)
    cases = {
        "particles": (langevax.meanfield.MFLD(0.1, 0.01), risk, cloud, None),
        "chains": (langevin, regression(square), jnp.zeros((8, 64)), 8),
        "modes": (langevin, regression(square), jnp.zeros(64), None),
        "modes of a line": (langevin, regression(LINE), jnp.zeros(32), None),
    }
    facts = {"sent": {}, "errors": {}}
    for name, (algorithm, problem, start, num_chains) in cases.items():
        devices = over(4, "modes")
        facts["sent"][name] = communication(
            algorithm, problem, start, devices, num_chains=num_chains
        )
        if name in ("particles", "modes", "modes of a line"):
            options = {"key": jax.random.key(0), "num_steps": STEPS}
            one = langevax.simulate(algorithm, problem, start, **options)
            shared = langevax.simulate(
                algorithm, problem, start, sharding=devices, **options
            )
            facts["errors"][name] = error(shared.position, one.position)

    mesh = Mesh(np.asarray(jax.devices()).reshape(2, 2), ("functions", "modes"))
    with jax.enable_x64():
        for name, basis in {"line": LINE, "square": square}.items():
            x = jnp.asarray(np.random.default_rng(2).normal(size=(4, basis.num_modes)))
            product = jax.vmap(curvature(basis), in_axes=1, out_axes=1)
            split = jax.device_put(
                x.T, NamedSharding(mesh, PartitionSpec("modes", "functions"))
            )
            facts["errors"][f"curvature on a {name}"] = error(
                jax.jit(product)(split), product(x.T)
            )
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
