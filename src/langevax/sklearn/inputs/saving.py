"""Fitted encoders as a JSON description and arrays, and back: nothing is ever unpickled."""

from typing import Any

import equinox as eqx
import numpy as np

from langevax import spaces
from langevax.sklearn.inputs.curve_fits import Interpolation, Regression
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.inputs.graph_patterns import Patterns
from langevax.sklearn.inputs.graphs import GraphFeatures
from langevax.spaces.basis import Basis

Description = dict[str, Any]
Arrays = dict[str, np.ndarray]

BY_FORMULA = {"Cosine": spaces.Cosine, "Fourier": spaces.Fourier, "Legendre": spaces.Legendre}
COMPONENTS = ("points", "weights", "mean", "matrix", "eigenvalues")


def state_of(encoder: Any) -> tuple[Description, Arrays]:
    """What `restored` needs besides the encoder's parameters.

    Raises:
        ValueError: a basis of the user's own, which JSON cannot hold.
    """
    described, arrays = _of_graphs(encoder) if isinstance(encoder, GraphFeatures) else _of_curves(encoder)
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(encoder, name):
            described[name] = np.asarray(getattr(encoder, name)).tolist()
    return described, arrays


def restored(encoder: Any, described: Description, arrays: Arrays) -> Any:
    """The encoder, made fitted."""
    (_restore_graphs if isinstance(encoder, GraphFeatures) else _restore_curves)(encoder, described, arrays)
    fitted: Any = encoder
    if "n_features_in_" in described:
        fitted.n_features_in_ = described["n_features_in_"]
    if "feature_names_in_" in described:
        fitted.feature_names_in_ = np.array(described["feature_names_in_"], object)
    return fitted


def _of_graphs(encoder: GraphFeatures) -> tuple[Description, Arrays]:
    described = {"patterns": [list(numbers) for numbers in encoder.patterns_.depths]}  # in the order of their numbers
    return described, {"times": encoder.times_, "wl_mean": encoder.wl_mean_, "wl_axes": encoder.wl_axes_}


def _restore_graphs(encoder: Any, described: Description, arrays: Arrays) -> None:
    depths = [{_tuples(pattern): k for k, pattern in enumerate(patterns)} for patterns in described["patterns"]]
    encoder.patterns_ = Patterns(depths)
    encoder.labels_ = [name for _, name in depths[0]]
    encoder.times_, encoder.wl_mean_, encoder.wl_axes_ = (arrays[name] for name in ("times", "wl_mean", "wl_axes"))


def _of_curves(encoder: CurveCoefficients) -> tuple[Description, Arrays]:
    arrays: Arrays = {} if encoder.grid_ is None else {"grid": encoder.grid_}
    described: Description = {"domain": list(encoder.domain_), "bases": [], "fits": []}
    for b, (basis, mean, scale) in enumerate(zip(encoder.bases_, encoder.means_, encoder.scales_, strict=True)):
        arrays |= {f"offset{b}": mean, f"scale{b}": scale}
        if isinstance(basis, spaces.PrincipalComponents):
            arrays |= {f"{name}{b}": np.asarray(getattr(basis, name)) for name in COMPONENTS}
            described["bases"].append("components")
        else:
            described["bases"].append(_formula(basis))
    for c, fit in enumerate(encoder.fits_):
        if isinstance(fit, Interpolation):
            described["fits"].append(None)
            continue
        arrays |= {f"law{c}": np.asarray(fit.prior.eigenvalues, np.float64), f"level{c}": fit.mean}
        described["fits"].append({"basis": _formula(fit.prior.basis), "noise": fit.noise, "exact": fit.exact})
    return described, arrays


def _restore_curves(encoder: Any, described: Description, arrays: Arrays) -> None:
    encoder.grid_, encoder.domain_ = arrays.get("grid"), tuple(described["domain"])
    blocks = range(len(described["bases"]))
    encoder.bases_ = [_basis(described["bases"][b], arrays, b) for b in blocks]
    encoder.means_, encoder.scales_ = ([arrays[f"{name}{b}"] for b in blocks] for name in ("offset", "scale"))
    encoder.fits_ = []
    for c, fit in enumerate(described["fits"]):
        if fit is None:
            encoder.fits_.append(Interpolation())
            continue
        prior = spaces.GaussianPrior(_basis(fit["basis"], arrays, c), arrays[f"law{c}"])
        encoder.fits_.append(Regression(prior, arrays[f"level{c}"], fit["noise"], fit["exact"]))


def _formula(basis: Basis) -> Description:
    name = type(basis).__name__
    if name not in BY_FORMULA:
        raise ValueError(
            f"this encoder has a basis of your own ({name}), which a JSON header cannot hold; use pickle instead."
        )
    known: Any = basis
    return {"kind": name, "num_modes": basis.num_modes, "num_points": known.num_points, "domain": list(known.domain)}


def _basis(described: Any, arrays: Arrays, number: int) -> Basis:
    if described == "components":
        some = spaces.PrincipalComponents(np.eye(2), np.array([0.0, 1.0]))  # filled with those that were saved
        kept = [arrays[f"{name}{number}"] for name in COMPONENTS]
        return eqx.tree_at(lambda basis: [getattr(basis, name) for name in COMPONENTS], some, kept)
    make: Any = BY_FORMULA[described["kind"]]
    return make(described["num_modes"], described["num_points"], tuple(described["domain"]))


def _tuples(pattern: Any) -> Any:
    """JSON's lists back to the tuples that patterns are made of."""
    return tuple(_tuples(part) for part in pattern) if isinstance(pattern, list) else pattern
