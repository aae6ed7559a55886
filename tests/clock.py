"""A clock for what takes the time from outside: it moves when a test moves it, or when somebody sleeps by it."""


class Clock:
    """Seconds as `time.monotonic` counts them, from somewhere."""

    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self.now += seconds
