"""Writes the bodies of requests, such that the API server reads what was meant.

It reads what is applied as YAML 1.1. JSON is YAML but for a few characters, which are refused as they stand, or folded into a space
like a line's end.
"""

import re
from typing import Final

import orjson

from chatbot_operator.resource import Manifest

APPLY: Final = "application/apply-patch+yaml"

_DELETE: Final = b"\x7f"
_NOT_YAML: Final = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]"  # delete, and the control characters from U+0080 on; next line (U+0085) ends a line
    rb"|\xe2\x80[\xa8\xa9]"  # line and paragraph separator: they end a line, too
    rb"|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]"  # byte order mark, U+FFFE, U+FFFF
)


def encode(body: Manifest, *, content_type: str) -> bytes:
    """Return `body` as JSON that is the same in YAML."""
    encoded = orjson.dumps(body)
    if content_type != APPLY or (encoded.isascii() and _DELETE not in encoded):
        return encoded
    return _NOT_YAML.sub(_escaped, encoded)


def _escaped(found: re.Match[bytes]) -> bytes:
    return rb"\u%04x" % ord(found[0].decode())
