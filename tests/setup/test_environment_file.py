"""Every variable that settings or docker-compose.yml read is explained in .env.example, and no other is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.environment import TEST_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]


def read_by_the_settings() -> set[str]:
    source = (ROOT / "tradebot/settings.py").read_text()
    return set(re.findall(r'\b_(?:read|positive|choice|url|database|redis|email)\(\s*"([A-Z_]+)"', source))


def read_by_compose() -> set[str]:
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))


def test_example_names_exactly_the_variables_that_are_read() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    variables = {line.split("=")[0].lstrip("# ") for line in lines if re.match(r"(# )?[A-Z_]+=", line)}

    assert variables == read_by_the_settings() | read_by_compose()


def test_each_variable_is_explained_on_the_line_above() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    unexplained = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if re.match(r"(# )?[A-Z_]+=", line) and not re.match(r"# [A-Za-z].* ", above)
    ]

    assert unexplained == []


def test_a_test_run_sets_every_variable_itself() -> None:
    assert read_by_the_settings() - {"DATABASE_URL", "REDIS_URL"} == set(TEST_ENVIRONMENT)
