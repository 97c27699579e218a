"""How a Kafka broker is reached, and what our topic on it is to be: one value for everything that talks to it.

Its printed form never shows the password.
"""

from __future__ import annotations

import math
import ssl
from typing import Any, Literal

from msgspec import Struct

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Compression = Literal["none", "gzip", "zstd"]

PARTITIONS = 12  # of a topic made here: divides evenly among 2, 3, 4, 6 or 12 consumers
# One event is 0.6–1.5 kB, and 0.1 kB so compressed, for the processor time of sending it as it is; gzip costs as much
# as making the event does (docs/performance.md).
COMPRESSION: Compression = "zstd"
REQUEST_TIMEOUT_SECONDS = 5.0


class KafkaOptions(Struct, frozen=True, kw_only=True):
    """`servers` is host:port[,host:port]. `ssl_cafile` empty trusts what the system trusts."""

    servers: str
    topic: str
    partitions: int = PARTITIONS
    retention_hours: int | None = None  # None: as the broker has it (7 days unless configured); -1: for ever
    compression: Compression = COMPRESSION
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "PLAIN"
    sasl_username: str = ""
    sasl_password: str = ""
    ssl_cafile: str = ""
    request_timeout_seconds: float = REQUEST_TIMEOUT_SECONDS

    def __repr__(self) -> str:
        return f"KafkaOptions({self.servers}, {self.topic}, {self.security_protocol})"

    @property
    def server_list(self) -> list[str]:
        return [server.strip() for server in self.servers.split(",") if server.strip()]

    def group(self, service: str) -> str:
        """The consumer group of a receiving service: permissions on the topic's name as a prefix cover it."""
        return f"{self.topic}.{service}"

    def security(self) -> dict[str, Any]:
        """The arguments by which any aiokafka connection gets in. Raises `OSError` for a certificate unfit or away."""
        arguments: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.security_protocol.startswith("SASL"):
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = ssl.create_default_context(cafile=self.ssl_cafile or None)
        return arguments

    def client(self) -> dict[str, Any]:
        """The arguments of every aiokafka client: producer, consumer, admin. Raises as `security` does."""
        return {
            "bootstrap_servers": self.server_list,
            "request_timeout_ms": math.ceil(self.request_timeout_seconds * 1000),
            **self.security(),
        }
