"""A simulated call as data: who is called, what they say, and what must come of it. Files: scenarios/*.yaml."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from carecall.dialog.yaml_source import Problem, Source, read_yaml
from carecall.domain.report import Outcome
from carecall.errors import SimulationError


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interjection(_Part):
    """What the recipient does at one of their turns in place of answering."""

    turn: int = Field(ge=1)  # the recipient's own turns count from 1, the reply to the greeting
    say: str = ""
    silence: int = Field(0, ge=0, le=5)  # so many idle spells in a row

    @model_validator(mode="after")
    def _one_of_both(self) -> "Interjection":
        if bool(self.say) == bool(self.silence):
            raise ValueError("needs either say or silence")
        return self


class Recipient(_Part):
    """Who answers the phone, and how."""

    name: str = Field(min_length=1)
    greets: str = ""  # the reply to the greeting; empty: silence
    answers: dict[str, list[str]] = {}  # by the question's code: the reply, then replies to re-asks; the last one stays
    default: list[str] = []  # replies to questions not listed, in turn; none: silence
    otherwise: list[str] = []  # replies to what is no question, in turn, the last one stays; none: what greets says
    interjections: list[Interjection] = []
    remembered: list[str] = []  # of a call a week ago, in calls by text
    hang_up_after: int | None = Field(None, ge=0)  # so many turns of the recipient


class Expected(_Part):
    """What must come of the call. What is left out is not looked at."""

    outcome: Outcome | None = None
    findings: dict[str, float | str] = {}  # a text is looked for in what was said to an open question
    alerts: list[str] | None = None  # exactly these codes, in any order
    noted: list[Pattern] = []  # each in some note
    remembered: list[str] | None = None  # exactly these sentences after the call, in any order
    max_turns: int | None = Field(None, ge=1)  # of both sides together
    said: list[Pattern] = []  # each in some agent turn
    never_said: list[Pattern] = []  # none in any agent turn


class Scenario(_Part):
    """One simulated call."""

    name: str = ""
    dialog: str  # a dialog's name, such as wellbeing.ko
    description: str = ""
    recipient: Recipient
    expect: Expected


def load_scenario(path: Path) -> Scenario:
    """The scenario of a file. Raises SimulationError with a line for every problem found."""
    where = "/".join(path.absolute().parts[-2:])
    try:
        source = read_yaml(path)
    except OSError as error:
        raise SimulationError(f"{where}: cannot be read ({error.strerror}); look at the path and its rights") from None
    problems = list(source.problems)
    scenario: Scenario | None = None
    if isinstance(source.value, dict):
        try:
            scenario = Scenario.model_validate(source.value)
        except ValidationError as error:
            problems += _problems(error.errors(include_url=False), source)
    elif not problems:
        problems.append(Problem(1, "there is no scenario in this file; start from one of the folder scenarios"))
    if scenario is None or problems:
        raise SimulationError("\n".join(f"{where}:{each.line}: {each.text}" for each in sorted(set(problems))))
    return scenario if scenario.name else scenario.model_copy(update={"name": path.stem})


def scenario_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The scenario files at and under the paths, sorted within each. Raises SimulationError where there is none."""
    files: dict[Path, None] = {}
    for path in paths:
        found = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        if not found or not found[0].is_file():
            raise SimulationError(f"{path}: there is no scenario; name a .yaml file or a folder that holds some")
        files |= dict.fromkeys(found)
    return tuple(files)


def _problems(errors: Iterable[Any], source: Source) -> list[Problem]:
    problems = []
    for error in errors:
        location = tuple(error["loc"])
        keys = [str(part) for part in location if isinstance(part, str)]
        name = f"`{keys[-1]}`" if keys else "the scenario"
        match error["type"]:
            case "missing":
                text = f"{name} is missing; add it"
            case "extra_forbidden":
                text = f"{name} is not known here; known are {', '.join(_known(location))}"
            case _:
                text = f"{name}: {error['msg'].removeprefix('Value error, ')}"
        problems.append(Problem(source.line(location), text))
    return problems


def _known(location: tuple[Any, ...]) -> list[str]:
    parts: dict[str, type[BaseModel]] = {"recipient": Recipient, "expect": Expected, "interjections": Interjection}
    around = [part for part in location[:-1] if isinstance(part, str)]
    return list(parts.get(around[-1] if around else "", Scenario).model_fields)
