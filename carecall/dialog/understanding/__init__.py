"""What one recipient turn means."""

from carecall.dialog.understanding.meaning import (
    AnswerReading,
    Asked,
    FindingReading,
    Intent,
    RedFlagReading,
    Understanding,
)

__all__ = ["AnswerReading", "Asked", "FindingReading", "Intent", "RedFlagReading", "Understanding"]
