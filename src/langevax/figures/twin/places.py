"""Where the panels of a printed figure stand on paper, in words, so that a caption's "left" is true on a page too."""

from typing import Any

NAMES = {
    "rows": {2: ("above", "below"), 3: ("first row", "second row", "third row")},
    "columns": {2: ("left", "right"), 3: ("left", "middle", "right"), 4: ("left", "second", "third", "right")},
}
SIDES = {"rows": ("y0", "y1"), "columns": ("x0", "x1")}


def places(figure: Any) -> list[str]:
    """The place of each panel, in the order of `panels`; empty for one that stands alone.

    Example:
        >>> from matplotlib.figure import Figure
        >>> printed = Figure(layout="constrained")
        >>> for axes in printed.subplot_mosaic([["a", "a"], ["b", "c"]]).values():
        ...     _ = axes.plot([0, 1])
        >>> places(printed)
        ['above', 'below, left', 'below, right']
    """
    return [", ".join(words) for words in _places([axes.bbox for axes in axes_of(figure)])]


def axes_of(figure: Any) -> list[Any]:
    """The axes that are panels, after they have been laid out: colour bars belong to their maps."""
    figure.draw_without_rendering()
    return [axes for axes in figure.axes if axes.axison and axes.get_label() != "<colorbar>" and axes.has_data()]


def _places(boxes: list[Any]) -> list[list[str]]:
    """Cut into rows where no box is in the way, otherwise into columns, and each of these again."""
    for way in ("rows", "columns"):
        groups = _cut(boxes, *SIDES[way])
        if len(groups) > 1:
            if way == "rows":
                groups.reverse()
            found: list[list[str]] = [[] for _ in boxes]
            for i, group in enumerate(groups):
                known = NAMES[way].get(len(groups))
                name = known[i] if known else f"{way[:-1]} {i + 1}"
                for place, inner in zip(group, _places([boxes[place] for place in group]), strict=True):
                    found[place] = [name, *inner]
            return found
    return [[] for _ in boxes]


def _cut(boxes: list[Any], low: str, high: str) -> list[list[int]]:
    """Indices of boxes that overlap along one side, from low to high."""
    groups: list[list[int]] = []
    end = float("-inf")
    for i in sorted(range(len(boxes)), key=lambda i: getattr(boxes[i], low)):
        if getattr(boxes[i], low) >= end:
            groups.append([])
        groups[-1].append(i)
        end = max(end, getattr(boxes[i], high))
    return groups
