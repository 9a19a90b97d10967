"""`make setup` says in one sentence what is missing, and does nothing twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a Makefile and requirements of nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("# nothing\n")
    return tmp_path


def make(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # without what `make test` hands down: it would make this one a part of that
    own = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        ["make", *arguments], cwd=tree, env=own, capture_output=True, text=True, check=False
    )


def python_that(tree: Path, script: str) -> str:
    path = tree / "python-of-the-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_no_python_is_one_sentence(tree: Path) -> None:
    done = make(tree, "setup", "PYTHON=no-such-python")

    assert done.returncode == 2
    assert done.stdout == (
        "There is no no-such-python: install Python 3.11 or newer, or name one: "
        "make setup PYTHON=/path/to/python3\n"
    )


def test_an_old_python_is_one_sentence(tree: Path) -> None:
    python = python_that(tree, 'case "$1" in -V) echo Python 3.10.2;; *) exit 1;; esac')

    done = make(tree, "setup", python)

    assert done.returncode == 2
    assert done.stdout.startswith("TradeBot needs Python 3.11 or newer, but ")
    assert " is Python 3.10.2: name another one: " in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_python_without_venv_is_one_sentence(tree: Path) -> None:
    python = python_that(tree, 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')

    done = make(tree, "setup", python)

    assert done.returncode == 2
    assert done.stdout == (
        "This Python has no venv module: install it (on Debian and Ubuntu: apt install python3-venv) "
        "and try again.\n"
    )
    assert not (tree / ".venv").exists()


@pytest.mark.slow
def test_a_second_setup_does_nothing_until_the_requirements_change(tree: Path) -> None:
    python = f"PYTHON={sys.executable}"

    assert make(tree, "setup", python).returncode == 0
    assert "Nothing to be done" in make(tree, "setup", python).stdout
    (tree / "requirements.txt").write_text("# still nothing\n")
    assert "Installing" in make(tree, "setup", python).stdout


@pytest.mark.slow
def test_a_broken_environment_is_made_anew(tree: Path) -> None:
    (tree / ".venv/bin").mkdir(parents=True)

    assert make(tree, "setup", f"PYTHON={sys.executable}").returncode == 0
    assert (tree / ".venv/bin/pip").exists()
