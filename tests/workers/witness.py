"""A module for worker processes only: from here on the process notes what it does."""

from __future__ import annotations

import dramatiq

from tests.workers.support import Witness

dramatiq.get_broker().add_middleware(Witness())
