"""The errors that a person sees as one line.

DevclusterError
├── BinaryMissing      a program cannot be built: no Go, no network, a compile error
├── KubectlFailed      kubectl answered with an error (controlplane.py)
├── PortTaken          somebody else listens on a port that the devcluster needs
├── PrivilegeMissing   the devcluster needs root
└── ProcessFailed      a process did not start or did not get ready (processes.py)
"""


class DevclusterError(Exception):
    """Something stands in the way; the message says what and what to do."""


class BinaryMissing(DevclusterError):
    """A program cannot be built."""


class PortTaken(DevclusterError):
    """Somebody else listens on a port that the devcluster needs."""


class PrivilegeMissing(DevclusterError):
    """The devcluster needs root."""
