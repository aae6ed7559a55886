"""What the chat service costs beside other ways to put a server in front of the Anthropic API: `python -m bench.service`."""
