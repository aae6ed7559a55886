"""The stateless Starlette chat service in front of the Anthropic API."""
