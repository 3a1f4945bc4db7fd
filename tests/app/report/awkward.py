"""Awkward contents: markup and long words in names, thirty classes, unknown values, the smallest page."""

import dataclasses

import numpy as np

from langevax.app.evaluation.holdout import Relevance
from langevax.app.report.contents import TableReading
from tests.app.report.examples import classification, compared, on_curves, regression

SMALL = {"num_particles": 24}
HOSTILE = "<img src=x onerror=alert(1)>"
LONG = "concentration of low-density lipoproteins in blood serum after fasting (mmol/L)"


def hostile():
    contents = regression(**SMALL)
    relevance = dataclasses.replace(
        contents.relevance, names=(HOSTILE, *contents.relevance.names[1:])
    )
    ours, base, *others = contents.comparison.scores
    ours = dataclasses.replace(
        ours, name=HOSTILE, note="</script><script>alert(2)</script>"
    )
    comparison = dataclasses.replace(contents.comparison, scores=(ours, base, *others))
    column = dataclasses.replace(
        contents.reading.columns[1], name=HOSTILE, values=HOSTILE, remarks=(HOSTILE,)
    )
    read = dataclasses.replace(
        contents.reading, columns=(column,), leaks=(HOSTILE,), remarks=(HOSTILE,)
    )
    return dataclasses.replace(
        contents,
        table=HOSTILE,
        target=HOSTILE,
        relevance=relevance,
        comparison=comparison,
        reading=read,
    )


def hostile_curves():
    contents = on_curves((HOSTILE, LONG, "</script><b>"), **SMALL)
    curves = dataclasses.replace(contents.curves, time=HOSTILE, response=HOSTILE)
    return dataclasses.replace(contents, curves=curves, table=HOSTILE, target=HOSTILE)


def long_names():
    contents = classification(classes=(LONG, "1", LONG + " once more"), **SMALL)
    names = tuple(f"{LONG} {i}" for i in range(30))
    relevance = Relevance(names, np.linspace(-0.01, 0.2, 30), np.full(30, 0.02))
    scores = tuple(
        dataclasses.replace(score, name=LONG) for score in contents.comparison.scores
    )
    comparison = dataclasses.replace(contents.comparison, scores=scores)
    columns = (
        tuple(
            dataclasses.replace(contents.reading.columns[1], name=name)
            for name in names
        )
        * 3
    )
    read = dataclasses.replace(contents.reading, columns=columns)
    changes = {
        "relevance": relevance,
        "comparison": comparison,
        "reading": read,
    }
    return dataclasses.replace(contents, target=LONG, **changes)


def thirty_classes():
    contents = classification(**SMALL)
    rng = np.random.default_rng(0)
    classes = tuple(f"class {i}" for i in range(30))
    labels = rng.integers(30, size=178)
    comparison = compared(
        "classification", labels, np.eye(30)[rng.permutation(labels)] * 0.7 + 0.01, {}
    )
    return dataclasses.replace(
        contents,
        classes=classes,
        comparison=comparison,
    )


def nothing_known():
    contents = regression(**SMALL)
    unknown = {
        "width": None,
        "history": (),
        "unknown_share": float("nan"),
        "upper_bound": float("inf"),
    }
    certificate = contents.certificate | unknown
    nothing = {
        "settings": {},
        "versions": {},
        "command": "",
        "certainty": "",
    }
    return dataclasses.replace(
        contents,
        certificate=certificate,
        reading=TableReading(442, "10 of numbers"),
        **nothing,
    )


def least():
    contents = regression(**SMALL)
    one = slice(-1, None)
    certificate = contents.certificate | {
        "history": contents.certificate["history"][one]
    }
    return dataclasses.replace(
        contents,
        comparison=dataclasses.replace(
            contents.comparison, scores=contents.comparison.scores[:2]
        ),
        certificate=certificate,
        relevance=Relevance((), np.zeros(0), np.zeros(0)),
    )
