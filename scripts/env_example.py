"""`.env.example` from the service's settings: every variable with its default and what it is for; it must hold no second copy of either.

The file serves Compose and shells alike: `docker-compose` reads it as `.env`, `set -a; . ./.env` exports it. The first lines
choose the API, because a fresh copy must answer without a key.
"""

from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from chatbot_service.durations import format_duration
from chatbot_service.settings import Settings

_HEAD: Final = """\
# Settings of the chat service, for Compose and for shells: cp .env.example .env
# Each variable stands with its default; an empty one is as good as none. Generated from the service's settings by `make generate`.
"""

_CHOICE: Final = """
# Which API answers. As it stands, a simulator that Compose starts: it takes any key, costs nothing, and its answers are canned.
# To ask Anthropic's API: docker-compose down, which ends the simulator too (without its profile, Compose would leave it running);
# then empty the first two of these three, give your key to the third, and docker-compose up -d.
COMPOSE_PROFILES=simulator
{base_url}ANTHROPIC_BASE_URL=http://simulator:8000
{api_key}ANTHROPIC_API_KEY=demo

# Only Compose reads these.
# Address of this machine where PORT is open; put a proxy that speaks TLS before it rather than opening it to a network.
BIND_ADDRESS=127.0.0.1
# What stands before the images' names, for example registry.example.com/chatbots/
IMAGE_PREFIX=
# Their tag; without one it is latest. /health shows what the image was built as, whatever its tag is.
# VERSION=v1.2.3
# How long Compose lets a service that is stopped go on, before it cuts off its answers: DRAIN_DELAY + DRAIN_TIMEOUT + 5 s.
STOP_GRACE_PERIOD={stop_grace_period}

# The service reads the rest. Compose uses PORT and ADMIN_PORT for this machine's side, too.
"""

_TO_END_SECONDS: Final = 5.0
"""What a service takes to end once it is drained, as its pods are allowed."""
_OF_OTHERS: Final = ("pod_uid", "pod_template_hash", "version")
"""What only the operator can know, and what Compose reads as the images' tag."""


def render_env_example() -> str:
    """Return the text of the checked-in file."""
    fields = {name: field for name, field in Settings.model_fields.items() if name not in _OF_OTHERS}
    base_url, api_key = fields.pop("anthropic_base_url"), fields.pop("anthropic_api_key")
    settings = "".join(f"{_comment(field)}{name.upper()}={default_text(field)}\n" for name, field in fields.items())
    choice = _CHOICE.format(
        base_url=_comment(base_url, ends=f"Empty: {default_text(base_url)}"),
        api_key=_comment(api_key),
        stop_grace_period=format_duration(sum(fields[name].default for name in ("drain_delay", "drain_timeout")) + _TO_END_SECONDS),
    )
    return _HEAD + choice + settings


def _comment(field: FieldInfo, *, ends: str = "") -> str:
    """Return the line above a variable: what it is for, and its values where they are few."""
    return f"# {' '.join(filter(None, (field.description, choices(field.annotation), ends)))}\n"


def choices(annotation: Any) -> str:
    """Return the values of a variable that has few, as a sentence."""
    literals = [part for part in (annotation, *get_args(annotation)) if get_origin(part) is Literal]
    return f"One of {', '.join(get_args(literals[0]))}." if literals else ""


def default_text(field: FieldInfo) -> str:
    """Return the default as the environment spells it; one that depends on the machine is left to the service."""
    default = None if field.default_factory else field.default
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(default)
        case _ if field.annotation is float:
            return format_duration(default)
        case _:
            return str(default)
