"""The public holidays of a country, by its ISO 3166 code of two capital letters."""

import re
from datetime import date
from functools import lru_cache


@lru_cache(maxsize=512)
def public_holidays(country: str | None, year: int) -> frozenset[date]:
    """The holidays of a year with their substitute days; none without a country, or for one that is not known."""
    return (_holidays(country, year) or frozenset()) if country else frozenset()


def is_known(country: str) -> bool:
    """Whether the holidays of a country are known."""
    return _holidays(country, 2026) is not None


def _holidays(country: str, year: int) -> frozenset[date] | None:
    from holidays import country_holidays

    if not re.fullmatch("[A-Z]{2}", country):
        return None
    try:
        return frozenset(country_holidays(country, years=year))
    except NotImplementedError:
        return None
