"""Logging: secrets are masked."""

import logging


class MaskSecrets(logging.Filter):
    """Placeholder until the masking filter is in."""
