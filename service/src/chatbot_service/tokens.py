"""Which clients are let in: those that show a token of a file, which holds several at once and may change at any time.

A token is kept, looked up and spoken of as its BLAKE2b under a key that this process has thrown for itself. Nobody can choose a token
by its digest then, so how long a comparison of digests takes says nothing of a token. A file that is gone or empty lets nobody in,
because deleting a Secret revokes what it held.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b

import structlog

from chatbot_service.files import WatchedFile

MAX_TOKENS = 1_000
MAX_TOKEN_LENGTH = 1024
LOGGED_LINES = 10
"""A file that is no list of tokens at all may have half a million lines."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class TokensState(StrEnum):
    """Whether there are tokens, in the words of the report."""

    LOADED = "Loaded"
    MISSING = "Missing"


class Tokens:
    """The tokens in one file. `refresh` is called before the first request and then a few times a second."""

    def __init__(self, file: WatchedFile) -> None:
        self._file = file
        self._key = os.urandom(32)
        self._digests: frozenset[str] | None = None

    @property
    def state(self) -> TokensState:
        """Return whether there are any."""
        return TokensState.LOADED if self._digests else TokensState.MISSING

    def refresh(self) -> None:
        """Take what is new in the file."""
        if self._file.changed():
            self._take(frozenset(map(self._digest, parse_tokens(self._file.read() or b""))))

    def client_of(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Return whose token is shown, as 16 hexadecimal digits of its digest, or None when none is known.

        The SDKs that speak to this service send it in one header or the other.
        """
        authorization = headers.get(b"authorization")
        client = self._known(_bearer(authorization)) if authorization else None
        return client or self._known(headers.get(b"x-api-key", b""))

    def _known(self, token: bytes) -> str | None:
        if token and self._digests and (digest := self._digest(token)) in self._digests:
            return digest[:16]
        return None

    def _digest(self, token: bytes) -> str:
        return blake2b(token, key=self._key, digest_size=32).hexdigest()

    def _take(self, digests: frozenset[str]) -> None:
        before, self._digests = self._digests, digests
        if digests and digests != before:
            log.info("client tokens read", tokens=len(digests))
        elif digests != before:
            log.warning("client tokens are missing, nobody is let in")


def parse_tokens(content: bytes) -> list[bytes]:
    """Return the tokens in `content`, one a line, without blank lines and comments; which of them are malformed is logged."""
    tokens: list[bytes] = []
    malformed: list[int] = []
    for number, line in enumerate(content.splitlines(), start=1):
        token = line.strip()
        if not token or token.startswith(b"#"):
            continue
        if len(tokens) == MAX_TOKENS:
            log.error("client tokens ignored from here on, there are too many", line=number, most=MAX_TOKENS)
            break
        if len(token) <= MAX_TOKEN_LENGTH and all(0x21 <= byte <= 0x7E for byte in token):
            tokens.append(token)
        else:
            malformed.append(number)
    if malformed:
        log.error(
            "client tokens ignored that are not 1 to 1024 printable ASCII characters",
            lines=malformed[:LOGGED_LINES],
            ignored=len(malformed),
        )
    return tokens


def _bearer(authorization: bytes) -> bytes:
    """Return the token in the header's value, empty when it has none."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
