"""Schemas of the OpenAPI document, in fewer bytes: fields that several have are written once."""

from typing import Any

SCHEMAS = "#/components/schemas/"
# As if the field were left out.
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}


def shorten(node: Any) -> None:
    """Say the same of schemas in fewer bytes: types in lists; no titles, which repeat names."""
    if isinstance(node, list):
        for value in node:
            shorten(value)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str) and "license" not in node:
        del node["title"]
    if _tells_type(node):
        node.pop("type", None)
    _shorten_default(node)
    match node.get("anyOf"):
        case [{"type": str() as kind, **rest}, {"type": "null"}] if "enum" not in rest:
            del node["anyOf"]
            node |= {"type": [kind, "null"], **rest}
    for bound in _BOUNDS & node.keys():
        if isinstance(node[bound], float) and node[bound].is_integer():
            node[bound] = int(node[bound])
    for name, value in node.items():
        # Their names are those of fields, and examples are data.
        for child in value.values() if name in ("properties", "$defs") else [value]:
            if name not in ("example", "examples", "default"):
                shorten(child)


def _shorten_default(node: dict[str, Any]) -> None:
    if "default" in node:
        node["default"] = _without_nulls(node["default"])
        if node["default"] is False or node["default"] in _NOTHING:
            del node["default"]


def _tells_type(node: dict[str, Any]) -> bool:
    """Say whether a schema's values or fields leave no doubt of its type.

    Bodies of requests, which are closed, say that they are objects: all else is refused.
    """
    if "properties" in node:
        return node.get("additionalProperties") is not False
    return "enum" in node or "const" in node


def _without_nulls(default: Any) -> Any:
    if not isinstance(default, dict):
        return default
    return {name: value for name, value in default.items() if value is not None}


def by_kind(schemas: dict[str, Any], options: list[dict[str, str]]) -> dict[str, Any]:
    """Describe one of several schemas, which their fields `kind` tell apart."""
    mapping = {}
    for option in options:
        schema = schemas[option["$ref"].removeprefix(SCHEMAS)]
        # Without it, openapi-typescript warns and does not tell them apart.
        schema["type"] = "object"
        mapping[schema["properties"]["kind"]["const"]] = option["$ref"]
    return {"oneOf": options, "discriminator": {"propertyName": "kind", "mapping": mapping}}


def open_up(schema: dict[str, Any]) -> None:
    """Let a schema have fields that it does not name: others inherit it, or it may grow."""
    schema.pop("additionalProperties", None)


def drop_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults of an answer's fields, which say nothing: each answer has all fields."""
    for part in schema.get("allOf", [schema]):
        for field in part.get("properties", {}).values():
            field.pop("default", None)


def inherit(schemas: dict[str, Any]) -> None:
    """Write the fields that a schema has from another one once."""
    whole = {name: schema for name, schema in schemas.items() if "properties" in schema}
    for name, schema in whole.items():
        own, bases = dict(schema["properties"]), []
        for base in sorted(whole, key=lambda each: -len(whole[each]["properties"])):
            inherited = whole[base]["properties"]
            if (
                len(inherited) > 1
                and inherited.keys() <= own.keys()
                and _extends(schema, whole[base])
            ):
                own = {field: own[field] for field in own if field not in inherited}
                bases.append({"$ref": SCHEMAS + base})
        if not bases:
            continue
        required = [field for field in schema.get("required", ()) if field in own]
        more = {"properties": own} | ({"required": required} if required else {})
        described = {"description": schema["description"]} if "description" in schema else {}
        schemas[name] = {**described, "allOf": [*bases, more]}
        if "additionalProperties" in schema:
            schemas[name]["unevaluatedProperties"] = schema["additionalProperties"]


def _extends(schema: dict[str, Any], base: dict[str, Any]) -> bool:
    """Say whether a schema has the fields of another one, which is open, and more."""
    own, inherited = schema["properties"], base["properties"]
    required, needed = schema.get("required", ()), base.get("required", ())
    return (
        "additionalProperties" not in base
        and len(own) > len(inherited)
        and all(
            own.get(field) == value and (field in required) == (field in needed)
            for field, value in inherited.items()
        )
    )
