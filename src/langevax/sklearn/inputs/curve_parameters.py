"""The parameters of the encoders of curves and surfaces: what they may be."""

from typing import Any

from langevax import checks, spaces
from langevax.spaces.basis import Basis

BASES = {"cosine": spaces.Cosine, "fourier": spaces.Fourier, "legendre": spaces.Legendre}
CHOICES = {"whiten": (False, True), "centre": (True, False), "missing": ("error", "interpolate")}


def check(parameters: dict[str, Any]) -> None:
    """Raise ValueError or TypeError naming the first parameter that is out of range, its value and the remedy."""
    for name in ("num_modes", "channels"):
        checks.positive_int(name, parameters.get(name, 1))
    for name, choices in CHOICES.items():
        if (value := parameters.get(name, choices[0])) not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    checks.number("decay", parameters["decay"])
    _check_basis(parameters["basis"])
    orders = derivatives(parameters.get("derivative", 0))
    if not orders or any(isinstance(d, bool) or d not in (0, 1, 2) for d in orders):
        raise ValueError(f"derivative must be 0, 1, 2 or a tuple of them, got {parameters['derivative']!r}.")
    smoothing = parameters.get("smoothing")
    if isinstance(smoothing, str) and smoothing != "auto":
        raise ValueError(f"smoothing must be 'auto', None or a number > 0, got {smoothing!r}.")
    if smoothing is not None and not isinstance(smoothing, str):
        checks.number("smoothing", smoothing, positive=True)


def derivatives(given: Any) -> tuple[int, ...]:
    """One or several, as a tuple."""
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def _check_basis(basis: Any) -> None:
    if not isinstance(basis, Basis):
        if not (isinstance(basis, str) and basis in (*BASES, "components")):
            listing = ", ".join(map(repr, (*BASES, "components")))
            raise ValueError(f"basis must be one of {listing} or a basis of langevax.spaces, got {basis!r}.")
    elif basis.dim != 1:
        raise ValueError(f"basis must be one of functions of one variable, got {basis.dim}; see SurfaceCoefficients.")
