"""Reads docker-compose.yml as Docker would, as far as the tests need it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent


def compose() -> dict[str, Any]:
    """The whole file."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def services() -> dict[str, dict[str, Any]]:
    """Its services by name."""
    return compose()["services"]


def own_services() -> dict[str, dict[str, Any]]:
    """Those that run this project's image."""
    return {name: service for name, service in services().items() if "build" in service}


def here(command: list[str], **replaced: str) -> list[str]:
    """A command of the file with this machine's programs, and with texts replaced in its words."""
    words = [PROGRAMS / command[0] if command[0] != "python" else sys.executable, *command[1:]]
    argv = [str(word) for word in words]
    for old, new in replaced.items():
        argv = [word.replace(OLD[old], new) for word in argv]
    return argv


OLD = {
    "web": "0.0.0.0:8000",
    "web_url": "127.0.0.1:8000",
    "port": "8899",
    "host": "0.0.0.0",
    "data": "/data/",
}


def healthcheck(name: str, **replaced: str) -> list[str]:
    """The command of a service's health check, for this machine."""
    test = services()[name]["healthcheck"]["test"]
    assert test[0] == "CMD"
    return here(test[1:], **replaced)
