"""Saved kernel Langevin models: draws, eigenfunctions and the few numbers of the kernel; nothing is ever unpickled."""

import numbers
import os
from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.utils.validation import check_is_fitted

from langevax.sklearn import persistence
from langevax.sklearn.kernel_langevin.evidence import KINDS
from langevax.sklearn.kernel_langevin.space import KernelSpace
from langevax.sklearn.table import Standardiser

NUMBERS = ("noise_", "target_mean_", "target_scale_")  # of a regressor


class Persistence:
    """Mixed into both estimators."""

    kernel: Any
    prior: Any

    def save(self, file: str | os.PathLike) -> None:
        """Write the fitted model as one safetensors file: arrays and a JSON header, with landmarks but no targets.

        `langevax.sklearn.load` reads it. A loaded model does all but `resolution`, which needs the targets.

        Raises:
            ValueError: a kernel or prior of the user's own, which JSON cannot hold; pickle such a model.
        """
        check_is_fitted(self)
        model: Any = self
        if not isinstance(model.kernel, str) or model.prior is not None:
            name = "kernel" if model.prior is None else "prior"
            raise ValueError(
                f"this model has a {name} of your own, which a JSON header cannot hold; use pickle instead."
            )
        space, shape = model.space_, model.kernel_.k2
        kind = "rbf" if type(shape) is RBF else "matern"
        arrays = {"coefficients": model.coefficients_, "inspected": model.inspected_, "landmarks": space.landmarks}
        arrays |= {"projection": space.projection, "eigenvalues": space.eigenvalues}
        arrays |= {"input_mean": space.standardiser.mean, "input_scale": space.standardiser.scale}
        header = {
            "class": type(model).__name__,
            "parameters": {name: _plain(value) for name, value in model.get_params(deep=False).items()},
            "kernel": {
                "kind": kind,
                "amplitude": float(model.kernel_.k1.constant_value),
                "length": float(shape.length_scale),
            },
            "numbers": {name: float(getattr(model, name)) for name in NUMBERS if hasattr(model, name)},
            "run": {"step_size_": model.step_size_, "n_iter_": model.n_iter_, "seed_": int(model.seed_)},
            "history": model.history_,
            "available": space.available,
            "feature_names": [str(name) for name in getattr(model, "feature_names_in_", ())],
        }
        if hasattr(model, "classes_"):
            header["classes"] = {"labels": model.classes_.tolist(), "dtype": model.classes_.dtype.str}
        persistence.write(file, header, arrays)

    def _restore(self, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Become the model that `save` wrote."""
        model: Any = self
        kernel = header["kernel"]
        model.kernel_ = ConstantKernel(kernel["amplitude"]) * KINDS[kernel["kind"]](kernel["length"])
        standardiser = Standardiser(arrays["input_mean"], arrays["input_scale"])
        model.space_ = KernelSpace(
            model.kernel_,
            standardiser,
            arrays["landmarks"],
            arrays["projection"],
            arrays["eigenvalues"],
            header["available"],
        )
        model.coefficients_, model.inspected_ = arrays["coefficients"], arrays["inspected"]
        model.eigenvalues_, model.history_ = arrays["eigenvalues"], header["history"]
        for name, value in (header["numbers"] | header["run"]).items():
            setattr(model, name, value)
        model.n_features_in_ = len(standardiser.mean)
        if header["feature_names"]:
            model.feature_names_in_ = np.array(header["feature_names"], object)
        if "classes" in header:
            model.classes_ = np.array(header["classes"]["labels"], np.dtype(header["classes"]["dtype"]))


def _plain(value: Any) -> Any:
    """A parameter as JSON; what is no word or number becomes its default."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str | bool | None):
        return value
    return None if isinstance(value, np.random.RandomState) else "auto"
