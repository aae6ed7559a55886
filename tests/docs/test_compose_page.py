"""docs/compose.md names what scripts/build.sh takes, for somebody who has Docker and nothing else of this project's."""

import re
import tomllib

from tests.docs.pages import DOCS, ROOT


def test_all_that_the_build_looks_for_is_named() -> None:
    (images,) = re.findall(r"^## Images\n(.*?)^## ", (DOCS / "compose.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    packages = (ROOT / "scripts/packages.sh").read_text(encoding="utf-8")
    (programs,) = re.findall(r"^tests=\((.*)\)$", packages, re.MULTILINE)
    as_root = re.findall(r"^    (\w+):\w+$", packages.partition("images=(")[2].partition("\n)")[0], re.MULTILINE)
    python = tomllib.loads((ROOT / "service/pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]

    assert as_root == ["buildah", "debootstrap"]
    assert f"Python {python.replace('>=', '≥ ')}" in images
    assert [name for pair in programs.split() if f"`{(name := pair.partition(':')[0])}`" not in images] == []
    assert [name for name in as_root if name not in images] == []
