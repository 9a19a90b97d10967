"""The audit log: one row an action of a person, written in the action's own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model

from trading.models import AuditEntry


def note(
    by: Any,
    action: str,
    obj: Model,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    reason: str = "",
    now: datetime,
) -> AuditEntry:
    """Write what `by` (a user, None for a command) did to `obj`; values must be JSON and hold no secret."""
    return AuditEntry.objects.create(
        user=by if by is not None and by.pk else None,
        action=action,
        object_type=obj._meta.label_lower,
        object_id=str(obj.pk),
        before=dict(before),
        after=dict(after),
        reason=reason,
        at=now,
    )
