"""What wraps every RPC, from outside in: access (count, time, log), auth (who may), errors (one status for each).

They wrap the handlers once, when a service is added, instead of running as gRPC interceptors, which would be looked up
and awaited again for each RPC.
"""

from __future__ import annotations

from twinserve_server.rpc.auth import AuthInterceptor
from twinserve_server.rpc.counted import AccessInterceptor
from twinserve_server.rpc.errors import ErrorInterceptor
from twinserve_server.rpc.handler import Handler, HandlerCollector, Interceptor, wrap_all

__all__ = [
    "AccessInterceptor",
    "AuthInterceptor",
    "ErrorInterceptor",
    "Handler",
    "HandlerCollector",
    "Interceptor",
    "wrap_all",
]
