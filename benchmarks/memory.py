"""The memory of one mean-field step at n = 200,000 rows, N = 20,000 particles, d = 20, in a process of its own.

The activations alone would be 16 GB if they were ever whole.
"""

import subprocess
import sys

STEP = """
import resource, time
import jax, numpy as np
import langevax as lx
n, d, N = 200_000, 20, 20_000
rng = np.random.default_rng(0)
X = (rng.standard_normal((n, d)) / np.sqrt(d)).astype(np.float32)
risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, X, np.tanh(3 * X[:, 0]), precision=0.01)
mfld = lx.meanfield.MFLD(step_size=0.1, temperature=0.01)
result = lx.simulate(mfld, risk, risk.prior(0.01, N), key=jax.random.key(0), num_steps=1)
assert np.isfinite(np.asarray(result.position)).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result.seconds)
"""


def main() -> None:
    """Print the peak of resident memory, interpreter and JAX included."""
    out = subprocess.run([sys.executable, "-c", STEP], check=True, capture_output=True, text=True).stdout
    peak, seconds = map(float, out.split())
    print(
        f"one step at n = 200,000, N = 20,000, d = 20: peak {peak:.0f} MiB of at most 1024, "
        f"{seconds:.1f} s with compilation"
    )


if __name__ == "__main__":
    main()
