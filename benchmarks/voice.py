"""The latency of a voice call: from the end of the recipient's speech to the agent's first audio on the line.

Rings the real server with the demo's recipient, and prints what each stage adds. Run: make bench
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from carecall.cli.demo import demo_scenario, percentile
from carecall.settings import Settings, settings
from carecall.simulation.scenario import load_scenario
from carecall.simulation.server import RunningServer, running_server
from carecall.simulation.voice_call import run_voice_call
from carecall.store import Store
from carecall.voice.latency import STAGES

_MEANING = {
    "vad": "silence that ends a run of speech",
    "stt": "speech recognition",
    "turn": "is the turn complete?",
    "dialog": "understand, decide, word",
    "voice": "synthesis or phrase cache",
    "line": "until it is on the line",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1, help="calls, one after the other")
    parser.add_argument("--llm", default=settings().llm, help="none, local or a URL")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carecall-bench-") as folder:
        effective = settings().model_copy(update={"data_dir": Path(folder), "database_url": "", "llm": arguments.llm})
        with (
            Store.open(effective.database, upgrade=True) as store,
            running_server(effective) as server,
        ):
            _wait_for_phrases(server)
            heard = [value for _ in range(arguments.calls) for value in asyncio.run(_call(server.settings, store))]
            time.sleep(0.5)  # the server logs its own figures as the call ends
            stages = _stages(server)
    _print(heard, stages, arguments.calls)


def _wait_for_phrases(server: RunningServer) -> None:
    while (missing := server.phrases_missing()) != 0:
        sys.stderr.write(f"\rrendering fixed phrases: {missing} left   ")
        time.sleep(0.5)


async def _call(effective: Settings, store: Store) -> tuple[float, ...]:
    call = await run_voice_call(load_scenario(demo_scenario()), effective, store)
    for reason in call.result.reasons:
        sys.stderr.write(f"the call was not as expected: {reason}\n")
    return call.latencies


def _stages(server: RunningServer) -> list[dict[str, float]]:
    lines = [line for line in server.log.read_text().splitlines() if "turn_latency " in line]
    return [json.loads(json.loads(line)["message"].partition("turn_latency ")[2]) for line in lines]


def _print(heard: list[float], stages: list[dict[str, float]], calls: int) -> None:
    print(f"answers {len(heard)} in {calls} call(s)")
    p50, p95 = percentile(heard, 0.5), percentile(heard, 0.95)
    print(f"end of speech to first audio, on the line: p50 {p50:.3f} s  p95 {p95:.3f} s")
    print(f"{'stage':8}{'p50 s':>8}{'p95 s':>8}{'share':>8}")
    total = statistics.fmean(turn["total_s"] for turn in stages)
    for stage in STAGES:
        values = [turn[f"{stage}_s"] for turn in stages]
        share = statistics.fmean(values) / total
        print(f"{stage:8}{percentile(values, 0.5):8.3f}{percentile(values, 0.95):8.3f}{share:8.0%}  {_MEANING[stage]}")


if __name__ == "__main__":
    main()
