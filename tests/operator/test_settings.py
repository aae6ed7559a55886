import pytest

from chatbot_operator.errors import SettingsInvalid
from chatbot_operator.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPERATOR_SERVICE_IMAGE", "general-purpose-chatbot:0.1.0")


def test_only_the_image_is_needed() -> None:
    settings = Settings.from_environment()

    assert settings.service_image == "general-purpose-chatbot:0.1.0"
    assert settings.watch_namespaces == ()
    assert settings.operator_version


def test_namespaces_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPERATOR_WATCH_NAMESPACES", "team-a, team-b,")

    assert Settings.from_environment().watch_namespaces == ("team-a", "team-b")


@pytest.mark.parametrize("namespaces", ["team-*", "team-a,Team", "!team-a"])
def test_namespaces_are_names_and_no_patterns(monkeypatch: pytest.MonkeyPatch, namespaces: str) -> None:
    monkeypatch.setenv("OPERATOR_WATCH_NAMESPACES", namespaces)

    with pytest.raises(SettingsInvalid, match=r"OPERATOR_WATCH_NAMESPACES\.\d"):
        Settings.from_environment()


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPERATOR_SERVICE_IMAGE")
    monkeypatch.setenv("OPERATOR_WORKERS", "0")
    monkeypatch.setenv("OPERATOR_LOG_LEVEL", "loud")

    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_environment()

    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "OPERATOR_SERVICE_IMAGE",
        "OPERATOR_WORKERS",
        "OPERATOR_LOG_LEVEL",
    ]
