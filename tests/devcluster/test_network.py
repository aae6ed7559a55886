"""What `down` removes from iptables: the devcluster's chains, and never another program's."""

from pathlib import Path

import pytest

from devcluster.network import note_settings, removal_script

DOCKER = ["-P FORWARD DROP", "-N DOCKER", "-A FORWARD -o docker0 -j DOCKER", "-A DOCKER -i docker0 -j ACCEPT"]
PODMAN = [
    "-N CNI-0123456789abcdef01234567",
    "-N CNI-DN-0123456789abcdef01234",
    "-N CNI-HOSTPORT-DNAT",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
    r'-A POSTROUTING -s 10.88.0.2/32 -m comment --comment "name: \"podman\" id: \"a1\"" -j CNI-0123456789abcdef01234567',
    r'-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"podman\" id: \"a1\"" -j CNI-DN-0123456789abcdef01234',
]


def test_settings_are_noted_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_path: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        note_settings(tmp_path)

    assert not (tmp_path / "kernel-settings.json").exists()


def test_a_table_without_our_chains_needs_no_change() -> None:
    assert removal_script(DOCKER + PODMAN) == ()


def test_kube_proxy_chains_go_with_the_rules_that_jump_to_them() -> None:
    listing = [
        *DOCKER,
        "-N KUBE-FORWARD",
        '-A FORWARD -m comment --comment "kubernetes rules" -j KUBE-FORWARD',
        "-A KUBE-FORWARD -j ACCEPT",
    ]

    script = removal_script(listing)

    assert script == (":KUBE-FORWARD - [0:0]", '-D FORWARD -m comment --comment "kubernetes rules" -j KUBE-FORWARD', "-X KUBE-FORWARD")


def test_of_the_cni_plugins_chains_only_our_networks_go() -> None:
    ours = "CNI-aaaaaaaaaaaaaaaaaaaaaaaa"
    jump = rf'POSTROUTING -s 10.244.0.2/32 -m comment --comment "name: \"chatbot-devcluster\" id: \"b2\"" -j {ours}'

    script = removal_script([*PODMAN, f"-N {ours}", f"-A {jump}", f"-A {ours} -d 10.244.0.0/24 -j ACCEPT"])

    assert script == (f":{ours} - [0:0]", f"-D {jump}", f"-X {ours}")


def test_the_shared_port_map_chains_go_when_nobody_else_maps_a_port() -> None:
    listing = ["-N CNI-HOSTPORT-DNAT", "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT"]

    script = removal_script(listing)

    assert script == (
        ":CNI-HOSTPORT-DNAT - [0:0]",
        "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-X CNI-HOSTPORT-DNAT",
    )
