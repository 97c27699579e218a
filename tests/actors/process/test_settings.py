"""The environment says how Kafka is reached; what cannot be meant is refused, and no secret is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.process.settings import NEEDED, Settings, SettingsError, unknown

SECURED = {
    "KAFKA_BOOTSTRAP_SERVERS": "one:9093,two:9093",
    "BOXOFFICE_TOPIC": "events",
    "BOXOFFICE_TOPIC_PARTITIONS": "24",
    "BOXOFFICE_TOPIC_RETENTION_HOURS": "720",
    "BOXOFFICE_KAFKA_COMPRESSION": "gzip",
    "BOXOFFICE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "BOXOFFICE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "BOXOFFICE_KAFKA_SASL_USERNAME": "boxoffice",
    "BOXOFFICE_KAFKA_SASL_PASSWORD": "hush",
    "BOXOFFICE_KAFKA_SSL_CAFILE": "/etc/kafka/ca.pem",
}


def test_every_kafka_variable_arrives_in_the_options() -> None:
    options = Settings.from_environment(SECURED).kafka
    assert options is not None
    assert options.server_list == ["one:9093", "two:9093"]
    assert (options.topic, options.group("sales")) == ("events", "events.sales")
    assert (options.partitions, options.retention_hours, options.compression) == (24, 720, "gzip")
    assert (options.security_protocol, options.sasl_mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (options.sasl_username, options.sasl_password) == ("boxoffice", "hush")
    assert options.ssl_cafile == "/etc/kafka/ca.pem"


def test_what_is_handed_on_to_other_processes_is_the_same() -> None:
    settings = Settings.from_environment(SECURED)
    assert Settings.from_environment(settings.to_environment()) == settings


def test_without_a_broker_there_are_no_options() -> None:
    assert Settings.from_environment({}).kafka is None


def test_a_certificate_is_found_from_every_working_directory() -> None:
    settings = Settings.from_environment({**SECURED, "BOXOFFICE_KAFKA_SSL_CAFILE": "ca.pem"})
    assert settings.kafka_ssl_cafile == str(Path.cwd() / "ca.pem")


def test_the_password_is_never_printed() -> None:
    settings = Settings.from_environment(SECURED)
    assert "hush" not in f"{settings!r} {settings} {settings.kafka!r}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOXOFFICE_TOPIC_PARTITIONS", "0"),
        ("BOXOFFICE_TOPIC_PARTITIONS", "many"),
        ("BOXOFFICE_TOPIC_RETENTION_HOURS", "-2"),
        ("BOXOFFICE_KAFKA_COMPRESSION", "zip"),
        ("BOXOFFICE_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("BOXOFFICE_KAFKA_SASL_MECHANISM", "GSSAPI"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({**SECURED, variable: value})


@pytest.mark.parametrize("missing", ["BOXOFFICE_KAFKA_SASL_USERNAME", "BOXOFFICE_KAFKA_SASL_PASSWORD"])
def test_half_a_log_in_is_refused(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        Settings.from_environment({**SECURED, missing: ""})


def test_the_sandbox_sells_nothing_where_it_is_refused() -> None:
    with pytest.raises(SettingsError, match="BOXOFFICE_SANDBOX=allowed"):
        Settings.from_environment({"BOXOFFICE_SANDBOX": "refused"})
    assert Settings.from_environment({"BOXOFFICE_SANDBOX": "refused", "BOXOFFICE_PROVIDER": "toss"}).provider == "toss"
    assert Settings.from_environment({}).provider == "sandbox"


# What docker-compose.yml leaves as it is. A new setting stands here, or is handed on.
OF_ITS_OWN = {"database_url", "redis_url", "kafka_bootstrap_servers", "ray_address", "data_dir", "host", "port", "demo"}
OF_ITS_OWN |= {"derived_keys", "bench", "toss_url", "stripe_url"}
OF_ITS_BROKER = {name for name in Settings.__struct_fields__ if name.startswith(("kafka_", "topic"))}
OF_SEVERAL_MACHINES = {"node_address", "node_certificate", "node_private_key", "node_authority"}
TUNED = {
    *("workers", "owner_processes", "owner_memory_mb", "hot_records_per_second", "connections"),
    *("connections_per_address", "actor_idle_seconds", "call_timeout_seconds", "deadline_seconds"),
    *("fair_use", "publish", "reconcile", "schedules_per_organizer"),
}


def test_docker_compose_hands_on_what_an_operator_must_be_able_to_set_and_refuses_the_sandbox() -> None:
    compose = (Path(__file__).parents[3] / "docker-compose.yml").read_text()
    set_there = set(re.findall(r"^ +(BOXOFFICE_[A-Z_]+): ", compose, re.MULTILINE))
    assert unknown(dict.fromkeys(set_there, "")) == []
    as_they_are = OF_ITS_OWN | OF_ITS_BROKER | OF_SEVERAL_MACHINES | TUNED
    assert as_they_are <= {*Settings.__struct_fields__}
    for name in {*Settings.__struct_fields__} - as_they_are - {"sandbox", "log_format"}:
        variable = f"BOXOFFICE_{name.upper()}"
        assert f"{variable}: ${{{variable}:-}}" in compose, variable
    assert "BOXOFFICE_SANDBOX: ${BOXOFFICE_SANDBOX:-refused}" in compose
    assert "BOXOFFICE_LOG_FORMAT: ${BOXOFFICE_LOG_FORMAT:-json}" in compose


MACHINE = {
    "BOXOFFICE_NODE": "a",
    "DATABASE_URL": "postgresql://db/boxoffice",
    "REDIS_URL": "redis://cache",
    "KAFKA_BOOTSTRAP_SERVERS": "broker:9092",
    "BOXOFFICE_SANDBOX_URL": "http://sandbox:9000",
    "BOXOFFICE_SECRET": "one and the same on all machines",
}


def test_a_machine_of_a_cluster_says_what_it_has_in_common_with_the_others() -> None:
    assert Settings.from_environment(MACHINE).unshared == []
    for variable in MACHINE.keys() - {"BOXOFFICE_NODE"}:
        assert Settings.from_environment({**MACHINE, variable: ""}).unshared == [variable]
    without = {**MACHINE, "KAFKA_BOOTSTRAP_SERVERS": "", "BOXOFFICE_PUBLISH": "off"}
    assert Settings.from_environment(without).unshared == []


@pytest.mark.parametrize("kind", NEEDED)
def test_every_process_of_a_machine_can_read_what_it_is_given(kind: str) -> None:
    given = Settings.from_environment(MACHINE).for_process(kind)
    assert Settings.from_environment(given.to_environment()).node == "a"


@pytest.mark.parametrize(
    "wrong",
    [
        {"BOXOFFICE_NODE": "owners@a"},
        {"BOXOFFICE_NODE": "A machine"},
        {"BOXOFFICE_NODE_CERTIFICATE": "cert.pem"},
        {"BOXOFFICE_NODE_CERTIFICATE": "cert.pem", "BOXOFFICE_NODE_PRIVATE_KEY": "key.pem"},
    ],
)
def test_a_machine_with_a_name_or_certificates_that_will_not_do_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Settings.from_environment({**MACHINE, **wrong})


NO_ORIGINS = [
    *("foo", "x.example", "ftp://x.example", "http://", "http://[::1", "https://a b", "https://x.example:99999"),
    "https://me:hush@x.example",
]


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("BOXOFFICE_PORT", ["-1", "65536"]),
        ("BOXOFFICE_WORKERS", ["0", "-3"]),
        ("BOXOFFICE_DEADLINE_SECONDS", ["0", "-1", "nan", "inf"]),
        ("BOXOFFICE_CALL_TIMEOUT_SECONDS", ["0", "-1", "nan", "inf"]),
        ("BOXOFFICE_ACTOR_IDLE_SECONDS", ["0", "-1", "nan", "inf"]),
        ("BOXOFFICE_LOG_FORMAT", ["xml"]),
        ("BOXOFFICE_PUBLIC_URL", [*NO_ORIGINS, "https://x.example ", "https://x.example/path"]),
        ("BOXOFFICE_CORS_ORIGINS", [*NO_ORIGINS, "https://x.example/path", "*", "https://x.example,foo"]),
        ("BOXOFFICE_SANDBOX_URL", NO_ORIGINS),
        ("BOXOFFICE_TOSS_URL", NO_ORIGINS),
        ("BOXOFFICE_STRIPE_URL", NO_ORIGINS),
        ("BOXOFFICE_SMTP_URL", ["foo", "http://mail.example", "smtp:me:hush@mail.example", "smtp://a b"]),
        ("BOXOFFICE_TOPIC", [".", "..", "a b", "예매", "a" * 250, "one,two"]),
        ("REDIS_URL", ["foo", "127.0.0.1:6379", "http://cache", "redis:me:hush@cache", "redis://", "redis://cache "]),
    ],
)
def test_what_nobody_can_mean_is_refused_and_no_password_told(variable: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(SettingsError, match=variable) as refused:
            Settings.from_environment({variable: value})
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize("url", ["https://tickets.example.com", "http://[::1]:8000", "HTTPS://예매.example/"])
def test_pages_may_be_reached_at_any_origin(url: str) -> None:
    assert Settings.from_environment({"BOXOFFICE_PUBLIC_URL": url}).public_url == url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOXOFFICE_SANDBOX_URL", "http://10.0.0.5:9000"),
        ("BOXOFFICE_TOSS_URL", "http://[::1]:80/toss/"),
        ("BOXOFFICE_STRIPE_URL", "https://proxy.example/stripe"),
        ("BOXOFFICE_SMTP_URL", "smtps://me:hu%2Fsh@mail.example:465"),
        ("BOXOFFICE_SMTP_URL", "smtp://mail.example?starttls=off"),
        ("BOXOFFICE_TOPIC", "booking-events.2_a"),
        ("BOXOFFICE_CORS_ORIGINS", "https://shop.example, http://[::1]:3000/"),
        ("REDIS_URL", "rediss://:hush@cache:6380/1"),
        ("REDIS_URL", "unix:///a directory/redis.sock"),
    ],
)
def test_what_somebody_can_mean_is_taken(variable: str, value: str) -> None:
    assert value in Settings.from_environment({variable: value}).to_environment().values()


def test_a_variable_that_is_misspelled_is_named() -> None:
    assert unknown({**MACHINE, "BOXOFFICE_SECRE": "hush", "BOXOFFICE_DEMO": "on", "HOME": "/"}) == ["BOXOFFICE_SECRE"]
