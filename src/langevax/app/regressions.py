"""The families of `langevax fit --family`: their names, and options that only they or only networks have."""

from typing import TYPE_CHECKING, Any, Literal

import typer

from langevax.app.errors import BadInput

if TYPE_CHECKING:
    from langevax.app.fit import FitOptions

FAMILIES: dict[str, Literal["regression", "classification"]] = {
    "gaussian": "regression",
    "poisson": "regression",
    "negative-binomial": "regression",
    "logistic": "classification",
    "ordinal": "classification",
}
"""Families of regressions, and their tasks."""
COUNTS = ("poisson", "negative-binomial")
OF_NETWORKS = (
    "curves",
    "solver",
    "num_particles",
    "temperature",
    "validation",
    "threshold",
    "class_weight",
)
OF_NETWORKS += ("num_steps", "stop", "relative_step_size")
"""Options that only networks have."""
OF_REGRESSIONS = ("offset", "num_replicates")
"""Options that only regressions have, all of them."""


def family_name(text: str) -> str:
    """Return the name of a family, which may have spaces or underscores for hyphens, as in other packages.

    Example:
        >>> family_name("negative_binomial")
        'negative-binomial'
    """
    name = text.strip().replace("_", "-").replace(" ", "-")
    if name not in FAMILIES:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(FAMILIES)}.")
    return name


def known_columns(options: "FitOptions") -> dict[str, str]:
    """Return the column that each option names as known of a row beforehand, so that it has no slope."""
    named = {"--exposure": options.exposure, "--offset": options.offset}
    return {option: column for option, column in named.items() if column is not None}


def check_family(options: "FitOptions", defaults: dict[str, Any]) -> None:
    """Raise `BadInput` where an option does not apply to the kind of model."""
    family, order = options.family, options.order
    if order and family != "ordinal":
        raise BadInput(
            f"--order {order[0]!r} is for --family ordinal; pass both, or leave it out."
        )
    if options.exposure is not None and family not in COUNTS:
        raise BadInput(
            f"--exposure {options.exposure!r} is for counts, with --family poisson or negative-binomial; pass one of "
            "them, or leave it out."
        )
    if options.offset is not None and options.offset == options.exposure:
        raise BadInput(
            f"--offset {options.offset!r} is also in --exposure; leave one of them out."
        )
    for name in OF_NETWORKS if family is not None else OF_REGRESSIONS:
        if (value := getattr(options, name)) == defaults[name]:
            continue
        option = f"--{name.replace('_', '-')} {value}"
        if family is None:
            raise BadInput(
                f"{option} is for regressions, with --family; pass both, or leave it out."
            )
        raise BadInput(
            f"{option} is for networks, and --family {family} fits none; leave one of them out."
        )
    if family is not None and options.task not in (None, FAMILIES[family]):
        raise BadInput(
            f"--task {options.task} contradicts --family {family}, which is for {FAMILIES[family]}."
        )
