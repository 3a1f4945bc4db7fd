"""The atlas: every study's claim, numbers and pictures on one page, under a map of the one step they are about.

contents.py   what a page tells, as plain contents
agreement.py  what the studies of a page have in common, and which of them were measured otherwise
marks.py      a verdict as a symbol and a word
ideas.py      the map: the one step, its four parts, and the studies of each
formula.py    LaTeX as MathML
claims.py     claims counted, and in a table
study.py      the section of a study
page.py       the page
"""

from langevax.report.atlas.contents import Atlas, Claimed, Found, Told
from langevax.report.atlas.page import write_atlas

__all__ = ["Atlas", "Claimed", "Found", "Told", "write_atlas"]
