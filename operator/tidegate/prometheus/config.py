"""The operator's connections to Prometheus, as its configuration file gives them: secrets by reference to files only."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from tidegate.api.base import Duration
from tidegate.api.policy import Name

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"})
_SHORTEST_TIMEOUT = timedelta(milliseconds=100)
_LONGEST_TIMEOUT = timedelta(minutes=1)


class ConfigError(ValueError):
    """The configuration of the connections cannot be used; the message names file, field and cause, and no values."""


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        msg = "must be the absolute path of a file"
        raise ValueError(msg)
    return path


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        msg = "must be printable ASCII characters on one line"
        raise ValueError(msg)
    return text


def _web_address(address: str) -> str:
    """Accept `http(s)://host[:port][/path]`; the messages leave the address out, for it may hold a password."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or any(character.isspace() for character in address):
        msg = "must look like http://host:9090 or https://host/path"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "must not contain user or password: give basicAuth with passwordFile"
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = "must not contain a query (?) or fragment (#)"
        raise ValueError(msg)
    return address.rstrip("/")


FilePath = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class FromFile(_Part):
    """A value that stands in a mounted file and is read again for every request."""

    from_file: FilePath


_BRANCHES = ("<text>", "<file>")
HeaderValue = Annotated[
    Annotated[Text, Tag(_BRANCHES[0])] | Annotated[FromFile, Tag(_BRANCHES[1])],
    Discriminator(lambda value: _BRANCHES[isinstance(value, dict | FromFile)]),
]


class BasicAuth(_Part):
    """User name and password; the password, and the name if wanted, from mounted files."""

    username: Text | None = None
    username_file: FilePath | None = None
    password_file: FilePath

    @model_validator(mode="after")
    def _one_username(self) -> BasicAuth:
        if (self.username is None) == (self.username_file is None):
            msg = "give exactly one of username and usernameFile"
            raise ValueError(msg)
        return self


class TLS(_Part):
    """How the server is verified, and the client certificate."""

    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    server_name: Text | None = None
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _whole_pair(self) -> TLS:
        if (self.cert_file is None) != (self.key_file is None):
            msg = "give both certFile and keyFile, or neither"
            raise ValueError(msg)
        return self


class ConnectionConfig(_Part):
    """One connection to a Prometheus-compatible server.

    Attributes:
        name: what gates call it; `default` is used by gates that name none.
        address: URL of the server, with its path prefix if it has one, without `/api/v1`.
        headers: headers of every request, each a plain value or `{fromFile: path}`; credentials are accepted from files only.
        bearer_token_file: file with the token for `Authorization: Bearer`.
        basic_auth: credentials for `Authorization: Basic`.
        tls: verification of an https server; by default against the public authorities.
        timeout: longest time for one query, 100ms to 1m.
        concurrency: most queries under way at once, 1 to 64.
    """

    name: Name
    address: Annotated[str, AfterValidator(_web_address)]
    headers: Annotated[dict[str, HeaderValue], Field(repr=False)] = {}
    bearer_token_file: FilePath | None = None
    basic_auth: BasicAuth | None = None
    tls: TLS = TLS()
    timeout: Annotated[Duration, Field(ge=_SHORTEST_TIMEOUT, le=_LONGEST_TIMEOUT)] = timedelta(seconds=5)
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8

    @model_validator(mode="after")
    def _sound_headers(self) -> ConnectionConfig:
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                msg = f"headers: {name!r} is not the name of a header"
                raise ValueError(msg)
            if name.lower() in _CREDENTIAL_HEADERS and not isinstance(value, FromFile):
                msg = f"headers: {name} is a credential: give it as {{fromFile: path}}"
                raise ValueError(msg)
        authorizations = [self.bearer_token_file, self.basic_auth, *(n for n in self.headers if n.lower() == "authorization")]
        if sum(each is not None for each in authorizations) > 1:
            msg = "give at most one of bearerTokenFile, basicAuth and a header Authorization"
            raise ValueError(msg)
        return self


def load_connections(path: Path) -> dict[str, ConnectionConfig]:
    """Read the connections from a YAML file: a map with the one key `connections`, a list.

    Raises:
        ConfigError: the file cannot be read or is not as it should be; the message names all that is wrong.
    """
    entries = _entries(path, _parse(path))
    connections: dict[str, ConnectionConfig] = {}
    problems: list[str] = []
    for index, entry in enumerate(entries):
        where = f"connections[{index}]"
        try:
            connection = ConnectionConfig.model_validate(entry, by_alias=True, by_name=False)
        except ValidationError as error:
            problems += [f"{where}{_field(problem['loc'])}: {_cause(problem)}" for problem in error.errors(include_input=False)]
            continue
        if connection.name in connections:
            problems.append(f"{where}.name: there is a connection {connection.name} already")
        connections[connection.name] = connection
    if problems:
        msg = f"{path}: {'; '.join(problems)}"
        raise ConfigError(msg)
    return connections


def _parse(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or type(error).__name__}"
        raise ConfigError(msg) from error
    except UnicodeDecodeError:
        msg = f"{path}: is not UTF-8 text"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        msg = f"{path}: is not YAML: {error.problem or 'syntax error'}{place}"
    except yaml.YAMLError:
        msg = f"{path}: is not YAML"
    # Not chained: the parser's own error quotes the text, which may hold what should not be in a log.
    raise ConfigError(msg) from None


def _entries(path: Path, document: Any) -> list[Any]:
    if not isinstance(document, dict) or not isinstance(document.get("connections"), list):
        msg = f"{path}: must be a map with the key connections, a list"
        raise ConfigError(msg)
    if unknown := sorted(str(key) for key in document if key != "connections"):
        msg = f"{path}: unknown field {', '.join(unknown)}: there is connections"
        raise ConfigError(msg)
    return list(document["connections"])


def _field(location: tuple[int | str, ...]) -> str:
    # pydantic names the branch of a union, which is not a field that anybody wrote
    return "".join(f".{part}" for part in location if part not in _BRANCHES)


def _cause(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "there is no such field"
    if problem["type"] == "missing":
        return "is required"
    return str(problem["msg"]).removeprefix("Value error, ")
