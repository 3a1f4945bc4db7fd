"""Claims counted in sentences, and in a table: predicted, measured, how far off it may be, and whether it holds."""

from collections.abc import Iterable, Sequence

from langevax.report.atlas.contents import Claimed, Found
from langevax.report.atlas.html import Html, element, join
from langevax.report.atlas.marks import worded
from langevax.report.numbers import number, with_error

HEAD = ("claim", "predicted", "measured", "tolerance", "verdict")
NUMERIC = (1, 2, 3)


def counted(claims: Iterable[Claimed]) -> str:
    """How many hold.

    Example:
        >>> claim = Claimed("low", "", 3.0, 2.0, 0.0, "at most", None, "m", holds=False)
        >>> counted([claim]), counted([])
        ('0 of 1 claim holds', 'no claim in numbers')
    """
    claims = list(claims)
    return f"{share(claims, True)} hold{'s' * (len(claims) == 1)}" if claims else "no claim in numbers"


def share(claims: Sequence[Claimed], holds: bool) -> str:
    """Those that hold, or do not, of all."""
    return f"{sum(claim.holds == holds for claim in claims)} of {len(claims)} claim{'s' * (len(claims) != 1)}"


def first_sentence(found: Found) -> str:
    """What became of a study's claims, those that failed by name.

    Example:
        >>> first_sentence(Found(True, "", (Claimed("it is low", "", 1.0, 2.0, 0.0, "at most", None, "m", True),)))
        'Its one claim holds.'
    """
    total, failed = len(found.claims), [claim for claim in found.claims if not claim.holds]
    if not total:
        said = {True: "was found to hold", False: "was found not to hold", None: "is shown and not judged"}
        return f"This claim is not in numbers; it {said[found.holds]}."
    if not failed:
        return "Its one claim holds." if total == 1 else f"All {total} claims hold."
    names = "; ".join(_failing(claim) for claim in failed)
    begin = "Its one claim fails" if total == 1 else f"{len(failed)} of {total} claims fail{'s' * (len(failed) == 1)}"
    return f"{begin}: {names}."


def claims_table(claims: Iterable[Claimed], label: str) -> Html:
    """A row a claim; on a narrow page a row becomes a small list, and stays a row to those who hear it."""
    head = element(
        "tr", *(_cell("th", name, i, "columnheader", scope="col") for i, name in enumerate(HEAD)), role="row"
    )
    body = element("tbody", *map(_row, claims), role="rowgroup")
    whole = element("table", element("thead", head, role="rowgroup"), body, aria_label=label, role="table")
    return element("div", whole, class_="table claims")


def _row(claim: Claimed) -> Html:
    statement = join(claim.statement, " ", element("small", claim.source) if claim.source else "")
    verdict = worded("holds" if claim.holds else "fails")
    measured = join(_measured(claim), element("small", claim.unit) if claim.unit else "")
    cells = (statement, _predicted(claim), measured, number(claim.tolerance, 3), verdict)
    return element(
        "tr",
        *(_cell("td", each, i, "cell", data_label=HEAD[i]) for i, each in enumerate(cells)),
        role="row",
        class_=None if claim.holds else "failed",
    )


def _cell(tag: str, content: object, column: int, role: str, **attributes: object) -> Html:
    return element(tag, content, role=role, class_="number" if column in NUMERIC else None, **attributes)


def _predicted(claim: Claimed) -> str:
    words = number(claim.predicted)
    return words if claim.relation == "equals" else f"{claim.relation} {words}"


def _measured(claim: Claimed) -> str:
    return "no number" if claim.measured is None else with_error(claim.measured, claim.error)


def _failing(claim: Claimed) -> str:
    unit = f" {claim.unit}" if claim.unit else ""
    return f"“{claim.statement}”, measured {_measured(claim)}{unit} where {_predicted(claim)}{unit} was predicted"
