"""Which cluster the environment names, and the commands that bring images there."""

import json
from pathlib import Path

import pytest

from devcluster.cluster import control_plane
from devcluster.state import state_folder
from devcluster.target import Builder, Target, TargetUnusable, choose, load_commands

ARCHIVE = (Path("chatbot-operator.tar"), ("localhost/chatbot-operator:0.1.0", "chatbot-operator:latest"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_kubeconfig(tmp_path / ".kube" / "config", context="production")
    write_kubeconfig(tmp_path / "kind", context="kind-chat")
    (tmp_path / "empty").write_text("apiVersion: v1\nkind: Config\n")
    own = tmp_path / ".local" / "state" / "chatbot-devcluster" / "kubeconfig"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps({"kind": "Config", "current-context": "chatbot-devcluster"}))
    return tmp_path


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"KUBECONFIG": "", "CONTEXT": ""},
        {"IMAGE_REGISTRY": "registry.example"},
        {"KUBECONFIG": "{home}/.local/state/chatbot-devcluster/kubeconfig"},
        {"KUBECONFIG": "{home}/.local/../.local/state/chatbot-devcluster/kubeconfig"},
        {"KUBECONFIG": "{home}/.local/state/chatbot-devcluster/kubeconfig", "CONTEXT": "chatbot-devcluster"},
    ],
)
def test_the_devcluster_is_used_unless_another_cluster_is_named(home: Path, environment: dict[str, str]) -> None:
    target = choose(in_home(home, environment))

    assert target == Target(kubeconfig=str(home / ".local/state/chatbot-devcluster/kubeconfig"), delivery="devcluster")
    assert target.is_devcluster
    assert target.image_prefix == ""


@pytest.mark.parametrize(("given", "folder"), [("/elsewhere", "/elsewhere"), ("relative/is/ignored", "{home}/.local/state")])
def test_the_devclusters_kubeconfig_is_where_it_writes_it(home: Path, given: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", given)

    target = choose(in_home(home, {"XDG_STATE_HOME": given}))

    assert target.kubeconfig == f"{folder.format(home=home)}/chatbot-devcluster/kubeconfig"
    assert target.kubeconfig == str(control_plane(state_folder()).kubeconfig)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KUBECONFIG": "{home}/kind"}, Target(kubeconfig="{home}/kind", context="kind-chat", delivery="kind")),
        ({"KUBECONFIG": "{home}/empty:{home}/kind"}, Target(kubeconfig="{home}/empty:{home}/kind", context="kind-chat", delivery="kind")),
        ({"CONTEXT": "kind-other"}, Target(kubeconfig="{home}/.kube/config", context="kind-other", delivery="kind")),
        (
            {"KUBECONFIG": "{home}/.kube/config", "IMAGE_REGISTRY": "https://registry.example/team/"},
            Target(kubeconfig="{home}/.kube/config", context="production", delivery="registry", registry="registry.example/team"),
        ),
        (
            {"CONTEXT": "staging", "IMAGE_REGISTRY": "registry.example:5000"},
            Target(kubeconfig="{home}/.kube/config", context="staging", delivery="registry", registry="registry.example:5000"),
        ),
    ],
)
def test_an_existing_cluster_is_used_when_it_is_named(home: Path, environment: dict[str, str], expected: Target) -> None:
    target = choose(in_home(home, environment))

    kubeconfig = expected.kubeconfig.format(home=home)
    assert target == Target(kubeconfig=kubeconfig, context=expected.context, delivery=expected.delivery, registry=expected.registry)
    assert not target.is_devcluster


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"KUBECONFIG": "{home}/.kube/config"}, "set IMAGE_REGISTRY"),
        ({"KUBECONFIG": "{home}/empty"}, "names no current context: set CONTEXT"),
        ({"KUBECONFIG": "{home}/missing"}, "names no current context: set CONTEXT"),
        ({"KUBECONFIG": "{home}/.local/state/chatbot-devcluster/kubeconfig", "CONTEXT": "production"}, "unset CONTEXT"),
    ],
)
def test_an_unclear_choice_is_refused_with_one_line_that_says_what_to_set(home: Path, environment: dict[str, str], message: str) -> None:
    with pytest.raises(TargetUnusable, match=message) as refusal:
        choose(in_home(home, environment))

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("target", "builder", "expected"),
    [
        (
            Target(kubeconfig="k", context="kind-chat", delivery="kind"),
            "buildah",
            ["kind load image-archive chatbot-operator.tar --name chat"],
        ),
        (
            Target(kubeconfig="k", context="c", delivery="registry", registry="registry.example"),
            "buildah",
            [
                "buildah pull docker-archive:chatbot-operator.tar",
                "buildah push localhost/chatbot-operator:0.1.0 docker://registry.example/chatbot-operator:0.1.0",
                "buildah push chatbot-operator:latest docker://registry.example/chatbot-operator:latest",
            ],
        ),
        (
            Target(kubeconfig="k", context="c", delivery="registry", registry="registry.example"),
            "docker",
            [
                "docker load --input chatbot-operator.tar",
                "docker tag localhost/chatbot-operator:0.1.0 registry.example/chatbot-operator:0.1.0",
                "docker push registry.example/chatbot-operator:0.1.0",
                "docker tag chatbot-operator:latest registry.example/chatbot-operator:latest",
                "docker push registry.example/chatbot-operator:latest",
            ],
        ),
    ],
)
def test_images_reach_an_existing_cluster_by_these_commands(target: Target, builder: Builder, expected: list[str]) -> None:
    assert [" ".join(command) for command in load_commands(target, [ARCHIVE], builder=builder)] == expected


def test_images_reach_the_devcluster_straight_from_their_archives() -> None:
    (command,) = load_commands(Target(kubeconfig="k", delivery="devcluster"), [ARCHIVE, ARCHIVE], builder="docker")

    assert command[1:] == ("-m", "devcluster", "load", "chatbot-operator.tar", "chatbot-operator.tar")


def in_home(home: Path, environment: dict[str, str]) -> dict[str, str]:
    return {"HOME": str(home)} | {name: value.format(home=home) for name, value in environment.items()}


def write_kubeconfig(path: Path, *, context: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"apiVersion: v1\nkind: Config\ncurrent-context: {context}\ncontexts: []\n")
