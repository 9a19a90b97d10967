"""Starts a real paper exchange in a process of its own, for tests of whatever talks to an exchange."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 20.0


class Paper:
    """A running paper exchange: `url`, `control` for its /paper/ endpoints, `stop` and `kill`."""

    def __init__(self, argv: list[str], log: Path) -> None:
        self._argv = argv
        self._log = log
        self.start()

    def start(self) -> None:
        """Start it (again); it listens when this returns."""
        self._errors = self._log.open("ab")
        self.process = subprocess.Popen(
            self._argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise AssertionError(f"the paper exchange did not start: {self.errors()}")
        self.url: str = json.loads(line)["url"]
        self.session = requests.Session()
        self.session.trust_env = False

    def __enter__(self) -> Paper:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def errors(self) -> str:
        """What it wrote to stderr."""
        return self._log.read_text()

    def stop(self) -> int:
        """End it in good order; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self._ended()

    def kill(self) -> int:
        """End it with SIGKILL."""
        self.process.kill()
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(timeout=TIMEOUT_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()
        return code

    def control(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Ask a control endpoint: GET without a body, POST with one. An error fails the test."""
        how = method or ("GET" if body is None else "POST")
        answer = self.session.request(how, self.url + path, json=body, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def fault(self, kind: str, **options: Any) -> Any:
        """Switch a fault on, by default for the next POST /api/v3/order."""
        wanted = {"kind": kind, "method": "POST", "path": "/api/v3/order", **options}
        return self.control("/paper/faults", wanted)

    def books(self, api_key: str) -> dict[str, Any]:
        """Orders, fills, lists and balances of one account."""
        found: dict[str, Any] = self.control(f"/paper/books?apiKey={api_key}")["accounts"][0]
        return found

    def now_ms(self) -> int:
        """The exchange's time."""
        return int(self.control("/paper/health")["nowMs"])

    def public(self, path: str, **params: Any) -> requests.Response:
        """GET without a key."""
        return self.session.get(self.url + path, params=params, timeout=TIMEOUT_SECONDS)

    def signed(self, method: str, path: str, api_key: str = "paper-test", **params: Any) -> requests.Response:
        """A signed request; the timestamp is added unless given, parameters that are None are left out."""
        params.setdefault("timestamp", self.now_ms())
        payload = urlencode({name: value for name, value in params.items() if value is not None})
        signature = hmac.new(secret_of(api_key).encode(), payload.encode(), hashlib.sha256).hexdigest()
        return self.session.request(
            method,
            f"{self.url}{path}?{payload}&signature={signature}",
            headers={"X-MBX-APIKEY": api_key},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )

    def order(self, **params: Any) -> requests.Response:
        """POST /api/v3/order."""
        return self.signed("POST", "/api/v3/order", **params)


def secret_of(api_key: str) -> str:
    """The secret of a key that opens its account by itself."""
    return hashlib.sha256(api_key.encode("ascii")).hexdigest()


def start_paper(tmp_path: Path, **options: Any) -> Paper:
    """Start one on a free port: `start_paper(tmp_path, seed=7, clock="stepped", data=tmp_path / "books")`."""
    argv = [sys.executable, "-m", "trading.paper", "--port", "0"]
    for name, value in options.items():
        argv += [f"--{name.replace('_', '-')}", str(value)]
    return Paper(argv, tmp_path / "paper.log")
