"""The application that ``serve run`` and ``serve deploy`` build: ``import_path: twinserve_ray.app:build``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from ray import serve
from ray.serve import Application

from twinserve_ray.gateway import ServeGateway
from twinserve_ray.model import Model
from twinserve_ray.supervisor import ServeSupervisor
from twinserve_server.access.token_file import TokenFile
from twinserve_server.settings.read import SettingsError, read_settings
from twinserve_server.settings.server import ServerSettings
from twinserve_server.supervisor.feedback_key import feedback_keys
from twinserve_server.supervisor.start import plan_of

#: Server settings that Ray or Serve's configuration decides, and where.
ELSEWHERE: Final = {
    **dict.fromkeys(("host", "port", "tls_cert", "tls_key", "tls_client_ca", "insecure"), "grpc_options"),
    **dict.fromkeys(("metrics_host", "metrics_port"), "http_options"),
    **dict.fromkeys(("admin_host", "admin_port", "transport", "ready_file", "explain_plan"), ""),
    **dict.fromkeys(("profile", "pin", "pipeline", "build", "unloaded_metrics_seconds", "metrics_export"), ""),
    **dict.fromkeys(("gateways", "replicas"), "num_replicas or autoscaling_config of the deployment"),
    **dict.fromkeys(("hang_seconds", "batch_seconds"), "health_check_period_s and health_check_timeout_s"),
    "grace": "graceful_shutdown_timeout_s",
}
#: Counts batches, of which few are in flight: with Serve's default, meant for requests, a replica would never be busy.
MODEL_OPTIONS: Final[dict[str, Any]] = {
    "max_ongoing_requests": 4,
    "autoscaling_config": {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 1},
    "ray_actor_options": {"num_cpus": 1},
}
GATEWAY_OPTIONS: Final[dict[str, Any]] = {
    "max_ongoing_requests": 10_000,
    "num_replicas": 2,
    "ray_actor_options": {"num_cpus": 1},
}
SUPERVISOR_OPTIONS: Final[dict[str, Any]] = {
    "max_ongoing_requests": 1_000,
    "num_replicas": 1,
    "ray_actor_options": {"num_cpus": 0.1},
}


def build(args: Mapping[str, Any]) -> Application:
    """The application of these settings; replicas and their resources are Serve's to configure, by deployment.

    Args:
        args: settings of a server, as flags name them with ``_`` for ``-``: ``models: /srv/models``.

    Raises:
        SettingsError: one is wrong, unknown, or decided elsewhere.
        ArtefactError: the models cannot be read here.
        OptionError: a variant is named that the models do not have.
        TokenError: the token file cannot be used.
        FeedbackKeyError: the key file cannot be used.
    """
    settings = _settings(args)
    plan = plan_of(settings)
    if settings.tokens is not None:
        TokenFile(settings.tokens)
    supervisor = serve.deployment(ServeSupervisor, name="supervisor", **SUPERVISOR_OPTIONS).bind(plan)
    keys = [(name, variant) for name, version in plan.versions.items() for variant in version.variants]
    models = [
        serve.deployment(Model, name=f"{model}-{variant}", **MODEL_OPTIONS).bind(plan, model, variant, supervisor)
        for model, variant in keys
    ]
    # Created once, here: each gateway must accept the answers of all.
    signing = feedback_keys(settings.feedback_key)
    gateway = serve.deployment(ServeGateway, name="gateway", **GATEWAY_OPTIONS)
    return gateway.bind(plan, signing, supervisor, keys, *models)


def _settings(args: Mapping[str, Any]) -> ServerSettings:
    known = {entry.name for entry in fields(ServerSettings)}
    for name, value in args.items():
        if name not in known:
            raise SettingsError(f"args.{name}: is not a setting; see docs/settings.md (given: {value!r})")
        if name in ELSEWHERE:
            instead = f"; set {ELSEWHERE[name]} in the Serve configuration" if ELSEWHERE[name] else ""
            raise SettingsError(f"args.{name}: has no effect under Ray Serve{instead} (given: {value!r})")
    return read_settings({"profile": "isolated", **args})
