"""Wrong values that were once accepted or ended in another package's error, each refused in a sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax as lx
from langevax import losses, neurons, spaces
from tests.sentences import refuses

pytestmark = pytest.mark.usefixtures("unchecked_types")
KEY = jax.random.key(0)
BOWL = lx.Function(lambda x: jnp.sum(x**2))
LOGARITHM = lx.Function(lambda x: jnp.sum(jnp.log(x)), precision=1.0)


def run(algorithm, problem=BOWL, start=(1.0, 1.0), **options):
    return lx.simulate(
        algorithm, problem, np.array(start, np.float32), key=KEY, num_steps=3, **options
    )


@pytest.mark.parametrize(
    ("call", "facts"),
    [
        (
            lambda: run(lx.MALA(0.1, 1.0), LOGARITHM, (-1.0, 1.0)),
            "NaN",
        ),
        (
            lambda: run(lx.PCN(0.1, 1.0), LOGARITHM, (-1.0, 1.0)),
            "NaN",
        ),
        (
            lambda: run(lx.Langevin(0.1, lambda step: -1.0)),
            "temperature 0",
        ),
        (
            lambda: run(
                lx.Langevin(lambda step: jnp.float32(1) - step.astype(jnp.float32), 1.0)
            ),
            "step_size 2",
        ),
        (
            lambda: run(lx.Langevin(lambda step: "word", 1.0)),
            "'word'",
        ),
        (
            lambda: lx.Run(checkpoint="gs://bucket/run"),
            "checkpoint 'gs://bucket/run'",
        ),
        (
            lambda: lx.Langevin(0.1, 1.0, "svrg"),
            "gradient GradientEstimator 'svrg'",
        ),
        (
            lambda: lx.Langevin(0.1, 1.0, integrator="explicit"),
            "integrator 'explicit'",
        ),
        (
            lambda: lx.FiniteSum(BOWL.fun, np.ones((3, 2)), regularizer=3),
            "regularizer None 3",
        ),
        (
            lambda: lx.FiniteSum(BOWL.fun, np.ones((3, 2)), count="3"),
            "count '3'",
        ),
        (
            lambda: lx.MeanFieldRisk(None, losses.squared, np.ones((3, 2)), np.ones(3)),
            "neuron None",
        ),
        (
            lambda: lx.meanfield.certify(None, 0.1, key=KEY),
            "risk MeanFieldRisk None",
        ),
        (
            lambda: lx.sklearn.MeanFieldRegressor(step_size=0.1),
            "'step_size' relative_step_size",
        ),
        (
            lambda: lx.sklearn.MeanFieldRegressor().fit(
                np.ones((3, 2)), np.array(["a", "b", "c"])
            ),
            "y 'a' y.astype",
        ),
        (
            lambda: run(
                lx.meanfield.MFLD(0.1, 0.1),
                lx.MeanFieldRisk(
                    neurons.Tanh(),
                    losses.squared,
                    np.ones((4, 2)),
                    np.ones(4),
                    precision=1.0,
                ),
                np.ones((5, 7)),
            ),
            "3 (5, 7) num_particles",
        ),
    ],
)
def test_a_wrong_value_is_named_with_a_remedy(call, facts):
    with refuses((TypeError, ValueError), facts):
        call()


def test_an_integer_of_numpy_counts_modes():
    assert spaces.Fourier(np.int64(4)).num_modes == 4


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            "x,y\n1,2\n16777217,3\n",
            "'x' 16,777,217 2 24",
        ),
        (
            "x,y\n1,2\n5,9007199254740993\n",
            "targets 2 'y' 9007199254740993",
        ),
        ("x,x,y\n1,2,3\n", "'x'"),
    ],
)
def test_integers_that_would_be_rounded_and_columns_of_one_name_are_refused(
    tmp_path, text, facts
):
    (tmp_path / "t.csv").write_text(text)
    with refuses(ValueError, facts):
        lx.data.convert_table(tmp_path / "t.csv", tmp_path / "t.rows", target="y")


def test_large_integers_of_text_are_kept_and_any_name_of_a_column_is_read(tmp_path):
    (tmp_path / "t.csv").write_text(
        "x,x_duplicated_0,y\n16777217,2,9007199254740993\n1,2,3\n"
    )
    rows = lx.data.convert_table(
        tmp_path / "t.csv", tmp_path / "t.rows", target="y", dtype=None
    )
    assert rows.numpy("targets").tolist() == [9007199254740993, 3]
    assert rows.numpy("inputs").tolist() == [[16777217, 2], [1, 2]]


@pytest.mark.parametrize(
    "path", ["gs://bucket/t.rows", "s3://bucket/t.rows", "https://host/t.rows", "  "]
)
def test_only_local_files_are_read_and_written(path):
    with refuses(ValueError, "path"):
        lx.data.write_rows(path, {"x": np.ones(3)})
    with refuses(ValueError, "file"):
        lx.sklearn.load(path)
