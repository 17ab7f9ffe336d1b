"""Which Redis server to connect to: one, the master that Sentinel knows, or a node of a cluster.

URLs, as the option `pubsub` takes them:

    redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?OPTIONS]      rediss:// with TLS
    unix://[[USER]:PASSWORD@]PATH[?db=DATABASE]
    redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST...]/SERVICE[/DATABASE][?OPTIONS]
    redis+cluster://[[USER]:PASSWORD@]HOST[:PORT][,HOST...][?OPTIONS]       rediss+... with TLS

Rules of this file:
- The options are those of redis-py's connections.
- It is looked up again for each connection: masters and nodes change.
- `name` has no password in it.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, AuthenticationError, RedisError

from asgiws.brokers.secrets import Secret
from asgiws.brokers.urls import address, url_parts
from asgiws.config import StartError
from asgiws.topics.broker import BrokerError

#: Seconds to connect to one of several servers.
PATIENCE = 3.0

PORT, SENTINEL_PORT = 6379, 26379

#: What is not an option of a connection, or is ours to set.
_OURS = (
    *("protocol", "retry", "decode_responses", "max_connections", "health_check_interval"),
    *("socket_timeout", "encoding", "encoding_errors"),
)


class Server:
    """What `url` names; `secret` gives user and password if the URL does not. Raises StartError for a URL that
    cannot be used."""

    def __init__(self, url: str, secret: Secret) -> None:
        self._secret = secret
        scheme, _, rest = url.partition("://")
        base, _, self._kind = scheme.partition("+")
        parts = url_parts(rest)
        before, _, hosts = parts.netloc.rpartition("@")
        if base == "unix" and (hosts or not parts.path.strip("/")):
            raise StartError("pubsub: unix needs an absolute path: unix:///PATH")
        hosts = hosts or "localhost"
        port = SENTINEL_PORT if self._kind == "sentinel" else PORT
        self._hosts = [address(host, port) for host in hosts.split(",")]
        self._service, _, database = parts.path.strip("/").partition("/")
        if self._kind == "sentinel":
            if not self._service:
                raise StartError(
                    "pubsub: redis+sentinel needs the service: redis+sentinel://HOST/SERVICE"
                )
        else:
            database = "" if base == "unix" else parts.path.strip("/")
        if not (database == "" or (database.isascii() and database.isdigit())):
            raise StartError("pubsub: that URL cannot be used: a database is a number")
        first = hosts.split(",")[0]
        query = f"?{parts.query}" if parts.query else ""
        try:
            self._arguments: dict[str, Any] = dict(
                parse_url(f"unix://{parts.netloc}{parts.path}{query}")
                if base == "unix"
                else parse_url(f"{base}://{before}@{first}/{database}{query}")
            )
            if refused := [name for name in _OURS if name in self._arguments]:
                raise StartError(
                    f"pubsub: that URL cannot be used: {refused[0]} is the server's own to set"
                )
            self._arguments.setdefault("socket_connect_timeout", PATIENCE)
            self._class = self._arguments.pop("connection_class", Connection)
            self._class(**self._arguments)
        except TypeError as error:
            # An argument that the connection does not take.
            option = str(error).rpartition("argument ")[2]
            raise StartError(f"pubsub: that URL cannot be used: unknown option {option}") from None
        except (ValueError, RedisError) as error:
            raise StartError(f"pubsub: that URL cannot be used: {error}") from None
        where = parts.path if base == "unix" else hosts
        what = {"sentinel": f"Redis {self._service!r} by Sentinel", "cluster": "Redis Cluster"}
        self.name = f"{what.get(self._kind, 'Redis')} at {where}"

    async def find(self, key: str) -> dict[str, Any]:
        """The arguments of a connection, with `connection_class`; in a cluster, to the node that has `key`.
        Raises BrokerError, RedisError and OSError."""
        arguments = dict(self._arguments)
        arguments.update(self._secret.read())
        if self._kind == "sentinel":
            host, port = await self._master(arguments)
            arguments.update(host=host, port=port)
        elif self._kind == "cluster":
            host, port = await self._node(arguments, key)
            arguments.update(host=host, port=port)
        arguments["connection_class"] = self._class
        return arguments

    async def _master(self, arguments: dict[str, Any]) -> tuple[str, int]:
        options: dict[str, Any] = {
            name: value for name, value in arguments.items() if name.startswith("ssl_")
        }
        options.update(socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        # Without its waits between attempts: the next Sentinel may know.
        options.update(ssl=self._class is not Connection, retry=Retry(NoBackoff(), 0))
        # redis-py's Sentinel has no types.
        sentinel: Any = Sentinel(self._hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        # Not with `discover_master`: its error has the whole of each client in it, and differs each time.
        causes = []
        try:
            for (host, port), client in zip(self._hosts, sentinel.sentinels, strict=True):
                try:
                    masters = await client.sentinel_masters()
                except (RedisError, OSError) as error:
                    causes.append(f"{host}:{port}: {explained(error)}")
                    continue
                state = masters.get(self._service)
                if state and sentinel.check_master_state(state, self._service):
                    return str(state["ip"]), int(state["port"])
                causes.append(f"{host}:{port}: {'the master is down' if state else 'not known'}")
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
        raise BrokerError(f"no master {self._service!r}: {', '.join(causes)}")

    async def _node(self, arguments: dict[str, Any], key: str) -> tuple[str, int]:
        """Not with redis-py's client for clusters, which needs nodes that this does not."""
        slot = key_slot(key.encode())
        why: Exception = BrokerError("no node has the slot of our keys")
        for host, port in self._hosts:
            start = {**arguments, "host": host, "port": port}
            connection = self._class(**start, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0))
            try:
                await connection.connect()
                await connection.send_command("CLUSTER", "SLOTS")
                parts = await connection.read_response()
            except (RedisError, OSError) as error:
                why = error
            else:
                for first, last, (name, at, *_), *_ in parts:
                    if first <= slot <= last:
                        # A node that does not know its own name has that by which it was reached.
                        known = bytes(name or b"").decode().replace("?", "")
                        return known or host, int(at)
            finally:
                await connection.disconnect(nowait=True)
        raise BrokerError(explained(why))


def explained(error: Exception) -> str:
    """What went wrong, for a log line, which goes on behind it."""
    text = str(error).rstrip(".")
    if isinstance(error, AskError):
        return "another node of the cluster has these keys; redis+cluster:// finds it"
    if isinstance(error, AuthenticationError) and text.startswith("HELLO "):
        return "it needs a password"  # Redis' own text is about the protocol
    return text or type(error).__name__
