"""`langevax federated run` and `langevax federated app`: run a Flower app on one of its engines, and write one."""

import json
import math
import re
import time
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langevax.app.errors import BadInput, RunFailed, count, listing, nearest
from langevax.app.federated import RunOptions
from langevax.app.folder import locked, make
from langevax.app.output import Output, plain
from langevax.federated.defaults import FEDERATED_METHODS

if TYPE_CHECKING:
    from langevax.flower.engines import Deployment, RunOutcome, Simulation

LEVEL = re.compile(r"^(INFO|WARNING|ERROR|DEBUG) *: *")
LOCK = ".langevax.run.lock"  # the server app locks its checkpoint by itself, perhaps in the same folder
IRRELEVANT = (  # advice of Flower and Ray that does not apply here
    *(
        "Since flwr 1.32",
        "To change federation size",
        "flwr federation simulation-config",
        "Start `flwr-serverapp`",
    ),
    *(
        "Successfully installed",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
        "warnings.warn(",
        "Manually terminating",
    ),
    *(
        "Starting Flower Simulation",
        "Federation `@none",
        "os.fork() was called",
        "self.pid = _fork_exec",
    ),
)


def run(output: Output, options: RunOptions) -> None:
    """Check the options, start the engine, run the app, report, and stop the engine."""
    if options.timeout is not None and not 0 < options.timeout < math.inf:
        raise BadInput(
            f"--timeout {options.timeout:g} must be a number of seconds above 0; pass one, or leave it out."
        )
    check_flower(
        "langevax federated run",
        "flwr",
        *(["ray"] if options.engine == "simulation" else []),
    )
    from langevax.flower.engines import EngineError, app_config

    try:
        known = app_config(options.app)
    except ValueError as error:
        raise BadInput(
            f"APP cannot be run: {error} `langevax federated app DIR` writes one."
        ) from error
    folder = (
        Path("out/federated") / options.app.absolute().name
        if options.out is None
        else options.out
    )
    settings = settings_for(options, known, folder)
    make(folder)
    began = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(locked(folder, LOCK))
        try:
            with output.waiting(f"Starting Flower's {options.engine} engine"):
                engine = stack.enter_context(engine_of(options, folder / "logs"))
            ready, clients = time.monotonic() - began, count(options.clients, "client")
            output.say(
                "Engine", f"{options.engine}, {clients}, ready in {ready:.1f} seconds"
            )
            outcome = engine.run(
                options.app,
                settings,
                timeout=options.timeout,
                on_line=lambda line: _print(output, line),
            )
        except EngineError as error:
            raise RunFailed(
                f"{error}\nAll logs are in {str(folder / 'logs')!r}."
            ) from error
    _finish(output, options, folder, settings, outcome, ready)


def engine_of(
    options: RunOptions, logs: Path
) -> "AbstractContextManager[Simulation | Deployment]":
    """The engine."""
    from langevax.flower.engines import Deployment, Simulation

    kind = Simulation if options.engine == "simulation" else Deployment
    return kind(options.clients, logs=logs)


def settings_for(
    options: RunOptions, known: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """The settings of --set; and the folder and number of clients, if the app has these keys."""
    defaults = {"out": str(folder.absolute()), "num-clients": options.clients}
    chosen = {}
    for setting in options.settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise BadInput(f"--set {setting!r} has no value; write {key}=VALUE.")
        chosen[key.strip()] = _parsed(setting, key.strip(), value.strip(), known)
    return {key: value for key, value in defaults.items() if key in known} | chosen


def _parsed(setting: str, key: str, value: str, known: dict[str, Any]) -> Any:
    """The value, in the type of the app's default."""
    if key not in known:
        hint = nearest(key, known) if known else "it has no settings."
        rest = "" if hint.startswith("it") else f" It has {listing(known, 20)}."
        raise BadInput(
            f"--set {setting!r} is refused: the app has no setting {key!r}; {hint}{rest}"
        )
    default = known[key]
    if isinstance(default, str):
        return value
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise BadInput(f"--set {setting!r} is refused: {key} is true or false.")
        return value == "true"
    try:
        return type(default)(value)
    except ValueError as error:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise BadInput(
            f"--set {setting!r} is refused: {key} is {kind}, such as {default}."
        ) from error


def _print(output: Output, line: str) -> None:
    line = LEVEL.sub("", line).rstrip()
    if line and not any(part in line for part in IRRELEVANT):
        output.note(line)


def _finish(
    output: Output,
    options: RunOptions,
    folder: Path,
    settings: dict[str, Any],
    outcome: "RunOutcome",
    ready: float,
) -> None:
    if not outcome.finished:
        why = {
            "timed out": f"did not end within --timeout {options.timeout or 0:g} and was stopped",
            "failed": f"failed: {outcome.details or 'its server app raised an error'}",
            "lost": f"was lost: {outcome.details}",
        }.get(outcome.status, f"was {outcome.status}")
        raise RunFailed(
            f"the run {why}. The log of its server app is {str(outcome.log)!r}."
        )
    result = _result(Path(settings.get("out") or folder), time.time() - outcome.seconds)
    output.say("Run", f"finished in {outcome.seconds:.1f} seconds")
    if result is not None and (sentence := _sentence(result)):
        output.say("Result", sentence)
    output.say("Results", str(folder))
    output.result(
        plain(
            {
                "app": str(options.app),
                "engine": options.engine,
                "clients": options.clients,
                "settings": settings,
                "status": outcome.status,
                "seconds_to_start": ready,
                "seconds": outcome.seconds,
                "folder": str(folder),
                "log": str(outcome.log),
                "result": result,
            }
        )
    )


def _result(folder: Path, since: float) -> dict[str, Any] | None:
    """The result of the server app, unless it is from an earlier run."""
    path = folder / "result.json"
    if not path.is_file() or path.stat().st_mtime < since:
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def _sentence(result: dict[str, Any]) -> str:
    """The last numbers of result.json, if it is written by `langevax.flower.server_app`."""
    last: dict[str, Any] = {}
    for kind in ("loss", "server"):
        if values := list((result.get(kind) or {}).values()):
            last |= values[-1] if isinstance(values[-1], dict) else {kind: values[-1]}
    numbers = ", ".join(
        f"{name} {value:.4g}"
        for name, value in last.items()
        if isinstance(value, int | float)
    )
    after = (
        f"after {count(result['rounds'], 'round')}"
        if isinstance(result.get("rounds"), int)
        else ""
    )
    exchanges = result.get("counts", {}).get("exchanges")
    trips = f" and {count(exchanges, 'exchange')}" if isinstance(exchanges, int) else ""
    return f"{numbers} {after}{trips}.".strip() if numbers else ""


def write(
    output: Output, folder: Path, framework: str, method: str, force: bool
) -> None:
    """Check the options, write the app, and print the next steps."""
    check_flower("langevax federated app", "flwr")
    from langevax.flower import app_template

    if method not in FEDERATED_METHODS:
        hint = nearest(method, FEDERATED_METHODS)
        known = (
            hint
            if hint.startswith("did")
            else f"choose from {listing(FEDERATED_METHODS, 20)}."
        )
        raise BadInput(f"--method {method!r} is not a method; {known}")
    try:
        paths = app_template.write_app(
            folder, framework=framework, method=method, force=force
        )
    except ValueError as error:
        raise BadInput(f"{error}".replace("pass force=True", "pass --force")) from error
    except OSError as error:
        raise BadInput(
            f"DIR {str(folder)!r} cannot be written ({error.strerror}); name another folder."
        ) from error
    for i, path in enumerate(paths):
        output.say("" if i else "Written", str(path))
    output.blank()
    edited = next(path for path in paths if path.name == "task.py")
    output.say(
        "Edit", f"{edited}: the method, the model, and where a client's rows are"
    )
    output.say(
        "Run", f"langevax federated run {folder} --engine simulation --clients 4"
    )
    output.result({"folder": str(folder), "files": [str(path) for path in paths]})


def check_flower(command: str, *modules: str) -> None:
    """Refuse in a sentence if one of these modules is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise BadInput(
                f"{command} needs Flower, and {module} is not installed; pip install 'langevax[flower]'."
            )
