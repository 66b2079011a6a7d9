"""A stand-in for Prometheus in a process of its own: `python -m bench.stand_in` prints its address. It knows counters only.

A query's text says what it is answered: `many="250"` is the number of its series, `value="7"` a factor on what they say, `slow="4"`
seconds until the answer comes; `flips="20"` is 0.5 in the second half of every 20 seconds and else 0; `scalar(...)` gives a scalar.
Queries that were joined are answered as Prometheus does.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parent.parent
_BEGINS, _ENDS = "label_replace((\n", re.compile(r'\n\), "(tidegate_\w+)", "([^"]*)", "", ""\)')
_SAYS = re.compile(r'(many|value|slow|flips)="([0-9.]+)"')


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Give the address of a stand-in that ends afterwards."""
    process = subprocess.Popen([sys.executable, "-m", "bench.stand_in"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def joined_of(query: str) -> list[tuple[str, dict[str, str]]]:
    """Return the queries that were joined, in any depth, each with the labels that its series get; none where it is one alone."""
    found: list[tuple[str, dict[str, str]]] = []
    open_at: list[tuple[int, int]] = []
    at = 0
    while at < len(query):
        end = _ENDS.match(query, at)
        if query.startswith(_BEGINS, at):
            open_at.append((at + len(_BEGINS), len(found)))
            at += len(_BEGINS)
        elif end is not None and open_at:
            begin, first = open_at.pop()
            if first == len(found):
                found.append((query[begin:at], {}))
            for _, labels in found[first:]:
                labels[end[1]] = end[2]
            at = end.end()
        else:
            at += 1
    return found


@lru_cache(maxsize=64)
def _labels(many: int) -> tuple[str, ...]:
    return tuple(
        f'"namespace":"shop","job":"shop/checkout","pod":"checkout-7d9c5b6f4-{pod:05d}",'
        f'"instance":"10.1.{pod // 250}.{pod % 250}:8080","path":"/api/v1/orders/{pod:05d}","code":"200"'
        for pod in range(many)
    )


def answer(query: str, at: float, reckoned: float) -> tuple[int, bytes, float]:
    """Return status and body, and the seconds after which they come."""
    if query.startswith("time() #"):
        return 200, b'{"status":"success","data":{"resultType":"scalar","result":[%.3f,"%.3f"]}}' % (at, at), 0.0
    parts = joined_of(query) or [(query, {})]
    says = [dict(_SAYS.findall(text)) for text, _ in parts]
    seconds = sum(float(one.get("slow", 0)) for one in says)
    if any(text.startswith("scalar(") for text, _ in parts):
        if len(parts) > 1:
            return 400, b'{"status":"error","errorType":"bad_data","error":"expected type instant vector, got scalar"}', 0.0
        return 200, b'{"status":"success","data":{"resultType":"scalar","result":[%.3f,"0.01"]}}' % at, seconds
    rows = []
    for (text, tags), one in zip(parts, says, strict=True):
        more = "".join(f',"{name}":"{value}"' for name, value in tags.items())
        scraped = at - at % 5
        value = (
            f"{scraped:.3f}"
            if text.lstrip().startswith("timestamp(")
            else f"{float(one.get('value', 1)) * (scraped - reckoned):.0f}"
        )
        if "flips" in one:
            period = float(one["flips"])
            value = "0.5" if at % period >= period / 2 else "0"
        end = f'{more}}},"value":[{at:.3f},"{value}"]}}'
        rows += [f'{{"metric":{{{labels}{end}' for labels in _labels(int(one.get("many", 1)))]
    return 200, f'{{"status":"success","data":{{"resultType":"vector","result":[{",".join(rows)}]}}}}'.encode(), seconds


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    reckoned = time.time() - 3600

    def do_GET(self) -> None:
        asked = urlsplit(self.path).query or self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        given = {name: values[0] for name, values in parse_qs(asked).items()}
        status, body, seconds = answer(given["query"], float(given.get("time", time.time())), self.reckoned)
        longest = float(given.get("timeout", "60000ms").removesuffix("ms")) / 1000
        if seconds > longest:
            status, body = 503, b'{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}'
        time.sleep(min(seconds, longest))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the server calls it so

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # somebody has read enough
            super().handle()

    def log_message(self, *args: Any) -> None:
        pass


def main() -> None:
    """Serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(json.dumps(f"http://127.0.0.1:{server.server_port}").strip('"'), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
