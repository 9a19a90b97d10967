"""What the documents point at is there: files, headings, make targets, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from bots.management.commands.bots import ACTIONS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def all_text() -> str:
    return "\n".join(path.read_text() for path in DOCUMENTS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for target in LINK.findall(path.read_text()):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


def test_every_file_named_exists() -> None:
    top = r"(?:bots|trading|marketdata|tradebot|tests|docs|benchmarks|\.ci)"
    named = set(re.findall(rf"(?:^|[\s`(])({top}/[\w./-]*\w)", all_text(), re.MULTILINE))

    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_make_target_exists() -> None:
    named = set(re.findall(r"(?:^|`|\b\d )make ([a-z]+)", all_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= named
    assert named - targets == set()


def test_every_management_command_exists() -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", all_text()))

    assert {"demo", "bots", "run_bot"} <= named
    assert named - set(get_commands()) == set()


def test_every_action_of_the_bots_command_is_documented_and_no_other() -> None:
    named = set(re.findall(r"[`.a-z] ?bots ([a-z]+)(?: ID| \d+|\s+--)", all_text()))

    assert named == {"create", *ACTIONS}


def test_every_folder_of_tests_is_in_the_ladder() -> None:
    ladder = (ROOT / "docs/testing.md").read_text()
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}

    assert {name for name in folders if f"`tests/{name}`" not in ladder} == set()
