"""The receiving services there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from actors.notifications import Notifications
from actors.receiver import Service
from actors.sales import Sales

SERVICES: Mapping[str, Service] = {service.name: service for service in (Sales(), Notifications())}
