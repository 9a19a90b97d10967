"""Where the recorded data lies: beside the repository, never in it. Tests that need it skip without it."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def require_shared(path: str) -> Path:
    """The file or folder `path` of the shared folder; skips the test, with the reason, where it is absent."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"the shared data {path} is not beside the repository")
    return found
