"""The page of a fit on curves shows what was learned of them as functions."""

import base64
import csv
import io

import pytest

from langevax.app.report.curve_figures import strongest
from langevax.app.report.fit_page import write_fit_page
from langevax.figures.theme import OKABE_ITO
from tests.app.report.awkward import SMALL
from tests.app.report.browser import opened
from tests.app.report.elements import Elements
from tests.app.report.examples import on_curves

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "curves.html"
    write_fit_page(on_curves(**SMALL), file)
    return file


def test_functions_replace_columns_on_the_page(page):
    text = Elements(page).text
    assert "What does it look at?" not in text
    assert "Which parts of the curve matter" in text
    assert "a linear model would have one line for all" in text
    assert "Each point is a curve that the network has not seen" in text


def test_descriptions_name_the_strongest_response(page):
    labels = [
        element["aria-label"]
        for element in Elements(page).of("div")
        if element.get("class") == "plot"
    ]
    band = on_curves(**SMALL).curves.slopes[0]
    assert abs(band.grid[strongest(band)] - 930) < 3
    assert any("strongest at 932.1, where it is −2.97" in label for label in labels)


def test_every_picture_of_functions_has_its_table(page):
    links = {link["download"]: link["href"] for link in Elements(page).of("a")}
    assert "slopes.csv" in links
    tables = {
        name: list(
            csv.DictReader(
                io.StringIO(
                    base64.b64decode(links[f"{name}.csv"].split(",")[1]).decode()
                )
            )
        )
        for name in ("slopes",)
    }
    assert tables["slopes"][0].keys() == {
        *(
            "channel",
            "t",
            "quantile_05",
            "quantile_95",
            "quantile_25",
            "quantile_75",
            "median",
        )
    }
    assert [float(row["quantile_05"]) for row in tables["slopes"]] == on_curves(
        **SMALL
    ).curves.slopes[0].central[0].tolist()


def test_the_page_opens_without_messages_and_follows_the_colour_scheme(browser, page):
    window = opened(browser, page)
    assert window.complaints == []
    assert all(url.startswith(("data:", "blob:")) for url in window.requests[1:])
    assert window.overflow() <= 0
    assert window.clipped_labels() == []
    drawn = f"""[...document.querySelectorAll(".lines path")]
      .filter((path) => path.getAttribute("stroke") === "{OKABE_ITO[0]}").length"""
    assert window.page.evaluate(drawn)
    window.page.emulate_media(color_scheme="dark")
    window.until(f"{drawn} === 0")
    window.page.close()
