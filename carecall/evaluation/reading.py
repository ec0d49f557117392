"""Reads replies as a call does: the rules, and the language model where the rules leave a question open."""

import datetime
from dataclasses import dataclass

from carecall.dialog.intake import SURE, is_doubtful
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.lexicon import load_lexicon
from carecall.dialog.understanding.llm_layer import read_by_model, reliability_of
from carecall.dialog.understanding.meaning import Asked, Understanding
from carecall.dialog.understanding.merge import merge
from carecall.dialog.understanding.rules import rules_for
from carecall.domain.language import Language
from carecall.llm import LanguageModel
from carecall.settings import settings


@dataclass(frozen=True, slots=True)
class Reader:
    """``model`` None: the rule layer alone. A model that is less reliable than what counts as sure is not asked."""

    model: LanguageModel | None = None
    deadline_s: float = 1.0

    async def read(self, reply: str, asked: Asked, language: Language, today: datetime.date) -> Understanding:
        rules = rules_for(language).read(reply, asked, today)
        if self.model is None or reliability_of(self.model.name).answer < SURE or not is_doubtful(rules, asked.type):
            return rules
        dialogs_dir = settings().dialogs_dir
        read = await read_by_model(
            self.model,
            reply,
            asked,
            finding_ids=tuple(load_lexicon(dialogs_dir, language).findings),
            red_flag_ids=tuple(load_red_flags(dialogs_dir, language)),
            deadline_s=self.deadline_s,
        )
        return merge(rules, read, reliability_of(self.model.name))
