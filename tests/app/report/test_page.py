"""Pages are rendered from a template that escapes every value and refuses missing ones."""

import jinja2
import plotly.graph_objects as go
import pytest

from langevax.app.report.page import (
    Figure,
    Picture,
    Section,
    Table,
    Text,
    embedded_json,
    write_page,
)
from tests.app.report.elements import Elements
from tests.sentences import refuses

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>alert(1)</script>\" onload='alert(2)"


def contents(text):
    picture = Picture(go.Figure(layout={"height": 100, "title": text}), text)
    figure = Figure([picture], text, text, {text: [text]})
    table = Table(text, (text, text), [(text, (text, text))])
    kinds = ("plain", "note", "doubt", "heading", "code")
    texts = [Text(text, kind) for kind in kinds]
    sections = [Section(text, [figure, table, *texts])]
    return {
        "title": text,
        "answer": text,
        "top": texts,
        "sections": sections,
        "details": sections,
    }


def test_every_value_is_escaped(tmp_path):
    for name, text in (("plain", "plain"), ("hostile", HOSTILE)):
        write_page(tmp_path / name, **contents(text))
    plain, hostile = (Elements(tmp_path / name) for name in ("plain", "hostile"))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert not any("onload" in attributes for _, attributes in hostile.tags)
    assert hostile.text.count("alert(1)") == plain.text.count("plain")


def test_a_missing_value_is_an_error(tmp_path):
    with refuses(jinja2.UndefinedError, "title"):
        write_page(tmp_path / "page.html", answer="", top=(), sections=(), details=())
    assert not (tmp_path / "page.html").exists()


def test_embedded_json_cannot_end_its_script():
    assert "<" not in embedded_json('{"a": "</script>&"}')
