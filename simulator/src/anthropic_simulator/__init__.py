"""A faithful fake of the Anthropic API with faults on demand."""
