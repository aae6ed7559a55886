"""Ports of this machine: a free one that stays reserved, and who holds one that is taken."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster.errors import PortTaken

LISTEN = "0A"  # the state column of /proc/net/tcp, source: include/net/tcp_states.h


@contextmanager
def reserved_port() -> Iterator[int]:
    """Hold a free port of 127.0.0.1: nobody else gets it, but a server of ours that binds it with SO_REUSEPORT, also after a restart."""
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation.bind(("127.0.0.1", 0))
        yield reservation.getsockname()[1]


def require_free(port: int, *, address: str, purpose: str) -> None:
    """Raise PortTaken, naming the holder if it can be told, when the address cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(f"port {port} ({purpose}) is taken by {holder(port) or 'another program'}: stop it first") from error


def holder(port: int) -> str | None:
    """Return name and pid of the process that listens on a TCP port; None when it cannot be told."""
    sockets = {f"socket:[{inode}]" for inode in listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(descriptor.readlink()) in sockets for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it ended, or is another user's
    return None


def listening_inodes(port: int) -> Iterator[str]:
    """List the inodes of the sockets that listen on a TCP port. Source: proc_net_tcp in the kernel's documentation."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            columns = line.split()
            if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                yield columns[9]
