"""One request and its answer on a connection: the server's own, the head of the answer written out in less time."""

from __future__ import annotations

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

WITHOUT_BODY = (204, 304)


class Exchange(RequestResponseCycle):
    """As the server's, which looks through every header by two regular expressions; here the whole head is looked at.

    Header names are in lower case, as ASGI has them.
    """

    async def send(self, message: ASGISendEvent) -> None:
        """A message of the application's, on its way to the client. Raises `RuntimeError` for a header that would
        break the answer's head."""
        if (
            message["type"] != "http.response.start"
            or self.response_started
            or self.disconnected
            or self.flow.write_paused
        ):
            await super().send(message)
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        headers = [*self.default_headers, *message.get("headers", ())]
        parts = [STATUS_LINE[status]]
        closes = False
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
                closes = True
            parts += (name, b": ", value, b"\r\n")
        if self.chunked_encoding is None and status not in WITHOUT_BODY and self.scope["method"] != "HEAD":
            self.chunked_encoding = True
            headers.append((b"transfer-encoding", b"chunked"))
            parts.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(parts)
        lines = len(headers) + 1
        if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
            raise RuntimeError("a header of the answer holds what no header may")
        if not self.keep_alive and not closes:
            head += b"connection: close\r\n"
        self.transport.write(head + b"\r\n")
