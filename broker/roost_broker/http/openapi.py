"""The admin API as an OpenAPI 3.1 document, made from the table of routes and the types they name."""

import re
from functools import cache
from typing import Any

import msgspec

from roost_broker.version import installed_version
from roost_protocol.admin.health import LIVE_PATH, READY_PATH, Alive, Readiness
from roost_protocol.admin.route import Problem, Route
from roost_protocol.admin.table import ROUTES

PATH = "/v1/openapi.json"

Json = dict[str, Any]

_ALWAYS = {
    400: "what was asked for makes no sense",
    401: "nobody who may ask",
    403: "the role is too small",
    404: "there is no such thing",
    405: "not this method",
    429: "too many wrong tokens from this address",
    500: "a defect of the broker, or the store cannot be read",
    503: "not now: busy, or the audit log cannot be written",
}
_WITH_BODY = {413: "the body is too large", 415: "the body is not JSON"}
_WITH_HEADER = {401: "WWW-Authenticate", 403: "WWW-Authenticate", 405: "Allow", 429: "Retry-After"}
_WITH_CHANGE = {409: "at odds with what is there", 422: "it cannot be done", 507: "no room"}


@cache
def openapi_document() -> bytes:
    """The document, in JSON."""
    return msgspec.json.encode(document())


def document() -> Json:
    """The document as plain values."""
    schemas, components = _schemas()
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas, components)
    paths[LIVE_PATH] = {"get": _health("Whether the broker answers at all", schemas[Alive], ready=False)}
    paths[READY_PATH] = {"get": _health("Whether the broker is ready for work", schemas[Readiness], ready=True)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "roost admin API",
            "version": installed_version(),
            "description": "Roles: read, operate, admin; each may do what those before it may. Times: Unix time, ms.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "security": [{"bearer": []}],
        "components": {
            "schemas": components,
            "responses": _problems(schemas[Problem]),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas() -> tuple[dict[Any, Json], dict[str, Json]]:
    """A schema for each type that a route names, and what they refer to, by name."""
    types: list[Any] = [Problem, Alive, Readiness]
    for route in ROUTES:
        types += [each for each in (route.gives, route.takes, route.query) if each is not None and each not in types]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return dict(zip(types, schemas, strict=True)), components


def _operation(route: Route[Any], schemas: dict[Any, Json], components: dict[str, Json]) -> Json:
    words = re.findall(r"\{(\w+)\}", route.path)
    parameters = [
        {"name": word, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for word in words
    ]
    if route.query is not None:
        parameters += _query(components[schemas[route.query]["$ref"].rpartition("/")[2]])
    operation: Json = {
        "operationId": _operation_id(route),
        "tags": [route.path.split("/")[2]],
        "summary": route.summary,
        "parameters": parameters,
        "responses": _responses(route, schemas),
        "x-role": route.role,
    }
    if route.streams:
        operation["x-streams"] = True
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[route.takes]}}}
    return operation


def _operation_id(route: Route[Any]) -> str:
    """`post_groups_group_members` for `POST /v1/groups/{group}/members`."""
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)[1:]])


def _query(schema: Json) -> list[Json]:
    """The fields of a query as parameters: what is not given is left out, so none of them can be null."""
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _not_null(field)}
        for name, field in schema["properties"].items()
    ]


def _not_null(schema: Json) -> Json:
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    plain = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    if not choices:
        return plain
    del plain["anyOf"]
    return {**plain, **choices[0]} if len(choices) == 1 else {**plain, "anyOf": choices}


def _responses(route: Route[Any], schemas: dict[Any, Json]) -> Json:
    content_type = "text/event-stream" if route.streams else "application/json"
    told = "The data of each event" if route.streams else "Done"
    statuses = [*_ALWAYS]
    if route.takes is not None:
        statuses += _WITH_BODY
    if route.changes or route.query is not None or "{" in route.path:
        statuses += _WITH_CHANGE
    return {
        "200": {"description": told, "content": {content_type: {"schema": schemas[route.gives]}}},
        **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)},
    }


def _problems(schema: Json) -> dict[str, Json]:
    """Every way of not being done, by status."""
    return {
        str(status): {
            "description": text,
            "content": {"application/problem+json": {"schema": schema}},
            **({"headers": {_WITH_HEADER[status]: {"schema": {"type": "string"}}}} if status in _WITH_HEADER else {}),
        }
        for status, text in (_ALWAYS | _WITH_BODY | _WITH_CHANGE).items()
    }


def _health(summary: str, schema: Json, *, ready: bool) -> Json:
    content = {"application/json": {"schema": schema}}
    responses: Json = {"200": {"description": "Yes", "content": content}}
    if ready:
        responses["503"] = {"description": "No, and why", "content": content}
    return {"summary": summary, "tags": ["health"], "security": [], "responses": responses}
