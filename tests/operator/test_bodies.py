import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.bodies import APPLY, encode


@given(text=st.text())
def test_what_is_applied_reads_the_same_as_yaml_and_as_json(text: str) -> None:
    body = {"data": {"text": text}}

    encoded = encode(body, content_type=APPLY)

    assert json.loads(encoded) == body
    assert yaml.safe_load(encoded) == body


@pytest.mark.parametrize("code", [0x7F, 0x80, 0x85, 0x9F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF])
def test_characters_that_yaml_reads_otherwise_are_escaped(code: int) -> None:
    assert encode({"a": f"x{chr(code)}y"}, content_type=APPLY) == rb'{"a":"x\u%04xy"}' % code


def test_everything_else_stands_as_it_is() -> None:
    assert encode({"a": "é\u00a0😀\u2027"}, content_type=APPLY) == '{"a":"é\u00a0😀\u2027"}'.encode()
    assert encode({"a": "\x7f"}, content_type="application/json") == b'{"a":"\x7f"}'
