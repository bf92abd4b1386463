import json
import re
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from api.openapi import PARAMETER
from tests.api.callers import SIGNUP, SIGNUPS, SLIP, Caller
from tests.factories import Factory

ITSELF = "/openapi.json"


@pytest.fixture
def document(anybody: Caller) -> dict[str, Any]:
    found: dict[str, Any] = anybody.get(ITSELF).json
    return found


def check(document: dict[str, Any], name: str, instance: Any) -> list[str]:
    """Return what is wrong with `instance` by the schema `name` of the document."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return [error.message for error in Draft202012Validator(schema).iter_errors(instance)]


def test_every_route_is_described(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (PARAMETER.sub(r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if rule.rule != ITSELF
    }
    assert routes == {(path, method) for path, methods in document["paths"].items() for method in methods}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names == set(document["components"]["schemas"])


def test_its_schemas_are_schemas(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_bodies_of_the_contract_are_as_described(document: dict[str, Any]) -> None:
    assert check(document, "SignupIn", SIGNUP) == []
    assert check(document, "ConfirmationIn", SLIP) == []


@pytest.mark.parametrize("slip", [SLIP | {"betAmount": 0}, SLIP | {"confidence": 2}, SLIP | {"status": 1}, {}], ids=str)
def test_a_body_that_is_refused_is_not_as_described(slip: dict[str, Any], document: dict[str, Any]) -> None:
    assert check(document, "ConfirmationIn", slip)


def test_the_answers_are_as_described(shop: Caller, admin: Caller, make: Factory, document: dict[str, Any]) -> None:
    signup = make.signup()
    assert check(document, "Submitted", shop.submit().json) == []
    assert check(document, "Confirmed", shop.confirm(signup.id).json) == []
    assert check(document, "SignupDetails", admin.get(f"{SIGNUPS}/{signup.id}").json) == []
    assert check(document, "Problem", shop.submit(operatorId="").json) == []


def test_a_protected_route_says_what_it_needs(document: dict[str, Any]) -> None:
    submit = document["paths"][SIGNUPS]["post"]
    assert (submit["security"], submit["x-action"]) == ([{"token": []}], "submit")
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_field_names_are_in_camel_case(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"].values()
    assert [name for schema in schemas for name in schema.get("properties", ()) if "_" in name] == []
