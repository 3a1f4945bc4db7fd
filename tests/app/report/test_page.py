"""Pages are rendered from templates that escape every value and refuse missing ones."""

import jinja2
import numpy as np
import plotly.graph_objects as go
import pytest

from langevax.app.report.page import embedded_json, moving_figure, write_page
from langevax.figures.moving import Moving, MovingPanel, Scene, Track
from tests.app.report.elements import Elements

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>alert(1)</script>\" onload='alert(2)"


def clients(text):
    moving = Moving(
        go.Figure(layout={"height": 100}),
        (0,),
        (Track("y", np.ones((1, 2)), text),),
        {text: np.ones(2)},
    )
    return moving_figure(
        Scene((MovingPanel(text, moving, text, text),), np.arange(1), unit="round")
    )


def test_every_value_is_escaped(tmp_path):
    for name, text in (("plain", "plain"), ("hostile", HOSTILE)):
        values = {
            "title": text,
            "answer": text,
            "command": text,
            "clients": clients(text),
        }
        write_page(tmp_path / name, "federated.html.jinja", **values)
    plain, hostile = (Elements(tmp_path / name) for name in ("plain", "hostile"))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert not any("onload" in attributes for _, attributes in hostile.tags)
    assert hostile.text.count("alert(1)") == 6


def test_a_missing_value_is_an_error(tmp_path):
    with pytest.raises(jinja2.UndefinedError, match="title"):
        write_page(
            tmp_path / "page.html",
            "federated.html.jinja",
            answer="",
            command="",
            clients=clients("x"),
        )
    assert not (tmp_path / "page.html").exists()


def test_embedded_json_cannot_end_its_script():
    assert "<" not in embedded_json('{"a": "</script>&"}')
