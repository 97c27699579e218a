"""The description of what is published, for whoever reads it: AsyncAPI 3.0.0, made from the types of the events."""

from __future__ import annotations

from typing import Any

import msgspec

from persistence.events.cloud_events import KINDS, Kind
from persistence.events.event_data import EventEnvelope

CONTENT_TYPE = "application/cloudevents+json"


def asyncapi_document(topic: str) -> dict[str, Any]:
    """The AsyncAPI 3.0.0 description of what is published to `topic`, made from the types above."""
    kinds = {kind.data for kind in KINDS.values()}
    (_, *_), schemas = msgspec.json.schema_components(
        [EventEnvelope, *sorted(kinds, key=lambda kind: kind.__name__)], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Boxoffice events", "version": "1.0.0", "description": _DESCRIPTION, "license": _LICENSE},
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "bookingEvents": {
                "address": topic,
                "title": "What happens to the seats of every schedule",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in KINDS},
                "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
            }
        },
        "operations": {
            "publishBookingEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/bookingEvents"},
                "summary": "Every event of a schedule's journal, in order, at least once.",
            }
        },
        "components": {
            "messages": {name: _message(name, kind) for name, kind in KINDS.items()},
            "schemas": schemas,
        },
    }


def _message(name: str, kind: Kind) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "summary": kind.summary,
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/EventEnvelope"},
                {
                    "properties": {
                        "type": {"const": name},
                        "data": {"$ref": f"#/components/schemas/{kind.data.__name__}"},
                    }
                },
            ]
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The schedule's id: its events stay in order."},
                "bindingVersion": "0.5.0",
            }
        },
    }


_LICENSE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
_DESCRIPTION = (
    "Each message is one CloudEvent in structured JSON mode; the key is the schedule's id. `data.version` rises by one"
    " per event of a schedule, without gaps. Delivery is at least once: drop a version you have seen. Times are RFC"
    " 3339, money is in minor units of the currency (KRW has none). New types and fields may appear: ignore them."
)
