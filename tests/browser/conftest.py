"""The fixtures of the tests in the browser; they are made in ``desks``."""

from desks import chromium, language, office, pictures, playwright, sit_down

__all__ = ["chromium", "language", "office", "pictures", "playwright", "sit_down"]
