"""What a schema makes of a request's fields, or the contract's message for each field that it refuses.

The schemas are the endpoints'; what else may be wrong with a body is in ``json_reader``.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError

from community.errors import Invalid


def loaded_by(schema: Schema, raw: Mapping[str, object]) -> dict[str, Any]:
    """Give what a schema makes of this. Raises ``Invalid`` with a message a field."""
    try:
        loaded: dict[str, Any] = schema.load(raw)
    except ValidationError as error:
        raise Invalid(_flat(error.messages)) from error
    return loaded


def _flat(messages: object) -> dict[str, list[str]]:
    """Give marshmallow's messages as the contract's flat ``{"field": ["message", …]}``."""
    if not isinstance(messages, Mapping):
        return {
            "non_field_errors": [str(each) for each in messages]
            if isinstance(messages, list)
            else [str(messages)]
        }
    found: dict[str, list[str]] = {}
    for field, said in messages.items():
        name = "non_field_errors" if field == "_schema" else str(field)
        if isinstance(said, Mapping):
            found[name] = [text for texts in _flat(said).values() for text in texts]
        else:
            found[name] = [str(each) for each in said]
    return found
