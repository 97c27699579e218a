"""The environment says how Kafka is reached; what cannot be meant is refused, and no secret is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.process.settings import SECRETS, Settings, SettingsError

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


def test_docker_compose_hands_on_what_an_operator_must_be_able_to_set_and_refuses_the_sandbox() -> None:
    compose = (Path(__file__).parents[3] / "docker-compose.yml").read_text()
    given_there = {"database_url", "redis_url", "kafka_sasl_password"}  # of services in the same file
    wanted = SECRETS - given_there | {"provider", "mail_from", "public_url", "trusted_proxies", "docs", "metrics"}
    for name in wanted:
        variable = f"BOXOFFICE_{name.upper()}"
        assert f"{variable}: ${{{variable}:-}}" in compose, variable
    assert "BOXOFFICE_SANDBOX: ${BOXOFFICE_SANDBOX:-refused}" in compose
