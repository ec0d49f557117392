"""The people of a simulated campaign: who they are, where they live, and what their telephones do when they ring."""

import random
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from carecall.dialog.files import find_dialog
from carecall.domain.campaign import Campaign, Ending, HumanStep, Ladder, Schedule, TaskKind, Window
from carecall.domain.language import Language
from carecall.errors import SimulationError
from carecall.simulation.exchange_plan import Answer, Line, Pickup
from carecall.simulation.scenario import Recipient
from carecall.store.engine import Database
from carecall.store.outreach import Outreach
from carecall.store.recipients import Recipients
from carecall.store.tables import ConsentSource

DIALOG = "short-check"
WINDOW = Window(time(9), time(20))
_ZONES = (
    "Pacific/Auckland",
    "Australia/Brisbane",
    "Asia/Seoul",
    "Asia/Bangkok",
    "Asia/Kolkata",
    "Asia/Dubai",
    "Europe/Athens",
    "Europe/London",
    "Atlantic/Azores",
    "America/Sao_Paulo",
    "America/New_York",
    "America/Denver",
    "America/Los_Angeles",
    "Pacific/Honolulu",
)
_QUESTIONS = ("fever", "cough")


def quick_ladder(attempts: int, after_s: Mapping[Ending, float]) -> Ladder:
    """A ladder whose intervals are seconds; a human follows it as in life."""
    return Ladder(
        attempts=attempts,
        retry_after={ending: timedelta(seconds=seconds) for ending, seconds in after_s.items()},
        then=(HumanStep(TaskKind.CALL, timedelta(hours=4)), HumanStep(TaskKind.VISIT, timedelta(hours=24))),
    )


def awake_zones(now: datetime) -> list[str]:
    """Time zones whose people may be called now and for two hours more."""
    return [zone for zone in _ZONES if time(9, 30) <= _clock(zone, now) < time(18)]


def asleep_zones(now: datetime) -> list[str]:
    """Time zones whose people may not be called now, nor within half an hour."""
    return [zone for zone in _ZONES if not time(8, 30) <= _clock(zone, now) < time(20)]


def _clock(zone: str, now: datetime) -> time:
    return now.astimezone(ZoneInfo(zone)).time()


@dataclass(frozen=True, slots=True)
class Crowd:
    """Enrolled people, and the lines that an exchange has for them."""

    database: Database
    ladder: Ladder
    lines: dict[str, Line] = field(default_factory=dict)
    enrollments: list[uuid.UUID] = field(default_factory=list)  # with a check that is due
    asleep: list[uuid.UUID] = field(default_factory=list)  # whose check may not be made now
    _campaigns: dict[str, uuid.UUID] = field(default_factory=dict)

    def add(self, calls: Iterable[Pickup], zone: str, *, asleep: bool = False, opens: time | None = None) -> None:
        """One more person, whose check is due now; ``opens`` is when their own hours begin."""
        number = f"+1555{len(self.lines):07d}"
        people = Recipients(self.database)
        person = people.add(
            "Anna", number, Language.ENGLISH, time_zone=zone, opens=opens, closes=WINDOW.closes if opens else None
        )
        enrollment = people.enroll(
            person,
            self._campaign(zone),
            consent_at=datetime.now(UTC),
            consent_source=ConsentSource.TRIAL,
        )
        self.lines[number] = Line(calls=list(calls), time_zone=zone, opens=opens or WINDOW.opens, closes=WINDOW.closes)
        (self.asleep if asleep else self.enrollments).append(enrollment)

    def _campaign(self, zone: str) -> uuid.UUID:
        """The campaign of a time zone, whose check became due a minute before the first of its people was added."""
        if zone not in self._campaigns:
            local = datetime.now(ZoneInfo(zone)) - timedelta(minutes=1)
            campaign = Campaign(
                name=f"Short check, {zone}",
                dialog=DIALOG,
                starts_on=local.date(),
                ends_on=local.date(),
                schedule=Schedule(times=(local.time().replace(second=0, microsecond=0),), window=WINDOW, daily_cap=50),
                ladder=self.ladder,
            )
            self._campaigns[zone] = Outreach(self.database).save_campaign(campaign)
        return self._campaigns[zone]


def answers_of_a_campaign(chance: random.Random) -> Callable[[], list[Pickup]]:
    """How the calls to a person go: 20 % do not answer, 10 % are busy, 10 % have a machine, 5 % cannot be reached.

    The others answer; some of them talk, say that it is a bad moment, leave in the middle, or say nothing.
    """

    def rings() -> float:
        return chance.uniform(2.0, 15.0)

    def talks() -> Pickup:
        fever, cough = (
            chance.choice(("No, I don't.", "No, no fever.")),
            chance.choice(("Yes, a little.", "No, I'm not.")),
        )
        recipient = Recipient(
            name="Anna",
            greets="Yes, this is Anna.",
            answers={"fever": [fever], "cough": [cough]},
            default=["No, nothing."],
        )
        return Pickup(rings_s=rings(), recipient=recipient)

    def unreached(answer: Answer) -> Pickup:
        return Pickup(answer=answer, rings_s=rings())

    def later() -> Pickup:
        return Pickup(rings_s=rings(), recipient=Recipient(name="Anna", greets="I'm busy now, please call me later."))

    def leaves() -> Pickup:
        return Pickup(rings_s=rings(), leaves_after_s=chance.uniform(1.0, 9.0))

    machine = "You have reached Anna. Please leave a message after the tone."
    kinds: list[tuple[float, Callable[[], list[Pickup]]]] = [
        (0.10, lambda: [unreached(Answer.NO_ANSWER)]),
        (0.10, lambda: [unreached(Answer.NO_ANSWER), talks()]),
        (0.05, lambda: [unreached(Answer.BUSY)]),
        (0.05, lambda: [unreached(Answer.BUSY), talks()]),
        (0.10, lambda: [Pickup(answer=Answer.MACHINE, rings_s=rings(), greeting=machine)]),
        (0.025, lambda: [unreached(Answer.FAILED), unreached(Answer.FAILED), talks()]),
        (0.025, lambda: [unreached(Answer.INVALID)]),
        (0.35, lambda: [talks()]),
        (0.07, lambda: [later(), talks()]),
        (0.07, lambda: [leaves(), talks()]),
        (0.06, lambda: [Pickup(rings_s=rings()), talks()]),  # says nothing at first
    ]
    weights = [weight for weight, _ in kinds]
    return lambda: chance.choices([kind for _, kind in kinds], weights)[0]()


def short_dialog(dialogs: Path, folder: Path) -> Path:
    """A copy of a dialogs folder with one dialog more, of two questions and short lines. Gives the copy.

    Raises SimulationError or DialogFileError.
    """
    copy, yaml = folder / "dialogs", YAML(typ="safe")
    try:
        shutil.copytree(dialogs, copy)
        dialog = yaml.load((copy / "active-monitoring.en.yaml").read_text())
    except OSError as error:
        raise SimulationError(f"The dialogs in {dialogs} cannot be copied: {error.strerror}.") from None
    dialog |= {
        "id": DIALOG,
        "title": "Short check",
        "agenda": [question for question in dialog["agenda"] if question["code"] in _QUESTIONS],
        "triage": [
            {"id": "fever", "urgency": "attention", "when": {"finding": "fever", "is": "yes"}, "reason": "Fever."}
        ],
    }
    dialog["texts"] |= {
        "greeting": ["Hello, this is an AI call from {organisation}. Is this {name}?"],
        "begin": ["Thank you, {name}."],
        "close": ["That was all. Thank you, goodbye."],
    }
    with (copy / f"{DIALOG}.en.yaml").open("w") as file:
        yaml.dump(dialog, file)
    find_dialog(copy, f"{DIALOG}.en")
    return copy
