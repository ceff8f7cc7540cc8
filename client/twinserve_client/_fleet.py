"""Several servers behind one client: combining their answers, and what no single server may decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import TypeVar

import grpc

from twinserve_client import _arguments
from twinserve_client.errors import (
    AlreadyExistsError,
    CallError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PartlyAppliedError,
)
from twinserve_client.types import ModelVersions, Traffic

T = TypeVar("T")
Generations = int | Mapping[str, int] | None


def agreed(outcomes: Mapping[str, Traffic | CallError]) -> Traffic:
    """The policy that all responding servers share.

    Raises:
        ConflictError: their policies differ.
        CallError: no server answered.
    """
    told = "traffic: the servers have different policies ({}); set_traffic gives all of them one"
    return _merged(_alike(outcomes, _text, told))


def agreed_versions(outcomes: Mapping[str, tuple[ModelVersions, ...] | CallError]) -> tuple[ModelVersions, ...]:
    """The versions that all responding servers share.

    Raises:
        ConflictError: the active or loaded versions differ.
        CallError: no server answered.
    """
    told = "versions: the servers have different ones ({}); load, activate or unload one on all of them"
    return next(iter(_alike(outcomes, _loaded, told).values()))


def expected(before: Mapping[str, Traffic | CallError], generations: Generations) -> dict[str, int | None]:
    """The generation that each server must still have for a change; None accepts any.

    Raises:
        CallError: a server does not answer. Nothing has changed.
        ConflictError: a server's generation differs. Nothing has changed.
        InvalidInputError: ``generations`` are not integers.
    """
    for server, error in failures(before).items():
        raise _named(server, error, "; nothing has changed")
    wanted: dict[str, int | None] = {}
    for server, policy in _answers(before).items():
        generation = generations.get(server) if isinstance(generations, Mapping) else generations
        if generation is not None:
            _arguments.whole("if_generation", generation, 0, 2**64 - 1)
        if generation is not None and policy.generation != generation:
            raise ConflictError(
                f"if_generation: {server} has generation {policy.generation}, not {generation}; nothing has changed",
                code=grpc.StatusCode.ABORTED,
            )
        wanted[server] = generation
    return wanted


def applied(outcomes: Mapping[str, Traffic | CallError]) -> Traffic:
    """The policy, now in force on all servers.

    Raises:
        PartlyAppliedError: only some servers applied it; names them.
        CallError: no server applied it.
    """
    return _merged(changed("traffic", outcomes))


def changed(what: str, outcomes: Mapping[str, T | CallError]) -> dict[str, T]:
    """The answers to a change of ``what``, applied by all servers.

    Raises:
        PartlyAppliedError: only some servers applied it; names them.
        CallError: no server applied it.
    """
    answers, failed = _answers(outcomes), failures(outcomes)
    if not failed:
        return answers
    server, error = next(iter(failed.items()))
    if not answers:
        raise _named(server, error)
    raise PartlyAppliedError(
        f"{what}: changed on {', '.join(answers)}, but not on "
        + "; ".join(f"{name} ({problem.message})" for name, problem in failed.items()),
        code=error.code,
        applied=answers,
        failed=failed,
    )


def in_turn(servers: Mapping[str, T], by: str) -> list[tuple[str, T]]:
    """The order in which servers are asked about a request: fixed by its id, so that a repeat is noticed."""
    if not by:
        return list(servers.items())
    return sorted(servers.items(), key=lambda pair: blake2b(f"{pair[0]}\0{by}".encode(), digest_size=8).digest())


def settled(outcome: object) -> bool:
    """Whether a server has handled the request, so that no other may."""
    return not isinstance(outcome, CallError) or isinstance(outcome, AlreadyExistsError)


def only_answer(outcomes: Mapping[str, T | CallError]) -> T:
    """The answer of the one server that knows the request.

    Raises:
        CallError: no server does; a server's failure takes precedence over its NOT_FOUND.
    """
    answers = _answers(outcomes)
    if answers:
        return next(iter(answers.values()))
    failed = failures(outcomes)
    server = next((name for name, error in failed.items() if not _ignorant(error)), next(iter(failed)))
    raise _named(server, failed[server])


def failures(outcomes: Mapping[str, T | CallError]) -> dict[str, CallError]:
    """The servers that failed, and why."""
    return {server: outcome for server, outcome in outcomes.items() if isinstance(outcome, CallError)}


def _ignorant(error: CallError) -> bool:
    return isinstance(error, NotFoundError) or error.reason == "FOREIGN_REQUEST_ID"


def _alike(outcomes: Mapping[str, T | CallError], text: Callable[[T], str], told: str) -> dict[str, T]:
    """The answers, provided ``text`` is the same for all; ``told`` is the error message, with {} for the answers."""
    answers = _answers(outcomes)
    if not answers:
        raise _named(*next(iter(failures(outcomes).items())))
    if len({text(answer) for answer in answers.values()}) > 1:
        listed = "; ".join(f"{server}: {text(answer)}" for server, answer in answers.items())
        raise ConflictError(told.format(listed), code=grpc.StatusCode.FAILED_PRECONDITION)
    return answers


def _loaded(models: tuple[ModelVersions, ...]) -> str:
    texts = []
    for model in models:
        loaded = ",".join(entry.version for entry in model.versions if entry.state == "loaded")
        texts.append(f"{model.model} active={model.active or 'none'} loaded={loaded or 'none'}")
    return " ".join(texts)


def _answers(outcomes: Mapping[str, T | CallError]) -> dict[str, T]:
    return {server: outcome for server, outcome in outcomes.items() if not isinstance(outcome, CallError)}


def _named(server: str, error: CallError, end: str = "") -> CallError:
    """The error with the server's address in front."""
    if isinstance(error, InvalidInputError):
        return error  # about the request itself: every server says the same
    named = type(error)(f"{server}: {error.message}{end}", code=error.code, reason=error.reason)
    named.violations, named.retry_after, named.request_id = error.violations, error.retry_after, error.request_id
    named.__cause__ = error
    return named


def _merged(policies: Mapping[str, Traffic]) -> Traffic:
    first = next(iter(policies.values()))
    if len(policies) == 1:
        return replace(first, generations={next(iter(policies)): first.generation})
    generations = {server: policy.generation for server, policy in policies.items()}
    return replace(first, generation=max(generations.values()), generations=generations)


def _text(policy: Traffic) -> str:
    total = sum(policy.weights.values()) or 1.0
    shares = [f"{name}={weight / total:.4g}" for name, weight in sorted(policy.weights.items()) if weight]
    shadows = [f"shadow {name}={share:.4g}" for name, share in sorted(policy.shadows.items()) if share]
    return " ".join([policy.model, *shares, *shadows])
