"""Connections to push services: HTTP/2 on the sans-IO library `h2`, HTTP/1.1 on `h11`, as the peer likes.

`Pool` takes requests and answers each exactly once; `Origin` says where it connects. `Pools` has a pool
for each origin that apps choose.
"""

from wakerobin.push.connection.exchange import MOST_BODY, Answer, Failure, Headers, Request, Result
from wakerobin.push.connection.line import Surroundings
from wakerobin.push.connection.origin import Origin, Resolve, split_url, system_resolve
from wakerobin.push.connection.pool import Pool, PoolOptions
from wakerobin.push.connection.pools import Pools
from wakerobin.push.connection.tls import EITHER, HTTP1, HTTP2, ClientCertificate, client_context

__all__ = [
    "EITHER",
    "HTTP1",
    "HTTP2",
    "MOST_BODY",
    "Answer",
    "ClientCertificate",
    "Failure",
    "Headers",
    "Origin",
    "Pool",
    "PoolOptions",
    "Pools",
    "Request",
    "Resolve",
    "Result",
    "Surroundings",
    "client_context",
    "split_url",
    "system_resolve",
]
