"""The one place where settings are read from the environment.

What whoever starts a process tells it besides (its role, its socket, where it shows its pulse) is read where it is
needed. `Settings.from_environment()` is called by process entries only; everything below is handed the value. A service
whose URL is None is embedded: the supervisor starts it and hands its URL to the processes it starts, through the same
variables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from actors.process import keys, machine
from actors.process.addresses import FORMS, HOST, ORIGIN, has_form
from persistence.embedded.outside import shown
from persistence.events.options import (
    COMPRESSION,
    PARTITIONS,
    Compression,
    KafkaOptions,
    SaslMechanism,
    SecurityProtocol,
)

T = TypeVar("T")

Seconds = Annotated[float, Meta(gt=0, le=86_400)]  # a timer knows no more of infinity than of nothing
NODE_NAME = re.compile(r"[a-z0-9-]{1,40}")  # part of the names of its processes
MEMORY_PER_HOST_MB = 512  # that a machine has to have for each process of owners


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set from outside. Every field's variable is named beside it."""

    data_dir: str = ".boxoffice"  # BOXOFFICE_DATA_DIR
    host: str = "127.0.0.1"  # BOXOFFICE_HOST
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000  # BOXOFFICE_PORT
    public_url: str = ""  # BOXOFFICE_PUBLIC_URL, where people reach the pages: https://tickets.example.com
    trusted_proxies: str = ""  # BOXOFFICE_TRUSTED_PROXIES, 10.0.0.0/8,…: whose X-Forwarded-For is believed
    cors_origins: str = ""  # BOXOFFICE_CORS_ORIGINS, https://a.example,…: whose pages may use the API; none if unset
    picture_hosts: str = ""  # BOXOFFICE_PICTURE_HOSTS, cdn.example.com,…: from where pages show performances' pictures
    docs: bool = True  # BOXOFFICE_DOCS=off serves neither /docs nor /openapi.json
    metrics: bool = True  # BOXOFFICE_METRICS=off serves no /metrics
    connections: Annotated[int, Meta(ge=1)] = 4_000  # BOXOFFICE_CONNECTIONS, open at a time at each worker
    connections_per_address: Annotated[int, Meta(ge=0)] = 500  # BOXOFFICE_CONNECTIONS_PER_ADDRESS, of these; 0: all
    workers: Annotated[int, Meta(ge=1)] = 2  # BOXOFFICE_WORKERS; `up` sets it to the number of cores
    database_url: str | None = None  # DATABASE_URL, postgresql://…
    redis_url: str | None = None  # REDIS_URL, redis://… or unix://…
    kafka_bootstrap_servers: str | None = None  # KAFKA_BOOTSTRAP_SERVERS, host:port[,host:port]
    ray_address: str | None = None  # RAY_ADDRESS, host:port
    sandbox_url: str | None = None  # BOXOFFICE_SANDBOX_URL, the payment sandbox's base URL
    secret: str = ""  # BOXOFFICE_SECRET, signs access tokens and sandbox webhooks; `up` makes and keeps one
    previous_secret: str = ""  # BOXOFFICE_PREVIOUS_SECRET, the former one: what was signed with it still counts
    derived_keys: str = ""  # BOXOFFICE_DERIVED_KEYS, what `up` gives a process instead of the secret: see `keys_for`
    provider: Literal["sandbox", "toss", "stripe"] = "sandbox"  # BOXOFFICE_PROVIDER, who is asked to take money
    sandbox: Literal["allowed", "refused"] = "allowed"  # BOXOFFICE_SANDBOX, whether it may be the provider
    toss_secret_key: str = ""  # BOXOFFICE_TOSS_SECRET_KEY
    toss_client_key: str = ""  # BOXOFFICE_TOSS_CLIENT_KEY, the public one: pages open Toss's window with it
    toss_url: str = "https://api.tosspayments.com"  # BOXOFFICE_TOSS_URL
    stripe_api_key: str = ""  # BOXOFFICE_STRIPE_API_KEY
    stripe_publishable_key: str = ""  # BOXOFFICE_STRIPE_PUBLISHABLE_KEY, the public one: pages ask for cards with it
    stripe_webhook_secrets: str = ""  # BOXOFFICE_STRIPE_WEBHOOK_SECRETS, comma-separated: the new one, the old one
    stripe_url: str = "https://api.stripe.com"  # BOXOFFICE_STRIPE_URL
    smtp_url: str = ""  # BOXOFFICE_SMTP_URL, smtp(s)://user:password@host:port; unset: mails go to a file
    mail_from: str = ""  # BOXOFFICE_MAIL_FROM, from whom mails are: Name <name@example.com>
    topic: str = "booking-events"  # BOXOFFICE_TOPIC; names the consumer groups, too
    topic_partitions: Annotated[int, Meta(ge=1)] = PARTITIONS  # BOXOFFICE_TOPIC_PARTITIONS, when it is made
    topic_retention_hours: Annotated[int, Meta(ge=-1)] | None = None  # BOXOFFICE_TOPIC_RETENTION_HOURS, -1: for ever
    kafka_compression: Compression = COMPRESSION  # BOXOFFICE_KAFKA_COMPRESSION
    kafka_security_protocol: SecurityProtocol = "PLAINTEXT"  # BOXOFFICE_KAFKA_SECURITY_PROTOCOL
    kafka_sasl_mechanism: SaslMechanism = "PLAIN"  # BOXOFFICE_KAFKA_SASL_MECHANISM
    kafka_sasl_username: str = ""  # BOXOFFICE_KAFKA_SASL_USERNAME
    kafka_sasl_password: str = ""  # BOXOFFICE_KAFKA_SASL_PASSWORD
    kafka_ssl_cafile: str = ""  # BOXOFFICE_KAFKA_SSL_CAFILE, PEM; what the system trusts if unset
    fair_use: bool = True  # BOXOFFICE_FAIR_USE=off switches rate limits off (load tests)
    demo: bool = False  # BOXOFFICE_DEMO=on loads a demo season into an empty store; `up --demo` does the same
    publish: bool = True  # BOXOFFICE_PUBLISH=off keeps events in the journal only (benchmarks)
    reconcile: bool = True  # BOXOFFICE_RECONCILE=off examines only what is asked for (benchmarks)
    # BOXOFFICE_SCHEDULES_PER_ORGANIZER, how many may be to come at a time; 0: no limit
    schedules_per_organizer: Annotated[int, Meta(ge=0)] = 5_000
    # BOXOFFICE_ADMITTED_PER_SECOND, from a waiting room, of each schedule that has one
    admitted_per_second: Annotated[float, Meta(gt=0, le=100_000)] = 50.0
    # BOXOFFICE_SHOPPING_AT_ONCE, let in there and without seats, at most; fewer where fewer places are left
    shopping_at_once: Annotated[int, Meta(ge=1)] = 1_000
    bench: bool = False  # BOXOFFICE_BENCH=on mounts a route that does nothing, to measure against
    admin_email: str | None = None  # BOXOFFICE_ADMIN_EMAIL
    admin_password: str | None = None  # BOXOFFICE_ADMIN_PASSWORD
    log_format: Literal["text", "json"] = "text"  # BOXOFFICE_LOG_FORMAT
    node: str = ""  # BOXOFFICE_NODE, this machine's name in a cluster; unset: it is alone
    node_address: str = ""  # BOXOFFICE_NODE_ADDRESS, where the others reach it; unset: as it reaches the database
    node_certificate: str = ""  # BOXOFFICE_NODE_CERTIFICATE, PEM: calls between machines go over TLS
    node_private_key: str = ""  # BOXOFFICE_NODE_PRIVATE_KEY, PEM
    node_authority: str = ""  # BOXOFFICE_NODE_AUTHORITY, PEM: who signs the machines' certificates
    owner_processes: Annotated[int, Meta(ge=0)] = 0  # BOXOFFICE_OWNER_PROCESSES, at most; 0: by cores and memory
    owner_memory_mb: Annotated[int, Meta(ge=0)] = 0  # BOXOFFICE_OWNER_MEMORY_MB, schedules of one; 0: by the machine's
    # BOXOFFICE_HOT_RECORDS_PER_SECOND, more of one schedule and it has a process to itself; 0: that is up to admins. A
    # thousand are a twentieth of what its process can do, and more than a house without a crowd before it has.
    hot_records_per_second: Annotated[int, Meta(ge=0)] = 1_000
    actor_idle_seconds: Seconds = 300.0  # BOXOFFICE_ACTOR_IDLE_SECONDS, an owner unused for so long leaves memory
    call_timeout_seconds: Seconds = 3.0  # BOXOFFICE_CALL_TIMEOUT_SECONDS, a silent process of owners is replaced then
    deadline_seconds: Seconds = 15.0  # BOXOFFICE_DEADLINE_SECONDS, a request not answered by then gets 503

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Every field, but of a secret only that it is set."""
        values = msgspec.structs.asdict(self).items()
        return [(name, "…" if value and name in SECRETS else value) for name, value in values]

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir).resolve()

    @property
    def secrets(self) -> list[str]:
        """The secret, and the former one where there is one: what the latter has signed still counts."""
        return [self.secret, self.previous_secret] if self.previous_secret else [self.secret]

    def keys_for(self, purpose: str) -> list[bytes]:
        """The keys for a purpose, the newest first: what the others have signed still counts. Raises `SettingsError`
        where nothing was given to derive them from."""
        if self.secret:
            return [keys.derived(secret, purpose) for secret in self.secrets]
        if not self.derived_keys:
            raise SettingsError("BOXOFFICE_SECRET is not set: give the one that `boxoffice up` has")
        given = msgspec.json.decode(self.derived_keys, type=dict[str, list[str]])
        return [bytes.fromhex(key) for key in given[purpose]]

    @property
    def sandbox_secrets(self) -> list[str]:
        """What the payment sandbox and those who ask it have in common; the newest first."""
        return [key.hex() for key in self.keys_for(keys.SANDBOX)]

    def for_process(self, kind: str) -> Settings:
        """What a kind of process is given: without the secrets that it does not need."""
        nothing = Settings()
        withheld = {name: getattr(nothing, name) for name in SECRETS - NEEDED[kind]}
        if DERIVED.get(kind):
            derived = {purpose: [key.hex() for key in self.keys_for(purpose)] for purpose in DERIVED[kind]}
            withheld["derived_keys"] = msgspec.json.encode(derived).decode()
        return msgspec.structs.replace(self, **withheld)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the pages, as browsers write them; this machine's own where nobody has said."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return local_url(self.host, self.port)

    @property
    def proxies(self) -> list[IPv4Network | IPv6Network]:
        """The networks of `trusted_proxies`."""
        return [ip_network(each.strip()) for each in self.trusted_proxies.split(",") if each.strip()]

    @property
    def pictures(self) -> list[str]:
        """The hosts of `picture_hosts`."""
        return [each.strip().lower() for each in self.picture_hosts.split(",") if each.strip()]

    @property
    def shops(self) -> list[str]:
        """The origins of `cors_origins`, as browsers write them."""
        return [each.strip().rstrip("/") for each in self.cors_origins.split(",") if each.strip()]

    @property
    def hosts(self) -> int:
        """How many processes owners share here at most. More than there are cores would wait for one another."""
        return self.owner_processes or max(1, min(machine.cores(), machine.memory_mb() // MEMORY_PER_HOST_MB))

    @property
    def memory_per_host_mb(self) -> int:
        """What the schedules of one such process may take in memory: of all of them a quarter of the machine's."""
        return self.owner_memory_mb or max(MEMORY_PER_HOST_MB // 4, machine.memory_mb() // 4 // self.hosts)

    @property
    def kafka(self) -> KafkaOptions | None:
        """How the broker is reached and what the topic is to be; None where nobody has said which broker."""
        if self.kafka_bootstrap_servers is None:
            return None
        return KafkaOptions(
            servers=self.kafka_bootstrap_servers,
            topic=self.topic,
            partitions=self.topic_partitions,
            retention_hours=self.topic_retention_hours,
            compression=self.kafka_compression,
            security_protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username,
            sasl_password=self.kafka_sasl_password,
            ssl_cafile=self.kafka_ssl_cafile,
        )

    # Once everything is placed these have a value; each raises `SettingsError`, which names the variable, where not.
    @property
    def database(self) -> str:
        """Where PostgreSQL is, as a URL."""
        return _placed(self.database_url, "DATABASE_URL")

    @property
    def redis(self) -> str:
        """Where Redis is, as a URL."""
        return _placed(self.redis_url, "REDIS_URL")

    @property
    def ray(self) -> str:
        """Where the Ray head is, as host:port."""
        return _placed(self.ray_address, "RAY_ADDRESS")

    @property
    def sandbox_at(self) -> str:
        """Where the payment sandbox is, as a URL."""
        return _placed(self.sandbox_url, "BOXOFFICE_SANDBOX_URL")

    @property
    def broker(self) -> KafkaOptions:
        """`kafka`, where somebody has said which broker."""
        return _placed(self.kafka, "KAFKA_BOOTSTRAP_SERVERS")

    @property
    def publishing(self) -> KafkaOptions | None:
        """Where events are published; None where they stay in the journal."""
        return self.kafka if self.publish else None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Reads the variables above; a value of the wrong type raises `SettingsError` naming the variable."""
        values: dict[str, object] = {}
        for field in msgspec.structs.fields(cls):
            variable = variable_of(field.name)
            text = environ.get(variable)
            if text is None or text == "":
                continue
            try:
                values[field.name] = msgspec.convert(SWITCHES.get(text.lower(), text), field.type, strict=False)
            except msgspec.ValidationError as error:
                told = "…" if field.name in SECRETS else repr(text)
                raise SettingsError(f"{variable}={told}: {error}") from error
            form = FORMS.get(field.name)
            if form is not None and not has_form(form.pattern, text):
                told = f"={shown(text)!r}" if form.is_told and field.name not in SECRETS else ""
                raise SettingsError(f"{variable}{told} {form.said}")
        made = cls(**values)  # type: ignore[arg-type]  # converted to each field's own type above
        made._check_log_in()
        made._check_public_url()
        made._check_shops()
        made._check_proxies()
        made._check_pictures()
        made._check_provider()
        made._check_node()
        if made.kafka_ssl_cafile:  # an owner's process has another working directory than whoever set this
            made = msgspec.structs.replace(made, kafka_ssl_cafile=str(Path(made.kafka_ssl_cafile).resolve()))
        return made

    def _check_log_in(self) -> None:
        """A log-in to Kafka is whole, or there is none."""
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            needs = "needs BOXOFFICE_KAFKA_SASL_USERNAME and BOXOFFICE_KAFKA_SASL_PASSWORD"
            raise SettingsError(f"BOXOFFICE_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} {needs}")

    def _check_public_url(self) -> None:
        if self.public_url and not has_form(ORIGIN, self.public_url):
            told = shown(self.public_url)
            raise SettingsError(
                f"BOXOFFICE_PUBLIC_URL={told!r} must look like https://tickets.example.com, without a path"
            )

    def _check_shops(self) -> None:
        for shop in self.shops:
            if not has_form(ORIGIN, shop):
                raise SettingsError(f"BOXOFFICE_CORS_ORIGINS: {shown(shop)!r} must look like https://shop.example")

    def _check_proxies(self) -> None:
        try:
            _ = self.proxies
        except ValueError as error:
            raise SettingsError(f"BOXOFFICE_TRUSTED_PROXIES={self.trusted_proxies!r}: {error}") from error

    def _check_pictures(self) -> None:
        for host in self.pictures:  # they go into a header
            if HOST.fullmatch(host) is None:
                raise SettingsError(f"BOXOFFICE_PICTURE_HOSTS: {host!r} must look like cdn.example.com")

    def _check_provider(self) -> None:
        if self.provider == "sandbox" and self.sandbox == "refused":
            raise SettingsError(
                "BOXOFFICE_PROVIDER=sandbox takes no money: set up toss or stripe, "
                "or say BOXOFFICE_SANDBOX=allowed to try things out"
            )

    def _check_node(self) -> None:
        if self.node and not NODE_NAME.fullmatch(self.node):
            raise SettingsError(f"BOXOFFICE_NODE={self.node!r} must be 1 to 40 of a–z, 0–9 and -")
        pems = (self.node_certificate, self.node_private_key, self.node_authority)
        if any(pems) and not all(pems):
            names = ("node_certificate", "node_private_key", "node_authority")
            raise SettingsError(f"{', '.join(map(variable_of, names))} belong together")

    @property
    def provider_lacks(self) -> list[str]:
        """The variables without which the provider takes no money. The sandbox's own is found by `up`."""
        needed = {"toss": ("toss_secret_key",), "stripe": ("stripe_api_key", "stripe_webhook_secrets")}
        return [variable_of(name) for name in needed.get(self.provider, ()) if not getattr(self, name).strip(" ,")]

    @property
    def unshared(self) -> list[str]:
        """The variables that a machine of a cluster misses: what all have in common is said, not made up by each."""
        shared = ["database_url", "redis_url", "secret"]
        if self.publish:
            shared.append("kafka_bootstrap_servers")
        if self.provider == "sandbox":
            shared.append("sandbox_url")  # who was charged by one machine's own, no other could tell
        return [variable_of(name) for name in shared if not getattr(self, name)]

    def to_environment(self) -> dict[str, str]:
        """The inverse of `from_environment`, for the processes the supervisor starts."""
        return {
            variable_of(name): {True: "on", False: "off"}.get(value, str(value))
            if isinstance(value, bool)
            else str(value)
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None
        }


def unknown(environ: Mapping[str, str]) -> list[str]:
    """The variables that look like ours and are none: misspelled, or those of another release."""
    ours = {variable_of(field.name) for field in msgspec.structs.fields(Settings)}
    return sorted(name for name in environ if name.startswith("BOXOFFICE_") and name not in ours)


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return VARIABLES.get(name, f"BOXOFFICE_{name.upper()}")


def local_url(host: str, port: int) -> str:
    """The address at which this machine itself reaches a server listening on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # not a bind
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


class SettingsError(ValueError):
    """An environment variable has a value that cannot be used, or none where one is needed."""


def _placed(value: T | None, variable: str) -> T:
    if value is None:
        raise SettingsError(f"{variable} is not set: say where the service is, or have `boxoffice up` start one")
    return value


VARIABLES = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
    "ray_address": "RAY_ADDRESS",
}
# Never printed; a URL may carry a password.
SECRETS = {
    "secret",
    "previous_secret",
    "derived_keys",
    "toss_secret_key",
    "stripe_api_key",
    "stripe_webhook_secrets",
    "smtp_url",
    "admin_password",
    "kafka_sasl_password",
    "database_url",
    "redis_url",
}
# Which of them a kind of process is given: what it does not have nobody can learn from it.
SERVICES_URLS = frozenset(("database_url", "redis_url"))
TOPIC_SECRETS = frozenset(("kafka_sasl_password",))
SIGNING = frozenset(("secret", "previous_secret"))
PROVIDERS_KEYS = frozenset(("toss_secret_key", "stripe_api_key", "stripe_webhook_secrets"))
KEYS = frozenset(("derived_keys",))
NEEDED: Mapping[str, frozenset[str]] = {
    "worker": SERVICES_URLS | TOPIC_SECRETS | SIGNING | PROVIDERS_KEYS,
    "background": SERVICES_URLS | TOPIC_SECRETS | KEYS | PROVIDERS_KEYS,
    "owner": SERVICES_URLS | TOPIC_SECRETS,
    "receivers": frozenset(("database_url",)) | TOPIC_SECRETS,
    "mails": frozenset(("database_url", "smtp_url")) | KEYS,
    "sandbox": KEYS,
    "ray": frozenset(),
    "forking": frozenset(),  # what all of them import
}
# Who is given keys instead of the secret, and for what: whoever has one signs nothing else, no token above all.
DERIVED: Mapping[str, tuple[str, ...]] = {
    "background": (keys.SANDBOX, keys.AUDIT_HEADS, keys.MACHINES),
    "mails": (keys.TICKETS,),
    "sandbox": (keys.SANDBOX,),
}
SWITCHES = {"on": "true", "off": "false"}
