"""Forward maps behind HTTP, by the UM-Bridge protocol: models in any language, in a container or on a cluster.

Protocol 1.0 (Seelinger et al., Journal of Open Source Software 2023): questions and replies are JSON. `Evaluate`
returns the predictions, `Gradient` the transposed derivative times a vector; sizes may depend on the configuration.
"""

import http.client
import json
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

import numpy as np
from jaxtyping import Float

from langevax import checks


class ServerUnreachable(ConnectionError):
    """No server answers: not a solve that failed, and a reason to stop."""


class _NoRedirects(HTTPRedirectHandler):
    """A server that sends its user elsewhere is not followed: the url is the user's choice."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class UMBridgeModel:
    """A model on a UM-Bridge server, as `forward_map` of `inverse_problem`.

    `model(values)` are its predictions, one `Evaluate` each, in float64. `model.adjoint(values, residual)` is its
    `Gradient`, None where it supports none; `inverse_problem` uses it unless another adjoint is passed. Where its
    gradient is too rough for the dot-product test, pass `lambda values: model(values)`, which has none.

    A solve that the server reports as failed is a rejected proposal, and so is a reply that is no vector of numbers.
    One that gets no answer in time, or an answer of another size, ends the run, which `cache=` of `inverse_problem`
    lets go on. Several threads may call it at once. Redirects are not followed, and a reply is read only as far as the
    numbers that were asked for can reach.

    Args:
        url: of the server, such as "http://localhost:4242".
        name: of the model there; one of those that takes one vector and returns one.
        config: the model's configuration, such as a level of refinement; sent with each call.
        solve_seconds: for one solve, from the question to the end of the reply; None for any time.
        answer_seconds: the same for each question about the model, when it is built.

    Raises:
        ConnectionError: no server answers at `url` in time.
        ValueError: a server that does not speak the protocol, or has no such model; a model of several vectors.
        TypeError: a configuration that is not a dict that JSON can hold.
    """

    protocol = 1.0
    max_numbers = 1_000_000
    """That a model may take or return, for what a server says has to be bounded."""
    overloaded = (
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    )
    """Statuses of load balancers without a free server behind them."""

    def __init__(
        self,
        url: str,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        solve_seconds: float | None = 3600.0,
        answer_seconds: float = 60.0,
    ):
        for argument, value, example in (
            ("url", url, "'http://localhost:4242'"),
            ("name", name, "'forward'"),
        ):
            checks.instance(argument, value, str, example)
        if solve_seconds is not None:
            checks.number("solve_seconds", solve_seconds, positive=True)
        checks.number("answer_seconds", answer_seconds, positive=True)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "url must be that of a server, such as 'http://localhost:4242', got "
                f"{url!r}."
            )
        self.url = url.rstrip("/")
        self.name = name
        self.config = _checked_config(config)
        # A proxy of the environment cannot reach this machine's own ports.
        loopback = "localhost", "127.0.0.1", "::1"
        self.opener: OpenerDirector = build_opener(
            _NoRedirects, *([ProxyHandler({})] if parts.hostname in loopback else [])
        )
        self.seconds: float | None = answer_seconds
        try:
            support, sizes = self._about()
        except RuntimeError as error:
            raise ValueError(
                f"the server at {self.url} does not speak the UM-Bridge protocol "
                f"({error})."
            ) from error
        if support.get("Evaluate") is not True:
            raise ValueError(
                f"the model {name!r} at {self.url} does not support Evaluate, so it "
                "predicts nothing."
            )
        for kind, of_kind in sizes.items():
            if (
                len(of_kind) != 1
                or type(of_kind[0]) is not int
                or not 1 <= of_kind[0] <= self.max_numbers
            ):
                raise ValueError(
                    f"the model {name!r} at {self.url} has {kind} sizes "
                    f"{checks.shown(of_kind)}; langevax takes models with one vector "
                    f"of 1 to {self.max_numbers} numbers: put them into one on the "
                    "server."
                )
        self.num_inputs: int = sizes["input"][0]
        self.num_outputs: int = sizes["output"][0]
        self._has_gradient = support.get("Gradient") is True
        self.seconds = solve_seconds

    def _about(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """Return what the model supports, and the sizes of its inputs and outputs."""
        info = self._reply("Info", None, {"protocolVersion": float, "models": list})
        version, names = info["protocolVersion"], info["models"]
        if version != self.protocol:
            raise ValueError(
                f"the server at {self.url} speaks version "
                f"{checks.line(str(version), 20)} of UM-Bridge, not {self.protocol}."
            )
        if self.name not in names:
            raise ValueError(
                f"the server at {self.url} has no model {self.name!r}; it has "
                f"{checks.shown(names)}."
            )
        sizes = {
            kind: self._reply(f"{kind.capitalize()}Sizes", {}, {f"{kind}Sizes": list})[
                f"{kind}Sizes"
            ]
            for kind in ("input", "output")
        }
        return self._reply("ModelInfo", {}, {"support": dict})["support"], sizes

    @property
    def adjoint(
        self,
    ) -> Callable[[np.ndarray, np.ndarray], Float[np.ndarray, " inputs"]] | None:
        """`adjoint(values, residual)`, the transposed derivative at `values` times `residual`; None without one."""
        return self._gradient if self._has_gradient else None

    def __call__(
        self, values: Float[np.ndarray, " inputs"]
    ) -> Float[np.ndarray, " outputs"]:
        question = {"input": [_numbers(values)]}
        return self._vector("Evaluate", question, self.num_outputs)

    def _gradient(self, values: np.ndarray, residual: np.ndarray) -> np.ndarray:
        question = {
            "outWrt": 0,
            "inWrt": 0,
            "input": [_numbers(values)],
            "sens": _numbers(residual),
        }
        return self._vector("Gradient", question, self.num_inputs)

    def check_size(self, num_points: int) -> None:
        """Raise unless the model takes as many numbers as the grid has points."""
        if self.num_inputs != num_points:
            raise ValueError(
                f"the model {self.name!r} at {self.url} takes {self.num_inputs} "
                f"numbers, but prior.basis.grid has {num_points} points; pass a basis "
                f"with num_points={self.num_inputs}, or another config."
            )

    def _vector(self, path: str, question: dict[str, Any], size: int) -> np.ndarray:
        output = self._reply(path, question, {"output": list}, size)["output"]
        if path == "Evaluate":
            output = output[0] if len(output) == 1 else None
        kinds = int, float, type(None)  # null, C++'s NaN, is NaN
        if not isinstance(output, list) or any(type(n) not in kinds for n in output):
            raise RuntimeError(
                f"the model {self.name!r} replied to {path} with what is not a vector "
                "of numbers"
            )
        if len(output) != size:
            raise ServerUnreachable(
                f"the model {self.name!r} at {self.url} replied to {path} with "
                f"{len(output)} numbers, but says that it has {size}; mend the server."
            )
        try:
            return np.array(output, np.float64)
        except OverflowError:
            return np.full(size, math.inf)

    def _reply(
        self,
        path: str,
        question: dict[str, Any] | None,
        schema: dict[str, type],
        size: int = 0,
    ) -> dict[str, Any]:
        """Return a reply that has fields of these types, and about `size` numbers."""
        reply = self._ask(path, question, size)
        for name, kind in schema.items():
            value = reply.get(name) if isinstance(reply, dict) else None
            if not isinstance(value, (int, float) if kind is float else kind):
                raise RuntimeError(
                    f"the reply to {path} has no {name!r} of type {kind.__name__}"
                )
        return reply

    def _ask(self, path: str, question: dict[str, Any] | None, size: int) -> Any:
        """Return the reply."""
        body = None
        if question is not None:
            about = {"name": self.name, "config": self.config}
            body = json.dumps(about | question).encode()
        request = Request(
            f"{self.url}/{path}", body, {"Content-Type": "application/json"}
        )
        limit = 2**16 + 32 * size  # bytes: a float has 24 at most, and what is between
        try:
            status, text = self._in_time(request, limit)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, TimeoutError):
                reason = f"nothing within {self.seconds:g} s"
            reason = checks.line(str(reason))
            raise ServerUnreachable(
                f"no UM-Bridge server answers at {self.url} ({reason}); start it, or "
                "pass the url at which it listens."
            ) from error
        if status in self.overloaded:
            raise ServerUnreachable(
                f"no UM-Bridge server answers behind {self.url} (status {status}); "
                "start one."
            )
        line = checks.line(
            text[:200].decode(errors="replace").strip().partition("\n")[0]
        )
        # Each object in JSON follows one of these; a million empty lists would take a hundred bytes each.
        objects = sum(map(text.count, (b",", b"[", b"{")))
        failed = f"the model {self.name!r} at {self.url} failed"
        if len(text) > limit or objects > 1000 + size:
            raise RuntimeError(
                f"{failed}: its reply to {path} is longer than {size} numbers can be: "
                f"{line!r}"
            )
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError):
            reason = "not JSON" if status == HTTPStatus.OK else f"status {status}"
            raise RuntimeError(
                f"{failed} ({reason}: {line!r}); the server's output may say why"
            ) from None
        if isinstance(reply, dict) and "error" in reply:
            error = reply["error"]
            if isinstance(error, dict):
                error = f"{error.get('type')}: {error.get('message')}"
            raise RuntimeError(f"{failed}: {checks.line(str(error))}")
        return reply

    def _in_time(self, request: Request, limit: int) -> tuple[int, bytes]:
        """Return status and text; in a thread, since a server that sends a byte now and then passes every timeout."""
        answers: SimpleQueue[Any] = SimpleQueue()

        def ask() -> None:
            try:
                try:
                    response = self.opener.open(request, timeout=self.seconds)
                except HTTPError as error:
                    response = error
                with response:
                    answers.put((response.status, response.read(limit + 1)))
            except Exception as error:
                answers.put(error)

        Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=self.seconds)
        except Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _numbers(values: np.ndarray) -> list[float]:
    return np.asarray(values, np.float64).tolist()


def _checked_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    config = {} if config is None else config
    checks.instance("config", config, Mapping, "{'level': 1}")
    try:
        json.dumps(dict(config), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"config is sent as JSON, which cannot hold it ({error}); pass numbers, "
            "strings, lists."
        ) from None
    return dict(config)
