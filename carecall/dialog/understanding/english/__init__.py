"""Reads English replies by rules."""

from carecall.dialog.understanding.english.reader import EnglishRules

__all__ = ["EnglishRules"]
