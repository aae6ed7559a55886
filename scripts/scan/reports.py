"""What a scanner came to: findings, nothing, or that it could not look. Whoever could not look never reports that there is nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Report:
    """One scanner's words: `findings` is a line each, `not_run` says why all or some of the subject was not looked at."""

    scanner: str
    subject: str
    findings: tuple[str, ...] = ()
    waived: int = 0
    not_run: str | None = None

    @property
    def verdict(self) -> str:
        """Return the result in a few words."""
        words = []
        if self.findings:
            words.append(f"{len(self.findings)} found")
        if self.not_run:
            words.append(f"not run: {self.not_run}")
        return "; ".join(words) or f"nothing found{f', {self.waived} waived' if self.waived else ''}"

    def lines(self) -> list[str]:
        """Return what a person reads: the scanner, what it looked at, the result, and each finding on a line of its own."""
        return [f"{self.scanner:<18} {self.subject:<58} {self.verdict}", *(f"    {finding}" for finding in self.findings)]
