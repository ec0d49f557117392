"""What the telephone exchange for tests does: who answers which number and how, and what goes wrong on the way."""

import random
from datetime import time
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carecall.domain.language import Language
from carecall.errors import SimulationError
from carecall.simulation.scenario import Recipient

ACCOUNT_SID = "AC" + "5" * 32
AUTH_TOKEN = "the exchange's own token"
OUR_NUMBER = "+15005550006"


class Answer(StrEnum):
    """What becomes of a call to a number."""

    PERSON = "person"
    MACHINE = "machine"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"  # the carrier cannot put it through
    INVALID = "invalid"  # there is no such number: the call is not even created


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pickup(_Part):
    """How one call is answered."""

    answer: Answer = Answer.PERSON
    rings_s: float = Field(4.0, ge=0)  # before somebody answers, or it is busy or fails
    recipient: Recipient | None = None  # the person who talks; None: says nothing
    greeting: str = ""  # of a machine; empty: the tone alone
    leaves_after_s: float | None = Field(None, gt=0)  # since the answer; None: stays until the other side ends the call
    detected: str = ""  # what answering machine detection says in place of the truth


class Line(_Part):
    """A telephone number."""

    calls: list[Pickup] = Field(default_factory=lambda: [Pickup()], min_length=1)  # in turn; the last one stays
    time_zone: str = "UTC"
    opens: time | None = None  # when the telephone may ring, by its own clock; for the judge
    closes: time | None = None

    def pickup(self, number: int) -> Pickup:
        """How the call of this number, from 0, is answered."""
        return self.calls[min(number, len(self.calls) - 1)]


class Faults(_Part):
    """What goes wrong, as chances from 0 to 1 and delays in seconds."""

    latency_s: float = Field(0.0, ge=0)  # a request to the API waits up to so long
    error: float = Field(0.0, ge=0, le=1)  # creating a call fails with 500, and there is none
    cut: float = Field(0.0, ge=0, le=1)  # the connection breaks after the call was created
    lost: float = Field(0.0, ge=0, le=1)  # a callback is never sent
    doubled: float = Field(0.0, ge=0, le=1)  # a callback is sent twice
    late: float = Field(0.0, ge=0, le=1)  # a callback is sent up to late_s later, after those that follow it
    late_s: float = Field(3.0, ge=0)
    stream_drops: float = Field(0.0, ge=0, le=1)  # a media stream breaks while the call goes on
    drops_within_s: float = Field(5.0, gt=0)


class Plan(_Part):
    """Everything that an exchange is told."""

    account_sid: str = ACCOUNT_SID
    auth_token: str = AUTH_TOKEN
    numbers: list[str] = [OUR_NUMBER]  # that the account may call from
    language: Language = Language.ENGLISH  # of those who talk
    lines: dict[str, Line] = {}
    otherwise: Line = Line()  # any other number
    calls_per_second: float = Field(1.0, gt=0)  # started; what comes faster is queued
    requests_per_second: float = Field(100.0, gt=0)  # more of them are refused with 429
    listing_lag_s: float = Field(0.0, ge=0)  # until a new call is in the list of calls
    detection_s: float = Field(2.0, ge=0)  # until answering machine detection says something
    time_scale: float = Field(1.0, gt=0)  # of ringing, of the ring timeout and of recorded speech
    inbound_url: str = ""  # our number's voice webhook
    inbound_status_url: str = ""
    faults: Faults = Faults()
    seed: int = 0

    def line(self, number: str) -> Line:
        return self.lines.get(number, self.otherwise)

    def chance(self, number: str, count: int) -> random.Random:
        """The dice of one call: the same in every run, whatever else goes on."""
        return random.Random(f"{self.seed}/{number}/{count}")

    @property
    def speaks(self) -> bool:
        """Whether anybody says words."""
        lines = (*self.lines.values(), self.otherwise)
        return any(pickup.recipient or pickup.greeting for line in lines for pickup in line.calls)


def load_plan(path: Path) -> Plan:
    """The plan of a JSON file. Raises SimulationError with one line."""
    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SimulationError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the plan"
        raise SimulationError(f"{path}: {where}: {first['msg']}") from None
