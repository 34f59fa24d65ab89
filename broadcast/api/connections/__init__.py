"""Connections of the API: which are accepted, how long they may take to say what they want, which are closed."""

from broadcast.api.connections.acceptor import accept_connections
from broadcast.api.connections.anonymous_requests import AnonymousRequests
from broadcast.api.connections.connection_limits import ConnectionLimits, choose_limits
from broadcast.api.connections.http_connection import HEAD_BYTES_MAX, HEAD_SECONDS, BoundedProtocol
from broadcast.api.connections.key_turns import Kind
from broadcast.api.connections.keyed_requests import KeyedRequests
from broadcast.api.connections.open_connections import OpenConnections
from broadcast.api.connections.requests_in_work import RequestsInWork, TooManyRequestsError

__all__ = [
    "HEAD_BYTES_MAX",
    "HEAD_SECONDS",
    "AnonymousRequests",
    "BoundedProtocol",
    "ConnectionLimits",
    "KeyedRequests",
    "Kind",
    "OpenConnections",
    "RequestsInWork",
    "TooManyRequestsError",
    "accept_connections",
    "choose_limits",
]
