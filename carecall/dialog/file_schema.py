"""The shape of a dialog file: what may stand where. Whether it makes sense is for file_checks to say."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, StrictBool, Tag, WithJsonSchema

from carecall.dialog.definition import Choice, Dialog, Feeling, Question, Texts
from carecall.domain.codes import CodeSystem, Coding
from carecall.domain.finding import AnswerType, Missing, Ternary, Unit
from carecall.domain.language import Language
from carecall.domain.triage import AllOf, AnyOf, Between, Condition, Count, Is, TriageRule, Urgency

MAX_WORDINGS = 3  # the wording and two re-asks
IDENTIFIER = r"^[a-z][a-z0-9_]*$"
DIALOG_ID = r"^[a-z][a-z0-9-]*$"
SEMVER = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Id = Annotated[str, Field(pattern=IDENTIFIER)]
Text = Annotated[str, Field(pattern=r"\S", description="One spoken sentence or a few")]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _one_or_more(item: dict[str, Any], most: int | None = None) -> WithJsonSchema:
    """The JSON schema of a single text or a list of them."""
    several: dict[str, Any] = {"type": "array", "items": item, "minItems": 1}
    if most is not None:
        several["maxItems"] = most
    return WithJsonSchema({"anyOf": [item, several]})


_TEXT_SCHEMA = {"type": "string", "pattern": r"\S"}
_VALUE_SCHEMA = {"type": "string", "examples": [*Ternary, *Missing]}

Wordings = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_as_list), _one_or_more(_TEXT_SCHEMA)]
Asks = Annotated[
    tuple[Text, ...],
    Field(min_length=1, max_length=MAX_WORDINGS),
    BeforeValidator(_as_list),
    _one_or_more(_TEXT_SCHEMA, MAX_WORDINGS),
]
Values = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_as_list), _one_or_more(_VALUE_SCHEMA)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IsPart(_Part):
    """A finding has one of the values."""

    finding: Id
    values: Values = Field(alias="is")


class BetweenPart(_Part):
    """A number is at least this much, below that much, or both."""

    finding: Id
    at_least: Number | None = None
    below: Number | None = None


class CountPart(_Part):
    """At least so many of the findings are yes."""

    count: tuple[Id, ...] = Field(min_length=1)
    at_least: int = Field(strict=True, ge=1)


class AllPart(_Part):
    """Every one of the conditions holds."""

    conditions: "tuple[ConditionPart, ...]" = Field(alias="all", min_length=1)


class AnyPart(_Part):
    """One or more of the conditions hold."""

    conditions: "tuple[ConditionPart, ...]" = Field(alias="any", min_length=1)


CONDITION_TAGS = ("<is>", "<between>", "<count>", "<all>", "<any>")


def _kind_of_condition(value: object) -> str | None:
    keys = value if isinstance(value, dict) else {}
    for key, tag in {"count": "<count>", "all": "<all>", "any": "<any>", "is": "<is>"}.items():
        if key in keys:
            return tag
    return "<between>" if {"at_least", "below"} & set(keys) else None


ConditionPart = Annotated[
    Annotated[IsPart, Tag("<is>")]
    | Annotated[BetweenPart, Tag("<between>")]
    | Annotated[CountPart, Tag("<count>")]
    | Annotated[AllPart, Tag("<all>")]
    | Annotated[AnyPart, Tag("<any>")],
    Discriminator(_kind_of_condition),
]


class CodingPart(_Part):
    """A code in a clinical terminology. Quote the code: it is text."""

    system: Literal["snomed_ct", "loinc"]
    code: Annotated[str, Field(pattern=r"^[0-9]+(-[0-9])?$")]
    display: str = ""


class ChoicePart(_Part):
    id: Id
    label: Text


class AcknowledgePart(_Part):
    """How good, bad and neutral news are met."""

    good: Wordings
    bad: Wordings
    neutral: Wordings


class QuestionAcknowledgePart(_Part):
    """Wording for this question in place of the dialog's own."""

    good: Wordings | None = None
    bad: Wordings | None = None
    neutral: Wordings | None = None


class QuestionPart(_Part):
    """One agenda item."""

    code: Id
    type: AnswerType
    ask: Asks = Field(description="The wording, then up to two re-ask wordings")
    required: StrictBool = True
    unit: Unit | None = Field(None, description="With type number")
    choices: tuple[ChoicePart, ...] = Field((), description="With type choice, two or more")
    when: ConditionPart | None = Field(None, description="Asked only while this holds")
    bad: tuple[str, ...] = Field(("yes",), description="Answers that are bad news")
    coding: tuple[CodingPart, ...] = ()
    about: tuple[Id, ...] = Field((), description="Lexicon findings that answer this question")
    opposite: tuple[Id, ...] = Field((), description="Lexicon findings whose yes means no here")
    acknowledge: QuestionAcknowledgePart = QuestionAcknowledgePart()
    confirm: dict[str, Text] = Field({}, description="By answer: what is said to have been understood")


class TextsPart(_Part):
    """Vetted wording of everything that is not a question; variants are used in turn."""

    greeting: Wordings
    greeting_inbound: Wordings
    begin: Wordings
    identity_again: Wordings
    acknowledge: AcknowledgePart
    confirm: Wordings
    repeat_lead: Wordings
    wait: Wordings
    silence: Wordings
    refuse_medical: Wordings
    refuse_out_of_scope: Wordings
    service_noted: Wordings
    human_noted: Wordings
    who_is_this: Wordings
    are_you_a_robot: Wordings
    small_talk: Wordings
    resume: Wordings
    resumed: Wordings
    forget: Wordings
    close: Wordings
    close_early: Wordings
    close_later: Wordings
    close_wrong_person: Wordings
    close_opted_out: Wordings
    close_silence: Wordings
    close_emergency: Wordings
    voicemail: Wordings


class TriagePart(_Part):
    """When the condition holds, the call has at least this urgency, for this reason."""

    id: Id
    urgency: Urgency
    when: ConditionPart
    reason: Text = Field(description="A sentence for the care worker")


class DialogPart(_Part):
    """A conversation as data. See docs/dialogs.md."""

    model_config = ConfigDict(title="CareCall dialog")

    id: Annotated[str, Field(pattern=DIALOG_ID)]
    language: Language
    version: Annotated[str, Field(pattern=SEMVER)]
    title: Text
    organisation: Text
    agenda: tuple[QuestionPart, ...] = Field(min_length=1)
    texts: TextsPart
    triage: tuple[TriagePart, ...] = ()


def json_schema() -> dict[str, Any]:
    """The JSON schema of a dialog file, for editors; dialogs/dialog.schema.json is this."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DialogPart.model_json_schema(by_alias=True)}


_SYSTEMS = {"snomed_ct": CodeSystem.SNOMED_CT, "loinc": CodeSystem.LOINC}


def to_dialog(part: DialogPart, content_hash: str) -> Dialog:
    """The frozen values that a call runs on."""
    texts: dict[str, Any] = dict(part.texts)
    texts["acknowledge"] = _acknowledge(part.texts.acknowledge)
    return Dialog(
        id=part.id,
        language=part.language,
        version=part.version,
        title=part.title,
        organisation=part.organisation,
        agenda=tuple(_question(each) for each in part.agenda),
        texts=Texts(**texts),
        triage=tuple(TriageRule(each.id, each.urgency, _condition(each.when), each.reason) for each in part.triage),
        hash=content_hash,
    )


def _question(part: QuestionPart) -> Question:
    return Question(
        code=part.code,
        type=part.type,
        ask=part.ask,
        required=part.required,
        unit=part.unit,
        choices=tuple(Choice(each.id, each.label) for each in part.choices),
        when=None if part.when is None else _condition(part.when),
        bad=part.bad,
        coding=tuple(Coding(_SYSTEMS[each.system], each.code, each.display) for each in part.coding),
        about=part.about,
        acknowledge=_acknowledge(part.acknowledge),
        opposite=part.opposite,
        confirm=part.confirm,
    )


def _acknowledge(part: AcknowledgePart | QuestionAcknowledgePart) -> dict[Feeling, tuple[str, ...]]:
    by_feeling = {Feeling.GOOD: part.good, Feeling.BAD: part.bad, Feeling.NEUTRAL: part.neutral}
    return {feeling: wordings for feeling, wordings in by_feeling.items() if wordings is not None}


def _condition(part: IsPart | BetweenPart | CountPart | AllPart | AnyPart) -> Condition:
    match part:
        case IsPart():
            return Is(part.finding, part.values)
        case BetweenPart():
            return Between(part.finding, part.at_least, part.below)
        case CountPart():
            return Count(part.count, part.at_least)
        case AllPart():
            return AllOf(tuple(_condition(each) for each in part.conditions))
        case AnyPart():
            return AnyOf(tuple(_condition(each) for each in part.conditions))
