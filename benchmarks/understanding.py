"""What a turn costs: reading a reply by rules, and how long an answer waits for the language model.

Replies come from the simulated calls, or from files of the evaluation's form. Run:
python benchmarks/understanding.py [--llm none|local] [FILE.jsonl ...]
"""

import argparse
import asyncio
import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path

from carecall.cli.demo import percentile
from carecall.dialog.files import find_dialog
from carecall.dialog.journal import MemoryJournal
from carecall.dialog.manager import DialogManager
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding import Asked
from carecall.dialog.understanding.rules import rules_for
from carecall.dialog.wording import may_write, warm_prefix
from carecall.domain.finding import AnswerType
from carecall.domain.language import Language
from carecall.llm.factory import make_language_model
from carecall.settings import Settings, settings
from carecall.simulation.scenario import load_scenario, scenario_files

SCENARIOS = Path(__file__).parent.parent / "scenarios"
TODAY = datetime.date(2026, 1, 5)
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--llm", default="none")
    arguments = parser.parse_args()
    pairs = list(_from_files(arguments.files) if arguments.files else _from_scenarios())
    for language in Language:
        _rules(language, [(ask, reply) for each, ask, reply in pairs if each is language])
    if arguments.llm != "none":
        replies = [reply for language, _, reply in pairs if language is Language.ENGLISH]
        asyncio.run(_answers(settings().model_copy(update={"llm": arguments.llm}), replies[:20]))


def _from_files(files: list[Path]) -> Iterator[tuple[Language, str, str]]:
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield Language(row["language"]), row["ask"], row["reply"]


def _from_scenarios() -> Iterator[tuple[Language, str, str]]:
    for path in scenario_files([SCENARIOS]):
        scenario = load_scenario(path)
        dialog = find_dialog(settings().dialogs_dir, scenario.dialog)
        for question in dialog.agenda:
            for reply in scenario.recipient.answers.get(question.code, ()):
                yield dialog.language, question.ask[0], reply


def _rules(language: Language, pairs: list[tuple[str, str]]) -> None:
    rules = rules_for(language)
    spent = []
    for _ in range(ROUNDS):
        for ask, reply in pairs:
            began = time.perf_counter()
            rules.read(reply, Asked(ask, AnswerType.YES_NO), TODAY)
            spent.append((time.perf_counter() - began) * 1000)
    p50, p95 = percentile(spent, 0.5), percentile(spent, 0.95)
    print(f"rules {language}: {len(spent)} readings: p50 {p50:.2f} ms  p95 {p95:.2f} ms  max {max(spent):.2f} ms")


async def _answers(effective: Settings, replies: list[str]) -> None:
    """A manager's answer to each reply: the wait for its first sentence, and how long the model holds up the next."""
    model = make_language_model(effective)
    dialog = find_dialog(effective.dialogs_dir, "wellbeing.en")
    assert model is not None
    assert may_write(model, dialog.language)
    await model.warm(warm_prefix(dialog.language))
    first, held, warm = [], [], 0
    for reply in replies:
        manager = DialogManager(
            dialog,
            load_red_flags(effective.dialogs_dir, dialog.language),
            rules_for(dialog.language),
            MemoryJournal(),
            recipient_name="Anna",
            today=TODAY,
            language_model=model,
            llm_deadline_s=effective.llm_deadline_s,
        )
        for said in ("", "Yes, this is Anna.", reply):
            began = time.perf_counter()
            sentences = manager.open() if not said else manager.reply(said, started_s=0, ended_s=1)
            spoken = [(sentence, time.perf_counter() - began) async for sentence in sentences]
            await manager.spoken(" ".join(sentence.text for sentence, _ in spoken), started_s=0, ended_s=1)
        first.append(spoken[0][1] * 1000)
        held.append(spoken[-1][1] - spoken[0][1])
        warm += any(not sentence.vetted for sentence, _ in spoken)
    await model.close()
    print(f"answers with {model.name}: {len(replies)} replies, {warm} with a warm sentence")
    print(f"first sentence: p50 {percentile(first, 0.5):.1f} ms  p95 {percentile(first, 0.95):.1f} ms")
    late = sum(wait > effective.llm_deadline_s + 0.05 for wait in held)
    print(f"held up by the model: p50 {percentile(held, 0.5):.2f} s  max {max(held):.2f} s  over the deadline: {late}")


if __name__ == "__main__":
    main()
