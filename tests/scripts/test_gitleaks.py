"""gitleaks as `make scan` runs it: a planted key is found where it is and where it was, and this repository has none."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from scripts.scan.gitleaks import leaks, scan

pytestmark = pytest.mark.programs

KEY = f"sk-ant-api03-{hashlib.sha512(b'planted').hexdigest()[:93]}AA"
RULE = "anthropic-api-key"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose first commit has a key that the second takes out again."""
    for content in (f"key: {KEY}\n", "key: from the Secret\n"):
        (tmp_path / "values.yaml").write_text(content)
        for arguments in (["init", "--quiet"], ["add", "values.yaml"], ["commit", "--quiet", "--message=values"]):
            identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
            subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)
    return tmp_path


def test_a_key_in_the_working_tree_is_found_and_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(f"key: {KEY}\n")

    assert leaks("dir", tmp_path) == [f"values.yaml:1: {RULE}"]


def test_a_key_that_was_taken_out_again_is_found_in_its_commit(repository: Path) -> None:
    (found,) = leaks("git", repository)

    assert leaks("dir", repository) == []
    assert found.startswith("values.yaml:1 in commit ")
    assert found.endswith(f": {RULE}")


def test_the_developers_own_env_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"ANTHROPIC_API_KEY={KEY}\n")

    assert leaks("dir", tmp_path) == []


def test_this_repository_has_no_key_in_any_commit_or_file() -> None:
    assert scan().verdict == "nothing found"
