"""Apache Kafka is fetched as it is locked or not at all, keeps its topics, and goes when it is told to."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psutil
import pytest
from fastapi import FastAPI, Response

from loadtest import apache_kafka as module
from loadtest.apache_kafka import VERSION, CannotFetch, Jar, apache_kafka, fetch, java, locked_jars
from persistence.embedded.process import ProcessError, running
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from tests.support.services.serving import serve

ROOT = Path(__file__).parents[2]
CONTENT = b"a jar, let us say"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())


def test_every_jar_is_locked_by_its_checksum_and_kafka_is_the_version_said() -> None:
    jars = locked_jars()
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert len({jar.name for jar in jars}) == len(jars)
    kafka = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert kafka == {VERSION}


def test_docker_compose_has_the_same_version() -> None:
    assert f"image: apache/kafka:{VERSION}\n" in (ROOT / "docker-compose.yml").read_text()


def repository(content: bytes, asked: list[str]) -> FastAPI:
    app = FastAPI()

    @app.get("/{path:path}")
    async def file(path: str) -> Response:
        asked.append(path)
        return Response(content, status_code=200 if path.startswith("org/example/") else 404)

    return app


async def test_what_is_missing_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    async with serve(repository(CONTENT, asked)) as url:
        monkeypatch.setattr(module, "REPOSITORY", url)
        await fetch(tmp_path / "cache", [JAR])
        await fetch(tmp_path / "cache", [JAR])
    assert (tmp_path / "cache" / "thing-1.0.jar").read_bytes() == CONTENT
    assert asked == ["org/example/thing/1.0/thing-1.0.jar"]


async def test_a_jar_that_is_damaged_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thing-1.0.jar").write_bytes(b"damaged")
    async with serve(repository(CONTENT, [])) as url:
        monkeypatch.setattr(module, "REPOSITORY", url)
        await fetch(tmp_path, [JAR])
    assert (tmp_path / "thing-1.0.jar").read_bytes() == CONTENT


async def test_another_content_than_the_locked_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(repository(b"something else", [])) as url:
        monkeypatch.setattr(module, "REPOSITORY", url)
        with pytest.raises(CannotFetch, match="SHA-256"):
            await fetch(tmp_path, [JAR])
    assert not (tmp_path / "thing-1.0.jar").exists()


async def test_a_repository_that_lacks_it_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(repository(CONTENT, [])) as url:
        monkeypatch.setattr(module, "REPOSITORY", url)
        with pytest.raises(CannotFetch, match="404"):
            await fetch(tmp_path, [Jar("org.nowhere", "thing", "1.0", JAR.sha256)])


def test_without_java_it_is_said_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(CannotFetch, match=f"Java {module.OLDEST_JAVA}"):
        java()


async def test_it_keeps_its_topics_and_leaves_no_process(apache_kafka_jars: Path, tmp_path: Path) -> None:
    program = apache_kafka(apache_kafka_jars, tmp_path)
    log = KafkaEventLog(KafkaOptions(servers=program.address, topic="kept"))
    async with running(program) as child:
        await log.publish("a", [b"one"])
    assert not psutil.pid_exists(child.pid)
    async with running(program):
        assert [message.value for message in await log.read_all()] == [b"one"]
        await log.close()


async def test_a_broker_that_cannot_start_says_why(apache_kafka_jars: Path, tmp_path: Path) -> None:
    program = apache_kafka(apache_kafka_jars, tmp_path, properties={"log.retention.ms": "soon"})
    with pytest.raises(ProcessError, match=r"log\.retention\.ms"):
        async with running(program):
            pass
