"""One fitted folder for each task, shared by the tests that only read it."""

import os

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from langevax.app.main import app
from langevax.sklearn.inspection import MeanFieldInspection

QUICK = [
    "--num-particles",
    "20",
    "--num-steps",
    "20",
    "--temperature",
    "0.05",
    "--skip",
    "peers",
]
WITH_FOLDS = [*QUICK[:4], *QUICK[6:]]
"""The temperature is chosen on folds, from which intervals come."""


@pytest.fixture(scope="package", autouse=True)
def _quick_and_without_the_cache_of_the_user():
    """Small certificates; and commands in this process neither fill the user's cache nor set that of other tests."""
    certificate = MeanFieldInspection.certificate

    def small(self, effort=None, *, cpu_seconds=None, **options):
        return certificate(self, 1e4 if effort is None else effort, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "JAX_COMPILATION_CACHE_DIR", os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
        )
        patch.setattr(MeanFieldInspection, "certificate", small)
        yield


def langevax(*words):
    """Run the command in this process; `.exit_code`, `.stdout`, `.stderr`."""
    return CliRunner().invoke(
        app, [str(word) for word in words], catch_exceptions=False
    )


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """Two tables with numbers, words, missing values and a column of row numbers."""
    random = np.random.default_rng(0)
    rows = 60
    size, colour = (
        random.normal(size=rows).round(3),
        random.choice(["red", "green", "blue"], rows),
    )
    price = (
        10 + 3 * size + 2 * (colour == "red") + 0.1 * random.normal(size=rows)
    ).round(3)
    frame = pl.DataFrame(
        {"id": range(rows), "size": size, "colour": colour, "price": price}
    )
    frame = frame.with_columns(
        size=pl.when(pl.col("id") % 9 == 0).then(None).otherwise("size"),
        sold=pl.when(pl.col("price") > 10).then(pl.lit("yes")).otherwise(pl.lit("no")),
    )
    folder = tmp_path_factory.mktemp("tables")
    frame.drop("sold").write_csv(folder / "price.csv")
    frame.drop("price").write_csv(folder / "sold.csv")
    return folder


@pytest.fixture(scope="session")
def fitted(tables, tmp_path_factory):
    """The folder and the output of one fit of each task."""
    fits = {}
    for target in ("price", "sold"):
        out = tmp_path_factory.mktemp("fitted") / target
        fits[target] = (
            out,
            langevax(
                "fit",
                tables / f"{target}.csv",
                "--target",
                target,
                "--out",
                out,
                *QUICK,
            ),
        )
    return fits
