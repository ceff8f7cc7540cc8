"""Selects the transport: the fast one if it can run, else the portable one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from twinserve_server.structured_log import structlog
from twinserve_server.transport.base import Door, Transport, TransportError
from twinserve_server.transport.fast import support
from twinserve_server.transport.ipv4 import only_ipv4

log = structlog.get_logger()


async def start_transport(choice: str, doors: Sequence[Door]) -> Transport:
    """Start a transport.

    Args:
        choice: ``aio``, ``fast``, ``native``, or ``auto``: fast if it can run, otherwise aio and a line in the log.
        doors: where to listen, and what to serve there.

    Raises:
        PortError: the address is taken or not ours.
        TransportError: ``fast`` was asked for and cannot run here.
    """
    transport: Transport
    if choice == "native":
        from twinserve_server.transport.native import NativeTransport  # noqa: PLC0415

        transport = NativeTransport(doors)
        await transport.start()
        return transport
    if choice != "aio":
        try:
            transport = await _fast(doors)
        except support.UnsupportedError as error:
            if choice == "fast":
                raise TransportError(
                    f"--transport fast: {error}; use 'auto' to fall back to grpc.aio if it cannot run"
                ) from None
            log.warning("fast_transport_unavailable", reason=str(error), instead="aio")
        else:
            return await _started(transport, doors)
    # Each transport is imported only where it serves: the other would cost memory.
    from twinserve_server.transport.aio import AioTransport  # noqa: PLC0415

    return await _started(AioTransport(doors), doors)


async def _started(transport: Transport, doors: Sequence[Door]) -> Transport:
    async with AsyncExitStack() as stack:
        for door in doors:
            await stack.enter_async_context(only_ipv4(door.options.host, door.options.port))
        await transport.start()
    return transport


async def _fast(doors: Sequence[Door]) -> Transport:
    support.check()
    try:
        from twinserve_server.transport.fast.proof import prove  # noqa: PLC0415
        from twinserve_server.transport.fast.transport import FastTransport  # noqa: PLC0415
    except ImportError as error:
        raise support.UnsupportedError(f"gRPC lacks what it needs ({error})") from None
    # Created before the proof: gRPC core shuts down with its last object and would start again with another poller.
    transport = FastTransport(doors)
    await prove()
    return transport
