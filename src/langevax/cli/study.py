"""`langevax study`: a claim of a paper, measured, drawn and judged."""

import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from langevax.cli.errors import BadInput, exit_codes, listing, nearest
from langevax.cli.folder import make
from langevax.cli.output import Output, plain
from langevax.cli.studying.folder import kept, request
from langevax.cli.studying.pace import roughly

HELP = """Measure claims of papers, draw them, and say whether they held.

\b
Examples:
  langevax study list
  langevax study run mixture
  langevax study mixture                     the same
  langevax study run all --quick             all of them, in minutes
  langevax study report out/studies          a page of them
  langevax study run mixture --help

Exit codes: 0 done, whether the claim held or not; 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""

RUN_HELP = """Measure a claim of a paper, or all of them, draw it, and say whether it held.

\b
Examples:
  langevax study run mixture
  langevax study run mixture --size small --seed 1 --out mixture
  langevax study run classification --json > classification.json
  langevax study run one-step --set teacher=tanh --set neurons_per_dim=1
  langevax study run all --quick --jobs 2
  langevax study run all --quick --jobs 2 --resume

DIR then holds data.nc (all numbers), figure.svg, .pdf, .png and verdict.json; with `all`, a folder of these for each
study. small takes seconds, full minutes. What can be set is shown by `langevax study list NAME`.

With `all` each study has a process of its own: where one crashes, the others go on, and the exit code is 1 at the end.
Ctrl-C keeps what is measured, and --resume goes on: it measures only what is not there whole, of the same size, seed,
settings and version.

Exit codes: 0 done, whether the claim held or not; 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""

REPORT_HELP = """Make one page of the studies in DIR: a map of the ideas, and each claim with its numbers and pictures.

\b
Examples:
  langevax study run all --quick
  langevax study report                      reads out/studies, writes out/studies/atlas.html
  langevax study report out/mine --out mine.html

The page is one file that opens offline. Nothing is measured again: pictures are drawn from data.nc. A study that is
missing or incomplete is named on the page as not measured.

Exit codes: 0 done, whether claims held or not; 2 bad usage or bad input.
"""

FOLDER = Path("out/studies")
ALL = "all"
LINE = 66  # columns of a claim beside its name
VERDICTS = {True: "It holds.", False: "It does not hold.", None: ""}


class _Group(TyperGroup):
    """`langevax study NAME` runs that study; without a name the studies are listed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asked = set(args) & {"-h", "--help"}
        if not args or args == ["--json"]:
            args = ["list", *args]
        elif args[0] not in self.commands and not (args[0].startswith("-") and asked):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(help=HELP, cls=_Group, rich_markup_mode=None)


@app.command("list", short_help="List the studies with their claims, or what can be set in one.")
def list_studies(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this one, with what can be set.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON and nothing else.")] = False,
) -> None:
    """List the studies with their claims; with NAME, one of them with what can be set in it."""
    with exit_codes():
        _list(Output(machine=json), name)


@app.command("run", help=RUN_HELP, short_help="Measure one, or all.")
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which one, or all.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder for numbers and figure; by default out/studies/NAME, and out/studies for all.",
        ),
    ] = None,
    size: Annotated[
        Literal["full", "small"] | None,
        typer.Option(metavar="SIZE", help="full, or small for a first look; full by default.", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The same as --size small.")] = False,
    seed: Annotated[int, typer.Option(metavar="INT", min=0, help="Of everything random.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="With all: so many studies at a time.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Keep what is already measured in DIR.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
) -> None:
    with exit_codes():
        if quick and size == "full":
            raise BadInput("--quick is --size small and cannot go with --size full; leave one of them out.")
        chosen = "small" if quick else size or "full"
        if name == ALL:
            _run_all(Output(machine=json), out or FOLDER, chosen, seed, settings or [], jobs, resume)
        elif jobs > 1:
            raise BadInput(f"--jobs {jobs} is for `all`; {name!r} is one study.")
        else:
            _run(Output(machine=json), name, out or FOLDER / name, chosen, seed, settings or [], resume)


@app.command("report", help=REPORT_HELP, short_help="Make one page of all that was measured.")
def report(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="What `run all` filled; out/studies.")] = FOLDER,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page; by default atlas.html in DIR.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print path and counts as JSON and nothing else.")] = False,
) -> None:
    from langevax.cli.studying.report import write

    with exit_codes():
        write(Output(machine=json), folder, out or folder / "atlas.html")


def _list(output: Output, name: str | None) -> None:
    from langevax.studies import NAMES, QUICK_SECONDS, load

    if name is not None:
        _check(name, NAMES)
    studies = [load(each) for each in (NAMES if name is None else [name])]
    rows = []
    for each in studies:
        lines = textwrap.wrap(each.claim, LINE) + textwrap.wrap(f"({each.source})", LINE)
        if each.name in QUICK_SECONDS:
            lines.append(f"--quick: about {roughly(QUICK_SECONDS[each.name])}")
        rows += [(each.name if i == 0 else "", line) for i, line in enumerate(lines)]
    output.table(("study", "claim (source)"), rows)
    output.blank()
    if name is not None and studies[0].options:
        output.table(("--set", "what it is"), [(key, option["about"]) for key, option in studies[0].options.items()])
        output.blank()
    output.say("", f"Measure {'one' if name is None else 'it'} with `langevax study run {name or 'NAME'}`.")
    if name is None:
        output.say("", "Measure all with `langevax study run all`, in minutes with --quick.")
    told = {each.name: {"claim": each.claim, "source": each.source, "see": each.see} for each in studies}
    output.result({key: about | {"quick_seconds": QUICK_SECONDS.get(key)} for key, about in told.items()})


def _check(name: str, names: Any) -> None:
    if name not in names:
        hint = nearest(name, names)
        asked = f"{hint} The" if hint.startswith("did") else "the"
        raise BadInput(f"NAME {name!r} is no study; {asked} studies are {listing(names, len(names))}.")


def _settings(chosen: Any, words: list[str]) -> dict[str, Any]:
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in chosen.options:
            known = f"it has {listing(chosen.options, 20)}" if chosen.options else "it has nothing to set"
            raise BadInput(f"--set {key!r} is not known to the study {chosen.name!r}; {known}.")
        if not equals:
            raise BadInput(f"--set {word!r} has no value; write {key}=VALUE.")
        try:
            found[key] = chosen.options[key]["parse"](value)
        except ValueError as error:
            raise BadInput(f"--set {word!r} is refused: {error}. {key} is {chosen.options[key]['about']}.") from error
    return found


def _run_all(
    output: Output,
    out: Path,
    size: Literal["full", "small"],
    seed: int,
    settings: list[str],
    jobs: int,
    resume: bool,
) -> None:
    from langevax.cli.studying.every import run_all
    from langevax.studies import NAMES

    if settings:
        raise BadInput(f"--set {settings[0]!r} is for one study and cannot go with `all`; name the study.")
    make(out)
    again = ["langevax", "study", "run", ALL, *(["--quick"] if size == "small" else [])]
    again += ["--seed", str(seed)] * (seed != 0) + ["--out", str(out)] * (out != FOLDER)
    again += ["--jobs", str(jobs)] * (jobs > 1)
    run_all(output, NAMES, out, request(size, seed, []), jobs, resume, again)


def _run(
    output: Output,
    name: str,
    folder: Path,
    size: Literal["full", "small"],
    seed: int,
    settings: list[str],
    resume: bool,
) -> None:
    from langevax.run import keep_compiled_programs
    from langevax.studies import NAMES, load

    _check(name, NAMES)
    chosen = load(name)
    changed = _settings(chosen, settings)
    asked = request(size, seed, settings)
    make(folder)
    output.say("Claim", chosen.claim)
    output.say("Source", chosen.source)
    content = kept(folder, asked) if resume else None
    if content is not None:
        output.note("Kept from an earlier run of the same request.")
    else:
        keep_compiled_programs()
        progress = False if output.machine else None
        data = chosen.run(chosen.config(size=size, seed=seed, **changed), progress)
        content = chosen.save(folder, data, request=asked)
    output.say("Found", f"{VERDICTS[content['holds']]} {content['verdict']}".strip())
    output.say("To see", chosen.see)
    output.say("Figure", str(folder / "figure.svg"))
    output.result(plain(content | {"size": size, "seed": seed, "folder": str(folder), "settings": settings}))
