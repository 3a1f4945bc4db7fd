"""`langevax fit --curves`: wide and long tables of curves, and predictions for new ones."""

import io
import json

import numpy as np
import polars as pl
import pytest

from langevax.app.evaluation.holdout import on_columns
from langevax.app.evaluation.peers import peers
from langevax.app.fitting.curves import prepare_curves, with_inputs_of
from langevax.app.fitting.data import estimator_for
from langevax.app.options import FitOptions
from langevax.app.predict import model_hash
from langevax.app.tables.curves import LongCurves, WideCurves
from langevax.app.tables.files import read_table
from langevax.app.tables.schema import read_schema, write_schema
from langevax.sklearn import MeanFieldRegressor
from tests.app.conftest import QUICK, langevax
from tests.sentences import tells

pytestmark = pytest.mark.mostly_compiling

LONG = [
    "--curves",
    "long",
    "--id",
    "machine",
    "--time",
    "hour",
    "--value",
    "heat",
    "--value",
    "hum",
]


@pytest.fixture(scope="module")
def spectra(tmp_path_factory):
    """50 curves at 850, 855, ... 905, the columns out of order, three cells missing; `fat` is a slope of them."""
    random = np.random.default_rng(0)
    slopes, grid = random.normal(size=50), np.arange(850, 910, 5)
    values = (
        slopes[:, None] * (grid - 850) / 60 + 0.05 * random.normal(size=(50, 12))
    ).round(4)
    frame = pl.DataFrame(
        {f"{t}": values[:, i] for i, t in reversed(list(enumerate(grid)))}
    )
    frame = frame.with_columns(
        pl.when(pl.int_range(50) < 3).then(None).otherwise("870").alias("870")
    )
    frame = frame.with_columns(fat=pl.Series(slopes.round(3)))
    path = tmp_path_factory.mktemp("spectra") / "spectra.csv"
    frame.write_csv(path)
    return path


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    """40 machines of two sorts, each read 3 to 8 times at hours of its own; rows in no order."""
    random, rows = np.random.default_rng(1), []
    for i in range(40):
        for hour in np.sort(random.uniform(0, 24, random.integers(3, 9))):
            heat = 60 + (i % 2) * hour + random.normal()
            rows.append(
                (
                    f"m{i}",
                    round(hour, 3),
                    round(heat, 2),
                    round(random.normal(), 2),
                    ["ok", "hot"][i % 2],
                )
            )
    frame = pl.DataFrame(
        rows, schema=["machine", "hour", "heat", "hum", "state"], orient="row"
    )
    path = tmp_path_factory.mktemp("readings") / "readings.csv"
    frame.sample(fraction=1.0, shuffle=True, seed=0).write_csv(path)
    return path


@pytest.fixture(scope="module")
def pulses(tmp_path_factory):
    """60 curves of noise, with a ramp up or down anywhere."""
    random, kinds = np.random.default_rng(2), np.arange(60) % 2
    X = 0.2 * random.normal(size=(60, 60))
    for x, place, kind in zip(X, random.integers(5, 48, size=60), kinds, strict=True):
        x[place : place + 7] += np.linspace(-2, 2, 7) * (1 if kind else -1)
    frame = pl.DataFrame({f"{t}": X[:, t].round(4) for t in range(60)})
    path = tmp_path_factory.mktemp("pulses") / "pulses.csv"
    frame.with_columns(kind=pl.Series(["falling", "rising"] * 30)).write_csv(path)
    return path


@pytest.fixture(scope="module")
def fat(spectra, tmp_path_factory):
    out = tmp_path_factory.mktemp("fat") / "out"
    words = (
        "fit",
        spectra,
        "--target",
        "fat",
        "--curves",
        "wide",
        "--derivative",
        1,
        "--out",
        out,
    )
    return out, langevax(*words, *QUICK)


@pytest.fixture(scope="module")
def state(readings, tmp_path_factory):
    out = tmp_path_factory.mktemp("state") / "out"
    return out, langevax(
        "fit", readings, "--target", "state", *LONG, "--out", out, *QUICK
    )


def predicted(out, table, *words):
    answer = langevax("predict", out, table, *words)
    assert answer.exit_code == 0, answer.stderr
    return pl.read_csv(io.StringIO(answer.stdout)), answer.stderr


@pytest.mark.slow
def test_a_wide_table_is_read_at_the_times_that_name_its_columns(fat):
    out, answer = fat
    assert answer.exit_code == 0, answer.stderr
    for words in (
        "50 rows, 13 columns",
        "50 curves of 12 values from 850 to 905; 3 missing values",
        "3 missing values interpolated.",
        "40 curves to train on, 10 held out",
    ):
        assert words in answer.stdout
    result = json.loads((out / "result.json").read_text())
    assert "--curves wide --derivative 1" in result["command"]
    assert result["read"]["curves"] == 50
    assert read_schema(
        out / "schema.json", model_hash(out / "model.safetensors")
    ).grid == tuple(range(850, 910, 5))


@pytest.mark.slow
def test_wide_predictions_do_not_depend_on_the_order_of_columns(fat, spectra, tmp_path):
    held_out = pl.read_csv(fat[0] / "holdout.csv")
    table = pl.read_csv(spectra)
    table.select(sorted(table.columns)).with_columns(extra=1).write_csv(
        tmp_path / "t.csv"
    )
    predictions, warnings = predicted(fat[0], tmp_path / "t.csv")
    tells(warnings, "'extra'")
    tells(warnings, "3")
    again = predictions["prediction"][(held_out["row"] - 1).to_list()]
    assert (again - held_out["prediction"]).abs().max() < 1e-5
    assert np.corrcoef(predictions["prediction"], table["fat"])[0, 1] > 0.8


@pytest.mark.slow
def test_a_long_table_is_a_curve_for_each_id_in_channels(state):
    out, answer = state
    assert answer.exit_code == 0, answer.stderr
    tells(answer.stdout, "40 2 3 8")
    assert "classification into 2 classes" in answer.stdout
    tells(answer.stdout, "32 8")
    assert (
        "--id machine --time hour --value heat --value hum"
        in json.loads((out / "result.json").read_text())["command"]
    )


@pytest.mark.slow
def test_long_predictions_follow_the_order_of_ids(state, readings, tmp_path):
    held_out = pl.read_csv(state[0] / "holdout.csv")
    assert held_out.columns == [
        "machine",
        "observed",
        "prediction",
        "probability_hot",
        "probability_ok",
    ]
    table = pl.read_csv(readings).drop("state").sort("hour")
    table.write_csv(tmp_path / "t.csv")
    predictions, _ = predicted(state[0], tmp_path / "t.csv")
    assert (
        predictions["machine"].to_list()
        == table["machine"].unique(maintain_order=True).to_list()
    )
    both = predictions.join(held_out, on="machine")
    assert both.height == 8
    assert (both["probability_hot"] - both["probability_hot_right"]).abs().max() < 1e-5
    truth = pl.Series(
        ["hot" if int(name[1:]) % 2 else "ok" for name in predictions["machine"]]
    )
    assert (predictions["prediction"] == truth).mean() > 0.7


@pytest.mark.slow
def test_peers_and_reports_use_the_columns_of_the_estimator(spectra, readings):
    long = {"curves": "long", "id": "machine", "time": "hour", "value": ["heat", "hum"]}
    for path, request in (
        (
            spectra,
            FitOptions(spectra, "fat", spectra, curves="wide", derivative=1),
        ),
        (readings, FitOptions(readings, "state", readings, **long)),
    ):
        prepared = prepare_curves(request, read_table(path))
        model = estimator_for(
            request, prepared.schema, num_particles=20, num_steps=20, temperature=0.05
        )
        train = prepared.split.train
        model.fit(prepared.take(train), prepared.split.train_targets)
        split = with_inputs_of(model, prepared).split
        np.testing.assert_allclose(
            model.encoder_.transform(prepared.take(split.test)),
            split.test_inputs,
            atol=1e-9,
        )
        report = on_columns(model)
        method = "predict_proba" if split.classes else "predict"
        ours = getattr(model, method)(prepared.take(split.test))
        np.testing.assert_allclose(
            getattr(report, method)(split.test_inputs), ours, rtol=1e-5, atol=1e-6
        )


@pytest.mark.slow
def test_peers_and_reports_use_patterns_where_the_estimator_does(pulses):
    request = FitOptions(pulses, "kind", pulses, curves="wide")
    prepared = prepare_curves(request, read_table(pulses))
    model = estimator_for(
        request, prepared.schema, num_particles=20, num_steps=20, temperature=0.05
    )
    model.fit(prepared.take(prepared.split.train), prepared.split.train_targets)
    split = with_inputs_of(model, prepared).split
    assert sorted(
        place for places in split.groups.values() for place in places
    ) == list(range(split.inputs.shape[1]))
    ours = model.predict_proba(prepared.take(split.test))
    np.testing.assert_allclose(
        on_columns(model).predict_proba(split.test_inputs), ours, rtol=1e-4, atol=1e-5
    )
    linear, _ = peers(split.task, one_scale=split.one_scale)["linear"].fit(
        split.train_inputs, split.train_targets
    )
    assert (
        linear.score(split.test_inputs, split.test_targets) > 0.8
    )  # a deviation for each column is worth a guess


@pytest.mark.slow
def test_curves_whose_shapes_shift_are_learned_by_patterns(pulses, tmp_path):
    out = tmp_path / "out"
    longer = [
        "--num-particles",
        "50",
        "--num-steps",
        "150",
        "--temperature",
        "0.01",
        "--skip",
        "certificate",
    ]
    answer = langevax(
        "fit",
        pulses,
        "--target",
        "kind",
        "--curves",
        "wide",
        "--out",
        out,
        *QUICK,
        *longer,
    )
    assert answer.exit_code == 0, answer.stderr
    tells(answer.stdout, "60 0 59")
    held_out = pl.read_csv(out / "holdout.csv")
    again, _ = predicted(out, pulses)
    again = again["probability_rising"].to_numpy()[held_out["row"].to_numpy() - 1]
    np.testing.assert_allclose(again, held_out["probability_rising"], atol=1e-4)
    assert (held_out["prediction"] == held_out["observed"]).mean() > 0.8
    page = (out / "report.html").read_text()
    assert "Which parts of the curve matter" not in page


def test_options_left_out_have_the_defaults_of_the_estimator(tmp_path):
    schema = WideCurves("y", "regression", (), ("0", "1"), (0.0, 1.0))
    model = estimator_for(FitOptions(tmp_path, "y", tmp_path, curves="wide"), schema)
    coefficients, convolutions = model.encoder
    assert coefficients.num_modes == 32
    assert coefficients.grid == convolutions.grid == [0.0, 1.0]
    assert model.estimator.num_particles == 1000
    assert model.estimator.temperature == MeanFieldRegressor().temperature


@pytest.mark.parametrize(
    "schema",
    [
        WideCurves("y", "classification", (0, 1), ("0", "0.5"), (0.0, 0.5)),
        LongCurves("y", "regression", (), "i", "t", ("a", "b"), (0.0, 2.5), False),
    ],
    ids=["wide", "long"],
)
def test_schemas_of_curves_are_read_back(schema, tmp_path):
    write_schema(schema, tmp_path / "schema.json")
    assert read_schema(tmp_path / "schema.json") == schema


GRID = "0,1,2,y\n" + "".join(f"{i},{i * i % 7},{i % 3},{i / 2}\n" for i in range(20))
ROWS = "id,t,x,y\n" + "".join(
    f"c{i},{t},{i % 5 + t},{i / 2}\n" for i in range(20) for t in range(3)
)
IN_LONG = ("--curves", "long", "--id", "id", "--time", "t", "--value", "x")


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (
            GRID,
            ("--derivative", 2),
            "--derivative is for tables of curves; pass --curves wide or --curves long too.",
        ),
        (GRID, ("--id", "0"), "--id is for tables of curves"),
        (GRID, ("--curves", "wide", "--time", "0"), "--time is for --curves long"),
        (
            GRID.replace("0,1,2", "0,1,name"),
            ("--curves", "wide"),
            "'name' have no number",
        ),
        (
            GRID.replace("0,1,2", "0,1,1.0"),
            ("--curves", "wide"),
            "columns '1' and '1.0' have the same time",
        ),
        (
            GRID.replace(",4,", ",high,"),
            ("--curves", "wide"),
            "but also 'high' in",
        ),
        (
            GRID,
            ("--curves", "wide", "--drop", "1", "--drop", "2"),
            "has 1 column of values",
        ),
        (
            ROWS,
            ("--curves", "long", "--id", "id"),
            "--curves long needs --time and --value too",
        ),
        (ROWS, (*IN_LONG, "--value", "z"), "--value 'z' is not a column of the table"),
        (
            ROWS,
            (*IN_LONG[:4], "--time", "T", "--value", "x"),
            "--time 'T' is not a column of the table; did you mean 't'",
        ),
        (
            ROWS,
            (*IN_LONG, "--value", "t"),
            "--value name 't' twice",
        ),
        (
            ROWS,
            (*IN_LONG, "--drop", "x"),
            "--drop 'x': --curves long reads only the columns named in its options",
        ),
        (
            ROWS + "c3,9,1,77\n",
            IN_LONG,
            "--target 'y' varies within id 'c3': 1.5 and 77",
        ),
        (
            ROWS + "c3,1.0,1,1.5\n",
            IN_LONG,
            "id 'c3' has two readings at t 1 (",
        ),
        (
            ROWS + "c3,noon,1,1.5\n" * 20,
            IN_LONG,
            "but also 'noon' in data row 61",
        ),
        (
            ROWS + "c3,9,warm,1.5\nc3,9,hot,1.5\n" * 9,
            IN_LONG,
            "but also 'warm' in",
        ),
        (
            "\n".join(ROWS.splitlines()[:20]),
            IN_LONG,
            "7 curves with a target; training and hold-out need at least 10",
        ),
        (
            "id,t,x,y\n" + "a,,1,2\nb,1,,3\n" * 10,
            IN_LONG,
            "no 'id' has a reading of every --value ('x') at a --time",
        ),
    ],
)
def test_mistakes_are_refused_with_a_remedy(tmp_path, content, words, message):
    (tmp_path / "t.csv").write_text(content)
    answer = langevax(
        "fit",
        tmp_path / "t.csv",
        "--target",
        "y",
        "--out",
        tmp_path / "out",
        *QUICK,
        *words,
    )
    assert answer.exit_code == 2
    assert message in answer.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "machine,hour,hum\nm0,1,2\n",
            "lacks 1 column that the model was trained on: 'heat'",
        ),
        (
            "machine,hour,heat,hum\nm0,1,60,0\nm0,99,60,0\n",
            "machine 'm0' has readings from hour 1 to 99, outside the",
        ),
        (
            "machine,hour,heat,hum\nm0,2024-01-01,60,0\n",
            "column 'hour' holds '2024-01-01' in data row 1",
        ),
        (
            "machine,hour,heat,hum\nm0,1,60,0\nm0,1,61,0\n",
            "machine 'm0' has two readings at hour 1",
        ),
    ],
)
def test_long_tables_that_do_not_match_the_model_are_refused(
    state, tmp_path, content, message
):
    (tmp_path / "t.csv").write_text(content)
    answer = langevax("predict", state[0], tmp_path / "t.csv")
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in answer.stderr.replace("\n", " ")


def test_wide_tables_that_do_not_match_the_model_are_refused(fat, spectra, tmp_path):
    table = pl.read_csv(spectra)
    for frame, message in (
        (table.drop("850"), "lacks 1 column that the model was trained on: '850'"),
        (
            table.with_columns(pl.lit("x").alias("850")),
            "column '850' holds 'x' in data row 1, which is not a number",
        ),
        (
            table.with_columns(pl.when(pl.int_range(50) != 4).then(pl.all())),
            "1 row without any value, the first of them data row 5",
        ),
    ):
        frame.write_csv(tmp_path / "t.csv")
        answer = langevax("predict", fat[0], tmp_path / "t.csv")
        assert (answer.exit_code, message in answer.stderr.replace("\n", " ")) == (
            2,
            True,
        ), answer.stderr


def test_a_model_and_a_schema_of_different_fits_are_refused(
    fat, state, tmp_path, spectra
):
    (tmp_path / "model.safetensors").write_bytes(
        (state[0] / "model.safetensors").read_bytes()
    )
    (tmp_path / "schema.json").write_bytes((fat[0] / "schema.json").read_bytes())
    answer = langevax("predict", tmp_path, spectra)
    assert answer.exit_code == 2
    tells(" ".join(answer.stderr.split()))


@pytest.mark.slow
def test_missing_values_and_single_readings_are_reported(state, tmp_path):
    content = "machine,hour,heat,hum\na,2,60,1\nb,3,,1\nb,4,60,1\nb,5,61,2\nc,2,60,\n,3,60,1\nb,,60,1\n"
    (tmp_path / "t.csv").write_text(content)
    predictions, warnings = predicted(state[0], tmp_path / "t.csv")
    assert predictions["machine"].to_list() == ["a", "b"]
    for words in (
        "1 row without 'machine' left out",
        "1 row without 'hour' left out",
        "1 row without 'heat' left out",
        "'machine' without a reading of every --value left out: 'c'",
    ):
        assert words in warnings.replace("\n", " ")


@pytest.mark.slow
def test_curves_of_another_unit_are_named(fat, state, spectra, readings, tmp_path):
    table = pl.read_csv(spectra).fill_null(0.0)
    grid = [name for name in table.columns if name != "fat"]
    table = table.with_columns(
        pl.when(pl.int_range(50) == 7).then(pl.col(grid) * 1000).otherwise(pl.col(grid))
    )
    table.write_csv(tmp_path / "wide.csv")
    _, warnings = predicted(fat[0], tmp_path / "wide.csv")
    tells(warnings.replace("\n", " "))
    shifted = (
        pl.when(pl.col("machine") == "m5").then(pl.col("heat") - 1000).otherwise("heat")
    )
    pl.read_csv(readings).with_columns(heat=shifted).write_csv(tmp_path / "long.csv")
    _, warnings = predicted(state[0], tmp_path / "long.csv")
    tells(warnings.replace("\n", " "), "40")
