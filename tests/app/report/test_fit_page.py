"""The page of a fit starts with the answer, opens offline, and copes with awkward contents."""

import base64
import csv
import dataclasses
import io
import re

import numpy as np
import pytest

from langevax.app.report.fit_page import write_fit_page
from tests.app.report.awkward import (
    HOSTILE,
    SMALL,
    hostile,
    hostile_curves,
    least,
    long_names,
    nothing_known,
    thirty_classes,
)
from tests.app.report.browser import opened
from tests.app.report.elements import Elements
from tests.app.report.examples import classification, on_curves, regression
from tests.sentences import tells

pytestmark = pytest.mark.slow

PAGES = {
    "regression": lambda: regression(**SMALL),
    "classification": lambda: classification(**SMALL),
    "probability": lambda: classification(classes=("0", "1"), **SMALL),
    "untrustworthy": lambda: regression(trustworthy=False, **SMALL),
    "hostile": hostile,
    "long names": long_names,
    "thirty classes": thirty_classes,
    "nothing known": nothing_known,
    "least": least,
    "curves": lambda: on_curves(**SMALL),
    "hostile curves": hostile_curves,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Each page once, written when first asked for."""
    folder, written = tmp_path_factory.mktemp("pages"), {}

    def page(name):
        if name not in written:
            written[name] = folder / f"{name.replace(' ', '_')}.html"
            write_fit_page(PAGES[name](), written[name])
        return written[name]

    return page


@pytest.mark.parametrize("name", PAGES)
def test_the_file_loads_nothing_and_describes_every_picture(pages, name):
    elements = Elements(pages(name))
    assert len(elements.of("h1")) == 1
    assert elements.of("img") == []
    places = [
        attributes[key]
        for _, attributes in elements.tags
        for key in ("src", "href")
        if key in attributes
    ]
    assert all(place.startswith(("data:", "#")) for place in places), places
    pictures = [
        attributes
        for attributes in elements.of("div")
        if attributes.get("class") == "plot"
    ]
    assert len(pictures) >= 3
    assert all(
        picture["role"] == "img" and len(picture["aria-label"]) > 30
        for picture in pictures
    )
    assert len(elements.of("details")) == (1 if name == "nothing known" else 4)
    assert pages(name).stat().st_size < 400_000


SECTIONS = [
    "Is it of use?",
    "Was the table read right?",
    "How sure is it?",
    "How far is it from the optimum?",
]


@pytest.mark.parametrize("name", ["regression", "classification", "curves"])
def test_the_answer_comes_first_and_the_optimum_last(pages, name):
    text, contents = Elements(pages(name)).text, PAGES[name]()
    assert [text.index(section) for section in SECTIONS] == sorted(
        text.index(section) for section in SECTIONS
    )
    assert all(
        0 <= text.index(sentence) < text.index(SECTIONS[0])
        for sentence in contents.summary
    )
    assert (
        text.index(SECTIONS[2])
        < text.index(contents.certainty)
        < text.index(SECTIONS[3])
    )
    assert text.index(SECTIONS[3]) < text.index(contents.optimum)
    assert "not to be trusted. " not in text


def test_scores_stand_beside_the_base_rate_with_paired_errors_and_rows(pages):
    text = Elements(pages("regression")).text
    tells(text, "148 2")
    assert re.search(
        r"always the mean defaults \S+ ± \S+ [\d.]+ ± \S+ worse \(−0\.\d+ ± 0\.\d+\)",
        text,
    ), text
    assert "Fall of R² on 148 held-out rows when one column is shuffled" in text


def test_probabilities_of_classes_are_calibrated_on_the_page(pages):
    text = Elements(pages("probability")).text
    tells(text, "60 2 '0'")


def test_the_classes_found_are_those_of_the_threshold(tmp_path):
    contents = classification(("no", "yes"), **SMALL)
    lower = dataclasses.replace(contents.comparison, threshold=0.01)
    write_fit_page(
        dataclasses.replace(contents, comparison=lower), tmp_path / "page.html"
    )
    right = int(np.sum((lower.outputs[:, 1] > 0.01) == lower.observed))
    tells(Elements(tmp_path / "page.html").text, f"{right} 60 'yes' 0.01")


def test_how_it_was_trained_is_in_the_details(tmp_path):
    training = (("Training", "450 steps at temperature 0.159"),)
    contents = dataclasses.replace(regression(**SMALL), training=training)
    write_fit_page(contents, tmp_path / "page.html")
    text = Elements(tmp_path / "page.html").text
    tells(text, "450 0.159")


def test_every_column_says_how_it_was_read(pages):
    text = Elements(pages("regression")).text
    tells(text, "1 19 79 50 442")
    tells(text, "0 1 442 221.5")
    assert "Read as UTF-16." in text
    tells(Elements(pages("long names")).text, "30 result.json")


def test_a_suspected_leak_stands_below_the_answer(pages):
    text = Elements(pages("hostile")).text
    assert text.index("This may be too good to be true.") < text.index(SECTIONS[0])


def test_an_untrustworthy_certificate_is_reported_beside_the_optimum(pages):
    text = Elements(pages("untrustworthy")).text
    doubt = text.index("The distance from the global minimum of the training objective")
    assert (
        text.index(SECTIONS[3])
        < doubt
        < text.index("Not certified: between", doubt)
        < text.index("In detail")
    )


def test_the_data_of_a_figure_is_a_table(pages):
    links = {
        link["download"]: link["href"] for link in Elements(pages("regression")).of("a")
    }
    assert links.keys() == {
        "scores.csv",
        "certificate.csv",
        "relevance.csv",
        "predictions.csv",
        "temperatures.csv",
    }
    text = base64.b64decode(links["scores.csv"].split(",")[1]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["method"] == "mean-field network"
    assert float(rows[0]["R2 value"]) == regression(**SMALL).comparison.ours.value


@pytest.mark.parametrize(
    "name",
    [
        "regression",
        "classification",
        "long names",
        "thirty classes",
        "nothing known",
        "least",
        "hostile curves",
    ],
)
def test_a_narrow_page_opens_without_messages(browser, pages, name):
    window = opened(browser, pages(name), width=390, scheme="dark")
    assert window.complaints == []
    assert [
        url for url in window.requests if not url.startswith(("data:", "blob:"))
    ] == [pages(name).as_uri()]
    assert window.overflow() <= 0
    assert window.clipped_labels() == []
    window.page.close()


@pytest.fixture(scope="module")
def wide(browser, pages):
    window = opened(browser, pages("regression"))
    yield window
    window.page.close()


def test_a_wide_page_opens_without_messages(wide):
    assert wide.complaints == []
    assert all(url.startswith(("data:", "blob:")) for url in wide.requests[1:])
    assert wide.clipped_labels() == []


def test_page_follows_the_scheme_and_prints_light(wide):
    ink = "getComputedStyle(document.querySelectorAll('.plot')[2].querySelector('.ytick text')).fill"
    light = wide.page.evaluate(ink)
    wide.page.emulate_media(color_scheme="dark")
    wide.until(f"{ink} !== '{light}'")
    wide.page.evaluate(
        "addEventListener('beforeprint', () => (window.printed = " + ink + "))"
    )
    assert len(wide.page.pdf(prefer_css_page_size=True)) > 50_000
    assert wide.page.evaluate("window.printed") == light
    wide.page.emulate_media(color_scheme="light")
    assert wide.page.locator("details[open]").count() == 0


@pytest.mark.parametrize("name", ["hostile", "hostile curves"])
def test_markup_in_names_is_only_text(browser, pages, name):
    window = opened(browser, pages(name), width=390)
    assert window.complaints == []
    assert window.overflow() <= 0
    assert window.page.evaluate("document.images.length") == 0
    assert window.page.locator("h1").text_content().startswith(HOSTILE)
    texts = window.page.locator(".plot svg text").all_text_contents()
    assert any(HOSTILE in text for text in texts)  # on an axis, in full
    window.page.close()
