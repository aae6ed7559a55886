"""Which clients are let in: those that show a token of a file, which holds several at once and may change at any time.

A token is kept and compared as its SHA-256, and a client is known elsewhere by a piece of that. A file that is gone or empty lets
nobody in, because deleting a Secret revokes what it held.
"""

import hashlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from hmac import compare_digest

import structlog

from chatbot_service.files import WatchedFile

MAX_TOKENS = 1_000
"""Each costs 0.1 µs a request."""
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
        self._digests: list[bytes] | None = None

    @property
    def state(self) -> TokensState:
        """Return whether there are any."""
        return TokensState.LOADED if self._digests else TokensState.MISSING

    def refresh(self) -> None:
        """Take what is new in the file."""
        if self._file.changed():
            self._take([_digest(token) for token in parse_tokens(self._file.read() or b"")])

    def client_of(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Return whose token is shown, as 16 hexadecimal digits of its hash, or None when none is known.

        Every token is compared with, and to its end: how long that takes says nothing of how near a wrong one came.
        """
        client = None
        for shown in _shown(headers):
            digest = _digest(shown)
            if sum([compare_digest(digest, known) for known in self._digests or ()]):
                client = digest[:8].hex()
        return client

    def _take(self, digests: list[bytes]) -> None:
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


def _shown(headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Yield what may be the client's token: the SDKs that speak to this service send it in one header or the other."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        yield token.strip()
    if key := headers.get(b"x-api-key"):
        yield key


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
