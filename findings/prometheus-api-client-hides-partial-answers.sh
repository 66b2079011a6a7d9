#!/usr/bin/env bash
# prometheus-api-client 0.7.2 hands a partial answer on as if it were whole.
#
# Version:   prometheus-api-client 0.7.2 (Python package).
# Behaviour: PrometheusConnect.custom_query returns `data.result` and nothing else of the answer of /api/v1/query. The fields
#            `warnings` and `infos`, by which Prometheus, Thanos and others say that an answer lacks a part, and `resultType`,
#            are gone; nothing raises, and nothing is logged. A scalar comes back as the bare pair [time, "value"], where every
#            other result is a list of series.
# Output:    the three lines that this script prints last.
# What to do: ask the HTTP API yourself where an answer that lacks a part must not count as a whole one.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/pip" install --quiet --disable-pip-version-check 'prometheus-api-client==0.7.2'
"$dir/env/bin/python" - <<'PYTHON'
import json, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from urllib.parse import parse_qs, urlsplit

from prometheus_api_client import PrometheusConnect

SERIES = [{"metric": {"job": "shop"}, "value": [1700000000, "1"]}]
ANSWERS = {
    "up": {"status": "success", "data": {"resultType": "vector", "result": SERIES}},
    "up{replica='b'}": {
        "status": "success",
        "data": {"resultType": "vector", "result": SERIES},
        "warnings": ["fetch series for replica b: no answer"],
    },
    "scalar(up)": {"status": "success", "data": {"resultType": "scalar", "result": [1700000000, "1"]}},
}


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        body = json.dumps(ANSWERS[query]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Answering)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = PrometheusConnect(url=f"http://127.0.0.1:{server.server_port}")
whole, part, scalar = (client.custom_query(query) for query in ANSWERS)
server.shutdown()
print(f"prometheus-api-client {version('prometheus-api-client')}")
print(f"whole answer:            {whole}")
print(f"answer with a warning:   {part}")
print(f"scalar:                  {scalar}")
if not (whole == part == SERIES and scalar == [1700000000, "1"]):
    sys.exit("it is no longer so")
PYTHON
