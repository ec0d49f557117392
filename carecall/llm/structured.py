"""Checks that a reply is the JSON that was asked for."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from carecall.errors import LanguageModelError


def checked(reply: str, schema: Mapping[str, Any]) -> str:
    """The JSON text of a reply that validates against schema; a Markdown fence around it is taken off.

    Raises LanguageModelError, which does not repeat the reply.
    """
    text = reply.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json").strip()
    try:
        value = json.loads(text)
    except ValueError:
        raise LanguageModelError("The language model's reply is not JSON or was cut short; raise max_tokens.") from None
    if (wrong := next(Draft202012Validator(dict(schema)).iter_errors(value), None)) is not None:
        raise LanguageModelError(
            f"The language model's reply breaks its schema at {wrong.json_path} ({wrong.validator})."
        )
    return text
