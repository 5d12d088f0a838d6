"""``result.json`` has a published schema, and it is the current one."""

import json
from pathlib import Path

import jsonschema
import pytest

from bench.messages.cell import Cell, Result

PUBLISHED = Path(__file__).parent.parent / "docs" / "result.schema.json"


@pytest.fixture
def schema():
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def test_published_schema_is_current(schema):
    assert schema == Result.model_json_schema(), "run 'make schema'"


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_result_follows_the_published_schema(schema, make_result, status):
    jsonschema.validate(json.loads(make_result(status=status).model_dump_json()), schema)


@pytest.mark.parametrize(
    "change", [{"status": "lost"}, {"groups": 3}, {"surprise": 1}, {"schema_version": 1}, {"cell": {}}], ids=str
)
def test_schema_refuses_what_is_no_result(schema, make_result, change):
    document = {**json.loads(make_result().model_dump_json()), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_cell_id_is_the_hash_of_all_fields(make_result):
    cell = make_result().cell
    assert Cell.model_validate_json(cell.model_dump_json()).id == cell.id
    for field, value in {
        "seed": 2,
        "config": {"a": 1},
        "fingerprint": "g",
        "time_budget": 3.0,
        "list_length": 50,
        "ablation": {"name": "no_part", "unablated": {}},
    }.items():
        assert Cell(**{**cell.model_dump(), field: value}).model_dump() != cell.model_dump()
        assert Cell(**{**cell.model_dump(), field: value}).id != cell.id
