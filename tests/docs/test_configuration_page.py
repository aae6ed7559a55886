"""docs/configuration.md agrees with the pages that set a variable of a pod past the resource."""

import re

from tests.docs.pages import DOCS, ROOT, blocks

PAGES = (ROOT / "README.md", *DOCS.rglob("*.md"))


def test_what_is_set_by_kubectl_has_no_field_and_the_page_says_that_it_can_be() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    without_field = set(re.findall(r"^\| `(\w+)` \|.*\|  \|$", text, flags=re.MULTILINE))
    set_by_hand = {name for page in PAGES for block in blocks(page) for name in re.findall(r"kubectl set env \S+ (\w+)=", block.text)}

    assert set_by_hand == {"DEBUG_ENDPOINTS"}
    assert set_by_hand <= without_field
    assert "unless `kubectl set env` sets another value" in " ".join(text.split())
