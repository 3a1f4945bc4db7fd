"""A printed figure's panels as interactive ones: drawn once, shown on paper and on a page.

lettering.py   a printed label, with its mathematics, as markup that a page's figure understands
marks.py       what stands on a pair of printed axes, in the axes' own coordinates
panel.py       the interactive panel of a pair of axes, with its words and its data
"""

from langevax.figures.twin.panel import Twin, panels

__all__ = ["Twin", "panels"]
