"""`.ci/run`: its exit code and its last line, with a make that only prints what pytest would."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.shared import require_shared

ROOT = Path(__file__).resolve().parents[2]
CLOSING = "============ 12 passed, 1 skipped in 65.43s (0:01:05) ============"


def run_ci(tmp_path: Path, printed: list[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    clone, programs = tmp_path / "main", tmp_path / "programs"
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    programs.mkdir()
    (programs / "printed").write_text("".join(f"{line}\n" for line in printed))
    (programs / "make").write_text(f'#!/bin/sh\ntest "$*" = test && cat {programs}/printed\nexit {code}\n')
    (programs / "make").chmod(0o755)
    return subprocess.run(
        ["bash", ".ci/run"],
        cwd=clone,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def reason_of_missing_data() -> str:
    with pytest.raises(pytest.skip.Exception) as skip:
        require_shared("no/such/file")
    return str(skip.value)


def test_passes_with_pytests_closing_line_last(tmp_path: Path) -> None:
    done = run_ci(tmp_path, ["All checks passed!", CLOSING, "something after it"])

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == CLOSING


def test_fails_when_make_fails(tmp_path: Path) -> None:
    assert run_ci(tmp_path, [CLOSING], code=2).returncode == 2


def test_fails_when_no_test_ran(tmp_path: Path) -> None:
    assert run_ci(tmp_path, ["======= no tests ran in 0.01s ======="]).returncode != 0


@pytest.mark.parametrize(("is_there", "code"), [(True, 1), (False, 0)])
def test_a_skip_for_missing_data_fails_only_where_the_data_is(
    tmp_path: Path, is_there: bool, code: int
) -> None:
    if is_there:
        (tmp_path / "shared/data").mkdir(parents=True)

    done = run_ci(tmp_path, [f"SKIPPED [3] tests/core/test_x.py:9: {reason_of_missing_data()}", CLOSING])

    assert done.returncode == code


def test_other_skips_are_fine_where_the_data_is(tmp_path: Path) -> None:
    (tmp_path / "shared/data").mkdir(parents=True)

    done = run_ci(tmp_path, ["SKIPPED [1] tests/setup/test_x.py:9: root can write everywhere", CLOSING])

    assert done.returncode == 0
