"""Files that deploy a federation, examples/flower/deploy: Flower understands the commands, and they fit together."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "examples" / "flower" / "deploy"
ENVIRONMENT = {
    "%i": "3",
    "%S": "/state",
    "%C": "/cache",
    "%d": "/credentials",
    "$$((20000 + 3))": "20003",
}


def words_of_unit(name, values):
    """Environment and command line of a systemd unit, with its instance and its files of values filled in."""
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    pairs = re.findall(
        r"^(\w+)=(.*)$",
        (DEPLOY / "systemd" / values).read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    for key, value in {
        **{f"${{{key}}}": value for key, value in pairs},
        **ENVIRONMENT,
    }.items():
        text = text.replace(key, value)
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    words = shlex.split(command)
    if words[:2] == ["/bin/sh", "-c"]:
        words = shlex.split(words[2].removeprefix("exec "))
    return dict(
        word.split("=")
        for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
        for word in line.split()
    ), words


def words_of_pod(kind, file):
    """Environment and command line of the container of the one object of a kind in a manifest."""
    (actual,) = [entry for entry in manifests(file) if entry["kind"] == kind]
    (container,) = actual["spec"]["template"]["spec"]["containers"]
    values = {entry["name"]: entry.get("value", "3") for entry in container["env"]}
    command = [
        re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], word)
        for word in container["command"]
    ]
    return values, command


def manifests(file):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; Ray brings it")
    return list(
        yaml.safe_load_all((DEPLOY / "kubernetes" / file).read_text(encoding="utf-8"))
    )


COMMANDS = {
    "systemd": lambda: (
        words_of_unit("flower-superlink.service", "superlink.env"),
        words_of_unit("flower-supernode@.service", "supernode.env"),
    ),
    "kubernetes": lambda: (
        words_of_pod("Deployment", "superlink.yaml"),
        words_of_pod("StatefulSet", "supernodes.yaml"),
    ),
}


@pytest.mark.parametrize("place", COMMANDS)
def test_deployment_files_are_valid_for_flower_and_safe(place):
    """Flower's own parsers take the commands; TLS, registered keys, no telemetry; clients by partition id."""
    pytest.importorskip(
        "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
    )
    from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink
    from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

    (server_values, server), (client_values, client) = COMMANDS[place]()
    assert (Path(server[0]).name, Path(client[0]).name) == (
        "flower-superlink",
        "flower-supernode",
    )
    parsed, node = (
        _parse_args_run_superlink().parse_args(server[1:]),
        _parse_args_run_supernode().parse_args(client[1:]),
    )
    assert not parsed.insecure
    assert not node.insecure
    assert parsed.enable_supernode_auth
    assert parsed.runtime_dependency_install is False
    assert all(
        [
            parsed.ssl_ca_certfile,
            parsed.ssl_certfile,
            parsed.ssl_keyfile,
            parsed.database,
        ]
    )
    assert node.root_certificates
    assert node.auth_supernode_private_key
    assert node.node_config == "partition-id=3 num-partitions=4"
    for values in (server_values, client_values):
        assert (
            values["FLWR_TELEMETRY_ENABLED"],
            values["FLWR_DISABLE_UPDATE_CHECK"],
        ) == ("0", "1")
        assert {"FLWR_HOME", "JAX_COMPILATION_CACHE_DIR"} <= values.keys()
    port = str(parsed.port)
    assert node.superlink in (f"10.0.0.1:{port}", f"superlink.federated.svc:{port}")


def test_the_manifests_fit_together():
    (nodes,) = [
        entry
        for entry in manifests("supernodes.yaml")
        if entry["kind"] == "StatefulSet"
    ]
    (kustomization,) = manifests("kustomization.yaml")
    number = nodes["spec"]["replicas"]
    assert words_of_pod("StatefulSet", "supernodes.yaml")[0]["NUM_CLIENTS"] == str(
        number
    )
    secrets = {
        entry["name"]: entry["files"] for entry in kustomization["secretGenerator"]
    }
    assert secrets["supernode-keys"] == [f"keys/node-{i}" for i in range(number)]
    pods = [
        entry["spec"]["template"]["spec"]
        for file in ("superlink.yaml", "supernodes.yaml")
        for entry in manifests(file)
        if "template" in entry["spec"]
    ]
    assert len(pods) == 2
    created = secrets.keys() | {
        entry["name"] for entry in kustomization["configMapGenerator"]
    }
    for pod in pods:
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        expected = {
            v["secret"]["secretName"] for v in volumes.values() if "secret" in v
        }
        expected |= {
            v["configMap"]["name"] for v in volumes.values() if "configMap" in v
        }
        assert expected <= created
        (container,) = pod["containers"]
        assert {
            mount["name"] for mount in container["volumeMounts"]
        } - volumes.keys() <= {"state"}
    keys = next(
        m for m in pods[1]["containers"][0]["volumeMounts"] if m["name"] == "keys"
    )
    assert keys["subPathExpr"] == "node-$(PARTITION)"  # a pod sees its own key only


def test_the_script_makes_the_files_that_services_need(tmp_path, monkeypatch):
    pytest.importorskip(
        "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
    )
    from cryptography import x509

    monkeypatch.setattr(
        sys,
        "argv",
        [
            "make_keys.py",
            str(tmp_path / "keys"),
            "4",
            "superlink.federated.svc",
            "10.0.0.1",
        ],
    )
    runpy.run_path(str(DEPLOY / "make_keys.py"))
    created = {f"keys/{path.name}" for path in (tmp_path / "keys").iterdir()}
    files = re.findall(
        r"keys/[\w.-]+",
        (DEPLOY / "kubernetes" / "kustomization.yaml").read_text(encoding="utf-8"),
    )
    assert len(files) == 8
    assert set(files) <= created
    server = x509.load_pem_x509_certificate(
        (tmp_path / "keys" / "server.pem").read_bytes()
    )
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [
        "superlink.federated.svc",
        "10.0.0.1",
    ]


def test_units_never_give_up():
    """A crashed SuperNode is refused for a minute; systemd gives up after five starts unless configured otherwise."""
    for name in ("flower-superlink.service", "flower-supernode@.service"):
        text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
        unit, service = text.partition("[Service]")[::2]
        assert "\nStartLimitIntervalSec=0\n" in unit
        assert "\nRestart=always\n" in service
        assert "\nKillMode=control-group\n" in service
