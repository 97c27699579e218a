"""The OpenAPI document, which takes a second to make: once a process, for all tests that read it."""

from __future__ import annotations

import functools
from typing import Any

from actors.process.settings import Settings
from api.server.app import create_app


@functools.cache
def openapi_document() -> dict[str, Any]:
    """As it is served. All have the same one: nobody changes it."""
    return create_app(Settings()).openapi()
