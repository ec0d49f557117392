"""The languages a call can be held in."""

from enum import StrEnum


class Language(StrEnum):
    ENGLISH = "en"
    KOREAN = "ko"
