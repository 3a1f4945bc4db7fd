"""`langevax study`: a claim of a paper, measured, drawn and judged."""

import textwrap
from pathlib import Path
from typing import Annotated, Literal

import typer

from langevax.cli.errors import BadInput, exit_codes, listing, nearest
from langevax.cli.output import Output, plain

HELP = """Measure a claim of a paper, draw it, and say whether it held.

\b
Examples:
  langevax study
  langevax study mixture
  langevax study mixture --size small --seed 1 --out mixture
  langevax study classification --json > classification.json

Without NAME the studies are listed with their claims. DIR then holds data.nc (all numbers), figure.svg, figure.png and
verdict.json. small takes seconds, full minutes.

Exit codes: 0 done, whether the claim held or not; 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""

FOLDER = Path("out/studies")
LINE = 66  # columns of a claim beside its name
VERDICTS = {True: "It holds.", False: "It does not hold.", None: ""}


def study(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which; all are listed without it.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder for numbers and figure; by default out/studies/NAME."),
    ] = None,
    size: Annotated[
        Literal["full", "small"], typer.Option(metavar="SIZE", help="full, or small for a first look.")
    ] = "full",
    seed: Annotated[int, typer.Option(metavar="INT", min=0, help="Of everything random.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
) -> None:
    with exit_codes():
        output = Output(machine=json)
        if name is None:
            _list(output)
        else:
            _run(output, name, FOLDER / name if out is None else out, size, seed)


def _list(output: Output) -> None:
    from langevax.studies import NAMES, load

    studies = [load(name) for name in NAMES]
    rows = []
    for each in studies:
        lines = textwrap.wrap(each.claim, LINE) + textwrap.wrap(f"({each.source})", LINE)
        rows += [(each.name if i == 0 else "", line) for i, line in enumerate(lines)]
    output.table(("study", "claim (source)"), rows)
    output.blank()
    output.say("", "Measure one with `langevax study NAME`.")
    output.result({each.name: {"claim": each.claim, "source": each.source, "see": each.see} for each in studies})


def _run(output: Output, name: str, folder: Path, size: Literal["full", "small"], seed: int) -> None:
    from langevax.cli.compilation import keep_compiled_programs
    from langevax.studies import NAMES, load

    if name not in NAMES:
        hint = nearest(name, NAMES)
        asked = f"{hint} The" if hint.startswith("did") else "the"
        raise BadInput(f"NAME {name!r} is no study; {asked} studies are {listing(NAMES, len(NAMES))}.")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out {str(folder)!r} is a file; name a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)  # before minutes of work, not after
    except OSError as error:
        raise BadInput(f"--out {str(folder)!r} cannot be made ({error.strerror}); name another folder.") from error
    keep_compiled_programs()
    chosen = load(name)
    output.say("Claim", chosen.claim)
    output.say("Source", chosen.source)
    data, figure, verdict = chosen.run(size=size, seed=seed, progress=False if output.machine else None)
    content = chosen.save(folder, data, figure, verdict)
    output.say("Found", f"{VERDICTS[verdict.holds]} {verdict.sentence}".strip())
    output.say("To see", chosen.see)
    output.say("Figure", str(folder / "figure.svg"))
    output.result(plain(content | {"size": size, "seed": seed, "folder": str(folder)}))
