"""The one place where the environment is read.

`Settings.from_environment()` is called by process entries only; everything below is handed the value. A service whose
URL is None is embedded: the supervisor starts it and hands its URL to the processes it starts, through the same
variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set from outside. Every field's variable is named beside it."""

    data_dir: str = ".boxoffice"  # BOXOFFICE_DATA_DIR
    host: str = "127.0.0.1"  # BOXOFFICE_HOST
    port: int = 8000  # BOXOFFICE_PORT
    workers: int = 2  # BOXOFFICE_WORKERS; `up` sets it to the number of cores
    database_url: str | None = None  # DATABASE_URL, postgresql://…
    redis_url: str | None = None  # REDIS_URL, redis://… or unix://…
    kafka_bootstrap_servers: str | None = None  # KAFKA_BOOTSTRAP_SERVERS, host:port[,host:port]
    ray_address: str | None = None  # RAY_ADDRESS, host:port
    sandbox_url: str | None = None  # BOXOFFICE_SANDBOX_URL, the payment sandbox's base URL
    secret: str = ""  # BOXOFFICE_SECRET, signs access tokens and sandbox webhooks; `up` makes and keeps one
    topic: str = "booking-events"  # BOXOFFICE_TOPIC
    fair_use: bool = True  # BOXOFFICE_FAIR_USE=off switches rate and hoarding limits off (load tests)
    publish: bool = True  # BOXOFFICE_PUBLISH=off keeps events in the journal only (benchmarks)
    bench: bool = False  # BOXOFFICE_BENCH=on mounts a route that does nothing, to measure against
    admin_email: str | None = None  # BOXOFFICE_ADMIN_EMAIL
    admin_password: str | None = None  # BOXOFFICE_ADMIN_PASSWORD
    log_format: str = "text"  # BOXOFFICE_LOG_FORMAT, text | json
    actor_idle_seconds: float = 300.0  # BOXOFFICE_ACTOR_IDLE_SECONDS, an actor unused for so long leaves memory
    call_timeout_seconds: float = 3.0  # BOXOFFICE_CALL_TIMEOUT_SECONDS, an actor silent for so long is replaced
    deadline_seconds: float = 15.0  # BOXOFFICE_DEADLINE_SECONDS, a request not answered by then gets 503

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir).resolve()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Reads the variables above; a value of the wrong type raises `SettingsError` naming the variable."""
        values: dict[str, object] = {}
        for field in msgspec.structs.fields(cls):
            variable = VARIABLES.get(field.name, f"BOXOFFICE_{field.name.upper()}")
            text = environ.get(variable)
            if text is None or text == "":
                continue
            try:
                values[field.name] = msgspec.convert(SWITCHES.get(text.lower(), text), field.type, strict=False)
            except msgspec.ValidationError as error:
                raise SettingsError(f"{variable}={text!r}: {error}") from error
        return cls(**values)  # type: ignore[arg-type]  # converted to each field's own type above

    def to_environment(self) -> dict[str, str]:
        """The inverse of `from_environment`, for the processes the supervisor starts."""
        return {
            VARIABLES.get(name, f"BOXOFFICE_{name.upper()}"): {True: "on", False: "off"}.get(value, str(value))
            if isinstance(value, bool)
            else str(value)
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None
        }


class SettingsError(ValueError):
    """An environment variable has a value that cannot be used."""


VARIABLES = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
    "ray_address": "RAY_ADDRESS",
}
SWITCHES = {"on": "true", "off": "false"}
