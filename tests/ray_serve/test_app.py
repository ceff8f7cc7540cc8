"""What the application can be told, and what belongs into Serve's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.serve_cluster import CONFIG
from support.tiny_model import make_tiny_models
from twinserve_ray.services import methods
from twinserve_server.settings.read import SettingsError
from twinserve_server.supervisor.plan import OptionError

Build = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def build() -> Build:
    """The application's builder. Ray takes seconds to load, and every worker collects these tests."""
    from twinserve_ray.app import build

    return build


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"port": 8500}, "args.port: has no effect under Ray Serve; set grpc_options in the Serve configuration"),
        ({"replicas": {"int8": 2}}, "num_replicas or autoscaling_config of the deployment"),
        ({"transport": "fast"}, "args.transport: has no effect under Ray Serve (given: 'fast')"),
        ({"modles": "models"}, "args.modles: is not a setting; see docs/settings.md (given: 'models')"),
        ({"threads": 0}, "--threads: Input should be greater than or equal to 1 (given: 0)"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(build: Build, tiny_models: Path, args: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        build({"models": str(tiny_models), **args})
    assert words in refused.value.message


def test_a_variant_that_is_not_there_is_refused(build: Build, tiny_models: Path) -> None:
    with pytest.raises(OptionError, match="no variant 'int4'; available: fp32, int8"):
        build({"models": str(tiny_models), "variants": ["int4"]})


def test_serve_can_tell_all_methods_apart() -> None:
    names = [method.name for method in methods()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["serve.yaml", "cluster.yaml"])
def test_the_configuration_files_are_valid_and_name_the_deployments_there_are(
    build: Build, name: str, tmp_path: Path
) -> None:
    from ray.serve.schema import ServeDeploySchema

    config = ServeDeploySchema.model_validate(yaml.safe_load(CONFIG.with_name(name).read_text()))
    (application,) = config.applications
    args = {**application.args, "models": str(make_tiny_models(tmp_path, model="mnist", runtime="onnx"))}
    built = build(args)
    bound = built._bound_deployment
    names = {bound.name} | {
        argument._bound_deployment.name for argument in bound.init_args if hasattr(argument, "_bound_deployment")
    }
    assert {deployment.name for deployment in application.deployments} == names
