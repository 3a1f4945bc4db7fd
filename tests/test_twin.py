"""Interactive panels show the numbers of the printed ones."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from langevax.figures import theme
from langevax.figures.twin import panels
from langevax.figures.twin.lettering import lettered


def twin_of(draw, **settings):
    printed = Figure(figsize=(4, 3), layout="constrained")
    axes = printed.subplots()
    draw(axes)
    axes.set(**settings)
    (found,) = panels(printed)
    return found


def test_points_keep_their_bars_on_either_side_and_where_nothing_is_known():
    x, y = [1.0, 10.0, 100.0], [1.0, np.nan, 4.0]
    below, above = [0.5, 0.1, 1.0], [0.25, 0.1, 2.0]
    found = twin_of(lambda axes: axes.errorbar(x, y, (below, above), fmt="s", color="#D55E00"), xscale="log")
    (points,) = found.figure.data
    assert (points.mode, points.marker.symbol, points.marker.color) == ("markers", "square", "#D55E00")
    np.testing.assert_allclose(np.array(points.x)[[0, 2]], [1.0, 100.0])
    np.testing.assert_allclose(points.y, y)
    np.testing.assert_allclose(np.array(points.error_y.array, float)[[0, 2]], [0.25, 2.0], rtol=1e-5)
    np.testing.assert_allclose(np.array(points.error_y.arrayminus, float)[[0, 2]], [0.5, 1.0], rtol=1e-5)
    assert np.isnan(points.error_y.array[1])


def test_bars_along_the_other_axis():
    found = twin_of(lambda axes: axes.errorbar([1.0, 2.0], [0, 1], xerr=[0.5, 0.25], fmt="o"))
    assert found.figure.data[0].error_y.array is None
    np.testing.assert_allclose(found.figure.data[0].error_x.array, [0.5, 0.25])


def test_lines_over_the_whole_width_end_at_the_axes():
    found = twin_of(lambda axes: axes.axhline(0.5, linestyle="--"), xscale="log", xlim=(1, 1000))
    (line,) = found.figure.data
    np.testing.assert_allclose(line.x, [1, 1000], rtol=1e-5)
    assert (line.line.dash, set(line.y)) == ("dash", {0.5})


def test_fills_bars_and_maps():
    band = twin_of(lambda axes: axes.fill_between([0, 1], [0, 0], [1, 2], color="#0072B2", alpha=0.15, linewidth=0))
    assert band.figure.data[0].fill == "toself"
    assert band.figure.data[0].fillcolor == "#0072B226"
    assert max(band.figure.data[0].y) == 2
    counts = twin_of(lambda axes: axes.hist([0.5, 1.5, 1.6], bins=[0, 1, 2], color="#0072B2", label="found"))
    assert counts.figure.data[0].name == "found"
    assert np.nanmax(counts.figure.data[0].y) == 2
    values = np.arange(6.0).reshape(2, 3)
    picture = twin_of(lambda axes: axes.imshow(values, origin="lower", vmin=0, vmax=6)).figure.data[0]
    np.testing.assert_allclose(picture.z, values)
    assert (picture.x, picture.y, picture.zmax) == ((0, 1, 2), (0, 1), 6)
    upside = twin_of(lambda axes: axes.imshow(values)).figure
    assert upside.data[0].y == (0, 1)
    assert upside.layout.yaxis.range[0] > upside.layout.yaxis.range[1]  # the first row at the top


def test_contours_are_lines_with_gaps():
    x = np.linspace(-2, 2, 41)
    bumps = np.exp(-((np.abs(x[:, None]) - 1) ** 2 + x**2) * 4)
    (rings,) = twin_of(lambda axes: axes.contour(x, x, bumps, [0.5], colors="#1F2328")).figure.data
    assert np.isnan(rings.x).any()
    radius = np.hypot(np.array(rings.x), np.abs(rings.y) - 1)
    np.testing.assert_allclose(radius[np.isfinite(radius)], np.sqrt(np.log(2) / 4), atol=0.01)


def test_words_stand_where_they_stood():
    def draw(axes):
        axes.plot([1, 100], [0, 1])
        axes.annotate("end", (100, 1), (6, -3), textcoords="offset points", ha="right", va="top")
        axes.text(0.5, 0.25, "inside", transform=axes.transAxes)
        axes.annotate("over the edge", (1, 0.5), (8, 0), xycoords="axes fraction", textcoords="offset points")

    found = twin_of(draw, xscale="log", xlim=(1, 100), ylim=(0, 2))
    _, end, inside, edge = found.figure.layout.annotations
    assert (end.x, end.y) == (pytest.approx(1.0), pytest.approx(0.5))
    assert (end.xshift, end.yshift, end.xanchor, end.yanchor) == (8, -4, "right", "top")
    assert (inside.x, inside.y) == (pytest.approx(0.5), pytest.approx(0.25))
    assert found.figure.layout.margin.r > edge.xshift + 6 * len("over the edge")


def test_axes_keep_their_ticks_ends_and_shared_labels():
    printed = Figure()
    left, right = printed.subplots(1, 2, sharey=True)
    left.loglog([1, 1000], [1e-3, 1], label="exact")
    right.loglog([1, 10], [1e-3, 1])
    left.set(ylabel="risk", title="left")
    left.legend()
    first, second = panels(printed)
    assert "10<sup>−3</sup>" in first.figure.layout.yaxis.ticktext
    assert first.figure.layout.yaxis.type == "log"
    low, high = np.log10(left.get_ylim())
    np.testing.assert_allclose(first.figure.layout.yaxis.range, [low, high])
    assert second.words.startswith("risk (logarithmic) against")
    assert "exact from 0.001 to 1" in first.words
    assert first.figure.layout.showlegend
    assert first.columns["series"] == ["exact", "exact"]


def test_hollow_stays_hollow_and_equal_units_stay_equal():
    found = twin_of(
        lambda axes: axes.plot([0, 1], [0, 1], "o", markerfacecolor=theme.LIGHT["paper"], color="#009E73"),
        aspect="equal",
    )
    assert found.figure.data[0].marker.symbol == "circle-open"
    assert found.square


def test_formulas_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match="hbar is not known"):
        lettered(r"$\hbar$")
    with pytest.raises(ValueError, match="brace"):
        lettered("$10^{3$")
