"""Faults on demand: what PUT /_simulator/behaviour takes, and which request each fault hits. Messages only; everything else stays well.

Events are numbered as they are sent, `ping` included, from 1 (`message_start`); a fault "at" n takes the place of event n.
`stall_at` and `cut_at` take 0 as well: not even the headers are sent. A JSON answer has no events: it stalls or is cut
half way, and is a 529 for an overload.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any

import durationpy
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from anthropic_simulator.errors import SPEND_LIMIT_REACHED, ApiError, InvalidRequest

_DURATION = re.compile(r"([0-9]{1,6}(\.[0-9]{1,9})?(ns|us|µs|ms|s|m|h)){1,6}")


def parse_duration(text: object) -> float:
    """Return the seconds of a Go duration such as `250ms` or `1m30s`, never a negative one; raises ValueError."""
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 250ms, 2s or 1m30s")
    return float(durationpy.from_str(text).total_seconds())


def _text(value: object) -> object:
    return str(value) if type(value) is int else value


Duration = Annotated[str, BeforeValidator(lambda text: (parse_duration(text), text)[1])]
HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$", max_length=2048)]


class ErrorFault(BaseModel):
    """An error answer: to the share `rate` of the requests, of all of them or of the `next` ones only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    status: int = Field(default=500, ge=400, le=599)
    type: str | None = Field(default=None, min_length=1, max_length=128)
    rate: float = Field(default=1.0, ge=0, le=1)
    next: int | None = Field(default=None, ge=0)
    retry_after: Annotated[HeaderText | None, BeforeValidator(_text)] = None


class Behaviour(BaseModel):
    """How messages are answered; every key is optional and nothing set means: at once and well."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    first_token_delay: Duration | None = None
    pace: Duration | None = None
    events: int | None = Field(default=None, ge=1, le=100_000)
    error: ErrorFault | None = None
    stall_at: int | None = Field(default=None, ge=0)
    cut_at: int | None = Field(default=None, ge=0)
    overload_at: int | None = Field(default=None, ge=1)
    redirect_to: HeaderText | None = None
    garbage: bool = False

    @property
    def first_token_delay_seconds(self) -> float:
        """Return the wait before anything is sent."""
        return parse_duration(self.first_token_delay) if self.first_token_delay else 0.0

    @property
    def pace_seconds(self) -> float:
        """Return the wait between two deltas."""
        return parse_duration(self.pace) if self.pace else 0.0


def parse_behaviour(body: bytes) -> Behaviour:
    """Return the behaviour that a PUT's body asks for; raises InvalidRequest naming every wrong key."""
    try:
        return Behaviour.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest("; ".join(_complaint(detail) for detail in error.errors(include_url=False))) from error


def _complaint(detail: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "body"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}"


class Faults:
    """The behaviour in force and how far its error has got. `rate` is counted, not drawn: the same requests fail every time."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._seen = 0

    def current(self) -> dict[str, Any]:
        """Return what is set, with `next` as what is left of it."""
        shown = self.behaviour.model_dump(exclude_unset=True)
        error = self.behaviour.error
        if error is not None and error.next is not None:
            shown["error"]["next"] = max(0, error.next - self._seen)
        return shown

    def next_error(self) -> ApiError | None:
        """Count one request and return the error that hits it."""
        fault = self.behaviour.error
        if fault is None or (fault.next is not None and self._seen >= fault.next):
            return None
        rate = Fraction(str(fault.rate))
        before, self._seen = self._seen, self._seen + 1
        if int(self._seen * rate) == int(before * rate):
            return None
        return _build_error(fault)


def _build_error(fault: ErrorFault) -> ApiError:
    if fault.type == SPEND_LIMIT_REACHED:
        return ApiError(fault.status, error_code=SPEND_LIMIT_REACHED, retry_after=fault.retry_after)
    return ApiError(fault.status, type_=fault.type, retry_after=fault.retry_after)
