"""The mean-field step that all candidates take, and its PyTorch versions, eager and compiled; without JAX."""

from collections.abc import Callable
from typing import Any

import numpy as np

SHAPES = [(1000, 20, 1024), (442, 10, 1024), (2000, 50, 2048), (500, 10, 10240)]
STEP_SIZE, TEMPERATURE, PRECISION = 0.1, 0.01, 0.01


def table(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal inputs over sqrt(d), and a bounded target."""
    rng = np.random.default_rng(0)
    inputs = (rng.standard_normal((n, d)) / np.sqrt(d)).astype(np.float32)
    return inputs, np.tanh(inputs[:, 0] * 3).astype(np.float32)


def cloud_of(d: int, num_particles: int) -> np.ndarray:
    """Return the start of all candidates: a draw of the prior."""
    return np.random.default_rng(1).standard_normal((num_particles, d + 1), np.float32)


def spread(temperature: float) -> float:
    """Of a step's noise."""
    return (2 * STEP_SIZE * temperature) ** 0.5


FUSED = ("torch._dynamo", "torch._inductor.compile_fx")  # what compiling imports


def torch_problem(
    n: int, d: int, num_particles: int
) -> tuple[Callable[[Any], Any], Callable[[], Any]]:
    """The risk of a cloud, and the start, where PyTorch computes fastest."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    inputs, targets = (torch.from_numpy(a).to(device) for a in table(n, d))

    def risk(cloud: Any) -> Any:
        outputs = torch.tanh(inputs @ cloud[:, :-1].T + cloud[:, -1]).mean(1)
        return (
            0.5 * ((outputs - targets) ** 2).mean() * num_particles
            + PRECISION / 2 * (cloud**2).sum()
        )

    return risk, lambda: torch.from_numpy(cloud_of(d, num_particles)).to(device)


def torch_loop(
    n: int, d: int, num_particles: int, steps: int, temperature: float = TEMPERATURE
) -> Callable[[], Any]:
    """The loop that people write: autograd, eager, the usual three lines."""
    import torch

    risk, start = torch_problem(n, d, num_particles)

    def run() -> Any:
        cloud = start().requires_grad_()
        for _ in range(steps):
            (gradient,) = torch.autograd.grad(risk(cloud), cloud)
            with torch.no_grad():
                cloud.add_(gradient, alpha=-STEP_SIZE).add_(
                    torch.randn_like(cloud), alpha=spread(temperature)
                )
        return cloud.detach().cpu()

    return run


def torch_compiled(
    n: int,
    d: int,
    num_particles: int,
    steps: int,
    temperature: float = TEMPERATURE,
    backend: str = "inductor",
) -> Callable[[], Any]:
    """The whole step, noise and gradient inside, by `torch.compile`; a graph break would be an error."""
    import torch

    risk, start = torch_problem(n, d, num_particles)

    def step(cloud: Any) -> Any:
        return (
            cloud
            - STEP_SIZE * torch.func.grad(risk)(cloud)
            + spread(temperature) * torch.randn_like(cloud)
        )

    compiled = torch.compile(step, fullgraph=True, backend=backend)

    def run() -> Any:
        cloud = start()
        for _ in range(steps):
            cloud = compiled(cloud)
        return cloud.cpu()

    return run
