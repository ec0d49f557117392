"""Follow-ups of earlier calls in the agenda: each before the question on its topic, else at the opening."""

from collections.abc import Sequence
from dataclasses import replace

from carecall.dialog.definition import Dialog, Question
from carecall.domain.finding import AnswerType
from carecall.memory.extraction import topic_of
from carecall.memory.memory import Topic
from carecall.memory.recall import FollowUp
from carecall.memory.sense import sense

_CODE = "follow_up_"
_MOST_READ = 2000  # characters of a reply that are looked at


def code_of(follow_up: FollowUp) -> str:
    """The code of the follow-up's question and finding; follow-ups of a call are of different topics."""
    return f"{_CODE}{follow_up.memory.topic}"


def with_follow_ups(dialog: Dialog, follow_ups: Sequence[FollowUp]) -> Dialog:
    """The dialog with a question for each follow-up. Its hash stays that of the file."""
    agenda = list(dialog.agenda)
    for follow_up in reversed(follow_ups):
        question = Question(
            code_of(follow_up), AnswerType.OPEN, (follow_up.question,), required=False, bad=(), remembered=True
        )
        agenda.insert(_place(agenda, follow_up, dialog), question)
    return replace(dialog, agenda=tuple(agenda))


def _place(agenda: Sequence[Question], follow_up: FollowUp, dialog: Dialog) -> int:
    topic = follow_up.memory.topic
    topics = [
        []
        if question.remembered or question.when is not None
        else [topic_of(ask, dialog.language) for ask in question.ask]
        for question in agenda
    ]
    for place, named in enumerate(topics):
        if named[:1] == [topic] or (named[:1] == [Topic.OTHER] and topic in named):
            return place
    return 0


def spoken_of(reply: str, follow_ups: Sequence[FollowUp], dialog: Dialog) -> tuple[str, ...]:
    """The codes of the follow-ups whose subject the reply speaks of. Safe for any text."""
    if not follow_ups:
        return ()
    subjects = sense(reply[:_MOST_READ], dialog.language).subjects
    return tuple(
        code_of(follow_up)
        for follow_up in follow_ups
        if subjects & sense(follow_up.memory.text, dialog.language).subjects
    )
