"""Real Redis servers on loopback: plain, behind TLS, and a cluster of three."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.functions.server import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

START_S = 60
# Nodes that hear nothing of one another for so long would take themselves for parted.
NODE_S = 60
SLOTS = 16_384
NODES = 3
SERVER = shutil.which("redis-server")


class RedisServer:
    """One server process, which may be frozen, killed and started again on its port."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        if SERVER is None:
            pytest.skip("NO REDIS: install the package `redis-server` to run what needs one")
        self.port = port or free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        folder.mkdir(exist_ok=True)
        self._command = [
            SERVER, "--bind", LOOPBACK, "--dir", str(folder), "--save", "", "--appendonly", "no",
            "--port", str(self.port), *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until_s = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < until_s, "no Redis"
            time.sleep(0.02)

    def kill(self) -> None:
        """As the kernel would; a frozen one too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """The address of a server that only speaks TLS, signed by an authority made here."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    authority = _certify(folder)
    options = (
        "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no",
        "--tls-cert-file", str(folder / "server.pem"),
        "--tls-key-file", str(folder / "server.key"), "--tls-ca-cert-file", str(authority),
    )  # fmt: skip
    with RedisServer(folder, *options, port=port):
        yield f"rediss://{LOOPBACK}:{port}/0?ca={authority}"


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of one node of three; each has a third of the slots."""
    folder.mkdir(exist_ok=True)
    options = (
        "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_S * 1000), "--cluster-port",
    )  # fmt: skip
    # By itself a node takes the port 10,000 above its own for the others, where there is one.
    buses = [str(free_port()) for _ in range(NODES)]
    with ExitStack() as stack:
        nodes = [stack.enter_context(RedisServer(folder / bus, *options, bus)) for bus in buses]
        clients = [stack.enter_context(redis.Redis(LOOPBACK, node.port)) for node in nodes]
        for number, client in enumerate(clients):
            first, beyond = SLOTS * number // NODES, SLOTS * (number + 1) // NODES
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, beyond - 1)
            client.execute_command("CLUSTER", "MEET", LOOPBACK, nodes[0].port, buses[0])
        until_s = time.monotonic() + START_S
        while not all(_agrees(client) for client in clients):
            assert time.monotonic() < until_s, "the cluster does not come about"
            time.sleep(0.05)
        yield f"redis+cluster://{LOOPBACK}:{nodes[0].port}"


def _agrees(client: redis.Redis) -> bool:
    state = client.execute_command("CLUSTER", "INFO")
    is_well = b"cluster_state:ok" in state and b"cluster_known_nodes:%d" % NODES in state
    return is_well and len(client.execute_command("CLUSTER", "SLOTS")) == NODES


def _certify(folder: Path) -> Path:
    """Writes a server's key and certificate for 127.0.0.1; gives its authority's certificate."""
    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "node")
    ]
    address = x509.IPAddress(ipaddress.ip_address(LOOPBACK))
    made = []
    for number, (key, name) in enumerate(zip(keys, names, strict=True)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        )
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(made[0].public_bytes(pem))
    (folder / "server.pem").write_bytes(made[1].public_bytes(pem))
    private = keys[1].private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.key").write_bytes(private)
    return folder / "authority.pem"
