"""Writes the JSON schemas of a record and of plan.json.

    python tools/schemas.py            writes docs/reference/schemas/record.json and plan.json
    python tools/schemas.py --check    exits with 1 if a file differs from the code

The schemas come from the types that check records and plans.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from robench.store.plan_file import plan_model
from robench.store.record_schema import record_adapter

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference" / "schemas"


def build_schemas() -> dict[str, str]:
    """Returns the text of each schema, by the name of its file."""
    schemas = {"record.json": record_adapter().json_schema(), "plan.json": plan_model().model_json_schema()}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {name: json.dumps(head | schema, indent=1, ensure_ascii=False) + "\n" for name, schema in schemas.items()}


if __name__ == "__main__":
    built = build_schemas()
    if "--check" in sys.argv:
        sys.exit(any((FOLDER / name).read_text("utf-8") != text for name, text in built.items()))
    for file_name, schema_text in built.items():
        (FOLDER / file_name).write_text(schema_text, "utf-8")
