"""Structured logs: JSON lines for machines, colours for a terminal; never bodies of objects, never secrets."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog

from tidegate.controller.process.config import LogLevel


def configure(level: LogLevel) -> None:
    """Send all logs, those of libraries too, to standard error in one form."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor
    if sys.stderr.isatty():
        shared.pop()
        renderer = structlog.dev.ConsoleRenderer()
    else:
        renderer = structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Of the libraries only what is wrong: kopf logs whole objects at DEBUG and a line for every event at INFO.
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("tidegate").setLevel(number)
