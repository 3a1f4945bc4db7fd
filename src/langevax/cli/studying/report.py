"""`langevax study report`: one page of all that was measured, and what is not on it."""

from collections import Counter
from pathlib import Path

from langevax.cli.errors import BadInput
from langevax.cli.output import Output
from langevax.cli.studying.atlas import gather


def write(output: Output, folder: Path, file: Path) -> None:
    """Write the page of the studies in `folder`; raises BadInput where there is none, or no place for the page."""
    from langevax.report.atlas import write_atlas
    from langevax.report.atlas.page import answer, doubts
    from langevax.studies import NAMES

    with output.waiting("Drawing the studies"):
        atlas = gather(folder, NAMES)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atlas(atlas, file)
        except OSError as error:
            raise BadInput(f"--out {str(file)!r} cannot be written ({error.strerror}); name another file.") from error
    output.say("Found", answer(atlas))
    for what, words in doubts(atlas).items():
        if what != "missing":
            output.note(words)
    for told in atlas.studies:
        if told.found is None or told.found.remark:
            output.note(f"{told.name}: {told.found.remark if told.found else f'not measured, {told.reason}'}")
    output.say("Page", str(file))
    claims = [claim.holds for found in atlas.found.values() for claim in found.claims]
    verdicts = Counter(told.verdict for told in atlas.studies)
    output.result(
        {
            "page": str(file),
            "studies": len(atlas.studies),
            "measured": len(atlas.found),
            "holding": verdicts["holds"],
            "failing": [told.name for told in atlas.studies if told.verdict == "fails"],
            "missing": {told.name: told.reason for told in atlas.studies if told.found is None},
            "claims": len(claims),
            "claims_holding": sum(claims),
        }
    )
