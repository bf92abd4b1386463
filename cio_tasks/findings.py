"""What diagnostics and checks conclude: how bad it is, a word for it, what to read, and what to do next."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, the worst first: `high` explains a failure, `medium` will, `low` is worth knowing."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """The place in the order of the worst first, from 0."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """One conclusion, called an issue in what is printed as JSON.

    `code` is a stable word (`no_email`), `message` one sentence without personal data or secrets, `next` what the reader
    can do about it.
    """

    severity: Severity
    code: str
    message: str
    next: str

    @property
    def as_issue(self) -> dict[str, str]:
        """The finding in the shape that scripts rely on."""
        return {"severity": self.severity.value, "code": self.code, "message": self.message, "next": self.next}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings ordered by severity; those of one severity stay in the order they were found."""
    return sorted(findings, key=lambda finding: finding.severity.rank)


def reaches(findings: Iterable[Finding], severity: Severity) -> bool:
    """Tell whether any finding is as bad as `severity`, or worse."""
    return any(finding.severity.rank <= severity.rank for finding in findings)
