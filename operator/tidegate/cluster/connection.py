"""Where the API server is and how to prove who we are, kept fresh while the process runs."""

import asyncio
import os
import ssl
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import metadata

import aiohttp
import structlog
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from tidegate.api.wrong import not_yaml
from tidegate.cluster.fence import Sockets
from tidegate.runtime.clock import Clock, SystemClock
from tidegate.runtime.errors import Terminal

log = structlog.get_logger(__name__)

IN_CLUSTER_REFRESH = 60.0
"""Seconds between readings of the projected token; the kubelet renews it when 20% of its life is left."""
KUBECONFIG_REFRESH = 300.0
"""Seconds between readings of a kubeconfig, which may run a credential plugin."""
FORCED_REFRESH_GAP = 5.0
"""Least seconds between readings that a 401 asks for."""
POOL = 100
"""Connections at once for requests. Watches, each of which holds one for as long as it lasts, go through a session of their own."""

Load = Callable[[], Awaitable[Configuration]]

# A kubeconfig that is missing, empty or not what it should be surfaces as any of these in the loader.
UNREADABLE = (ConfigException, OSError, TypeError, AttributeError, ValueError, LookupError, RecursionError, yaml.YAMLError)


def user_agent() -> str:
    """The User-Agent of every request: `tidegate/<version>`."""
    return f"tidegate/{metadata.version('tidegate')}"


class Connection:
    """An API server and the credentials for it.

    Args:
        load: reads the configuration; called again to renew credentials.
        configuration: what `load` returned the first time.
        refresh: seconds between readings.
        proxy: URL of an HTTP proxy, or None.
        clock: measures the age of the credentials.
    """

    def __init__(
        self,
        load: Load,
        configuration: Configuration,
        *,
        refresh: float,
        proxy: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._load = load
        self._clock = clock or SystemClock()
        self._refresh = refresh
        self._proxy = proxy
        self._ssl = _ssl_context(configuration)
        self._server_name: str | None = configuration.tls_server_name
        self.server: str = configuration.host.rstrip("/")
        self._authorization: str | None = _authorization(configuration)
        self._read_at = self._clock.monotonic()
        self._reading = asyncio.Lock()

    def open_session(self, *, limit: int = POOL, deliver_within: float | None = None) -> aiohttp.ClientSession:
        """A session whose requests carry fresh credentials; they name `server` in their URLs.

        Its owner closes it. A 401 has the credentials read again, and the request repeated once.

        Args:
            limit: connections at once; 0 for no limit.
            deliver_within: seconds after which the system drops what it could not deliver; None for its own patience.
        """
        sockets = Sockets(deliver_within) if deliver_within is not None else None
        connector = aiohttp.TCPConnector(limit=limit, ssl=self._ssl, ttl_dns_cache=30, socket_factory=sockets)
        return aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": user_agent(), "Accept": "application/json"},
            middlewares=(self._authorize,),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
        )

    @property
    def server_hostname(self) -> str | None:
        """The name to expect in the server's certificate, where it is not the one in the URL."""
        return self._server_name

    async def _authorize(
        self,
        request: aiohttp.ClientRequest,
        handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        await self._renew(older_than=self._refresh)
        sent = self._authorization
        if sent is not None:
            request.headers["Authorization"] = sent
        response = await handler(request)
        if response.status != 401:
            return response
        await self._renew(older_than=FORCED_REFRESH_GAP)
        if self._authorization is None or self._authorization == sent:
            return response
        response.release()
        request.headers["Authorization"] = self._authorization
        return await handler(request)

    async def _renew(self, *, older_than: float) -> None:
        if self._clock.monotonic() - self._read_at < older_than:
            return
        async with self._reading:
            if self._clock.monotonic() - self._read_at < older_than:
                return
            # Counts as read even if it fails: the old credentials may do, and a broken file is not read per request.
            self._read_at = self._clock.monotonic()
            try:
                configuration = await self._load()
                self._authorization = _authorization(configuration)
                _trust(self._ssl, configuration)
            except UNREADABLE as error:
                log.warning("credentials could not be read again", error=words_of(error))


@dataclass(frozen=True)
class Source:
    """Where a configuration comes from.

    Attributes:
        load: reads it, again and again.
        configuration: what was read.
        refresh: seconds between readings.
        proxy: URL of an HTTP proxy, or None.
    """

    load: Load
    configuration: Configuration
    refresh: float
    proxy: str | None


async def connect(kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """Finds the API server.

    It is looked for in the kubeconfig given, then in `$KUBECONFIG`, the pod's service account and `~/.kube/config`.

    Args:
        kubeconfig: path of a kubeconfig, or several joined as in `$KUBECONFIG`.
        context: context within it; None for its current one.

    Raises:
        Terminal: if no configuration is found or it cannot be used.
    """
    found = await source(kubeconfig, context)
    return Connection(found.load, found.configuration, refresh=found.refresh, proxy=found.proxy)


async def source(kubeconfig: str | None, context: str | None, change: Callable[[Load], Load] = lambda load: load) -> Source:
    """Find how the API server is reached, in the places that `connect` names.

    Args:
        kubeconfig: path of a kubeconfig, or several joined as in `$KUBECONFIG`.
        context: context within it; None for its current one.
        change: makes of what reads a configuration what reads another one.

    Raises:
        Terminal: if no configuration is found or it cannot be used.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG")
    in_cluster = not path and context is None and "KUBERNETES_SERVICE_HOST" in os.environ
    chosen = path or "~/.kube/config"

    async def read() -> Configuration:
        configuration = Configuration()
        if in_cluster:
            load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(chosen, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]
        return configuration

    load = change(read)
    refresh = IN_CLUSTER_REFRESH if in_cluster else KUBECONFIG_REFRESH
    try:
        configuration = await load()
        _ssl_context(configuration)
        # A service IP is never behind a proxy, and the standard library does not match CIDRs in NO_PROXY.
        proxy = configuration.proxy or (None if in_cluster else proxy_from_environment(configuration.host))
    except UNREADABLE as error:
        where = "the pod's service account" if in_cluster else chosen
        # Not chained: a parser's own error quotes the text, and with it, perhaps, a token.
        raise Terminal(f"cannot read how to reach the Kubernetes API from {where}: {words_of(error)}") from None
    return Source(load, configuration, refresh, proxy)


def words_of(error: Exception) -> str:
    """Say what is wrong with a file without quoting it."""
    if isinstance(error, yaml.MarkedYAMLError):
        return f"it {not_yaml(error)}"
    if isinstance(error, ConfigException):
        # Where a part of the file stands in the place of a name, the library quotes all of it.
        told = str(error).partition("{")[0].partition("[")[0]
        return told if told == str(error) else f"{told}(a part of the file in the place of a name)"
    if isinstance(error, OSError):
        return str(error)
    return f"unexpected content ({type(error).__name__})"


def _authorization(configuration: Configuration) -> str | None:
    value = configuration.api_key.get("BearerToken")
    return value.strip() if value else None


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    # Python 3.13 demands extensions that the CAs of many clusters lack; Go's clients never did.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust(context: ssl.SSLContext, configuration: Configuration) -> None:
    """Follows a rotation of the cluster's CA or of the client's certificate: it counts from the next connection on."""
    if configuration.ssl_ca_cert:
        context.load_verify_locations(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)


def proxy_from_environment(server: str) -> str | None:
    """Return the proxy that the environment names for a server; None where there is none."""
    url = urllib.parse.urlsplit(server)
    if url.hostname is None or urllib.request.proxy_bypass(url.hostname):
        return None
    return urllib.request.getproxies().get(url.scheme)
