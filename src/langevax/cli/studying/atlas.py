"""From the folders that studies left to the contents of the atlas."""

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langevax.cli.errors import BadInput
from langevax.cli.studying.folder import LAST

if TYPE_CHECKING:
    from langevax.report.atlas import Atlas, Found, Told
    from langevax.studies import Study


class Unreadable(Exception):
    """Why a folder holds no whole study, as a sentence."""


def gather(folder: Path, names: Iterable[str]) -> "Atlas":
    """What is in the folder; raises BadInput where no study is."""
    from langevax.report.atlas import Atlas
    from langevax.studies import load

    if not folder.is_dir():
        raise BadInput(
            f"DIR {str(folder)!r} is no folder; name the one that `langevax study run all --out DIR` filled."
        )
    told = tuple(_told(load(name), folder / name) for name in names)
    if not any(each.found for each in told):
        if (folder / LAST).exists():
            raise BadInput(f"DIR {str(folder)!r} holds one study; name the folder of studies that it stands in.")
        raise BadInput(
            f"DIR {str(folder)!r} holds no study; fill it with `{_command('all', {}, folder)}`, "
            "in minutes with --quick."
        )
    asked = _asked(told)
    page = shlex.join(["langevax", "study", "report", str(folder)])
    return Atlas(told, _command("all", asked), f"{_command('all', asked, folder)}\n{page}")


def _told(study: "Study", folder: Path) -> "Told":
    from langevax.report.atlas import Told

    try:
        found, reason = _found(study, folder), ""
    except Unreadable as why:
        found, reason = None, str(why)
    return Told(
        name=study.name,
        part=study.part,
        brief=study.brief,
        claim=study.claim,
        formula=study.formula,
        source=study.source,
        see=study.see,
        command=_command(study.name, {} if found is None else {**found.config, "settings": found.settings}),
        found=found,
        reason=reason,
    )


def _found(study: "Study", folder: Path) -> "Found":
    from langevax.report.atlas import Claimed, Found

    content, data = _read(study.name, folder)
    attributes = {name: json.loads(data.attrs.get(name, "{}")) for name in ("config", "versions", "request")}
    asked = content.get("request") or attributes["request"]
    return Found(
        holds=content["holds"],
        sentence=content["verdict"],
        claims=tuple(Claimed(**claim) for claim in content["claims"]),
        printed=(folder / "figure.svg").read_bytes(),
        numbers=content["numbers"],
        config=attributes["config"],
        settings=asked.get("settings", {}),
        versions=attributes["versions"],
        seconds=float(data.attrs["seconds"]) if "seconds" in data.attrs else None,
        ended=data.attrs.get("ended", ""),
        **_drawn(study, data),
    )


def _read(name: str, folder: Path) -> tuple[dict[str, Any], Any]:
    """The verdict and the numbers of a whole study."""
    import xarray

    if not folder.is_dir():
        raise Unreadable("it has no folder.")
    if not (folder / LAST).exists():
        log = " Its last words are in log.txt." if (folder / "log.txt").exists() else ""
        raise Unreadable(f"its folder has no {LAST}, so that it was interrupted or crashed.{log}")
    try:
        content = json.loads((folder / LAST).read_text(encoding="utf-8"))
        missing = {"study", "holds", "verdict", "claims", "numbers"} - set(content)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"its {LAST} cannot be read ({error}).") from error
    if missing:
        raise Unreadable(f"its {LAST} has no {' and no '.join(sorted(missing))}: another version wrote it.")
    if content["study"] != name:
        raise Unreadable(f"its folder holds the study {content['study']!r}.")
    for part in ("data.nc", "figure.svg"):
        if not (folder / part).is_file():
            raise Unreadable(f"its folder has no {part}.")
    try:
        with xarray.open_dataset(folder / "data.nc", engine="h5netcdf") as data:
            return content, data.load()
    except (OSError, ValueError) as error:
        raise Unreadable(f"its data.nc cannot be read ({error}).") from error


def _drawn(study: "Study", data: Any) -> dict[str, Any]:
    """Pictures and the scene from the saved numbers, or what to say where this version cannot draw them."""
    from langevax.figures.twin.panel import panels
    from langevax.figures.twin.places import places

    try:
        printed = study.draw(data)
        shown = {"pictures": tuple(panels(printed)), "places": tuple(places(printed))}
        return shown | {"scene": study.move(data) if study.move else None}
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:  # numbers of another version
        why = f"This version cannot draw these numbers ({type(error).__name__}: {error})"
        return {"remark": f"{why}; the picture is the one that was saved with them."}


def _asked(told: "Iterable[Told]") -> dict[str, str]:
    """Size and seed of most studies."""
    from langevax.report.atlas.agreement import usual

    return usual({each.name: each.found for each in told if each.found is not None})


def _words(asked: Mapping[str, Any]) -> list[str]:
    words = ["--quick"] if asked.get("size") == "small" else []
    seed = str(asked.get("seed", 0))
    words += ["--seed", seed] * (seed != "0")
    settings = asked.get("settings")
    changed = settings.items() if isinstance(settings, Mapping) else ()
    return [*words, *(word for name, value in changed for word in ("--set", f"{name}={value}"))]


def _command(name: str, asked: Mapping[str, Any], folder: Path | None = None) -> str:
    out = [] if folder is None else ["--out", str(folder)]
    return shlex.join(["langevax", "study", "run", name, *_words(asked), *out])
