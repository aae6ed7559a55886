"""Where names that are not the cluster's go."""

from pathlib import Path

import pytest

from devcluster.dns import forwarding


@pytest.mark.parametrize("content", ["nameserver 192.0.2.1\n", "# comment\nsearch example.org\nnameserver 127.0.0.53\n"])
def test_other_names_go_to_the_hosts_resolvers(tmp_path: Path, content: str) -> None:
    resolvers = tmp_path / "resolv.conf"
    resolvers.write_text(content)

    assert forwarding(resolvers) == f"    forward . {resolvers}\n"


@pytest.mark.parametrize("content", ["", "\n", "# nameserver 192.0.2.1\n", "search example.org\n"])
def test_a_host_without_resolvers_gets_none(tmp_path: Path, content: str) -> None:
    resolvers = tmp_path / "resolv.conf"
    resolvers.write_text(content)

    assert forwarding(resolvers) == ""


def test_a_host_without_the_file_gets_none(tmp_path: Path) -> None:
    assert forwarding(tmp_path / "missing") == ""
