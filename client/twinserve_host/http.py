"""HTTP with the standard library; requests to this machine bypass any configured proxy."""

from __future__ import annotations

import ipaddress
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

#: Larger responses are not read; a metrics page has about 100 kB.
LARGEST_ANSWER: Final = 64 << 20
_DIRECT = build_opener(ProxyHandler({}))
_AS_CONFIGURED = build_opener()


class HttpError(Exception):
    """There was no usable response; the message says why."""


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name, or an address without brackets) is this machine."""
    if host.lower().rstrip(".") in {"localhost", "ip6-localhost", "ip6-loopback"}:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def open_url(url: str | Request, timeout: float) -> HTTPResponse:
    """Open ``url`` as ``urllib.request.urlopen`` does, but without a proxy if it is on this machine."""
    address = url.full_url if isinstance(url, Request) else url
    opener = _DIRECT if is_loopback(urlsplit(address).hostname or "") else _AS_CONFIGURED
    answer: HTTPResponse = opener.open(url, timeout=timeout)
    return answer


def read_url(url: str | Request, seconds: float) -> bytes:
    """The body of the response to a GET, read within ``seconds``.

    Raises:
        HttpError: no response in time, not an HTTP response, an error status, or too large.
    """
    end, body = monotonic() + seconds, bytearray()
    try:
        with open_url(url, seconds) as answer:
            while part := answer.read1(1 << 16):
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise HttpError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
                if monotonic() > end:
                    raise HttpError(f"the answer was not complete after {seconds:g} s")
            if answer.length:
                raise HttpError(f"the answer was cut off {answer.length:,} bytes before its end")
    except HTTPException as error:
        said = str(error).strip()[:80]
        shown = f": {said!r}" if said.isprintable() and said else ""
        raise HttpError(f"not an HTTP answer: {type(error).__name__}{shown}") from None
    except (OSError, ValueError) as error:
        # The error that urllib wraps is clearer than its wrapper.
        raise HttpError(str(error.reason if type(error) is URLError else error)) from None
    return bytes(body)
