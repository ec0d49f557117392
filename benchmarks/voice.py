"""The latency of a voice call: from the end of the recipient's speech to the agent's first audio on the line.

Rings the real server with the demo's recipient, and prints what each stage adds. Then the same recipient is rung by the
bot of pipecat's examples on the same models (stock_bot.py), for comparison. Run: make bench
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from carecall.cli.demo import demo_scenario, percentile
from carecall.domain.language import Language
from carecall.settings import Settings, settings
from carecall.simulation.fleet import free_port
from carecall.simulation.media_peer import dial
from carecall.simulation.scenario import load_scenario
from carecall.simulation.server import RunningServer, running_server
from carecall.simulation.voice_call import recipient_phrases, run_voice_call
from carecall.store import Store
from carecall.voice.latency import STAGES

_STOCK_BOT = Path(__file__).parent / "stock_bot.py"
_STOCK_PAUSE_S = 2.0  # between its sentences it may be silent for longer than CareCall is
_THINKS_S = 0.3
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
    parser.add_argument("--no-stock", action="store_true", help="leave out the comparison")
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
    if not arguments.no_stock:
        _print_stock(_stock_call(), heard)


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


def _stock_call() -> list[float]:
    """The latencies of the stock bot, called by the same recipient, who says the same in the same order."""
    recipient = load_scenario(demo_scenario()).recipient
    phrases = recipient_phrases(settings(), Language.ENGLISH)
    lines = [recipient.greets, *(replies[0] for replies in recipient.answers.values())]
    said = [phrases.render(line, on_disk=True) for line in lines]

    async def hold(url: str) -> list[float]:
        async with dial(url) as peer:
            for audio in said:
                if not await peer.agent_turn(quiet_s=_STOCK_PAUSE_S, timeout_s=60.0):
                    break
                await asyncio.sleep(_THINKS_S)
                await peer.say(audio)
            await peer.agent_turn(quiet_s=_STOCK_PAUSE_S, timeout_s=60.0)
            return peer.latencies

    with _stock_server("llm") as llm, _stock_server("bot", "--llm", f"http://{llm}/v1") as bot:
        return asyncio.run(hold(f"ws://{bot}/ws"))


@contextmanager
def _stock_server(*arguments: str) -> Iterator[str]:
    """One of the servers of the stock bot, as HOST:PORT, once it answers."""
    port = str(free_port())
    what, *rest = arguments
    with subprocess.Popen([sys.executable, _STOCK_BOT, what, port, *rest], stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                if process.poll() is not None:
                    sys.exit(f"the stock bot's {what} did not start: see python {_STOCK_BOT} {what} {port}")
                try:
                    httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _print_stock(stock: list[float], heard: list[float]) -> None:
    if not stock:
        sys.exit("the stock bot has answered nothing")
    print(f"stock bot on the same models, answers {len(stock)}: ", end="")
    print(f"p50 {percentile(stock, 0.5):.3f} s  p95 {percentile(stock, 0.95):.3f} s")
    shares = (percentile(heard, share) / percentile(stock, share) for share in (0.5, 0.95))
    print("CareCall takes p50 {:.2f}, p95 {:.2f} of its time".format(*shares))


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
