"""JSON Schemas made ready for decoding: what they leave open is settled."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from persona_judge_llm.errors import InvalidParameterError

Schema: TypeAlias = dict[str, Any]

# How chat models write JSON; no other white space, which a model might go on with for ever, and no
# escapes by number, which can hide a second name of one property or half of a character.
_WRITTEN: Final = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": '"\\bfnrt',
}
# Formats that can be decoded; all others only describe, as JSON Schema has it.
_FORMATS: Final = frozenset(
    {
        *("date-time", "time", "date", "duration", "email", "hostname"),
        *("ipv4", "ipv6", "uuid", "uri", "unknown"),
    }
)
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_LISTED: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE: Final = ("items", "additionalProperties", "contains", "propertyNames", "then", "else")
# Beside these, properties are combined with those of other schemas, or said to be open.
_COMBINING: Final = frozenset(
    {
        *("additionalProperties", "allOf", "anyOf", "else", "if", "not", "oneOf"),
        *("patternProperties", "then", "unevaluatedProperties", "$ref"),
    }
)
_TYPED: Final = frozenset({*_COMBINING, "const", "enum", "type", "properties", "items"})
LARGEST: Final = 2**53 - 1
"""Numbers without bounds are held to this, which every reader of JSON can hold."""
_ANY: Final = "any-json-value"
_ANY_REF: Final = {"$ref": f"#/$defs/{_ANY}"}
_ANY_VALUE: Final = {
    "anyOf": [
        {"type": ["string", "boolean", "null"]},
        {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
        {"type": "array", "items": _ANY_REF},
        {"type": "object", "additionalProperties": _ANY_REF},
    ]
}


def decodable(schema: object, name: str, **defaults: str) -> str:
    """Return the part of a grammar, in Lark's notation, that matches one value of a schema.

    Objects that list their properties get no others, unless the schema asks for some or combines
    several schemas for one object; numbers are those that every reader can hold; formats that
    cannot be decoded only describe.

    Args:
        schema: in JSON Schema's words.
        name: what an error calls it.
        defaults: keywords for a schema that lacks them.

    Raises:
        InvalidParameterError: not a JSON Schema.
    """
    if not isinstance(schema, Mapping):
        raise InvalidParameterError(name, type(schema).__name__, "a JSON Schema, as a mapping")
    try:
        # Copied by way of JSON, which also refuses what no schema can hold.
        root: Schema = json.loads(json.dumps({**defaults, **schema}))
        _settle(root, closing=True, combined=_combined(root))
    except (ValueError, TypeError, RecursionError, AttributeError) as error:
        raise InvalidParameterError(name, type(error).__name__, "a JSON Schema") from error
    if not _TYPED & root.keys():
        root.update(_ANY_REF)
    root["$defs"] = {**(root.get("$defs") or {}), _ANY: _ANY_VALUE}
    return f"%json {json.dumps({**root, 'x-guidance': _WRITTEN})}"


def _combined(schema: Any) -> frozenset[str]:  # noqa: ANN401
    """Return the references that are combined with other schemas of one object."""
    found: set[str] = set()

    def look(part: Schema, *, beside: bool) -> None:
        reference = part.get("$ref")
        if isinstance(reference, str) and (beside or {"properties", "allOf"} & part.keys()):
            found.add(reference)
        lists = "properties" in part
        for key, inner in _parts(part):
            look(inner, beside=key == "allOf" or (lists and key in ("anyOf", "oneOf")))

    look(schema, beside=False)
    return frozenset(found)


def _parts(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the schemas within a schema, each with the keyword that holds it."""
    for key in _NAMED:
        if isinstance(members := schema.get(key), dict):
            yield from ((key, m) for m in members.values() if isinstance(m, dict))
    for key in _LISTED:
        if isinstance(members := schema.get(key), list):
            yield from ((key, m) for m in members if isinstance(m, dict))
    for key in _SINGLE:
        if isinstance(member := schema.get(key), dict):
            yield key, member


def _settle(  # noqa: C901  # one step after the other
    schema: Schema, *, closing: bool, combined: frozenset[str]
) -> None:
    """Settle what a schema and those within it leave open.

    Args:
        schema: changed in place.
        closing: whether objects get no properties but those listed.
        combined: see `_combined`; what they name is not closed.
    """
    if schema.get("format") not in _FORMATS:
        schema.pop("format", None)
    lists = isinstance(schema.get("properties"), dict)
    for key, inner in list(_parts(schema)):
        # Closed parts of one object would exclude each other's properties.
        apart = key == "allOf" or (lists and key in ("anyOf", "oneOf"))
        _settle(inner, closing=closing and not apart, combined=combined)
    _reopen(schema, combined)
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if {"integer", "number"} & set(kinds):
        _bound(schema)
    if not _COMBINING & schema.keys() and closing:
        if lists:
            schema["additionalProperties"] = False
        elif "object" in kinds:
            schema["additionalProperties"] = _ANY_REF
    if "array" in kinds and "items" not in schema and "prefixItems" not in schema:
        schema["items"] = _ANY_REF
    for key in ("properties", "patternProperties"):
        for member, inner in (schema.get(key) or {}).items():
            if inner is True or (isinstance(inner, dict) and not _TYPED & inner.keys()):
                schema[key][member] = _ANY_REF


def _reopen(schema: Schema, combined: frozenset[str]) -> None:
    """Take back the closing of what is combined with others."""
    for key in ("$defs", "definitions"):
        for member, inner in (schema.get(key) or {}).items():
            if f"#/{key}/{member}" in combined and inner.get("additionalProperties") is False:
                del inner["additionalProperties"]


def _bound(schema: Schema) -> None:
    least = [schema[k] for k in ("minimum", "exclusiveMinimum") if schema.get(k) is not None]
    most = [schema[k] for k in ("maximum", "exclusiveMaximum") if schema.get(k) is not None]
    if not most and all(bound < LARGEST for bound in least):
        schema["maximum"] = LARGEST
    if not least and all(bound > -LARGEST for bound in most):
        schema["minimum"] = -LARGEST


def of_class(schema: Mapping[str, Any]) -> Schema:
    """Return a class's schema without `uniqueItems` where that class drops equal items itself.

    So do sets of pydantic; items that must be two or more have to be told apart all the same.
    """
    told: Schema = {k: part if k in _VALUES else _of_class(part) for k, part in schema.items()}
    if told.get("uniqueItems") is True and told.get("minItems", 0) <= 1:
        del told["uniqueItems"]
    return told


def _of_class(part: object) -> object:
    if isinstance(part, list):
        return [_of_class(item) for item in part]
    return of_class(part) if isinstance(part, Mapping) else part


_VALUES = ("const", "default", "enum", "examples")
