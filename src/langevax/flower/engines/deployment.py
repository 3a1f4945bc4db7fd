"""The deployment engine: a SuperLink, and a SuperNode for each client, on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langevax import checks
from langevax.flower.engines.credentials import Certificates, NodeKey
from langevax.flower.engines.node import Node
from langevax.flower.engines.processes import free_port
from langevax.flower.engines.superlink import CONNECTION, LOOPBACK, Engine, program


class Deployment(Engine):
    """A SuperLink and, for each client, a SuperNode with partition-id = i and num-partitions = P.

    Args:
        num_clients: P.
        tls: the SuperLink's certificates; None: no encryption, which suits the loopback interface only.
        keys: one for each SuperNode; they are registered, and no other SuperNode is let in. Needs `tls`.

    Example (a Flower app in the folder "myapp"):

        made = make_certificates("secrets")
        keys = [make_node_key("secrets", f"node-{i}") for i in range(2)]
        with Deployment(num_clients=2, tls=made, keys=keys) as engine:
            assert engine.run("myapp", {"rounds": 3}).finished
    """

    def __init__(
        self,
        num_clients: int,
        *,
        tls: Certificates | None = None,
        keys: Sequence[NodeKey] | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        checks.positive_int("num_clients", num_clients)
        if keys is not None and tls is None:
            raise ValueError(
                "keys are given and tls is None: keys need encryption; pass tls=make_certificates(folder)."
            )
        if keys is not None and len(keys) != num_clients:
            raise ValueError(f"keys must be {num_clients}, one for each client, got {len(keys)}.")
        self.num_clients, self.tls, self.keys = num_clients, tls, keys
        self.nodes: dict[int, Node] = {}
        self._killed: set[int] = set()

    @property
    def _server_words(self) -> Sequence[str]:
        if self.tls is None:
            return ["--insecure"]
        files = {"ca-certfile": self.tls.authority, "certfile": self.tls.certificate, "keyfile": self.tls.key}
        words = [word for name, path in files.items() for word in (f"--ssl-{name}", str(Path(path).absolute()))]
        return words + ["--enable-supernode-auth"] * (self.keys is not None)

    @property
    def _connection(self) -> Mapping[str, Any]:
        return (
            {"insecure": True} if self.tls is None else {"root-certificates": str(Path(self.tls.authority).absolute())}
        )

    @property
    def _run_words(self) -> Sequence[str]:
        return ()

    def _start_clients(self) -> None:
        self.nodes, self._killed = {}, set()
        for key in self.keys or ():
            self.flwr("supernode", "register", str(Path(key.public).absolute()), CONNECTION)
        for i in range(self.num_clients):
            self.nodes[i] = self._node(i, self.keys[i] if self.keys else None)
        for node in self.nodes.values():
            node.wait_until_ready(self.patience)

    def __exit__(self, *_: object) -> None:
        """SuperNodes end at once: by themselves they take seconds, and the SuperLink that they leave ends."""
        for client in list(self.nodes):
            self.kill_node(client)
        super().__exit__()

    def start_node(self, client: int, key: NodeKey | None = None) -> Node:
        """Start a SuperNode again after `kill_node`, or one more; waits until the SuperLink has taken it.

        A key that was in use is refused until the last heartbeat of the killed SuperNode is over, up to a minute: it
        is tried again until then.

        Args:
            key: its own by default.

        Raises:
            EngineError: it is refused, for example since its key is not registered.
        """
        if client in self.nodes:
            raise ValueError(f"client {client} has a SuperNode; end it by kill_node({client}) first.")
        if key is None and self.keys and client < len(self.keys):
            key = self.keys[client]
        node = self._node(client, key)
        node.wait_until_ready(self.patience, again=client in self._killed and self.keys is not None)
        self.nodes[client] = node
        return node

    def kill_node(self, client: int) -> None:
        """End a SuperNode and what it runs at once, as a crash would."""
        self.family.kill(self.nodes.pop(client).member)
        self._killed.add(client)

    def stop_node(self, client: int) -> None:
        """Ask a SuperNode to end, which takes leave of the SuperLink."""
        self.family.kill(self.nodes.pop(client).member, grace=10.0)

    def _node(self, client: int, key: NodeKey | None) -> Node:
        name, place = f"SuperNode {client}", f"partition-id={client} num-partitions={self.num_clients}"
        words = [program("flower-supernode"), "--superlink", self.address, "--host", LOOPBACK, "--node-config", place]
        if self.tls is None:
            words += ["--insecure"]
        else:
            words += ["--root-certificates", str(Path(self.tls.authority).absolute())]
        if key is not None:
            words += ["--auth-supernode-private-key", str(Path(key.private).absolute())]
        return Node(self.family, lambda: self._start(name, [*words, "--port", str(free_port())], f"node-{client}.log"))
