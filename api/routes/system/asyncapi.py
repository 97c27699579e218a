"""The description of what is published to Kafka, for those who build consumers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from persistence.events.asyncapi import asyncapi_document

router = APIRouter(tags=["about"])


@router.get("/asyncapi.json", summary="The events on Kafka, as an AsyncAPI 3 document")
async def asyncapi(request: Request) -> dict[str, Any]:
    return asyncapi_document(request.app.state.office.settings.topic)
