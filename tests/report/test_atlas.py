"""The atlas says what holds, what fails and what is missing; its map leads everywhere; it opens offline and prints."""

import base64
import re
from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from langevax.figures.twin import panels
from langevax.figures.twin.places import places
from langevax.report.atlas import Found, write_atlas
from langevax.report.atlas.claims import first_sentence
from langevax.report.atlas.formula import formula
from langevax.report.atlas.page import answer, doubts
from tests.report.atlases import FEW, LOW, NONE, VERSIONS, atlas, found, scene, small, told
from tests.report.browser import opened
from tests.report.elements import Elements

HOSTILE = "<img src=x onerror=alert(1)></script>&amp;"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    file = tmp_path_factory.mktemp("atlas") / "atlas.html"
    write_atlas(small(), file)
    return file


@pytest.fixture(scope="module")
def elements(page):
    return Elements(page)


def written(tmp_path, *studies):
    write_atlas(atlas(*studies), tmp_path / "atlas.html")
    return Elements(tmp_path / "atlas.html")


def test_answer_comes_first_with_counts_time_command_and_versions(elements):
    assert "3 of 4 studies measured, 3 of 4 claims hold." in elements.text
    start = elements.text.index("3 of 4 studies")
    made = elements.text[start : elements.text.index("The map: one step")]
    assert "Measured in 10 min 0 s by langevax study run all --quick on 26 November 2026." in made
    assert "Size small, seed 0, langevax 0.1.0, jax 0.10.2" in made
    assert "Claims fail in pisa." in made
    assert "Not measured: sagrada." in made


def test_map_has_each_study_on_the_line_of_its_part_with_symbol_word_and_count(page):
    text = page.read_text(encoding="utf-8")
    lines = re.split(r'<div class="line (\w+)">', text[text.index('id="map"') : text.index('id="eiffel"')])
    assert lines[1::2] == ["algorithm", "integrator", "gradient", "problem"]
    stops = dict(zip(lines[1::2], lines[2::2], strict=True))
    for part, name, mark, word in (
        ("algorithm", "eiffel", "shown", "shown"),
        ("integrator", "sagrada", "missing", "not measured"),
        ("gradient", "pisa", "fails", "fails: 1 of 3 claims"),
        ("problem", "babel", "holds", "holds: 1 of 1 claim"),
    ):
        assert re.search(
            rf'<a href="#{name}">.*#mark-{mark}.*<b>{name}</b>.*like {name} are low.*{word}</span>', stops[part]
        )
        assert stops[part].count("<li>") == 1


def test_section_that_fails_says_so_first_and_marks_the_row(page):
    text = page.read_text(encoding="utf-8")
    section = text[text.index('id="pisa"') : text.index('id="babel"')]
    paragraphs = re.findall(r"<p class=\"outcome[^>]*>(.*?)</p>", section)
    assert paragraphs == ["1 of 3 claims fails: “storeys”, measured 3 where at most 2 was predicted."]
    rows = re.findall(r'<tr role="row"( class="failed")?>(.*?)</tr>', section[section.index("<tbody") :])
    told = [(bool(failed), " ".join(re.sub(r"<[^>]+>", " ", row).split())) for failed, row in rows[:2]]
    assert told[0] == (False, "it is low Theorem 1 1 1.020 ± 0.010 m 0.05 holds")
    assert told[1] == (True, "storeys Theorem 2 at most 2 3 0.5 fails")


@pytest.mark.parametrize(
    ("claims", "holds", "said"),
    [
        ((LOW,), True, "Its one claim holds."),
        ((LOW, LOW), True, "All 2 claims hold."),
        ((FEW,), False, "Its one claim fails: “storeys”, measured 3 where at most 2 was predicted."),
        (
            (FEW, NONE, LOW),
            False,
            "2 of 3 claims fail: “storeys”, measured 3 where at most 2 was predicted; "
            "“windows”, measured no number where at least 2 was predicted.",
        ),
        ((), None, "This claim is not in numbers; it is shown and not judged."),
        ((), False, "This claim is not in numbers; it was found not to hold."),
    ],
)
def test_first_sentence(claims, holds, said):
    assert first_sentence(Found(holds, "", claims)) == said


def test_missing_study_is_named_with_its_reason_and_its_command(elements):
    section = elements.text[elements.text.index("Not measured: it has no folder.") :]
    assert "A tower sagrada is low" in section[:200]
    assert "langevax study run sagrada --quick" in section[:500]


def test_each_of_several_versions_and_seeds_is_said(tmp_path):
    other = found(LOW, config={"size": "small", "seed": 7}, versions=VERSIONS | {"jax": "0.9.0"})
    studies = told("c", found=other), told("a", found=found(LOW)), told("b", found=found(LOW))
    words = "seed 7 where others have 0, jax 0.9.0 where others have 0.10.2"
    assert doubts(atlas(*studies)) == {"otherwise": f"This page is made of several runs: c ({words})."}
    text = written(tmp_path, *studies).text
    assert f"several runs: c ({words})." in text
    assert text.count(f"Measured otherwise than most of this page: {words}.") == 1
    assert doubts(atlas(*studies[1:])) == {}
    changed = told("d", found=found(LOW, settings={"teacher": "tanh"}))
    assert (
        "d (settings teacher=tanh where others have as they are)" in doubts(atlas(*studies[1:], changed))["otherwise"]
    )


def test_time_is_told_only_where_all_of_it_is_known(tmp_path):
    text = written(tmp_path, told("a", found=found(LOW)), told("b", found=found(LOW, seconds=None))).text
    assert "Measured by langevax" in text
    assert answer(atlas(told("a"))) == "No study is measured."


def test_what_comes_from_data_is_only_text(tmp_path):
    claim = LOW.__class__(HOSTILE, HOSTILE, 1.0, 1.0, 0.1, "equals", None, HOSTILE, holds=True)
    told_by = found(claim, sentence=HOSTILE, numbers={HOSTILE: 1.0}, versions={"jax": HOSTILE}, remark=HOSTILE)
    study = told("a", found=told_by, claim=HOSTILE, source=HOSTILE, see=HOSTILE, brief=HOSTILE, command=HOSTILE)
    studies = study, told("b", reason=HOSTILE), told("c", found=found(LOW))  # which differ, so that it is told how
    write_atlas(atlas(*studies), tmp_path / "atlas.html")
    text = (tmp_path / "atlas.html").read_text(encoding="utf-8")
    body = text[text.index("<body>") : text.index('<script type="application/json" class="in-the-dark"')]
    assert "<img" not in body
    assert body.count("&lt;img src=x onerror=alert(1)&gt;&lt;/script&gt;&amp;amp;") >= 15


def test_where_pictures_cannot_be_drawn_the_printed_one_is_shown_and_described(tmp_path):
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='4' height='3'/>"
    remark = "This version cannot draw these numbers."
    elements = written(tmp_path, told("a", found=found(LOW, pictures=(), places=(), printed=svg, remark=remark)))
    (image,) = elements.of("img")
    assert base64.b64decode(image["src"].removeprefix("data:image/svg+xml;base64,")) == svg
    assert image["alt"] == "The figure of a. Left: it rises. Right: it widens."
    assert remark in elements.text


def test_file_asks_for_nothing_and_its_links_lead_somewhere(elements):
    places = [attributes[key] for _, attributes in elements.tags for key in ("src", "href") if key in attributes]
    assert all(place.startswith(("data:", "#")) for place in places)
    names = {attributes["id"] for _, attributes in elements.tags if "id" in attributes}
    assert {place[1:] for place in places if place.startswith("#") and len(place) > 1} <= names
    assert {
        attributes["aria-labelledby"] for attributes in elements.of("section") if attributes.get("aria-labelledby")
    } <= names


def test_headings_are_in_order(elements):
    levels = [int(tag[1]) for tag, _ in elements.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_picture_is_described_and_stands_where_its_caption_says(elements):
    pictures = [attributes for attributes in elements.of("div") if attributes.get("class") == "plot"]
    assert len(pictures) == 7
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 30 for picture in pictures)
    assert pictures[0]["aria-label"].startswith("Left: Height: height against storeys")
    assert {link["download"] for link in elements.of("a") if "download" in link} >= {"babel-1.csv", "pisa-2.csv"}


@pytest.mark.parametrize(
    ("latex", "told"),
    [
        (r"a \qquad b", 2),
        (r"O\!\left(n\right)", '<mspace width="-0.167em" />'),
        (r"\mathrm{KL}(q)", "<mi>KL</mi>"),
        (r"\langle x \rangle", '<mo stretchy="false">⟨</mo>'),
        (r"\sup_t x", "<munder><mo>sup</mo><mi>t</mi></munder>"),
        (r"\tilde x", '<mover accent="true">'),
    ],
)
def test_formula_is_set_as_browsers_need_it(latex, told):
    set_ = formula(latex)
    assert set_.count("<math ") == told if isinstance(told, int) else told in set_


@pytest.fixture(scope="module")
def wide(browser, page):
    seen = opened(browser, page)
    yield seen
    seen.page.close()


def test_page_opens_silent_and_draws_a_picture_when_it_is_near(wide):
    assert wide.complaints == []
    assert all(url.startswith(("data:", "blob:")) for url in wide.requests[1:])
    last = "document.querySelector('#babel .plot').dataset.drawn"
    wide.page.locator("#babel").scroll_into_view_if_needed()
    wide.until(f"{last} === 'yes' && document.querySelector('#babel .main-svg') !== null")
    assert wide.clipped_labels() == []
    assert wide.overflow() <= 0


SLIDE = """() => {
  const slider = document.querySelector("#t7 input[type=range]");
  slider.value = 1;
  slider.dispatchEvent(new Event("input"));
}"""


def test_far_pictures_wait_and_are_drawn_when_they_are_to_move(browser, tmp_path):
    studies = [told(f"t{i}", found=found(LOW)) for i in range(7)] + [told("t7", found=found(LOW, scene=scene()))]
    write_atlas(atlas(*studies), tmp_path / "atlas.html")
    seen = opened(browser, tmp_path / "atlas.html")
    seen.page.wait_for_timeout(150)
    assert not seen.page.evaluate("document.querySelector('#t7 .plot').dataset.drawn")
    seen.page.evaluate(SLIDE)
    seen.page.wait_for_selector("#t7 figure[data-frame='1'] .lines path", state="attached", timeout=5000)
    assert seen.complaints == []
    seen.page.close()


def test_tab_leads_to_the_contents_and_the_stops_of_the_map(wide):
    wide.page.evaluate("scrollTo(0, 0)")
    wide.page.locator("body").press("Tab")
    reached = []
    for _ in range(12):
        reached.append(wide.page.evaluate("document.activeElement.getAttribute('href')"))
        wide.page.keyboard.press("Tab")
    names = ["#eiffel", "#sagrada", "#pisa", "#babel"]
    assert reached[:10] == ["#map", "#map", *names, *names]


def test_a_link_of_the_map_leads_to_its_study_and_back(wide):
    wide.page.locator(".line a[href='#pisa']").click()
    wide.until("Math.abs(document.querySelector('#pisa').getBoundingClientRect().top) < 60")
    wide.page.locator("#pisa a[href='#map']").click()
    wide.until("Math.abs(document.querySelector('#map').getBoundingClientRect().top) < 60")


def test_slider_moves_the_picture(wide):
    line = "document.querySelector('#pisa figure[data-frame] .lines path').getAttribute('d')"
    slider = wide.page.locator("#pisa input[type=range]")
    slider.fill("4")
    wide.page.wait_for_selector("#pisa figure[data-frame='4'] .lines path")
    last = wide.page.evaluate(line)
    slider.fill("1")
    wide.page.wait_for_selector("#pisa figure[data-frame='1']")
    assert wide.page.evaluate(line) != last
    assert wide.page.locator("#pisa output").text_content() == "step 10"


def test_line_too_dark_for_dark_paper_is_lifted_and_a_map_keeps_its_colours_and_words(browser, page):
    seen = opened(browser, page, scheme="dark")
    seen.page.locator("#eiffel .panels").scroll_into_view_if_needed()
    seen.until("document.querySelectorAll('#eiffel .lines path').length === 2")
    words, lines, scale = seen.page.evaluate(
        """[[...document.querySelector("#eiffel .plot").querySelectorAll(".annotation text")].map((t) => t.style.fill),
            [...document.querySelectorAll("#eiffel .lines path")].map((path) => path.style.stroke),
            document.querySelector("#eiffel .plot").data[0].colorscale.map(([_, colour]) => colour)]"""
    )
    assert lines == ["rgb(74, 154, 232)", "rgb(133, 90, 144)"]
    assert scale == ["#440154", "#FDE725"]
    assert words[-2:] == ["rgb(31, 35, 40)", "rgb(227, 230, 232)"]  # on a map that stays as it is, and above it
    seen.page.close()


def test_lines_of_the_map_are_dressed_for_light_and_dark(wide):
    line = "getComputedStyle(document.querySelector('.drawing path.algorithm')).stroke"
    assert wide.page.evaluate(line) == "rgb(0, 114, 178)"
    wide.page.emulate_media(color_scheme="dark")
    assert wide.page.evaluate(line) == "rgb(74, 154, 232)"
    wide.page.emulate_media(color_scheme="light")


def test_lines_of_the_drawing_end_where_those_of_the_columns_begin(wide):
    ends = wide.page.evaluate(
        """["algorithm", "integrator", "gradient", "problem"].map((part) => {
          const path = document.querySelector(`.drawing path.${part}`);
          const end = path.getPointAtLength(path.getTotalLength()).matrixTransform(path.getScreenCTM());
          const mark = document.querySelector(`.line.${part} .mark`).getBoundingClientRect();
          return end.x - (mark.left + mark.right) / 2;
        })"""
    )
    assert max(map(abs, ends)) < 1.0


def test_page_prints_light_unfolded_and_with_all_pictures(browser, page):
    seen = opened(browser, page, scheme="dark")
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
    seen.page.evaluate(
        """addEventListener("beforeprint", () => (window.printed = [
          document.querySelectorAll(".plot .main-svg").length >= document.querySelectorAll(".plot").length,
          document.querySelectorAll("details:not([open])").length,
          ...new Set([...document.querySelectorAll(".xtick text")].map((text) => getComputedStyle(text).fill)),
        ]))"""
    )
    paper = seen.page.pdf(prefer_css_page_size=True)
    assert seen.page.evaluate("window.printed") == [
        True,
        0,
        "rgb(92, 101, 110)",
    ]  # every figure, none folded, all light
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) > 3
    assert b"/ToUnicode" in paper  # text is text
    seen.page.close()


def test_narrow_page_is_one_column_and_no_wider_than_the_window(browser, page):
    seen = opened(browser, page, width=390, scheme="dark")
    assert seen.overflow() <= 0
    assert seen.complaints == []
    lefts = seen.page.evaluate("[...document.querySelectorAll('.line')].map((l) => l.getBoundingClientRect().left)")
    assert len(set(lefts)) == 1
    assert seen.page.locator(".step").bounding_box()["height"] > 20  # the equation as text
    assert not seen.page.locator(".drawing").is_visible()
    cells = seen.page.evaluate(
        "[...document.querySelectorAll('#babel .claims td')].map((cell) =>"
        " [cell.getBoundingClientRect().right <= innerWidth, getComputedStyle(cell, '::before').content])"
    )
    named = ["none", '"predicted"', '"measured"', '"tolerance"', '"verdict"']
    assert cells == [[True, name] for name in named]  # a row is a small list, each number with its name
    seen.page.close()


def test_reader_who_wants_no_motion_gets_no_smooth_scrolling_and_no_play(browser, page):
    seen = opened(browser, page, motion="reduce")
    assert seen.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert not seen.page.locator("button.play").is_visible()
    seen.page.close()


def test_each_panel_of_a_printed_figure_has_its_place():
    printed = Figure(layout="constrained")
    for name, axes in printed.subplot_mosaic([["a", "a", "a"], ["b", "c", "d"], ["e", "e", "f"]]).items():
        if name == "d":
            axes.axis("off")
        elif name != "f":  # which stays empty
            axes.set_title(name)
            image = axes.imshow([[0, 1], [1, 0]])
    printed.colorbar(image)
    assert dict(zip([twin.title for twin in panels(printed)], places(printed), strict=True)) == {
        "a": "first row",
        "b": "second row, left",
        "c": "second row, right",
        "e": "third row",
    }
