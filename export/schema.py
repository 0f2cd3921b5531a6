"""The manifest against its JSON Schema, `bundle.schema.json`."""

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ..trainer.errors import InputError


@cache
def manifest_schema() -> dict[str, Any]:
    """The schema of bundle.json (JSON Schema, draft 2020-12)."""
    file = resources.files(__package__ or "diffkiln.export").joinpath("bundle.schema.json")
    return json.loads(file.read_text(encoding="utf-8"))


def check_manifest(content: Any, path: Path) -> None:
    """Raise InputError that names the first entry which is not as the schema wants it."""
    validator = Draft202012Validator(manifest_schema())
    error = best_match(validator.iter_errors(content))
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "the manifest"
        raise InputError(
            f"{path}: {place} is not as the bundle's schema wants it: {error.message[:200]}; "
            "export the model again"
        )
