#!/usr/bin/env bash
# VictoriaMetrics has no functions of native histograms, and one of them fails the whole query, what stands before `or` included.
#
# Version:   github.com/VictoriaMetrics/VictoriaMetrics v1.143.0 (single node, built from its Go module).
# Behaviour: `a or histogram_count(b)` is valid in Prometheus since native histograms are, and reads a counter whichever way its
#            histogram is stored. VictoriaMetrics answers with an error and gives no `a` either, although there is one; the reason
#            stands at the end of a message that repeats the query first, however long that is.
# Output:    the three lines that this script prints last.
# What to do: find out what the server has (`histogram_count(vector(0))`), and leave it out of queries where it is not.
set -euo pipefail
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server" || true; }; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
go mod init finding >/dev/null 2>&1
go get -tool github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@v1.143.0 >/dev/null 2>&1
CGO_ENABLED=0 go build -o victoria-metrics github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
./victoria-metrics -storageDataPath="$dir/data" -httpListenAddr="127.0.0.1:$port" >"$dir/log" 2>&1 &
server=$!
python3 - "http://127.0.0.1:$port" <<'PYTHON'
import json, sys, time
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

address = sys.argv[1]


def ask(query):
    try:
        with urlopen(f"{address}/api/v1/query?{urlencode({'query': query, 'latency_offset': '1s'})}", timeout=5) as answer:
            return answer.status, [one["value"][1] for one in json.load(answer)["data"]["result"]]
    except HTTPError as error:
        return error.code, json.load(error)["error"]


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = what()
        except URLError:
            found = None
        if found:
            return found
        time.sleep(0.5)
    sys.exit("VictoriaMetrics did not answer")


until(lambda: urlopen(f"{address}/health", timeout=5).status == 200)
urlopen(f"{address}/api/v1/import/prometheus", data=b"shop_requests_total 7\n", timeout=5)
alone = until(lambda: found if (found := ask("shop_requests_total"))[1] else None)
joined = ask("shop_requests_total or histogram_count(shop_request_duration_seconds)")
print("VictoriaMetrics v1.143.0")
print(f"shop_requests_total:                          {alone[0]} {alone[1]}")
print(f"shop_requests_total or histogram_count(...):  {joined[0]} {joined[1]}")
if alone != (200, ["7"]) or joined[0] == 200 or 'unsupported function "histogram_count"' not in joined[1]:
    sys.exit("it is no longer so")
PYTHON
