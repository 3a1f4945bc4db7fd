"""Kernel estimators beside inducing points: `python -m benchmarks kernels [OPTIONS]`.

Friedman's function of ten columns with noise 1; 2,000 held-out rows; a squared exponential kernel on standardised
columns, of one length scale. `KernelLangevinRegressor("rbf")` at its defaults beside GPyTorch's
variational process (Hensman, Fusi, Lawrence, UAI 2013), 512 inducing points that move, batches of 512, Adam, for
which a line is printed whenever its CPU seconds have grown by a factor of 1.6, in one thread.
"""

import argparse
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import make_friedman1

from benchmarks.real_tables.coverage import processor_seconds

NUM_HELD_OUT = 2_000
NUM_INDUCING, BATCH, RATE = 512, 512, 0.02
FIRST_LINE, FACTOR = 5.0, 1.6  # CPU seconds


class Split(NamedTuple):
    """Training rows, and held-out ones."""

    X: np.ndarray
    y: np.ndarray
    Z: np.ndarray
    held_out: np.ndarray


def friedman(num_rows: int) -> Split:
    """Return standardised columns, and targets as they are."""
    X, y = make_friedman1(num_rows + NUM_HELD_OUT, 10, noise=1.0, random_state=0)
    X = (X - X[:num_rows].mean(0)) / X[:num_rows].std(0)
    return Split(X[:num_rows], y[:num_rows], X[num_rows:], y[num_rows:])


def print_line(
    split: Split,
    name: str,
    seconds: float,
    mean: np.ndarray,
    deviation: np.ndarray,
) -> None:
    """Print R2, the mean negative log density of a normal law, and coverage of its bands."""
    residual = split.held_out - mean
    score = 1 - np.mean(residual**2) / np.var(split.held_out)
    loss = np.mean(np.log(2 * np.pi * deviation**2) + (residual / deviation) ** 2) / 2
    inside = np.mean(np.abs(residual) < 1.645 * deviation)
    cells = (
        f"{len(split.y):,}",
        name,
        f"{seconds:.1f}",
        f"{score:.4f}",
        f"{loss:.3f}",
        f"{inside:.2f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


def measure_langevax(split: Split) -> None:
    """Print the line of our estimator at its defaults."""
    from langevax.run import Run
    from langevax.sklearn import KernelLangevinRegressor

    began = processor_seconds()
    options: dict[str, Any] = {"random_state": 0, "run": Run(progress=False)}
    model = KernelLangevinRegressor("rbf", **options).fit(split.X, split.y)
    seconds = processor_seconds() - began
    mean, deviation = model.predict(split.Z, return_std=True)
    print_line(
        split, "langevax", seconds, mean, np.hypot(deviation, model.noise_)
    )  # of a new target


def variational_laws(
    split: Split, seconds: float
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Yield CPU seconds, means and deviations of GPyTorch's process while it is trained."""
    import gpytorch  # pyright: ignore[reportMissingImports]
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    shift, unit = split.y.mean(), split.y.std()
    X, y, Z = (
        torch.tensor(a, dtype=torch.float32)
        for a in (split.X, (split.y - shift) / unit, split.Z)
    )

    class Process(gpytorch.models.ApproximateGP):
        def __init__(self, points: Any):
            law = gpytorch.variational.CholeskyVariationalDistribution(len(points))
            super().__init__(
                gpytorch.variational.VariationalStrategy(
                    self, points, law, learn_inducing_locations=True
                )
            )
            kernel = gpytorch.kernels.RBFKernel()
            kernel.lengthscale = X.shape[1] ** 0.5
            self.mean_module, self.covariance = (
                gpytorch.means.ConstantMean(),
                gpytorch.kernels.ScaleKernel(kernel),
            )

        def forward(self, x: Any) -> Any:
            return gpytorch.distributions.MultivariateNormal(
                self.mean_module(x), self.covariance(x)
            )

    began = processor_seconds()
    process = Process(X[torch.randperm(len(X))[:NUM_INDUCING]].clone())
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    likelihood.noise = 0.1
    bound = gpytorch.mlls.VariationalELBO(likelihood, process, len(X))
    optimizer = torch.optim.Adam(
        [*process.parameters(), *likelihood.parameters()], lr=RATE
    )
    used, next_line = processor_seconds() - began, FIRST_LINE
    while used < seconds:
        began = processor_seconds()
        process.train()
        likelihood.train()
        for rows in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad()
            (-bound(process(X[rows]), y[rows])).backward()
            optimizer.step()
        used += processor_seconds() - began
        if used >= min(next_line, seconds):
            next_line *= FACTOR
            process.eval()
            likelihood.eval()
            law = likelihood(process(Z))
            yield (
                used,
                law.mean.detach().numpy() * unit + shift,
                law.stddev.detach().numpy() * unit,
            )


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table as Markdown, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks kernels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[4_694, 10_000])
    parser.add_argument(
        "--seconds",
        type=float,
        default=40.0,
        help="CPU seconds of GPyTorch's training; %(default)g",
    )
    options = parser.parse_args(arguments)
    print(
        "| rows | | CPU seconds | R2 | negative log density | rows within 90 % bands |"
    )
    print("|---|---|---|---|---|---|")
    warnings.simplefilter("ignore")
    for number in options.rows:
        split = friedman(number)
        measure_langevax(split)
        for law in variational_laws(split, options.seconds):
            print_line(split, "SVGP", *law)
