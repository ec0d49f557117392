"""Whether the process that held a call is still there."""

import os
import subprocess
import sys

import pytest

from carecall.store import holder


def test_a_holder_is_alive_until_it_leaves() -> None:
    mine = holder.enter()
    assert holder.alive(mine) is True
    holder.leave(mine)
    assert holder.alive(mine) is False


def test_another_process_is_alive_until_it_ends() -> None:
    script = "from carecall.store import holder; print(holder.enter(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        other = process.stdout.readline().strip()
        assert holder.alive(other) is True
        process.kill()
        process.wait()
        assert holder.alive(other) is False


def test_a_pid_given_to_another_process_is_not_the_holder() -> None:
    host, boot, _, started, serial = holder.enter().split(" ")
    assert holder.alive(f"{host} {boot} {os.getppid()} {started}0 {serial}") is False
    assert holder.alive(f"{host} an-earlier-boot {os.getppid()} {started} {serial}") is False


def test_a_process_on_another_host_cannot_be_seen() -> None:
    assert holder.alive("another-host boot 1 100 1") is None


@pytest.mark.parametrize("nonsense", ["", "who knows"])
def test_an_unknown_holder_is_nobody(nonsense: str) -> None:
    assert holder.alive(nonsense) is False
