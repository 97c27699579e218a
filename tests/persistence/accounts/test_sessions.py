"""Sessions: refresh tokens work once, and a revoked session is known to every worker before `announce` returns."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import SystemClock
from persistence.accounts import accounts, revocations, sessions
from persistence.accounts.revocations import Revocations
from persistence.accounts.sessions import GRACE, LIFETIME, UNUSED
from persistence.database.connection import create_engine
from persistence.embedded.process import running
from persistence.embedded.redis import redis
from tests.support.waiting import PATIENCE_SECONDS, until

new_id = SystemClock().new_id


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def worker(engine: AsyncEngine, redis_url: str, token_seconds: int = 900) -> AsyncIterator[Revocations]:
    """What one API worker knows."""
    known = Revocations(engine, redis_url, now_ms=SystemClock().now_ms, token_seconds=token_seconds, worker=new_id())
    await known.start()
    yield known
    await known.stop()


async def log_in(engine: AsyncEngine, account_id: str | None = None, *, browser: bool = False) -> tuple[str, str]:
    """A session of the account, or of a new one; its refresh token's hash is `first`."""
    async with engine.begin() as connection:
        if account_id is None:
            account_id = new_id()
            await accounts.create(
                connection,
                account_id=account_id,
                email=f"{account_id}@example.com",
                password_hash="",
                name=None,
                role="customer",
            )
        session_id, now = new_id(), datetime.now(UTC)
        await sessions.open_session(
            connection,
            session_id=session_id,
            account_id=account_id,
            refresh_hash=b"first" + session_id.encode(),
            at=now,
            browser=browser,
        )
    return account_id, session_id


async def revoke(engine: AsyncEngine, session_id: str) -> bool:
    async with engine.begin() as connection:
        return await sessions.revoke(connection, session_id, datetime.now(UTC))


async def rotate(
    engine: AsyncEngine,
    session_id: str,
    old: bytes,
    new: bytes,
    at: datetime | None = None,
    *,
    browser: bool = False,
) -> bool:
    async with engine.begin() as connection:
        session = await sessions.rotate(
            connection,
            session_id=session_id,
            old_hash=old + session_id.encode(),
            new_hashes=[new + session_id.encode()],
            browser=browser,
            at=at or datetime.now(UTC),
        )
    return session is not None


# --- rows -------------------------------------------------------------------------------------------------------------
async def test_a_refresh_token_works_once(engine: AsyncEngine) -> None:
    _, session_id = await log_in(engine)
    assert await rotate(engine, session_id, b"first", b"second")
    assert not await rotate(engine, session_id, b"first", b"third")
    assert await rotate(engine, session_id, b"second", b"third")


async def test_of_many_refreshes_at_once_one_works(engine: AsyncEngine) -> None:
    _, session_id = await log_in(engine)
    worked = await asyncio.gather(*(rotate(engine, session_id, b"first", b"%d" % number) for number in range(5)))
    assert sorted(worked) == [False, False, False, False, True]


async def test_a_session_that_ended_is_not_refreshed(engine: AsyncEngine) -> None:
    account_id, revoked = await log_in(engine)
    assert await revoke(engine, revoked)
    assert not await revoke(engine, revoked)
    assert not await rotate(engine, revoked, b"first", b"second")
    _, expired = await log_in(engine, account_id)
    assert not await rotate(engine, expired, b"first", b"second", datetime.now(UTC) + UNUSED)
    _, orphaned = await log_in(engine, account_id)
    async with engine.begin() as connection:
        await accounts.forget(connection, account_id, datetime.now(UTC))
    assert not await rotate(engine, orphaned, b"first", b"second")


async def test_all_sessions_of_an_account_end_together(engine: AsyncEngine) -> None:
    account_id, one = await log_in(engine)
    _, two = await log_in(engine, account_id)
    _, strangers = await log_in(engine)
    async with engine.begin() as connection:
        assert set(await sessions.revoke_all(connection, account_id, datetime.now(UTC))) == {one, two}
    assert await rotate(engine, strangers, b"first", b"second")


async def test_all_sessions_but_one_can_be_ended(engine: AsyncEngine) -> None:
    account_id, one = await log_in(engine)
    _, two = await log_in(engine, account_id)
    async with engine.begin() as connection:
        assert await sessions.revoke_all(connection, account_id, datetime.now(UTC), except_id=one) == [two]
    assert await rotate(engine, one, b"first", b"second")


async def test_a_browser_may_show_the_token_before_once_more_within_the_grace(engine: AsyncEngine) -> None:
    _, session_id = await log_in(engine, browser=True)
    now = datetime.now(UTC)
    assert await rotate(engine, session_id, b"first", b"second", now, browser=True)
    almost = now + GRACE - timedelta(milliseconds=1)
    assert not await rotate(engine, session_id, b"first", b"another", almost, browser=True), "only the same successor"
    assert await rotate(engine, session_id, b"first", b"second", almost, browser=True)
    assert not await rotate(engine, session_id, b"first", b"second", almost, browser=True), "once"
    assert await rotate(engine, session_id, b"second", b"third", almost, browser=True)
    assert not await rotate(engine, session_id, b"second", b"third", almost + GRACE, browser=True), "too late"


async def test_of_two_tabs_that_refresh_at_once_both_go_on(engine: AsyncEngine) -> None:
    _, session_id = await log_in(engine, browser=True)
    worked = await asyncio.gather(*(rotate(engine, session_id, b"first", b"second", browser=True) for _ in range(2)))
    assert worked == [True, True]


async def test_a_cookie_s_token_is_of_no_use_to_programs_nor_theirs_to_a_browser(engine: AsyncEngine) -> None:
    for browser in (True, False):
        _, session_id = await log_in(engine, browser=browser)
        assert not await rotate(engine, session_id, b"first", b"second", browser=not browser)


async def test_a_session_ends_however_often_it_is_used(engine: AsyncEngine) -> None:
    _, session_id = await log_in(engine)
    at, names = datetime.now(UTC), itertools.count()
    end = at + LIFETIME
    old = b"first"
    while at < end - UNUSED:
        at += UNUSED - timedelta(days=1)
        new = b"%d" % next(names)
        assert await rotate(engine, session_id, old, new, at)
        old = new
    assert not await rotate(engine, session_id, old, b"after", end + timedelta(seconds=1))


# --- who is out -------------------------------------------------------------------------------------------------------
async def test_every_worker_knows_when_announce_returns(
    engine: AsyncEngine, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(revocations, "ACK_SECONDS", PATIENCE_SECONDS)
    async with worker(engine, redis_url) as one, worker(engine, redis_url) as two, worker(engine, redis_url) as three:
        for each in (one, two, three):
            assert each.live
        for _ in range(20):
            _, session_id = await log_in(engine)
            assert not await three.is_revoked(session_id)
            await revoke(engine, session_id)
            await one.announce([session_id])
            assert "not acknowledged" not in caplog.text, "all acknowledged, so nothing is waited out"
            for each in (one, two, three):
                assert await each.is_revoked(session_id)


async def test_a_worker_that_starts_later_knows_as_well(engine: AsyncEngine, redis_url: str) -> None:
    _, session_id = await log_in(engine)
    _, other = await log_in(engine)
    await revoke(engine, session_id)
    async with worker(engine, redis_url) as late:
        assert await late.is_revoked(session_id)
        assert not await late.is_revoked(other)


async def test_a_session_is_forgotten_when_its_last_token_has_expired(engine: AsyncEngine, redis_url: str) -> None:
    async with worker(engine, redis_url, token_seconds=0) as one:
        ids = [new_id() for _ in range(3)]
        for session_id in ids:
            await one.announce([session_id])
            await until(lambda: SystemClock().now_ms() > next(iter(one._revoked.values())))
        assert len(one._revoked) == 1


async def test_without_redis_the_row_decides(engine: AsyncEngine) -> None:
    async with worker(engine, "redis://127.0.0.1:1") as one, worker(engine, "redis://127.0.0.1:1") as two:
        _, session_id = await log_in(engine)
        assert not one.live
        assert not await one.is_revoked(session_id)
        assert not await two.is_revoked(session_id)
        await revoke(engine, session_id)
        await one.announce([session_id])
        for each in (one, two):
            assert await each.is_revoked(session_id)
        assert await two.is_revoked(new_id()), "a session that does not exist lets nobody in"


async def test_a_worker_that_alone_cannot_reach_redis_has_the_others_know_when_announce_returns(
    engine: AsyncEngine, redis_url: str
) -> None:
    """They are subscribed and hear nothing: what is not said cannot be missed."""
    async with worker(engine, "redis://127.0.0.1:1") as cut_off, worker(engine, redis_url) as other:
        _, session_id = await log_in(engine)
        assert other.live
        assert not await other.is_revoked(session_id)
        await revoke(engine, session_id)
        await cut_off.announce([session_id])
        assert other.live
        assert await other.is_revoked(session_id)


async def test_what_was_missed_while_redis_was_away_is_read_from_postgres(engine: AsyncEngine, tmp_path: Path) -> None:
    program = redis(tmp_path)
    async with running(program):
        url = program.address
        async with worker(engine, url) as one:
            assert one.live
            _, missed = await log_in(engine)
            await one._redis.client_kill_filter(_type="pubsub")
            await revoke(engine, missed)
            await until(lambda: not one.live)
            await until(lambda: one.live)
            assert missed in one._revoked
