"""Forward maps behind HTTP, by the UM-Bridge protocol: models in any language, in a container or on a cluster.

Protocol 1.0 (Seelinger et al., Journal of Open Source Software 2023): questions and replies are JSON. `Evaluate`
returns the predictions, `Gradient` the transposed derivative times a vector; sizes may depend on the configuration.
"""

import http.client
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import numpy as np
from jaxtyping import Float

from langevax import checks


class ServerUnreachable(ConnectionError):
    """No server answers: not a solve that failed, and a reason to stop."""


class UMBridgeModel:
    """A model on a UM-Bridge server, as `forward_map` of `inverse_problem`.

    `model(values)` are its predictions, one `Evaluate` each, in float64. `model.adjoint(values, residual)` is its
    `Gradient`, None where it supports none; `inverse_problem` uses it unless another adjoint is passed. Where its
    gradient is too rough for the dot-product test, pass `lambda values: model(values)`, which has none.

    A solve that the server reports as failed is a rejected proposal. One that gets no answer ends the run, which
    `cache=` of `inverse_problem` lets go on. A solve may take any time. Several threads may call it at once.

    Args:
        url: of the server, such as "http://localhost:4242".
        name: of the model there; one of those that takes one vector and returns one.
        config: the model's configuration, such as a level of refinement; sent with each call.

    Raises:
        ConnectionError: no server answers at `url`.
        ValueError: a server that does not speak the protocol, or has no such model; a model of several vectors.
        TypeError: a configuration that is not a dict that JSON can hold.
    """

    protocol = 1.0
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
    ):
        for argument, value, example in (
            ("url", url, "'http://localhost:4242'"),
            ("name", name, "'forward'"),
        ):
            checks.instance(argument, value, str, example)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"url must be that of a server, such as 'http://localhost:4242', got {url!r}."
            )
        self.url = url.rstrip("/")
        self.name = name
        self.config = _checked_config(config)
        # A proxy of the environment cannot reach this machine's own ports.
        loopback = "localhost", "127.0.0.1", "::1"
        self.opener: OpenerDirector = build_opener(
            *([ProxyHandler({})] if parts.hostname in loopback else [])
        )
        try:
            info = self._ask("Info", None)
            version = info["protocolVersion"]
            names = info["models"]
        except (RuntimeError, LookupError, TypeError) as error:
            raise ValueError(
                f"the server at {self.url} does not speak the UM-Bridge protocol ({error})."
            ) from error
        if version != self.protocol:
            raise ValueError(
                f"the server at {self.url} speaks version {version} of UM-Bridge, not {self.protocol}."
            )
        if name not in names:
            raise ValueError(
                f"the server at {self.url} has no model {name!r}; it has {', '.join(map(repr, names))}."
            )
        support = self._ask("ModelInfo", {})["support"]
        if not support.get("Evaluate", False):
            raise ValueError(
                f"the model {name!r} at {self.url} does not support Evaluate, so it predicts nothing."
            )
        self.num_inputs, self.num_outputs = (
            self._size(kind) for kind in ("input", "output")
        )
        self._has_gradient = bool(support.get("Gradient", False))

    @property
    def adjoint(
        self,
    ) -> Callable[[np.ndarray, np.ndarray], Float[np.ndarray, " inputs"]] | None:
        """`adjoint(values, residual)`, the transposed derivative at `values` times `residual`; None without one."""
        return self._gradient if self._has_gradient else None

    def __call__(
        self, values: Float[np.ndarray, " inputs"]
    ) -> Float[np.ndarray, " outputs"]:
        reply = self._ask("Evaluate", {"input": [_numbers(values)]})
        return self._vector("Evaluate", lambda: reply["output"][0])

    def _gradient(self, values: np.ndarray, residual: np.ndarray) -> np.ndarray:
        question = {
            "outWrt": 0,
            "inWrt": 0,
            "input": [_numbers(values)],
            "sens": _numbers(residual),
        }
        reply = self._ask("Gradient", question)
        return self._vector("Gradient", lambda: reply["output"])

    def check_size(self, num_points: int) -> None:
        """Raise unless the model takes as many numbers as the grid has points."""
        if self.num_inputs != num_points:
            raise ValueError(
                f"the model {self.name!r} at {self.url} takes {self.num_inputs} numbers, but prior.basis.grid has "
                f"{num_points} points; pass a basis with num_points={self.num_inputs}, or another config."
            )

    def _size(self, kind: str) -> int:
        sizes = self._ask(f"{kind.capitalize()}Sizes", {})[f"{kind}Sizes"]
        if len(sizes) != 1:
            raise ValueError(
                f"the model {self.name!r} at {self.url} has {len(sizes)} {kind} vectors, of sizes {sizes}; langevax "
                "takes models with one: put them into one vector on the server."
            )
        return int(sizes[0])

    def _vector(self, path: str, output: Callable[[], Any]) -> np.ndarray:
        try:
            return np.array(output(), np.float64)  # null, C++'s NaN, is NaN
        except (TypeError, ValueError, LookupError) as error:
            raise RuntimeError(
                f"the model {self.name!r} replied to {path} with what is not a vector"
            ) from error

    def _ask(self, path: str, question: dict[str, Any] | None) -> Any:
        """Return the reply."""
        body = None
        if question is not None:
            about = {"name": self.name, "config": self.config}
            body = json.dumps(about | question).encode()
        request = Request(
            f"{self.url}/{path}", body, {"Content-Type": "application/json"}
        )
        status = HTTPStatus.OK
        try:
            with self.opener.open(request) as response:
                text = response.read()
        except HTTPError as error:
            status = error.code
            text = error.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ServerUnreachable(
                f"no UM-Bridge server answers at {self.url} ({reason}); start it, or pass the url at which it listens."
            ) from error
        if status in self.overloaded:
            raise ServerUnreachable(
                f"no UM-Bridge server answers behind {self.url} (status {status}); start one."
            )
        line = text.decode(errors="replace").strip()[:200].partition("\n")[0]
        try:
            reply = json.loads(text)
        except ValueError:
            reason = "not JSON" if status == HTTPStatus.OK else f"status {status}"
            raise RuntimeError(
                f"the model {self.name!r} at {self.url} failed ({reason}: {line!r}); the server's output may say why"
            ) from None
        if isinstance(reply, dict) and "error" in reply:
            error = reply["error"]
            raise RuntimeError(
                f"the model {self.name!r} at {self.url} failed: {error.get('type')}: {error.get('message')}"
            )
        return reply


def _numbers(values: np.ndarray) -> list[float]:
    return np.asarray(values, np.float64).tolist()


def _checked_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    config = {} if config is None else config
    checks.instance("config", config, Mapping, "{'level': 1}")
    try:
        json.dumps(dict(config), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"config is sent as JSON, which cannot hold it ({error}); pass numbers, strings, lists."
        ) from None
    return dict(config)
