"""docs/faults.md tells of every case, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.faults.scenario import RECOVERY_STEPS, STEPS, WITHDRAWAL_STEPS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/faults.md").read_text()
CASES = {
    *[f"K{number}" for number in range(1, 17)],
    *[f"N{number}" for number in range(1, 11)],
    *[f"L{number}" for number in range(1, 6)],
    *[f"T{number}" for number in range(1, 4)],
    *[f"F{number}" for number in range(1, 7)],
    *["X1 to X16", "X17", "X18", "X19", "X20"],
    *[f"Q{number}" for number in range(1, 9)],
    *[f"D{number}" for number in range(1, 7)],
    *["C1c", "C2c", "M1", "S1", "S2"],
}


def rows() -> dict[str, list[str]]:
    """The cells of each case's row."""
    lines = re.findall(r"^\| ((?:[A-Z]\d+c?)(?: to X16)?) \|(.*)\|$", TEXT, re.MULTILINE)
    return {case: [cell.strip() for cell in rest.split("|")] for case, rest in lines}


def test_every_case_has_a_row_with_what_happens_and_what_shows_it() -> None:
    found = rows()
    assert set(found) == CASES
    for case, cells in found.items():
        assert len(cells) == 3, case
        assert all(cells), case
        assert "`tests/" in cells[2] or cells[2].startswith("the same"), case


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 60
    for path, name in sorted(set(named)):
        tree = ast.parse((ROOT / path).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{path}::{name}"


def test_every_failpoint_is_told() -> None:
    assert set(re.findall(r"`((?:prepare|send|recover|withdraw)\.\w+)`", TEXT)) == {
        *STEPS,
        *RECOVERY_STEPS,
        *WITHDRAWAL_STEPS,
    }
