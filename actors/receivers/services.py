"""The receiving services there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from actors.receivers.notifications import Notifications
from actors.receivers.sales import Sales
from actors.receivers.taker import Service

SERVICES: Mapping[str, Service] = {service.name: service for service in (Sales(), Notifications())}
