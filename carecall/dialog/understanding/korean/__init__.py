"""The Korean reader: morphemes from Kiwi, clauses, and the vocabulary of dialogs/lexicon.ko.yaml."""

from carecall.dialog.understanding.korean.reader import KoreanRules

__all__ = ["KoreanRules"]
