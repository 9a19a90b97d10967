"""What a check of the books finds: which invariant (docs/orders.md) is broken, where, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be. A warning is no broken book: somebody must do something."""

    invariant: str  # I1 ... I15
    object: str  # what it is about: "bot 7", "order tb1-..."
    sentence: str
    severity: Severity = "error"
    account_id: int | None = None
    bot_id: int | None = None

    @property
    def id(self) -> str:
        """Stays the same for as long as the same thing is wrong with the same object."""
        return f"{self.invariant}:{self.object}"[:100]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"id": self.id, **asdict(self)}


def from_dict(row: Mapping[str, Any]) -> Finding:
    """What as_dict() gave."""
    return Finding(**{name: value for name, value in row.items() if name != "id"})


def errors(found: list[Finding]) -> list[Finding]:
    """Those that are no warnings."""
    return [one for one in found if one.severity == "error"]
