"""Logging and metrics, configured by process entries only; everything else just logs and counts.

Log lines go to standard error, as text for people or as JSON (`BOXOFFICE_LOG_FORMAT=json`), each naming its process;
what is said again and again is written a few times (`repeats.py`); tracebacks never show local variables, which may
hold a password. Where several processes serve one port, their metrics
are gathered through the directory PROMETHEUS_MULTIPROC_DIR names, so that `/metrics` tells the same whichever answers.
"""

from __future__ import annotations

import logging
import os
import sys
from contextvars import ContextVar

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from structlog.types import EventDict, Processor, WrappedLogger

from actors.process.repeats import Repeats
from actors.process.settings import Settings

logger = logging.getLogger("boxoffice")

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client reads it when it is imported: set it before the start
# The request that is being answered, in whose lines it stands; structlog looks for names with this beginning.
REQUEST_ID: ContextVar[str] = ContextVar("structlog_request_id")
QUIET = ("aiokafka", "alembic", "asyncio", "httpx", "httpcore", "uvicorn.error", "watchfiles")


def configure(settings: Settings, process: str, **facts: str) -> None:
    """Sets up this process's logging. `process` and `facts` (such as `schedule_id`) stand in each of its lines."""

    def name_process(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        kept = {name: value for name, value in line.items() if not name.startswith("_ray_")}  # Ray marks every record
        return {**kept, "process": process, **facts}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
    ]
    as_json: list[Processor] = [
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    as_text: list[Processor] = [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(as_json if settings.log_format == "json" else as_text),
            ],
        )
    )
    handler.addFilter(Repeats(QUIET))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def metrics() -> tuple[bytes, str]:
    """What `/metrics` answers: the page in the Prometheus text format, and its content type."""
    if METRICS_VARIABLE not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
    return generate_latest(registry), CONTENT_TYPE_LATEST
