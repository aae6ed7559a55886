"""Asks the chat service at the URL of the first argument one question and prints the answer; ends with 1 when there is none.

Run by `helm test` with the Python of the service's image, which has nothing else: the standard library alone.
"""

import json
import os
import sys
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 60


def ask(url: str, question: str, *, token: str) -> str:
    """Return the text of the answer to one question; raises OSError or ValueError when there is none."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"{url}/api/chat", data=json.dumps({"message": question}).encode(), headers=headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=TIMEOUT_SECONDS) as response:
        answer: str = json.load(response)["message"]
    if not answer:
        raise ValueError("the answer is empty")
    return answer


def first_token(lines: str) -> str:
    """Return the first line that is not blank and no comment, as the service reads them; empty when there is none."""
    return next((token for line in lines.splitlines() if (token := line.strip()) and not token.startswith("#")), "")


def main() -> int:
    """Ask; return the exit code."""
    url = sys.argv[1]
    try:
        print(ask(url, "Say hello.", token=first_token(os.environ.get("CLIENT_TOKENS", ""))))
    except urllib.error.HTTPError as error:
        print(f"{url} answered {error.code}: {error.read(2000).decode(errors='replace')}", file=sys.stderr)
        return 1
    except (OSError, ValueError, LookupError) as error:
        print(f"{url} gave no answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
