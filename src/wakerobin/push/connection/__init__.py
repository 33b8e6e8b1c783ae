"""HTTP/2 connections to a push service, on the sans-IO library `h2`.

`Pool` takes requests and answers each exactly once; `Origin` says where it connects.
"""

from wakerobin.push.connection.exchange import Answer, Failure, Headers, Request, Result
from wakerobin.push.connection.line import Surroundings
from wakerobin.push.connection.origin import Origin, Resolve, system_resolve
from wakerobin.push.connection.pool import Pool, PoolOptions

__all__ = [
    "Answer",
    "Failure",
    "Headers",
    "Origin",
    "Pool",
    "PoolOptions",
    "Request",
    "Resolve",
    "Result",
    "Surroundings",
    "system_resolve",
]
