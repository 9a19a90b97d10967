"""The tables of the documents name exactly what exists: variables, settings, options, faults."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from bots.validation import FIELDS
from trading.paper.cli import add_options
from trading.paper.faults import KINDS
from trading.strategies import STRATEGIES

ROOT = Path(__file__).resolve().parents[2]


def first_column(name: str, heading: str = "") -> set[str]:
    """What stands in backticks in the first column of a document's tables, or of those of one section."""
    text = (ROOT / "docs" / name).read_text()
    if heading:
        text = text.split(f"\n{heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_every_variable_is_documented_and_no_other() -> None:
    example = (ROOT / ".env.example").read_text()

    assert first_column("configuration.md") == set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_every_setting_of_a_bot_is_documented_and_no_other() -> None:
    assert first_column("bots.md", "## Settings") == {"account", *FIELDS}


def test_every_strategy_has_its_parameters_documented() -> None:
    for name, strategy in STRATEGIES.items():
        assert first_column("bots.md", f"## {name}") == set(strategy.defaults)


def test_every_option_of_the_paper_exchange_is_documented_and_no_other() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    options = {action.option_strings[0] for action in parser._actions}

    named = {option.split()[0] for option in first_column("paper-exchange.md", "## Start it")}
    assert named == options


def test_every_fault_is_documented() -> None:
    assert first_column("paper-exchange.md", "## Faults") >= set(KINDS)
