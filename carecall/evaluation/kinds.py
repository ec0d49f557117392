"""What is predicted for each kind of file, and which metrics are taken of it."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from carecall.dialog import bounds
from carecall.dialog.understanding.meaning import AnswerReading, Asked, Understanding
from carecall.domain.finding import AnswerType, Ternary
from carecall.domain.language import Language
from carecall.evaluation import metrics
from carecall.evaluation.reading import Reader
from carecall.evaluation.records import (
    BoundsRecord,
    IntentRecord,
    Record,
    RedFlagRecord,
    UnderstandingRecord,
    VolunteeredRecord,
    language_of,
)

Item = dict[str, Any]  # id, predicted, expected where the line has it, and what the kind adds
Progress = Callable[[Sequence[Any]], Iterable[Any]]  # gives the records one by one, and may show how far it is


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a measurement found."""

    kind: str
    items: list[Item]
    metrics: dict[str, float]  # empty where the lines are not labelled
    confusion: list[tuple[str, str]] = field(default_factory=list)  # expected and predicted, where they are labels

    def as_json(self) -> Mapping[str, Any]:
        return {"kind": self.kind, "n": len(self.items), "metrics": self.metrics, "items": self.items}


@dataclass(frozen=True, slots=True)
class Setup:
    """How a measurement is taken."""

    reader: Reader
    today: datetime.date  # for lines that name no day
    language: Language | None = None  # over what the lines name
    progress: Progress = iter

    def language_for(self, record: Record, text: str) -> Language:
        return self.language or record.language or language_of(text)

    async def read(
        self, record: UnderstandingRecord | VolunteeredRecord | RedFlagRecord | IntentRecord
    ) -> Understanding:
        asked, today = Asked(record.ask), self.today
        if isinstance(record, UnderstandingRecord):
            asked = Asked(record.ask, record.answer_type, record.unit, record.options)
            today = record.today or today
        return await self.reader.read(record.reply, asked, self.language_for(record, record.reply), today)


async def understanding(records: Sequence[UnderstandingRecord], setup: Setup) -> Evaluation:
    """yes/no: macro F1 and average precision; numbers and durations: exact match; choices: accuracy."""
    items: list[Item] = []
    for record in setup.progress(records):
        answer = (await setup.read(record)).answer
        item = _item(record, _value(answer, record.answer_type)) | {"answer_type": str(record.answer_type)}
        if record.answer_type is AnswerType.YES_NO:
            item["scores"] = {str(value): score for value, score in _scores(answer).items()}
        items.append(item)
    if not _labelled(records):
        return Evaluation("understanding", items, {})
    figures: dict[str, float] = {}
    yes_no = [each for each in items if each["answer_type"] == AnswerType.YES_NO]
    pairs = [(str(each["expected"]), str(each["predicted"])) for each in yes_no]
    if yes_no:
        figures["yes_no_macro_f1"] = metrics.macro_f1(pairs, list(map(str, Ternary)))
        precisions = {}
        for value in map(str, Ternary):
            relevant = [each["expected"] == value for each in yes_no]
            precisions[value] = metrics.average_precision(relevant, [each["scores"][value] for each in yes_no])
            figures[f"yes_no_f1_{value}"] = metrics.label_f1(pairs, value)
        figures["yes_no_macro_average_precision"] = metrics.mean(list(precisions.values()))
        figures |= {f"yes_no_average_precision_{value}": each for value, each in precisions.items()}
    for kind, name in (
        (AnswerType.NUMBER, "number_exact_match"),
        (AnswerType.DURATION_DAYS, "duration_days_exact_match"),
        (AnswerType.CHOICE, "choice_accuracy"),
    ):
        answers = [
            (_rounded(each["expected"]), _rounded(each["predicted"])) for each in items if each["answer_type"] == kind
        ]
        if answers:
            figures[name] = metrics.accuracy(answers)
    return Evaluation("understanding", items, figures, pairs)


async def volunteered(records: Sequence[VolunteeredRecord], setup: Setup) -> Evaluation:
    """Micro F1 over what the replies state: finding and value."""
    items = []
    for record in setup.progress(records):
        read = await setup.read(record)
        items.append(_item(record, {each.id: str(each.value) for each in read.volunteered}))
    if not _labelled(records):
        return Evaluation("volunteered", items, {})
    right, extra, missed = metrics.micro_counts(
        [(each["expected"].items(), each["predicted"].items()) for each in items]
    )
    return Evaluation("volunteered", items, _micro("micro_", right, extra, missed))


async def red_flags(records: Sequence[RedFlagRecord], setup: Setup) -> Evaluation:
    """Recall on lines with a danger sign, false alarms on lines without. Extra signs on a dangerous line are none."""
    items = []
    for record in setup.progress(records):
        read = await setup.read(record)
        items.append(_item(record, list(dict.fromkeys(each.id for each in read.red_flags))))
    if not _labelled(records):
        return Evaluation("redflags", items, {})
    dangerous = [each for each in items if each["expected"]]
    harmless = [each for each in items if not each["expected"]]
    right, _, missed = metrics.micro_counts([(each["expected"], each["predicted"]) for each in dangerous])
    figures = {
        "recall": right / (right + missed) if right + missed else 0.0,
        "recall_any": metrics.mean([bool(each["predicted"]) for each in dangerous]),
        "false_alarm_rate": metrics.mean([bool(each["predicted"]) for each in harmless]),
    }
    pairs = [(_danger(each["expected"]), _danger(each["predicted"])) for each in items]
    return Evaluation("redflags", items, figures, pairs)


async def intents(records: Sequence[IntentRecord], setup: Setup) -> Evaluation:
    """Macro F1 over the labels."""
    items = [_item(record, str((await setup.read(record)).intent)) for record in setup.progress(records)]
    if not _labelled(records):
        return Evaluation("intents", items, {})
    pairs = [(str(each["expected"]), str(each["predicted"])) for each in items]
    figures = {"macro_f1": metrics.macro_f1(pairs), "accuracy": metrics.accuracy(pairs)}
    return Evaluation("intents", items, figures, pairs)


async def in_bounds(records: Sequence[BoundsRecord], setup: Setup) -> Evaluation:
    """Precision, recall and F1 for utterances that are out of bounds."""
    items = []
    for record in setup.progress(records):
        language = setup.language_for(record, record.utterance)
        context = [(turn.role, turn.text) for turn in record.context]
        violation = bounds.check(record.utterance, context, language)
        item = _item(record, "in" if violation is None else "out")
        if violation is not None:
            item |= {"class": str(violation.kind), "quote": violation.quote}
        items.append(item)
    if not _labelled(records):
        return Evaluation("bounds", items, {})
    pairs = [(str(each["expected"]), str(each["predicted"])) for each in items]
    precision, recall = metrics.precision_recall(pairs, "out")
    figures = {"precision": precision, "recall": recall, "f1": metrics.label_f1(pairs, "out")}
    return Evaluation("bounds", items, figures, pairs)


def _item(record: Record, predicted: Any) -> Item:
    item: Item = {"id": record.id, "predicted": predicted}
    if record.labelled:
        expected = record.model_dump(mode="json", include={"expected"})["expected"]
        item["expected"] = int(expected) if isinstance(expected, float) and expected.is_integer() else expected
    return item


def _labelled(records: Sequence[Record]) -> bool:
    return all(record.labelled for record in records)


def _value(answer: AnswerReading | None, kind: AnswerType) -> str | float | None:
    value = None if answer is None else answer.value
    if value is None:
        return str(Ternary.UNKNOWN) if kind is AnswerType.YES_NO else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value if isinstance(value, int) else str(value)


def _scores(answer: AnswerReading | None) -> dict[Ternary, float]:
    """A score for each class; where the reading has none, its confidence for its value and the rest shared out."""
    if answer is not None and answer.scores:
        return {value: answer.scores.get(value, 0.0) for value in Ternary}
    read = answer.value if answer is not None and isinstance(answer.value, Ternary) else Ternary.UNKNOWN
    confidence = answer.confidence if answer is not None else 1.0
    return {value: confidence if value is read else (1 - confidence) / 2 for value in Ternary}


def _rounded(value: object) -> object:
    return round(value, 1) if isinstance(value, int | float) else value


def _micro(prefix: str, right: int, extra: int, missed: int) -> dict[str, float]:
    return {
        f"{prefix}f1": metrics.f1(right, extra, missed),
        f"{prefix}precision": right / (right + extra) if right + extra else 0.0,
        f"{prefix}recall": right / (right + missed) if right + missed else 0.0,
    }


def _danger(flags: Sequence[str]) -> str:
    return "danger" if flags else "none"
