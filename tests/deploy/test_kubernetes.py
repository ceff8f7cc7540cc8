"""What runs in a cluster agrees with the API's schemas and with the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.manifests import DEPLOY, KUBERNETES, RENDERED, container, read, render
from twinserve_server.metrics import families
from twinserve_server.settings.server import ServerSettings
from twinserve_server.supervisor.traffic_file import TrafficFile

#: The example of one traffic policy for several servers.
POLICY = DEPLOY / "traffic" / "traffic.json"
#: Objects of operators, whose schemas the Kubernetes API does not have.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "InferenceService"}
SERVERS = ("base/deployment.yaml", "kserve/inferenceservice.yaml")


@pytest.mark.kubernetes
@pytest.mark.parametrize("folder", RENDERED)
def test_every_object_is_one_by_the_schema_of_the_api(folder: str) -> None:
    objects = render(folder)
    assert len(objects) >= 6
    for found in objects:
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, "1.30", strict=True)


@pytest.mark.parametrize("path", sorted(KUBERNETES.glob("base/*.yaml")), ids=lambda path: path.name)
def test_every_file_of_the_base_is_one_too(path: Any) -> None:
    if path.name != "kustomization.yaml":
        for found in yaml.safe_load_all(path.read_text()):
            kubernetes_validate.validate(found, "1.30", strict=True)


@pytest.mark.parametrize("path", SERVERS)
def test_the_arguments_are_settings_that_the_server_takes(path: str) -> None:
    given = container(path)["args"]
    known = {field.name.replace("_", "-") for field in fields(ServerSettings)}
    assert {option.removeprefix("--") for option in given if option.startswith("--")} <= known


@pytest.mark.parametrize("path", SERVERS)
def test_probes_and_ports_are_those_of_the_server(path: str) -> None:
    found, port = container(path), ServerSettings().port
    assert port in {entry["containerPort"] for entry in found["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert found[probe]["grpc"]["port"] == port
    assert found["livenessProbe"]["grpc"]["service"] == "live"
    assert "service" not in found["readinessProbe"]["grpc"]


def test_a_pod_has_time_to_drain() -> None:
    pod = read("base/deployment.yaml")[0]["spec"]["template"]["spec"]
    args = container()["args"]
    grace = float(args[args.index("--grace") + 1])
    pause = float(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= grace + pause + 10


def test_a_pod_runs_hardened() -> None:
    pod = read("base/deployment.yaml")[0]["spec"]["template"]["spec"]
    security = container()["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not pod["automountServiceAccountToken"]


def test_the_autoscaler_scales_by_a_metric_that_the_server_has() -> None:
    (scaler,) = read("overlays/monitoring/horizontalpodautoscaler.yaml")
    metric = scaler["spec"]["metrics"][0]["pods"]["metric"]
    assert metric["name"] == families.QUEUE_DEPTH.name
    assert set(metric["selector"]["matchLabels"]) <= set(families.QUEUE_DEPTH.labels)


@pytest.mark.kubernetes
def test_the_traffic_overlay_serves_the_policy_of_its_config_map() -> None:
    objects = {found["kind"]: found for found in render("overlays/traffic")}
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    path = Path(server["args"][server["args"].index("--traffic") + 1])
    # A folder, not a subPath: only that follows the ConfigMap.
    (mount,) = (mount for mount in server["volumeMounts"] if mount["mountPath"] == str(path.parent))
    assert "subPath" not in mount
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == mount["name"])
    config = objects["ConfigMap"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    assert config["data"][path.name] == POLICY.read_text()


def test_the_example_policy_is_one_that_the_server_takes() -> None:
    example = TrafficFile(POLICY, lambda: {"mnist": {"fp32", "int8"}})
    assert example.good
    assert example.policies["mnist"].weights == {"fp32": 0.9, "int8": 0.1}


def test_compose_with_traffic_by_file_gives_the_server_the_same_policy() -> None:
    changed = yaml.safe_load((DEPLOY / "traffic" / "compose.yaml").read_text())["services"]["server"]
    known = {f"--{field.name.replace('_', '-')}" for field in fields(ServerSettings)}
    command = changed["command"]
    assert {option for option in command if option.startswith("--")} <= known
    (volume,) = changed["volumes"]
    source, target, _ = volume.split(":")
    assert DEPLOY / source == POLICY.parent
    assert command[command.index("--traffic") + 1] == f"{target}/{POLICY.name}"


def test_rule_and_chart_are_what_the_generator_makes() -> None:
    command = [sys.executable, str(KUBERNETES / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_with_its_own_values_is_the_base() -> None:
    values = yaml.safe_load((KUBERNETES / "chart" / "values.yaml").read_text())

    def fill(match: re.Match[str]) -> str:
        value = values[match[1]]
        return json.dumps(value) if match[2] else str(value)

    for path in sorted((KUBERNETES / "chart" / "templates").glob("*.yaml")):
        text = re.sub(r"\{\{ \.Values\.(\w+)( \| toJson)? \}\}", fill, path.read_text())
        assert "{{" not in text
        expected = read(f"base/{path.name}")
        if path.name == "deployment.yaml":
            expected[0]["spec"]["template"]["spec"]["containers"][0]["image"] = values["image"]
        assert list(yaml.safe_load_all(text)) == expected


def test_what_compose_mounts_is_there_and_its_ports_stay_on_this_machine() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services) == {"server", "locust", "prometheus", "grafana"}
    for service in services.values():
        assert service["read_only"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for source in (volume.split(":")[0] for volume in service["volumes"] if volume.startswith("./")):
            assert (DEPLOY / source).exists(), source


def test_the_prometheus_of_compose_scrapes_as_the_documented_one_does() -> None:
    single, compose = (
        yaml.safe_load((DEPLOY / "prometheus" / name).read_text()) for name in ("prometheus.yml", "compose.yml")
    )
    compose["scrape_configs"][0]["static_configs"][0]["targets"] = ["127.0.0.1:8502"]
    assert compose == single
