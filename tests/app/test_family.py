"""`langevax fit --family`: regressions from a table to a page and back, and what they refuse."""

import html
import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

from langevax.app.fitting import coefficients, data, densities, family
from langevax.app.options import FitOptions
from langevax.predictive_law import BayesComparison
from langevax.sklearn import load
from tests.app.conftest import langevax
from tests.sentences import refuses, tells

SMALL = {"posterior_shares": (1.0, 0.1), "num_particles": 64, "num_folds": None}
EFFORT = 1e6  # of a certificate: too little


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Counts that spread more than Poisson's, beside classes in an order, numbers with holes and words."""
    rng, rows = np.random.default_rng(0), 150
    age, town = (
        rng.normal(50, 12, rows).round(1),
        rng.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2]),
    )
    visits = rng.poisson(
        np.exp(
            0.04 * (age - 50) + 0.8 * (town == "south") + 0.9 * rng.normal(size=rows)
        )
    )
    pain = 1 + np.digitize(age + 8 * rng.logistic(size=rows), [45, 58])
    frame = pl.DataFrame(
        {
            "person": range(rows),
            "age": age,
            "town": town,
            "visits": visits,
            "pain": pain,
        }
    )
    frame = frame.with_columns(
        age=pl.when(pl.col("person") % 11 == 0).then(None).otherwise("age"),
        cost=visits - 0.5,
    )
    frame = frame.with_columns(seen=pl.Series(np.where(visits > 0, "yes", "no")))
    file = tmp_path_factory.mktemp("family") / "people.csv"
    frame.write_csv(file)
    return file


def fitted(
    table,
    target,
    name,
    *words,
    drop=("visits", "pain", "cost", "seen"),
    certified=False,
):
    """The folder and the output of a small fit."""
    out = table.parent / f"{table.stem}-{name}"
    others = [word for other in drop if other != target for word in ("--drop", other)]
    if not certified:
        words = (*words, "--skip", "certificate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "estimator_for", partial(data.estimator_for, **SMALL))
        patch.setattr(family.FamilyFit, "effort", EFFORT)
        answer = langevax(
            "fit",
            table,
            "--target",
            target,
            "--family",
            name,
            "--out",
            out,
            "--skip",
            "peers",
            *others,
            *words,
        )
    assert answer.exit_code == 0, answer.stderr
    return out, answer


@pytest.fixture(scope="module")
def counts(table):
    return fitted(table, "visits", "poisson", certified=True)


@pytest.fixture(scope="module")
def rates(table):
    """The same people, who were observed for one to four years: the table, the folder and the output."""
    frame, rng = pl.read_csv(table), np.random.default_rng(1)
    years = rng.choice([1.0, 2.0, 2.5, 4.0], len(frame))
    file = table.parent / "years.csv"
    frame.with_columns(
        years=years, visits=rng.poisson(frame["visits"].to_numpy() * years)
    ).write_csv(file)
    return file, *fitted(file, "visits", "poisson", "--exposure", "years")


@pytest.fixture(scope="module")
def prepared(counts, table):
    """The table as it was read for the counts."""
    return data.prepare(
        FitOptions(
            table, "visits", counts[0], family="poisson", drop=["pain", "cost", "seen"]
        )
    )


@pytest.fixture(scope="module")
def classes(table):
    return fitted(table, "pain", "ordinal")


@pytest.mark.long
def test_terminal_page_and_result_tell_what_bayes_loses(counts):
    out, answer = counts
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    page = html.unescape((out / "report.html").read_text(encoding="utf-8")).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    page = page.replace("<b>", "").replace("</b>", "")
    printed = " ".join(answer.stdout.split())
    assert result["law"]["bayes"].startswith(
        "Bayes, the posterior of one Poisson regression for all rows, loses 0."
    )
    assert "--family negative-binomial learns their spread" in result["summary"][-1]
    law = result["law"]
    sentences = (
        result["certainty"],
        result["optimum"],
        law["about_coefficients"],
        law["checked"],
    )
    for sentence in (*result["summary"], *sentences):
        assert sentence in printed
        assert sentence in page
    assert "What goes with visits?" in page
    for words in (
        "regression, as set by --family poisson",
        "rate ratio of 'visits'",
        "Poisson regression",
        "Checked ",
    ):
        assert words in answer.stdout
    assert "network" not in answer.stdout
    assert {path.name for path in out.iterdir()} == {
        *(
            "model.safetensors",
            "schema.json",
            "report.html",
            "holdout.csv",
            "result.json",
        )
    }
    assert [one["metric"] for one in result["scores"][0]["measures"]] == [
        "R2",
        "RMSE",
        "deviance",
    ]


def test_coefficients_are_those_of_statsmodels_with_robust_errors(counts, prepared):
    out, _ = counts
    split, law = (
        prepared.split,
        json.loads((out / "result.json").read_text(encoding="utf-8"))["law"],
    )
    places = coefficients.slopes_of(split, split.train, None)
    assert [split.names[place] for place in places] == [
        "age",
        "age missing",
        "town=south",
        "town=west",
    ]
    X = sm.add_constant(split.train_inputs[:, places])
    known = sm.Poisson(split.train_targets, X).fit(cov_type="HC0", disp=0)
    slopes, errors = (
        np.array([one[name] for one in law["coefficients"]])
        for name in ("slope", "error")
    )
    # means of draws are within a tenth of a standard deviation with 95 %
    assert np.all(np.abs(slopes - known.params[1:]) < 0.15 * known.bse[1:])
    assert np.all(np.abs(errors / known.bse[1:] - 1) < 0.06)
    age, *_, west = law["coefficients"]
    assert (age["per"], west["per"]) == ("10", "against north")
    assert age["value"] == pytest.approx(np.exp(10 * age["slope"]))
    assert age["high"] == pytest.approx(
        np.exp(10 * (age["slope"] + 1.96 * age["error"]))
    )


def test_log_densities_are_those_of_the_saved_model_on_rows_left_out(counts, prepared):
    densities = dict(
        json.loads((counts[0] / "result.json").read_text(encoding="utf-8"))["law"][
            "densities"
        ]
    )
    model, new = (
        load(counts[0] / "model.safetensors"),
        (prepared.split.test_inputs, prepared.split.test_targets),
    )
    assert list(densities) == ["the law", "Bayes", "negative binomial without columns"]
    law, bayes = model.log_density(*new), model.as_bayes().log_density(*new)
    assert densities["the law"]["value"] == pytest.approx(law.mean(), abs=1e-5)
    assert densities["Bayes"]["difference"] == pytest.approx(
        np.mean(bayes - law), abs=1e-5
    )
    assert model.posterior_share_ == 0.1


def test_a_table_is_predicted_with_intervals_of_whole_counts(counts, table):
    answer = langevax("predict", counts[0], table, "--interval", "0.9")
    assert answer.exit_code == 0, answer.stderr
    tells(answer.stderr)
    frame, people = pl.read_csv(answer.stdout.encode()), pl.read_csv(table)
    inside = (frame["lower"] <= people["visits"]) & (people["visits"] <= frame["upper"])
    assert 0.85 < inside.mean() <= 1
    assert frame["upper"].round().equals(frame["upper"])
    held_out = pl.read_csv(counts[0] / "holdout.csv")
    rows = (held_out["row"] - 1).to_list()
    assert np.allclose(frame["prediction"][rows], held_out["prediction"])


@pytest.mark.slow
def test_rates_are_those_of_statsmodels_with_an_exposure(rates):
    file, out, answer = rates
    options = {
        "family": "poisson",
        "drop": ["pain", "cost", "seen"],
        "exposure": "years",
    }
    split = data.prepare(FitOptions(file, "visits", out, **options)).split
    years = split.groups["years"][0]
    places = coefficients.slopes_of(split, split.train, years)
    assert [split.names[place] for place in places] == [
        "age",
        "age missing",
        "town=south",
        "town=west",
    ]
    X, exposure = (
        sm.add_constant(split.train_inputs[:, places]),
        split.train_inputs[:, years],
    )
    known = sm.Poisson(split.train_targets, X, exposure=exposure).fit(
        cov_type="HC0", disp=0
    )
    law = json.loads((out / "result.json").read_text(encoding="utf-8"))["law"]
    slopes, errors = (
        np.array([one[name] for one in law["coefficients"]])
        for name in ("slope", "error")
    )
    # means of draws are within a tenth of a standard deviation with 95 %
    assert np.all(np.abs(slopes - known.params[1:]) < 0.15 * known.bse[1:])
    assert np.all(np.abs(errors / known.bse[1:] - 1) < 0.06)
    printed = " ".join(answer.stdout.split())
    for words in (
        "rate ratio of 'visits' per unit of 'years'",
        "the mean count per unit of 'years' is multiplied",
    ):
        assert words in printed
    tells(printed, "'years'")
    assert "--exposure years" in (out / "report.html").read_text(encoding="utf-8")
    without, base = law["densities"][2]
    assert without == "negative binomial without columns"
    assert base["difference"] < 0


def test_a_new_table_is_predicted_with_its_own_exposure(rates, tmp_path):
    file, out, _ = rates
    people = pl.read_csv(file)
    answer = langevax("predict", out, file, "--interval", "0.9")
    assert answer.exit_code == 0, answer.stderr
    frame = pl.read_csv(answer.stdout.encode())
    inside = (frame["lower"] <= people["visits"]) & (people["visits"] <= frame["upper"])
    assert 0.85 < inside.mean() <= 1
    held_out = pl.read_csv(out / "holdout.csv")
    assert np.allclose(
        frame["prediction"][(held_out["row"] - 1).to_list()], held_out["prediction"]
    )
    people.with_columns(pl.col("years") * 2).write_csv(tmp_path / "longer.csv")
    longer = pl.read_csv(
        langevax("predict", out, tmp_path / "longer.csv").stdout.encode()
    )
    assert np.allclose(longer["prediction"], 2 * frame["prediction"])
    first = pl.int_range(len(people)) == 3
    for change, parts in (
        (
            people.drop("years"),
            ["lacks 1 column that the model was trained on: 'years'"],
        ),
        (
            people.with_columns(years=pl.when(first).then(0.0).otherwise("years")),
            ["column 'years' must be positive", "is 0 in data row 4 (1 such row)"],
        ),
        (
            people.with_columns(years=pl.when(first).then(None).otherwise("years")),
            ["column 'years' must be positive", "is missing in data row 4"],
        ),
    ):
        change.write_csv(tmp_path / "wrong.csv")
        refused = langevax("predict", out, tmp_path / "wrong.csv")
        assert refused.exit_code == 2, refused.stdout
        assert all(part in " ".join(refused.stderr.split()) for part in parts), (
            refused.stderr
        )


def test_gains_are_told_with_what_makes_rows_depend_on_each_other():
    comparing = BayesComparison(0.1, 0.02, 0.05, 1200, "5 folds")
    plain, grouped = (
        SimpleNamespace(grouped_by="", dates=()),
        SimpleNamespace(grouped_by="firm", dates=("day", "due")),
    )
    tells(family.about_gains(comparing, plain), "1,200 5")
    about = family.about_gains(comparing, grouped)
    tells(about, "'firm'")
    tells(about, "'day'")


def test_the_baseline_of_counts_has_their_exposure():
    rng = np.random.default_rng(0)
    years = rng.choice([1.0, 10.0], 4000)
    rates = rng.gamma(2.0, 1.0, 4000)
    known, new = rng.poisson(rates * years)[:3000], rng.poisson(rates * years)[3000:]
    got = densities.density_of_counts(known, new, years[:3000], years[3000:])
    shape = 2.0
    expected = stats.nbinom.logpmf(new, shape, shape / (shape + 2 * years[3000:]))
    assert abs(np.mean(got - expected)) < 0.01


@pytest.mark.slow
def test_classes_stay_in_their_order_from_the_options_to_the_predictions(
    classes, table
):
    out, answer = classes
    tells(answer.stdout, "'pain'")
    predicted = langevax("predict", out, table, "--interval", "0.8")
    assert predicted.exit_code == 0, predicted.stderr
    frame = pl.read_csv(predicted.stdout.encode())
    assert frame.columns == [
        "prediction",
        *[f"probability_{number}" for number in (1, 2, 3)],
        "set",
    ]
    pain = pl.read_csv(table)["pain"]
    assert (frame["prediction"] == pain).mean() > 0.5
    inside = [
        str(one) in several.split("|")
        for one, several in zip(pain, frame["set"], strict=True)
    ]
    assert 0.75 < np.mean(inside) < 1
    older = pl.read_csv(table)["age"].fill_null(0) > 60
    assert (
        frame.filter(older)["probability_3"].mean()
        > frame.filter(~older)["probability_3"].mean() + 0.2
    )


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["cost", "poisson"],
            [
                "--family poisson",
                "-0.5 in data row",
                "such rows",
                "leave --family out",
            ],
        ),
        (
            ["seen", "poisson"],
            [
                "--family poisson needs numbers",
                "holds words, 'no' and 'yes'",
            ],
        ),
        (
            ["visits", "logistic"],
            ["--family logistic is for two classes", "--family ordinal"],
        ),
        (
            ["visits", "poisson", "--task", "classification"],
            ["--task classification contradicts --family poisson"],
        ),
        (
            ["visits", "poisson", "--num-particles", "9"],
            ["--num-particles 9 is for networks"],
        ),
        (
            ["visits", "poisson", "--temperature", "0.1"],
            ["--temperature 0.1 is for networks"],
        ),
        (["visits", "poisson", "--curves", "wide"], ["--curves wide is for networks"]),
        (
            ["visits", "gaussian", "--exposure", "age"],
            ["--exposure 'age' is for counts"],
        ),
        (["pain", "ordinal", "--exposure", "age"], ["--exposure 'age' is for counts"]),
        (
            ["visits", "poisson", "--exposure", "visits"],
            ["--exposure 'visits' is also the column of --target"],
        ),
        (
            ["visits", "poisson", "--exposure", "ages"],
            ["--exposure 'ages' is not a column", "did you mean 'age'?"],
        ),
        (
            ["visits", "poisson", "--exposure", "age", "--drop", "age"],
            ["--drop 'age' is also the column of --exposure"],
        ),
        (
            ["visits", "poisson", "--exposure", "age"],
            [
                "--exposure age must be positive",
                "is missing in data row 1 (14 such rows)",
            ],
        ),
        (
            ["visits", "poisson", "--exposure", "cost"],
            ["--exposure cost must be positive", "is -0.5 in data row"],
        ),
        (
            ["visits", "poisson", "--exposure", "town"],
            ["--exposure town must be a column of numbers", "is a word"],
        ),
        (
            ["visits", "probit"],
            ["--family", "'probit' is not one of 'gaussian', 'poisson'"],
        ),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_what_a_family_cannot_do_is_refused_with_the_remedy(
    table, tmp_path, words, parts
):
    target, name, *more = words
    answer = langevax(
        "fit",
        table,
        "--target",
        target,
        "--family",
        name,
        "--out",
        tmp_path / "o",
        *more,
    )
    assert answer.exit_code == 2, answer.stdout
    message = " ".join(answer.stderr.split())
    assert all(part in message for part in parts), message
    assert not (tmp_path / "o").exists()


def test_a_budget_too_small_is_said_with_the_commands_remedy(counts, rates):
    result = json.loads((counts[0] / "result.json").read_text(encoding="utf-8"))
    certificate, optimum = result["certificate"], result["optimum"]
    assert optimum.startswith(
        "Not certified: the least value of the objective at a share of 0.1 of Bayes is "
    )
    tells(optimum, "--effort")
    assert "raise effort" not in optimum
    assert optimum.endswith(
        "of a law to 120 training rows plus its divergence from the prior."
    )
    assert (
        certificate["trustworthy"],
        certificate["lower_bound"],
        certificate["effort"],
    ) == (False, None, EFFORT)
    assert (
        0 < certificate["work"] < 1e8
    )  # the law of the posterior is bounded whatever the effort
    page = (counts[0] / "report.html").read_text(encoding="utf-8")
    assert '<p class="doubt" role="note"><b>Not certified: ' in page
    assert "The certificate in numbers" in page
    without = json.loads((rates[1] / "result.json").read_text(encoding="utf-8"))
    assert without["certificate"] == {}
    assert without["optimum"].startswith(
        "Not certified: the distance from the best law of this share"
    )


@pytest.mark.long
def test_a_saved_law_is_certified_on_the_rows_of_its_table(counts, table):
    out, _ = counts
    answer = langevax("certify", out, "--effort", "3e8", "--json")
    assert answer.exit_code == 0, answer.stderr
    certificate = json.loads(answer.stdout)
    assert certificate["optimum"].startswith(
        "Certified: the least value of the objective at a share of 0.1 of Bayes"
    )
    assert certificate["trustworthy"]
    assert (
        certificate["lower_bound"]
        < certificate["upper_bound"]
        < certificate["bayes_objective"]
    )
    low, high = certificate["score_bounds"]
    assert low < certificate["law_score"] < high
    assert "−" in certificate["optimum"]
    model = load(out / "model.safetensors")
    with refuses(AttributeError):
        model.certificate()
    split = data.prepare(
        FitOptions(
            table, "visits", out, family="poisson", drop=["pain", "cost", "seen"]
        )
    ).split
    rows = split.train_inputs, split.train_targets
    law = model.attach_rows(*rows).law_
    np.testing.assert_array_equal(law.positions["slopes"], model.particles_["slopes"])
    assert law.log_likelihoods.mean() > -10
    assert law.path.fit[law.path.chosen] == pytest.approx(
        np.log(np.exp(law.log_likelihoods.astype(float)).mean(axis=0)).mean(), abs=1e-5
    )
    with refuses(AttributeError, "as_bayes()"):
        model.as_bayes().attach_rows(*rows)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--effort", "1e5", "--cpu-seconds", "2"),
            "are two budgets; pass one of them.",
        ),
    ],
)
def test_what_certify_cannot_do_with_a_law_is_refused(counts, words, sentence):
    answer = langevax("certify", counts[0], *words)
    assert answer.exit_code == 2
    assert sentence in " ".join(answer.stderr.split())


def test_a_law_is_certified_on_the_rows_of_its_fit_alone(counts, table, tmp_path):
    lines = table.read_text().splitlines()
    (tmp_path / "changed.csv").write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")
    answer = langevax("certify", counts[0], tmp_path / "changed.csv")
    assert answer.exit_code == 2
    tells(" ".join(answer.stderr.split()))


def test_classes_that_may_be_counts_name_the_family(tmp_path):
    visits = [number % 4 for number in range(40)]
    pl.DataFrame({"x": np.sin(np.arange(40)), "visits": visits}).write_csv(
        tmp_path / "t.csv"
    )
    task = data.prepare(FitOptions(tmp_path / "t.csv", "visits", tmp_path / "o")).task
    assert task.endswith(
        "override with --task regression, or with --family poisson where they are counts"
    )


def test_rare_words_are_what_the_others_are_compared_with():
    split = SimpleNamespace(quantities=())
    inputs = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert coefficients.reference_of(split, inputs, [0, 1]) == 0
    assert (
        coefficients.reference_of(split, np.vstack([inputs, [[0.0, 0.0]]]), [0, 1])
        is None
    )
