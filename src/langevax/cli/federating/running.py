"""From the words of `langevax federated run` to a run of an app on one of Flower's engines."""

import json
import re
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langevax.cli.errors import BadInput, RunFailed, count, listing, nearest
from langevax.cli.federating.extra import check_flower
from langevax.cli.folder import make
from langevax.cli.output import Output, plain

if TYPE_CHECKING:
    from langevax.flower.engines import Deployment, RunOutcome, Simulation

LEVEL = re.compile(r"^(INFO|WARNING|ERROR|DEBUG) *: *")
CHATTER = (  # Flower's and Ray's advice, which does not apply here
    "Since flwr 1.32", "To change federation size", "flwr federation simulation-config", "Start `flwr-serverapp`",
    "Successfully installed", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "warnings.warn(", "Manually terminating",
    "Starting Flower Simulation", "Federation `@none", "os.fork() was called", "self.pid = _fork_exec",
)  # fmt: skip


class Wanted(NamedTuple):
    """What was asked for."""

    app: Path
    engine: Literal["simulation", "deployment"]
    clients: int
    settings: list[str]
    out: Path | None
    tls: bool
    timeout: float | None


def run(output: Output, wanted: Wanted) -> None:
    """Check, start the engine, run, tell, and end the engine."""
    if wanted.tls and wanted.engine == "simulation":
        raise BadInput("--tls goes with --engine deployment; a simulation sends nothing. Leave it out.")
    if wanted.timeout is not None and not wanted.timeout > 0:
        raise BadInput(f"--timeout {wanted.timeout:g} must be a number of seconds above 0; pass one, or leave it out.")
    check_flower("langevax federated run", "flwr", *(["ray"] if wanted.engine == "simulation" else []))
    from langevax.flower.engines import EngineError

    folder = Path("out/federated") / wanted.app.absolute().name if wanted.out is None else wanted.out
    settings = settings_for(wanted, _known(wanted.app), folder)
    make(folder)
    began = time.monotonic()
    with ExitStack() as stack:
        try:
            with output.waiting(f"Flower's {wanted.engine} engine starts"):
                engine = stack.enter_context(engine_of(wanted, folder / "logs", stack))
            ready = time.monotonic() - began
            output.say("Engine", f"{wanted.engine}, {count(wanted.clients, 'client')}, ready in {ready:.1f} seconds"
                       f"{', with TLS and registered keys' if wanted.tls else ''}")  # fmt: skip
            outcome = engine.run(wanted.app, settings, timeout=wanted.timeout, on_line=lambda line: _tell(output, line))
        except EngineError as error:
            raise RunFailed(f"{error}\nAll logs are in {str(folder / 'logs')!r}.") from error
    _finish(output, wanted, folder, settings, outcome, ready)


def engine_of(wanted: Wanted, logs: Path, stack: ExitStack) -> "AbstractContextManager[Simulation | Deployment]":
    """The engine, with new certificates and keys where asked for, which go with it."""
    from langevax.flower.engines import Deployment, Simulation, make_certificates, make_node_key

    if wanted.engine == "simulation":
        return Simulation(wanted.clients, logs=logs)
    if not wanted.tls:
        return Deployment(wanted.clients, logs=logs)
    secrets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="langevax-secrets-")))
    keys = [make_node_key(secrets, f"node-{i}") for i in range(wanted.clients)]
    return Deployment(wanted.clients, tls=make_certificates(secrets), keys=keys, logs=logs)


def _known(app: Path) -> dict[str, Any]:
    from langevax.flower.engines import settings_of

    try:
        return settings_of(app)
    except ValueError as error:
        raise BadInput(f"APP cannot be run: {error} `langevax federated app DIR` writes one.") from error


def settings_for(wanted: Wanted, known: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What --set says; else folder and number of clients, of apps that ask for them."""
    usual = {"out": str(folder.absolute()), "num-clients": wanted.clients}
    chosen = {key: _parsed(word, key, value, known) for word, key, value in map(_split, wanted.settings)}
    return {key: value for key, value in usual.items() if key in known} | chosen


def _split(word: str) -> tuple[str, str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise BadInput(f"--set {word!r} has no value; write {key}=VALUE.")
    return word, key.strip(), value.strip()


def _parsed(word: str, key: str, value: str, known: dict[str, Any]) -> Any:
    """The value, of the kind that the app's default has."""
    if key not in known:
        hint = nearest(key, known) if known else "it has nothing to set."
        rest = "" if hint.startswith("it") else f" It has {listing(known, 20)}."
        raise BadInput(f"--set {word!r} is refused: the app has no setting {key!r}; {hint}{rest}")
    default = known[key]
    if isinstance(default, str):
        return value
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise BadInput(f"--set {word!r} is refused: {key} is true or false.")
        return value == "true"
    try:
        return type(default)(value)
    except ValueError as error:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise BadInput(f"--set {word!r} is refused: {key} is {kind}, such as {default}.") from error


def _tell(output: Output, line: str) -> None:
    said = LEVEL.sub("", line).rstrip()
    if said and not any(part in said for part in CHATTER):
        output.note(said)


def _finish(
    output: Output, wanted: Wanted, folder: Path, settings: dict[str, Any], outcome: "RunOutcome", ready: float
) -> None:
    if not outcome.finished:
        why = {
            "timed out": f"did not end within --timeout {wanted.timeout or 0:g} and was stopped",
            "failed": f"failed: {outcome.details or 'its server app raised an error'}",
            "lost": f"was lost: {outcome.details}",
        }.get(outcome.status, f"was {outcome.status}")
        raise RunFailed(f"the run {why}. What its server app said is in {str(outcome.log)!r}.")
    found = _result(Path(settings.get("out") or folder), time.time() - outcome.seconds)
    output.say("Run", f"finished in {outcome.seconds:.1f} seconds")
    if found is not None and (sentence := _sentence(found)):
        output.say("Found", sentence)
    output.say("Results", str(folder))
    output.result(
        plain({
            "app": str(wanted.app), "engine": wanted.engine, "clients": wanted.clients, "tls": wanted.tls,
            "settings": settings, "status": outcome.status, "seconds_to_start": ready, "seconds": outcome.seconds,
            "folder": str(folder), "log": str(outcome.log), "result": found,
        })
    )  # fmt: skip


def _result(folder: Path, since: float) -> dict[str, Any] | None:
    """What the server app left there, unless it is from an earlier run."""
    path = folder / "result.json"
    if not path.is_file() or path.stat().st_mtime < since:
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def _sentence(found: dict[str, Any]) -> str:
    """The last numbers of result.json, where it is as `langevax.flower.server_app` writes it."""
    last = {name: value for kind in ("loss", "server") for name, value in _last(found, kind).items()}
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if isinstance(value, int | float))
    after = f"after {count(found['rounds'], 'round')}" if isinstance(found.get("rounds"), int) else ""
    exchanges = found.get("counts", {}).get("exchanges")
    trips = f" and {count(exchanges, 'exchange')}" if isinstance(exchanges, int) else ""
    return f"{numbers} {after}{trips}.".strip() if numbers else ""


def _last(found: dict[str, Any], kind: str) -> dict[str, Any]:
    values = list((found.get(kind) or {}).values())
    if not values:
        return {}
    return values[-1] if isinstance(values[-1], dict) else {kind: values[-1]}
