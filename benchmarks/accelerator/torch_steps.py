"""Steps by PyTorch where it computes fastest, eager or each compiled as a whole; the same as those of `jax_steps`.

Mean-field steps are those of `benchmarks.mfld_torch`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.accelerator.jax_steps import FIRST_DESCENT, Training


def device_of() -> str:
    """Return the device that PyTorch computes on."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def on_device(*arrays: np.ndarray) -> list[Any]:
    """Return arrays where PyTorch computes fastest."""
    import torch

    return [torch.tensor(np.asarray(array), device=device_of()) for array in arrays]


def loop(
    step: Callable[..., Any],
    state: Callable[[], Any],
    steps: int,
    backend: str | None,
    other: Callable[..., Any] | None = None,
    is_other: Callable[[int], bool] = lambda number: False,
) -> Callable[[], Any]:
    """Return a run of `steps` steps, compiled by `backend`, or eager where it is None; those of `other` by number."""
    import torch

    def advance(function: Any) -> Any:
        return (
            function
            if backend is None
            else torch.compile(function, fullgraph=True, backend=backend)
        )

    usual, unusual = advance(step), advance(other) if other else None

    def run() -> Any:
        current = state()
        for number in range(steps):
            current = (unusual if unusual and is_other(number) else usual)(*current)
        return current[0].cpu()

    return run


def functions(
    num_modes: int, steps: int, step_size: float, ridge: float, backend: str | None
) -> Callable[[], Any]:
    """Return semi-implicit steps for the quadratic loss 1 / (k + 1) and the penalty ridge (k + 1)^2."""
    import torch

    modes = torch.arange(1.0, num_modes + 1, device=device_of())
    curvature, gain = 1 / modes, 1 / (1 + step_size * ridge * modes**2)
    spread = (2 * step_size) ** 0.5

    def step(x: Any) -> tuple[Any]:
        return (gain * (x - step_size * curvature * x + spread * torch.randn_like(x)),)

    return loop(
        step, lambda: (torch.zeros(num_modes, device=device_of()),), steps, backend
    )


def chains(
    rows: tuple[np.ndarray, np.ndarray],
    num_chains: int,
    batch_size: int,
    period: int | None,
    steps: int,
    step_size: float,
    temperature: float,
    backend: str | None,
) -> Callable[[], Any]:
    """Return steps of SVRG-LD on the logistic risk, a full pass every `period`; of SGLD where that is None."""
    import torch

    inputs, labels = on_device(*rows)
    size, spread = len(labels), (2 * step_size * temperature) ** 0.5

    def slopes(w: Any, x: Any, y: Any) -> Any:
        margins = torch.einsum("cbd,cd->cb", x, w) * y
        return torch.einsum("cbd,cb->cd", x, -y * torch.sigmoid(-margins)) / x.shape[1]

    def drawn() -> tuple[Any, Any]:
        indices = torch.randint(0, size, (num_chains, batch_size), device=inputs.device)
        return inputs[indices], labels[indices]

    def moved(w: Any, direction: Any) -> Any:
        return w - step_size * (direction + w / size) + spread * torch.randn_like(w)

    def minibatch(w: Any) -> tuple[Any]:
        return (moved(w, slopes(w, *drawn())),)

    def correct(w: Any, anchor: Any, full: Any) -> tuple[Any, Any, Any]:
        x, y = drawn()
        return moved(w, slopes(w, x, y) - slopes(anchor, x, y) + full), anchor, full

    def refresh(w: Any, anchor: Any, full: Any) -> tuple[Any, Any, Any]:
        new = -(labels * torch.sigmoid(-(w @ inputs.T) * labels)) @ inputs / size
        return moved(w, new), w, new

    def zeros() -> Any:
        return torch.zeros(num_chains, inputs.shape[1], device=inputs.device)

    if period is None:
        return loop(minibatch, lambda: (zeros(),), steps, backend)
    return loop(
        correct,
        lambda: (zeros(), zeros(), zeros()),
        steps,
        backend,
        refresh,
        lambda number: number % period == 0,
    )


def fedavg(
    rows: tuple[np.ndarray, np.ndarray],
    chosen: int,
    local_steps: int,
    steps: int,
    step_size: float,
    backend: str | None,
) -> Callable[[], Any]:
    """Return rounds of FedAvg on the squared loss, the chosen clients side by side, with one row a local step."""
    import torch

    inputs, targets = on_device(*rows)
    num_clients, num_rows, dim = inputs.shape

    def step(position: Any) -> tuple[Any]:
        clients = torch.randperm(num_clients, device=inputs.device)[:chosen]
        ends = position.expand(chosen, dim)
        for _ in range(local_steps):
            drawn = torch.randint(0, num_rows, (chosen,), device=inputs.device)
            x = inputs[clients, drawn]
            residuals = (x * ends).sum(1) - targets[clients, drawn]
            ends = ends - step_size * residuals[:, None] * x
        return (ends.mean(0),)

    return loop(step, lambda: (torch.zeros(dim, device=inputs.device),), steps, backend)


def fledge(
    rows: tuple[np.ndarray, np.ndarray],
    chosen: int,
    local_steps: int,
    steps: int,
    step_size: float,
    backend: str | None,
) -> Callable[[], Any]:
    """Return rounds of FLEDGE on the squared loss, its table replaced in place and folded every P / p rounds."""
    import torch

    inputs, targets = on_device(*rows)
    num_clients, num_rows, dim = inputs.shape
    every, rest = -(-num_clients // chosen), 1 - chosen / num_clients

    def gradients(position: Any, x: Any, y: Any) -> Any:
        residuals = x @ position - y
        return torch.einsum("cr,crd->cd", residuals, x) / x.shape[1]

    def step(
        position: Any, v: Any, shift: Any, table: Any
    ) -> tuple[Any, Any, Any, Any]:
        client, w = torch.randint(0, num_clients, (1,), device=inputs.device), v
        before, here = position, position - step_size * v
        for _ in range(local_steps - 1):
            row = torch.randint(0, num_rows, (1,), device=inputs.device)
            x, y = inputs[client, row][None], targets[client, row][None]
            w = w + (gradients(here, x, y) - gradients(before, x, y))[0]
            before, here = here, here - step_size * w
        clients = torch.randperm(num_clients, device=inputs.device)[:chosen]
        x, y, old = inputs[clients], targets[clients], table[clients]
        new, last = gradients(here, x, y), gradients(position, x, y)
        change, residual = (new - last).mean(0), new - (old + shift)
        shift = shift + change
        table[clients] = new - shift
        return here, v + rest * change + residual.sum(0) / num_clients, shift, table

    def folding(*state: Any) -> tuple[Any, Any, Any, Any]:
        position, _, shift, table = step(*state)
        table += shift
        return position, table.mean(0), torch.zeros_like(shift), table

    def start() -> tuple[Any, Any, Any, Any]:
        zeros = torch.zeros(dim, device=inputs.device)
        table = gradients(zeros, inputs, targets)
        return zeros, table.mean(0), zeros, table

    return loop(
        step, start, steps, backend, folding, lambda number: number % every == every - 1
    )


def descents(
    inputs: np.ndarray,
    tilt: np.ndarray,
    deviations: np.ndarray,
    starts: np.ndarray,
    steps: int,
    backend: str | None,
) -> Callable[[], Any]:
    """Return descents of |x|^2 / 2 - v that never go up, each with a step size of its own."""
    import torch

    rows, weights, scales, first = on_device(inputs, tilt, deviations, starts)

    def energies(cloud: Any) -> tuple[Any, Any]:
        neurons = cloud * scales
        energy = (cloud**2).sum(1) / 2 - torch.tanh(
            neurons[:, :-1] @ rows.T + neurons[:, -1:]
        ) @ weights
        return energy.sum(), energy

    slope = torch.func.grad(energies, has_aux=True)

    def step(
        cloud: Any, value: Any, gradient: Any, size: Any
    ) -> tuple[Any, Any, Any, Any]:
        proposal = cloud - size[:, None] * gradient
        new_gradient, new_value = slope(proposal)
        down = new_value < value
        return (
            torch.where(down[:, None], proposal, cloud),
            torch.where(down, new_value, value),
            torch.where(down[:, None], new_gradient, gradient),
            torch.where(down, 1.5, 0.5) * size,
        )

    def start() -> tuple[Any, Any, Any, Any]:
        gradient, value = slope(first)
        return first, value, gradient, FIRST_DESCENT / (1 + gradient.norm(dim=1))

    return loop(step, start, steps, backend)


def trained(
    problem: Training, batch_size: int | None, steps: int, backend: str | None
) -> Callable[[], Any]:
    """Return noisy descent of the squared loss of a network, on batches drawn with replacement or on all rows."""
    import torch

    inputs, targets, first, decay, drift, spread = on_device(
        problem.inputs,
        problem.targets,
        problem.start,
        problem.decay,
        problem.drift,
        problem.spread,
    )

    def risk(cloud: Any, x: Any, y: Any) -> Any:
        hidden = torch.tanh(cloud[:, 1:-1] @ x.T + cloud[:, -1:])
        outputs = problem.output_scale * torch.tanh(cloud[:, 0]) @ hidden / len(cloud)
        return ((outputs - y) ** 2).mean() / 2 * len(cloud)

    def step(cloud: Any) -> tuple[Any]:
        x, y = inputs, targets
        if batch_size is not None:
            rows = torch.randint(0, len(targets), (batch_size,), device=inputs.device)
            x, y = inputs[rows], targets[rows]
        return (
            decay * cloud
            - drift * torch.func.grad(risk)(cloud, x, y)
            + spread * torch.randn_like(cloud),
        )

    return loop(step, lambda: (first,), steps, backend)
