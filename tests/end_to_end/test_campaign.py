"""A small campaign by voice: the real program calls people through the telephone exchange for tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.models
@pytest.mark.timeout(480)
def test_every_check_of_a_campaign_ends_in_a_report_or_a_task(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "carecall.simulation.campaign_run"),
            *("--people", "10", "--at-once", "5", "--json", "--keep", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert verdict["good"], verdict
    assert done.returncode == 0
    assert verdict["slots"] == verdict["reports"] + verdict["tasks"] == 10
    assert verdict["reports"] >= 5, "most people are reached"
    called = {json.loads(line)["to"] for line in (tmp_path / "exchange.jsonl").read_text().splitlines()}
    assert "+15550000010" not in called, "whose hours are closed is not called"
