"""Calls between two machines: bytes there and bytes back, on TCP, between ends that have proved who they are.

Both ends know a key and show it by answering the other's challenge (HMAC, RFC 2104), fresh for each connection and
bound to whom the caller wants to reach. Nothing of what comes is looked at before that but its first 76 bytes, which
have fixed places. From then on each frame is a length, a tag and so many bytes; the tag covers the frame's number and
its direction, so that whoever stands on the line can neither change, repeat, drop nor turn back what was said. What is
said can be read there unless `Trust` names certificates: then all of it goes over TLS, and both ends show theirs.

Each connection carries one call at a time, as in `actors/wire/channel.py`; one on which anything went wrong is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

MAGIC = b"BOX1"
HELLO = struct.Struct("4s8s32s")  # magic, which key, the caller's challenge
REPLY = struct.Struct("32s32s")  # the other end's challenge, its proof
HEADER = struct.Struct(">I16s")  # length, tag
NUMBER = struct.Struct(">Q")
PROOF = 32
FRAME_LIMIT = 64 * 2**20  # bytes; a full call of 512 requests takes a hundredth of it
HANDSHAKE_SECONDS = 3.0
CONNECT_SECONDS = 1.5  # on a network of one's own; whoever does not answer is asked again soon
STRANGERS = 256  # connections at a time that have not proved anything yet

logger = logging.getLogger(__name__)


class Refused(ConnectionError):
    """The other end is not who it was taken for, or does not take us for who we are."""


class Trust(Struct, frozen=True):
    """What ends know each other by: keys, the newest first, of which each end has one in common; certificates."""

    keys: list[bytes]
    certificate: str = ""  # a PEM file, of this end, and its key's; without one there is no TLS
    private_key: str = ""
    authority: str = ""  # a PEM file: who signs the certificates of all ends

    @property
    def known_by(self) -> list[str]:
        """What an end may tell everybody, by which two see beforehand whether they will know each other."""
        return [f"{_mark(key).hex()}{'/tls' if self.certificate else ''}" for key in self.keys]

    def context(self, purpose: ssl.Purpose) -> ssl.SSLContext | None:
        """TLS for one end, which shows its certificate and asks for the other's."""
        if not self.certificate:
            return None
        context = ssl.create_default_context(purpose, cafile=self.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # ends are known by their proofs; names of machines say nothing more
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificate, self.private_key)
        return context


encode_trust = msgspec.msgpack.Encoder().encode
decode_trust = msgspec.msgpack.Decoder(Trust).decode


def _mark(key: bytes) -> bytes:
    """By which an end says which key it means."""
    return hmac.digest(key, b"which", hashlib.sha256)[:8]


class _Secrets:
    """What follows from a key, both challenges and whom the caller wants to reach."""

    def __init__(self, key: bytes, identity: str, hello: bytes, challenge: bytes) -> None:
        self._key = key
        self._said = hashlib.sha256(identity.encode()).digest() + hello + challenge

    def of(self, purpose: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + self._said, hashlib.sha256)


class _Line:
    """One connection whose ends know each other."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, sends: bytes, receives: bytes
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._sends, self._receives = sends, receives
        self._sent = self._received = 0

    @property
    def ended(self) -> bool:
        return self._writer.is_closing() or self._reader.at_eof()

    async def send(self, data: bytes) -> None:
        if len(data) > FRAME_LIMIT:
            raise ValueError(f"a frame of {len(data)} bytes is longer than {FRAME_LIMIT}")
        tag = _tag(self._sends, self._sent, data)
        self._sent += 1
        self._writer.writelines((HEADER.pack(len(data), tag), data))
        await self._writer.drain()

    async def receive(self) -> bytes:
        """The next frame. Raises `IncompleteReadError` where the other end has gone, `Refused` at a wrong one."""
        length, tag = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        if length > FRAME_LIMIT:
            raise Refused(f"a frame of {length} bytes is longer than {FRAME_LIMIT}")
        data = await self._reader.readexactly(length)
        if not hmac.compare_digest(tag, _tag(self._receives, self._received, data)):
            raise Refused("a frame is not what the other end has sent")
        self._received += 1
        return data

    def close(self) -> None:
        self._writer.close()


def _tag(key: bytes, number: int, data: bytes) -> bytes:
    return hmac.digest(key, NUMBER.pack(number) + data, hashlib.sha256)[:16]


class Listener:
    """Answers the calls of whoever proves to know a key of `trust` and means us by `identity`."""

    def __init__(self, identity: str, trust: Trust, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._identity = identity
        self._keys = {_mark(key): key for key in trust.keys}
        self._context = trust.context(ssl.Purpose.CLIENT_AUTH)
        self._answer = answer
        self._strangers = 0
        self._conversations: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def listen(self, host: str) -> int:
        """Begins, on a free port of the address, which is returned."""
        self._server = await asyncio.start_server(
            self._accept,
            host,
            0,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if self._context else None,
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Ends it, and every connection."""
        self._server.close()
        for each in self._conversations:
            each.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError) as error:
            if isinstance(error, Refused):
                logger.warning("a connection from %s is refused: %s", writer.get_extra_info("peername"), error)
        except asyncio.CancelledError:
            pass  # nobody is to hear of it: we are closing
        except Exception:  # whatever `answer` raises: this caller is told by the end of its connection
            logger.exception("a call on %s failed", self._identity)
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._strangers >= STRANGERS:
            raise Refused("too many others have proved nothing yet")
        self._strangers += 1
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                line = await self._shake_hands(reader, writer)
        finally:
            self._strangers -= 1
        while True:
            await line.send(await self._answer(await line.receive()))

    async def _shake_hands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Line:
        _keep_alive(writer)
        hello = await reader.readexactly(HELLO.size)
        magic, mark, _ = HELLO.unpack(hello)
        key = self._keys.get(mark)
        if magic != MAGIC or key is None:
            raise Refused("it speaks of a key that is not ours")
        challenge = secrets.token_bytes(32)
        known = _Secrets(key, self._identity, hello, challenge)
        writer.write(REPLY.pack(challenge, known.of(b"listener")))
        if not hmac.compare_digest(await reader.readexactly(PROOF), known.of(b"caller")):
            raise Refused("it does not have the key, or means somebody else")
        return _Line(reader, writer, sends=known.of(b"back"), receives=known.of(b"there"))


class SecuredChannel:
    """The caller's end. Connects at the first call; `close` ends what is idle now, the rest when it has answered."""

    def __init__(self, host: str, port: int, identity: str, trust: Trust) -> None:
        self._host, self._port = host, port
        self._identity = identity
        self._keys = trust.keys
        self._context = trust.context(ssl.Purpose.SERVER_AUTH)
        self._idle: list[_Line] = []
        self._closed = False

    async def call(self, data: bytes) -> bytes:
        """The other end's answer. Raises `ConnectionError` (`Refused`) or `OSError` where there is none to be had."""
        line = await self._free()
        try:
            await line.send(data)
            answer = await line.receive()
        except asyncio.IncompleteReadError as error:
            line.close()
            raise ConnectionResetError("the other end has gone") from error
        except BaseException:  # raised again: also of a call given up, the answer must not reach the next one
            line.close()
            raise
        if self._closed:
            line.close()
        else:
            self._idle.append(line)
        return answer

    async def reach(self) -> None:
        """Sees that the other end is there and knows us. Raises as `call` does."""
        self._idle.append(await self._free())

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _free(self) -> _Line:
        while self._idle:
            line = self._idle.pop()
            if not line.ended:
                return line
            line.close()
        for key in self._keys[:-1]:
            with contextlib.suppress(Refused):  # the other end may not know the newest yet
                return await self._connect(key)
        return await self._connect(self._keys[-1])

    async def _connect(self, key: bytes) -> _Line:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context)
                try:
                    return await self._shake_hands(reader, writer, key)
                except BaseException:  # raised again
                    writer.close()
                    raise
        except asyncio.IncompleteReadError as error:
            raise Refused("it does not take us for one of its own") from error
        except TimeoutError as error:
            raise ConnectionError("it does not answer") from error

    async def _shake_hands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> _Line:
        _keep_alive(writer)
        hello = HELLO.pack(MAGIC, _mark(key), secrets.token_bytes(32))
        writer.write(hello)
        challenge, proof = REPLY.unpack(await reader.readexactly(REPLY.size))
        known = _Secrets(key, self._identity, hello, challenge)
        if not hmac.compare_digest(proof, known.of(b"listener")):
            raise Refused("it does not have the key, or is somebody else")
        writer.write(known.of(b"caller"))
        return _Line(reader, writer, sends=known.of(b"there"), receives=known.of(b"back"))


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Has the system find out when the other machine has gone without a word."""
    end = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
