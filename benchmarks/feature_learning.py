"""Closed forms of one gradient step against the iteration that codes of Gaussian covariate models run, on one grid.

The iteration is that of Loureiro et al. (NeurIPS 2021): sample W0, form the covariance of the Gaussian equivalent, and
iterate (V, q, m) over its spectrum for every point. Both see the same grid of n / d and ridges; numbers differ by the
sampled W0. The table below holds the closed form against networks that take the step.
"""

import numpy as np
from scipy.special import erf

from benchmarks.beside.measure import in_turns, median, ratio
from langevax.theory.feature_learning import (
    errors_one_step,
    gaussian_equivalent,
    hermite_coefficients,
)

SAMPLES = np.linspace(0.5, 8, 20)
RIDGES = np.geomspace(1e-3, 1, 20)
DIM, NEURONS_PER_DIM, STEP, NOISE = 300, 2.0, 1.0, 0.1
TOLERANCE, SWEEPS = 1e-7, 1000
POINTS = (
    (0.5, 1),
    (1, 2),
    (2.5, 0.5),
    (3, 1.5),
    (4, 2),
    (6, 1),
    (6, 3),
    (8, 2),
    (8, 4),
)
"""n / d and N / d where networks take the step."""
STEPS, RIDGE = (0.0, 1.0, 3.0), 0.01


def spectrum(samples_per_dim: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Eigenvalues, squared overlaps times N, and label variance of one sampled layer after its step."""
    rng = np.random.default_rng(0)
    neurons, student, teacher = (
        int(NEURONS_PER_DIM * DIM),
        hermite_coefficients("erf"),
        hermite_coefficients("erf"),
    )
    total = teacher.linear**2 + teacher.rest**2 + NOISE**2
    beta = np.eye(DIM)[0]
    w, a = (
        rng.normal(size=(DIM, neurons)) / DIM**0.5,
        rng.normal(size=neurons) / neurons**0.5,
    )
    u = teacher.linear * beta + rng.normal(size=DIM) * np.sqrt(
        total / (samples_per_dim * DIM)
    )
    design = gaussian_equivalent(
        w + STEP * student.linear * np.outer(u, a), beta, "erf", "erf"
    )
    eigenvalues, vectors = np.linalg.eigh(design.covariance)
    return eigenvalues, neurons * (vectors.T @ design.target_covariance) ** 2, total


def iterate(
    omega: np.ndarray, overlap: np.ndarray, total: float, alpha: float, ridge: float
) -> float:
    """(V, q, m) until they move by less than TOLERANCE."""
    V, q, m = 1.0, 0.5, 0.1
    for _ in range(SWEEPS):
        V_hat, q_hat = alpha / (1 + V), alpha * (total + q - 2 * m) / (1 + V) ** 2
        below = alpha * ridge + V_hat * omega
        new_V = np.mean(omega / below)
        new_q = np.mean((q_hat * omega**2 + V_hat**2 * omega * overlap) / below**2)
        new_m = V_hat * np.mean(overlap / below)
        moved = max(abs(new_V - V), abs(new_q - q), abs(new_m - m))
        V, q, m = new_V, new_q, new_m
        if moved < TOLERANCE:
            break
    return float(total + q - 2 * m - NOISE**2)


def peer(
    spectra: list[tuple[np.ndarray, np.ndarray, float]] | None = None,
) -> np.ndarray:
    """The grid by iteration; each spectrum is had once for all ridges, or handed in."""
    each = spectra or (spectrum(n) for n in SAMPLES)
    pairs = zip(each, SAMPLES, strict=True)
    return np.array(
        [
            [iterate(*s, n / NEURONS_PER_DIM, ridge) for ridge in RIDGES]
            for s, n in pairs
        ]
    )


def ours() -> np.ndarray:
    """The grid by the closed form."""
    return errors_one_step(
        SAMPLES[:, None], NEURONS_PER_DIM, RIDGES, STEP, "erf", "erf", NOISE
    ).risk


def network(
    rng: np.random.Generator, n: int, neurons: int, ridge: float, step: float, dim: int
) -> float:
    """The test risk of one erf network after its step on an erf teacher and ridge on fresh samples."""
    w, a = (
        rng.normal(size=(dim, neurons)) / dim**0.5,
        rng.normal(size=neurons) / neurons**0.5,
    )
    x = rng.normal(size=(n, dim))
    y = erf(x[:, 0]) + NOISE * rng.normal(size=n)
    hidden = x @ w
    residual = y - erf(hidden) @ a / neurons**0.5
    w = (
        w
        + step
        * x.T
        @ (np.outer(residual, a) * 2 / np.pi**0.5 * np.exp(-(hidden**2)))
        / n
    )
    x = rng.normal(size=(n, dim))
    features, y = erf(x @ w), erf(x[:, 0]) + NOISE * rng.normal(size=n)
    outer = np.linalg.solve(
        features.T @ features / n + ridge * np.eye(neurons), features.T @ y / n
    )
    x = rng.normal(size=(4 * dim, dim))
    return float(np.mean((erf(x @ w) @ outer - erf(x[:, 0])) ** 2))


def agreement(dim: int = 500, draws: int = 4) -> None:
    """Nine points, three steps each."""
    print(
        f"\n{'n/d':>5} {'N/d':>5}"
        + "".join(f"{f'step {eta}: network':>18} {'closed':>8}" for eta in STEPS)
    )
    off = []
    for n, neurons in POINTS:
        row = f"{n:>5} {neurons:>5}"
        for eta in STEPS:
            rng = np.random.default_rng(1)
            risks = [
                network(rng, int(n * dim), int(neurons * dim), RIDGE, eta, dim)
                for _ in range(draws)
            ]
            closed = errors_one_step(n, neurons, RIDGE, eta, "erf", "erf", NOISE).risk
            off.append(abs(np.mean(risks) / closed - 1))
            row += f"{np.mean(risks):>10.4f}+-{np.std(risks, ddof=1) / draws**0.5:.4f} {closed:>8.4f}"
        print(row, flush=True)
    print(
        f"relative difference: mean {np.mean(off):.1%}, largest {np.max(off):.1%} ({draws} draws, d = {dim})"
    )


def main() -> None:
    """Print how much faster the closed form is, the cost of a point by each method, and the agreement."""
    spectra = [spectrum(n) for n in SAMPLES]
    times = in_turns(
        {"whole": peer, "iteration": lambda: peer(spectra), "ours": ours}, repeats=5
    )
    points = SAMPLES.size * RIDGES.size
    print(
        f"{points} points, {int(NEURONS_PER_DIM * DIM)} neurons where weights are sampled: ms a point, times ours"
    )
    for name, label in (
        ("whole", "covariance, spectrum, iteration"),
        ("iteration", "iteration alone"),
    ):
        print(
            f"  {label:<32} {median(times[name]) / points * 1e3:>9.4f} {ratio(times, name, 'ours'):>6.0f}"
        )
    print(f"  {'closed form':<32} {median(times['ours']) / points * 1e3:>9.4f}")
    difference = np.median(np.abs(peer(spectra) / ours() - 1))
    print(
        f"  risks differ by {difference:.1%} (median), which is what sampling one W0 does"
    )

    many = np.linspace(0.5, 8, 10_000)

    def long_call(readout: str) -> None:
        how = {"num_neurons": 1000, "readout": readout}
        errors_one_step(
            SAMPLES, NEURONS_PER_DIM, 1e-3, 1000**0.5, "erf", "erf", NOISE, **how
        )

    calls = {
        "closed, 10,000 in one call": (
            len(many),
            lambda: (
                errors_one_step(
                    many, NEURONS_PER_DIM, 1e-3, STEP, "erf", "erf", NOISE
                ).risk
            ),
        ),
        "unified, gaussian readouts": (
            len(SAMPLES),
            lambda: long_call("gaussian"),
        ),
        "unified, constant readouts": (
            len(SAMPLES),
            lambda: long_call("constant"),
        ),
    }
    took = in_turns({name: call for name, (_, call) in calls.items()}, repeats=5)
    for name, (size, _) in calls.items():
        print(f"  {name:<32} {median(took[name]) / size * 1e3:>9.4f}")
    agreement()


if __name__ == "__main__":
    main()
