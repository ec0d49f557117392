"""Measures what is remembered after each call of an episode."""

from collections.abc import Sequence

from carecall.domain.language import Language
from carecall.domain.turn import Turn
from carecall.evaluation import metrics
from carecall.evaluation.kinds import Evaluation, Item, Setup
from carecall.evaluation.records import Episode, Session, language_of
from carecall.memory.extraction import extract
from carecall.memory.operations import update


async def updates(episodes: Sequence[Episode], setup: Setup) -> Evaluation:
    """Set F1 of the sentences kept, the mean over calls; of all calls, and of the second call of an episode on.

    A call's stored and new sentences are the file's; the ``from_dialogue`` metrics take the new ones from the dialogue.
    """
    items: list[Item] = []
    given: list[float] = []
    heard: list[float] = []
    later: list[bool] = []
    for episode in setup.progress(episodes):
        language = setup.language or episode.language or language_of(_text(episode))
        kept: Sequence[str] = ()
        for number, session in enumerate(episode.sessions):
            stored = session.memory_before if session.memory_before is not None else kept
            said = _extracted(session, language)
            new = session.new_facts if session.new_facts is not None else said
            kept = update(stored, new, language).sentences
            item: Item = {"id": f"{episode.episode}/{number}", "predicted": list(kept)}
            if session.memory_after is not None:
                item["expected"] = session.memory_after
                given.append(metrics.set_f1(session.memory_after, kept))
                heard.append(metrics.set_f1(session.memory_after, update(stored, said, language).sentences))
                later.append(number > 0)
            items.append(item)
    if len(given) < len(items):
        return Evaluation("memory", items, {})
    figures = {
        "set_f1": metrics.mean(given),
        "set_f1_second_session_on": metrics.mean(_where(later, given)),
        "from_dialogue_set_f1": metrics.mean(heard),
        "from_dialogue_set_f1_second_session_on": metrics.mean(_where(later, heard)),
    }
    return Evaluation("memory", items, figures)


def _extracted(session: Session, language: Language) -> list[str]:
    turns = [Turn(index, each.role, each.text, 0.0, 0.0) for index, each in enumerate(session.dialogue)]
    return [each.text for each in extract(turns, language)]


def _text(episode: Episode) -> str:
    """Some of the episode's words, enough to tell the language by."""
    return " ".join(turn.text for session in episode.sessions for turn in session.dialogue) + episode.episode


def _where(chosen: Sequence[bool], values: Sequence[float]) -> list[float]:
    return [value for value, is_chosen in zip(values, chosen, strict=True) if is_chosen]
