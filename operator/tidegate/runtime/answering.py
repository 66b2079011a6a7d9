"""Connections to pods on which a request has one answer: whoever answers more than that, or unasked, is heard no further.

Bytes are looked through in pieces, and answers are counted as they come: what runs in a pod cannot have the operator
read more than it has asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

MOST_ANSWERS = 8
"""Answers to one request at most: its own, and some before it that it is to come."""
_HEAD, _BODY = 4 * 1024, 16 * 1024
"""Bytes that are looked through at once: the shortest answers have some twenty."""


class _OneAnswer(ResponseHandler):
    """What is heard on one connection."""

    _answers = 0

    def set_response_params(self, **parameters: Any) -> None:
        """Begin to listen for the answer to another request."""
        self._answers = 0
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        """Take in what has come, and no more once there are too many answers in it."""
        at = 0
        while True:
            within = self._payload is not None and not self._payload.is_eof()
            size, before = (_BODY if within else _HEAD), len(self)
            super().data_received(data[at : at + size])
            at += size
            self._answers += len(self) - before
            if self._answers > MOST_ANSWERS:
                self._refuse()
            if at >= len(data) or self.transport is None or self._exception is not None:
                return

    def _refuse(self) -> None:
        self._buffer.clear()
        if self.transport is not None:
            self.transport.abort()
        self.set_exception(HttpProcessingError(message="too many answers"))


class OneAnswerConnector(aiohttp.TCPConnector):
    """Makes such connections; arguments are those of the library's own."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        make: Callable[..., ResponseHandler] = _OneAnswer
        self._factory = partial(make, loop=self._loop)


__all__ = ["MOST_ANSWERS", "OneAnswerConnector"]
