"""The public holidays of a country, by its ISO 3166 code."""

from datetime import date
from functools import lru_cache


def known_countries() -> frozenset[str]:
    """The codes of the countries whose holidays are known."""
    import holidays

    return frozenset(holidays.list_supported_countries(include_aliases=False))


@lru_cache(maxsize=512)
def public_holidays(country: str | None, year: int) -> frozenset[date]:
    """The holidays of a year with their substitute days; none without a country, or for one that is not known."""
    if country is None or country not in known_countries():
        return frozenset()
    import holidays

    return frozenset(holidays.country_holidays(country, years=year))
