"""PyTorch modules as clients: their gradients for federated methods, their parameters as positions and back.

A position is a dict, name -> float32 array, of the parameters with `requires_grad`. The rest of a module is fixed and
not sent: frozen parameters, and buffers, of which every call gets copies. So all clients and the server must build the
same module, for example from one seed or one file. Nothing is pickled. If several clients share a machine, call
`torch.set_num_threads(1)` in the app so that they do not slow each other down. The examples are run by
tests/flower/test_torch.py.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch
from torch.nn.modules import batchnorm, dropout

from langevax import checks
from langevax._typing import PyTree
from langevax.problems.external import ExternalSum


def torch_problem(module: Any, loss: Any, rows: Any) -> ExternalSum:
    """The mean of a PyTorch loss over rows, with a position of `torch_start(module)`.

        value(position) = loss(module(inputs), targets)

    The module is called in its present mode, on its device, with at most 4096 rows at once.

    Args:
        module: a `torch.nn.Module` with float32 parameters whose output for a row depends on that row alone. Build it
            once in a process: each new module compiles a new program.
        loss: `loss(outputs, targets) -> scalar`, the mean over the rows, such as
            `torch.nn.functional.cross_entropy`. Define it once: each new function compiles a new program.
        rows: (inputs, targets), each a NumPy array or tensor with one row per example along axis 0; several inputs as
            a tuple. Floating rows become float32; integers reach the module and the loss in their own dtype.

    Raises:
        TypeError: not a module, a loss that is not callable, or rows that are not a pair.
        ValueError: parameters that are not float32, or none; active dropout; batch normalisation with statistics of the
            batch; a loss that is not a mean over rows; integers beyond 32 bits; as a `jax.errors.JaxRuntimeError`, a
            position with other names or shapes than the parameters.

    Example:
        >>> import numpy as np, torch  # doctest: +SKIP
        >>> from langevax.flower import torch_problem, torch_start  # doctest: +SKIP
        >>> line = torch.nn.Linear(1, 1, bias=False)  # doctest: +SKIP
        >>> rows = np.array([[1.0], [2.0]], np.float32), np.array([[1.0], [1.0]], np.float32)  # doctest: +SKIP
        >>> problem = torch_problem(line, torch.nn.functional.mse_loss, rows)  # doctest: +SKIP
        >>> problem.gradient({"weight": np.zeros((1, 1), np.float32)})  # doctest: +SKIP
        {'weight': Array([[-3.]], dtype=float32)}
    """
    start = torch_start(module)
    _check_deterministic(module)
    if not callable(loss):
        raise TypeError(
            "loss must be a function loss(outputs, targets) -> scalar mean, got "
            f"{checks.shown(loss)}."
        )
    if not isinstance(rows, tuple | list) or len(rows) != 2:
        raise TypeError(
            f"rows must be a pair (inputs, targets), got {type(rows).__name__}; pass "
            "arrays or tensors."
        )
    arrays = jax.tree.map(_host, tuple(rows))
    dtypes = tuple(str(a.dtype) for a in jax.tree.leaves(arrays))
    gradient = TorchGradient(module, loss, dtypes)
    value = TorchValue(module, loss, dtypes)
    problem = ExternalSum(gradient, jax.tree.map_with_path(_as_jax, arrays), value)
    _check_mean(value, start, problem.data)
    return problem


def torch_start(module: Any) -> dict[str, np.ndarray]:
    """A copy of a module's parameters as a position: name -> float32 array.

    Raises:
        TypeError: not a module. ValueError: parameters that are not float32, or none that `requires_grad`.

    Example:
        >>> import torch  # doctest: +SKIP
        >>> from langevax.flower import torch_start  # doctest: +SKIP
        >>> {name: array.shape for name, array in torch_start(torch.nn.Linear(3, 2)).items()}  # doctest: +SKIP
        {'weight': (2, 3), 'bias': (2,)}
    """
    return {
        name: p.detach().cpu().numpy().copy() for name, p in _parameters(module).items()
    }


def torch_load(module: Any, position: Any) -> None:
    """Write a position, such as that of a result, into a module's parameters.

    Raises:
        TypeError, ValueError: as `torch_start`; other names or shapes than those of the parameters.

    Example:
        >>> import numpy as np, torch  # doctest: +SKIP
        >>> from langevax.flower import torch_load  # doctest: +SKIP
        >>> line = torch.nn.Linear(2, 1, bias=False)  # doctest: +SKIP
        >>> torch_load(line, {"weight": np.array([[1.0, 2.0]], np.float32)})  # doctest: +SKIP
        >>> line(torch.ones(1, 2)).item()  # doctest: +SKIP
        3.0
    """
    parameters = _parameters(module)
    _check_names(position, parameters)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(np.array(position[name])))


@dataclass(frozen=True)
class TorchValue:
    """`value(position, rows)` of a module and a loss; equal for equal ones, so that compiled programs are shared."""

    module: Any
    loss: Any
    dtypes: tuple[str, ...]
    """Of the rows before they became JAX arrays."""

    def __call__(self, position: dict[str, np.ndarray], rows: PyTree) -> float:
        return self.of(self.tensors(position), rows).item()

    def tensors(self, position: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
        parameters = _parameters(self.module)
        _check_names(position, parameters)
        return {
            name: torch.from_numpy(position[name]).to(p.device, p.dtype)
            for name, p in parameters.items()
        }

    def of(self, parameters: dict[str, torch.Tensor], rows: PyTree) -> torch.Tensor:
        device = next(iter(parameters.values())).device
        leaves, structure = jax.tree.flatten(rows)
        tensors = [
            torch.from_numpy(a.astype(k)).to(device)
            for a, k in zip(leaves, self.dtypes, strict=True)
        ]
        inputs, targets = jax.tree.unflatten(structure, tensors)
        outputs = torch.func.functional_call(
            self.module, self.state(parameters), inputs, tie_weights=False
        )
        value = self.loss(outputs, targets)
        if not isinstance(value, torch.Tensor) or value.shape != ():
            shape = (
                tuple(value.shape)
                if isinstance(value, torch.Tensor)
                else type(value).__name__
            )
            raise ValueError(
                f"loss must return a scalar tensor, got {shape}; average over the rows "
                "and outputs."
            )
        return value

    def state(self, parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The parameters under all names by which the module uses them, and copies of its buffers.

        Modules are visited once: `functional_call` would restore a module with several names to a wrong state.
        """
        by_id = {
            id(p): parameters[name] for name, p in _parameters(self.module).items()
        }
        state = {}
        for prefix, part in self.module.named_modules():
            prefix = f"{prefix}." if prefix else ""
            for name, p in part.named_parameters(recurse=False, remove_duplicate=False):
                if id(p) in by_id:
                    state[prefix + name] = by_id[id(p)]
            for name, buffer in part.named_buffers(
                recurse=False, remove_duplicate=False
            ):
                state[prefix + name] = buffer.clone()
        return state


@dataclass(frozen=True)
class TorchGradient(TorchValue):
    """`gradient(position, rows)` by autograd."""

    def __call__(self, position: dict[str, np.ndarray], rows: PyTree) -> Any:
        with torch.enable_grad():
            parameters = {
                name: p.requires_grad_() for name, p in self.tensors(position).items()
            }
            value = self.of(parameters, rows)
            gradients = torch.autograd.grad(
                value,
                list(parameters.values()),
                allow_unused=True,
                materialize_grads=True,
            )
        return {
            name: g.cpu().numpy() for name, g in zip(parameters, gradients, strict=True)
        }


def _parameters(module: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters with `requires_grad`, checked."""
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__}."
        )
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(
            "module has no parameter that requires_grad; leave at least one to train."
        )
    for name, p in parameters.items():
        if p.dtype != torch.float32:
            raise ValueError(
                f"parameter {name!r} of module is {p.dtype}, but positions are "
                "float32; pass module.float()."
            )
    return parameters


def _check_names(position: Any, parameters: dict[str, torch.nn.Parameter]) -> None:
    names = set(position) if isinstance(position, dict) else None
    if names != set(parameters):
        actual = type(position).__name__ if names is None else sorted(names)
        raise ValueError(
            f"position must be a dict of {sorted(parameters)}, got {actual}; see "
            "torch_start."
        )
    for name, p in parameters.items():
        if np.shape(position[name]) != tuple(p.shape):
            raise ValueError(
                f"position[{name!r}] has shape {np.shape(position[name])}, the "
                f"parameter {tuple(p.shape)}."
            )


def _check_deterministic(module: torch.nn.Module) -> None:
    """Raise if the output of a row is random or depends on other rows."""
    for name, part in module.named_modules():
        kind = f"{type(part).__name__} {name!r}"
        if isinstance(part, batchnorm._BatchNorm) and (
            part.training or part.running_mean is None
        ):
            raise ValueError(
                f"{kind} normalises by the batch, so that gradients are not means over "
                "rows; hold its statistics fixed by module.eval(), or use GroupNorm or "
                "LayerNorm."
            )
        rate = (
            part.p
            if isinstance(part, dropout._DropoutNd)
            else getattr(part, "dropout", 0)
        )
        if part.training and isinstance(rate, int | float) and rate > 0:
            raise ValueError(
                f"{kind} drops out at random, but the gradient must be a function; "
                "call module.eval()."
            )


def _check_mean(
    value: TorchValue,
    position: dict[str, np.ndarray],
    rows: PyTree,
    checked: int = 8,
    tolerance: float = 1e-3,
) -> None:
    """Raise if the loss of twice so many rows is not the mean over their two halves."""
    size = jax.tree.leaves(rows)[0].shape[0]
    half = min(checked, size // 2)
    if half == 0:
        return
    whole, first, second = (
        value(
            jax.tree.map(np.array, position),
            jax.tree.map(lambda a, cut=cut: np.array(a[cut]), rows),
        )
        for cut in (slice(2 * half), slice(half), slice(half, 2 * half))
    )
    mean = (first + second) / 2
    if np.isfinite(whole + mean) and abs(whole - mean) > tolerance * max(
        abs(first), abs(second)
    ):
        raise ValueError(
            f"loss over the first {2 * half} rows is {whole:.6g} but the mean over "
            f"their halves {mean:.6g}: it is not a mean over rows. Pass one that is: "
            "reduction='mean', no class weights, no ignored targets."
        )


def _host(array: Any) -> np.ndarray:
    array = (
        array.detach().cpu().numpy() if hasattr(array, "detach") else np.asarray(array)
    )
    return (
        array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array
    )


def _as_jax(path: Any, array: np.ndarray) -> np.ndarray:
    """The array in a dtype that JAX keeps; `TorchValue.dtypes` restores the original."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8:
        return array
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise ValueError(
            f"rows{jax.tree_util.keystr(path)} holds integers beyond 32 bits; pass "
            "smaller ones."
        )
    return array.astype(np.int32)
