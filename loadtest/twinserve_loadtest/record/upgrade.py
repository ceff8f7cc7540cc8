"""Files of schema version 1, of which load tests and comparisons had one each: the only place that knows them."""

from __future__ import annotations

import base64
import re
from typing import Any

from twinserve_loadtest.record.percentiles import new_histogram
from twinserve_loadtest.record.run import SERVER_STAGES
from twinserve_loadtest.record.terms import SECTIONS, TITLES
from twinserve_loadtest.record.wire import encode_histogram

_SCENARIOS = {"single_stream": "single-stream", "server": "open"}
_INTERRUPTED = "the test ended early: interrupted"
#: What a comparison could lack, by a word in the remark's code.
_MISSED = {"control": "effects", "comparison": "effects", "slo": "rate", "rate": "rate", "crossover": "crossover"}


def upgrade(document: dict[str, Any]) -> dict[str, Any]:
    """A document of version 1 as one of version 2; the caveats, which are derived, are left to the reader."""
    return _comparison(document) if "verdict" in document else _load_test(document)


def _histogram(text: str) -> str:
    return text or encode_histogram(new_histogram())


# Load tests ----------------------------------------------------------------------------------------------------------


def _load_test(old: dict[str, Any]) -> dict[str, Any]:
    runs = {run["name"]: _tested(run) for run in old["scenarios"]}
    for variant, text in old.get("predictions", {}).items():
        answers = runs.get("accuracy", {"arms": {}})["arms"].get(variant, {}).get("answers")
        if answers is not None:
            answers["predictions"] = text
    caveats = " ".join(old.get("caveats", []))
    foreign = re.search(r"other work kept (\d+)%", caveats)
    return {
        "schema_version": 2,
        **{key: old[key] for key in ("created", "command", "target", "model", "dataset")},
        "stamp": old.get("stamp", {}),
        "runs": runs,
        "rates": next((_stepped(run) for run in old["scenarios"] if run.get("steps")), None),
        "same_machine": "shared one machine" in caveats,
        "foreign_cpu_share": int(foreign.group(1)) / 100 if foreign else None,
        "complete": old["complete"],
        "missing": [_missing(text) for text in old.get("missing", [])],
    }


def _tested(run: dict[str, Any]) -> dict[str, Any]:
    given = dict(run["parameters"])
    rate, batch, users = given.pop("rate", None), given.pop("batch", 1), given.pop("users", None)
    return {
        "scenario": run["name"],
        "arms": {name: _answered(result) for name, result in run["variants"].items()},
        "images_per_request": batch,
        "offered_rate": rate if run["name"] in ("open", "mixed") else None,
        "users": users if run["name"] == "closed" else None,
        "parameters": given,
    }


def _answered(result: dict[str, Any]) -> dict[str, Any]:
    latency, sizes = result["latency"], {int(size): count for size, count in result["batch_sizes"].items()}
    answered = sum(sizes.values())
    return {
        **{key: result[key] for key in ("requests", "failures", "images", "seconds", "images_per_second")},
        **{key: result[key] for key in ("batch_sizes", "generator", "blocks", "warm_up_requests")},
        "failed": sum(result["failures"].values()),
        "latency": {
            **{key: latency[key] for key in ("count", "mean_us", "min_us", "max_us")},
            "histogram": _histogram(latency["histogram"]),
            "percentiles_us": {
                **{name: latency[f"{name}_us"] for name in ("p50", "p90", "p95", "p99")},
                "p99.9": latency["p999_us"],
            },
        },
        "mean_batch_size": sum(size * count for size, count in sizes.items()) / answered if answered else None,
        "stages": _staged(result["stages"], answered),
        "answers": _answers(result["accuracy"]),
    }


def _staged(told: dict[str, float] | None, requests: int) -> dict[str, Any] | None:
    if told is None:
        return None
    seconds = {stage: told[f"{stage}_us"] / 1e6 for stage in SERVER_STAGES}
    total, server = told["client_total_us"] / 1e6, told["server_total_us"] / 1e6
    seconds |= {"gateway": max(server - sum(seconds.values()), 0.0), "client": max(total - server, 0.0)}
    return {"seconds": seconds, "total_seconds": total, "requests": requests}


def _answers(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    share = _wilson(found["correct"], found["total"])
    return {"correct": found["correct"], "images": found["total"], "share": share} | {
        key: found[key] for key in ("coverage", "confusion")
    }


def _wilson(correct: int, total: int) -> dict[str, float]:
    from scipy import stats  # noqa: PLC0415  (old files only)

    found = stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return {"estimate": correct / total, "low": float(found.low), "high": float(found.high)}


def _stepped(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "percentile": "p99",
        "limit_ms": run["parameters"].get("p99_limit_us", 0) / 1000,
        "max_error_share": 0.001,
        "sustained": run["sustained_rate"],
        "points": [
            {
                "arm": step["variant"],
                "offered_rate": step["rate"],
                "percentiles_us": {"p99": step["p99_us"]},
                "error_share": step["failures"] / step["requests"] if step["requests"] else 0.0,
                **{key: step[key] for key in ("achieved_rate", "sustained", "reason", "generator_bound")},
            }
            for step in run["steps"]
        ],
    }


def _missing(text: str) -> dict[str, str]:
    if text == _INTERRUPTED:
        return {"code": "interrupted", "text": "The test was interrupted."}
    scenario, _, rest = text.partition(",")
    code = "ended_early" if text.startswith("the test ended early") else "not_measured"
    title = f"{TITLES[scenario]},{rest}" if scenario in TITLES else f"{text[:1].upper()}{text[1:]}"
    return {"code": code, "text": f"{title}.", "section": SECTIONS.get(scenario, "")}


# Comparisons ---------------------------------------------------------------------------------------------------------


def _comparison(old: dict[str, Any]) -> dict[str, Any]:
    names = (old["baseline"], old["candidate"])
    runs = {_SCENARIOS.get(name, name): _compared(run, old) for name, run in old["scenarios"].items()}
    accuracy, settings = old["accuracy"], old["settings"] | {"seed": old["seeds"].get("experiment", 1)}
    if accuracy is not None:
        runs["accuracy"] = _accuracy(accuracy)
    slo, about = old["slo"], old["dataset"]
    images = about.get("test_images", settings.get("images", 0)) or 0
    cut_short = any(remark["code"].startswith(("interrupted", "not_measured")) for remark in old["missing"])
    return {
        "schema_version": 2,
        **{key: old[key] for key in ("created", "command", "stamp")},
        "model": {
            "name": old["model"],
            "version": old["version"],
            "item_shape": accuracy["item_shape"] if accuracy else [],
            "labels": accuracy["class_names"] if accuracy else [],
            "variants": {name: _variant(name, old) for name in names},
        },
        "dataset": {
            "name": about.get("name", "unnamed data set"),
            "source": about.get("source", "unknown"),
            "images": images or (accuracy["images"] if accuracy else 0),
            "full": about.get("full", False),
        },
        "runs": runs,
        "rates": _rates(slo) if slo else None,
        "settings": settings,
        "same_machine": any(remark["code"] in ("same_machine", "shared-machine") for remark in old["caveats"]),
        "complete": not cut_short and accuracy is not None,
        "missing": [_sectioned(remark) for remark in old["missing"]],
        "comparison": {
            "baseline": names[0],
            "candidate": names[1],
            "accuracy": accuracy and {key: accuracy[key] for key in accuracy if key not in _ANSWERS},
            "amdahl": old["amdahl"] and _renamed(old["amdahl"]),
            **{key: old[key] for key in ("verdict", "costs", "crossover")},
        },
    }


_ANSWERS = ("class_names", "item_shape", "predictions", "accuracy", "confusion", "test_set_seconds")


def _renamed(part: dict[str, Any]) -> dict[str, Any]:
    return part | {"scenario": _SCENARIOS.get(part["scenario"], part["scenario"])}


def _sectioned(remark: dict[str, str]) -> dict[str, str]:
    code = remark["code"].lower()
    section = "accuracy" if "accuracy" in code else next((s for word, s in _MISSED.items() if word in code), "")
    return {**remark, "section": section}


def _variant(name: str, old: dict[str, Any]) -> dict[str, Any]:
    manifest, costs = old["variants"].get(name, {}), old["resources"].get(name, {})
    return {
        "name": name,
        "sha256": manifest.get("sha256", ""),
        "artefact_bytes": costs.get("artefact_bytes", manifest.get("bytes", 0)),
        "memory": {
            "added_by_stage": costs.get("added_bytes", {}),
            "resident_pss": costs.get("process_pss_bytes"),
            "parameter_bytes": costs.get("parameter_bytes"),
        },
        "manifest": manifest,
    }


def _compared(run: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    name = run["name"]
    stages = (old.get("stages_by_scenario") or {"single_stream": old["stages"]}).get(name, {})
    scenario, batch, costs = _SCENARIOS.get(name, name), run["images_per_request"], old["resources"]
    return {
        "scenario": scenario,
        "arms": {arm: _arm(found, stages.get(arm), costs.get(arm, {}), name) for arm, found in run["arms"].items()},
        "effects": [_renamed(effect) for effect in run["effects"]],
        "control": [_renamed(effect) for effect in run["control"]],
        "blocks": [_block(block, scenario, batch) for block in run["blocks"]],
        **{key: run[key] for key in ("images_per_request", "offered_rate", "looks", "pairs", "stopped", "invalid")},
    }


def _arm(result: dict[str, Any], stages: dict[str, Any] | None, costs: dict[str, Any], scenario: str) -> dict[str, Any]:
    kept = ("requests", "images", "seconds", "images_per_second", "mean_batch_size")
    return {
        "cpu_seconds_per_1000_images": costs.get("cpu_seconds_per_1000_images", {}).get(scenario),
        **{key: result[key] for key in kept},
        "failed": result["errors"],
        "latency": {
            "histogram": _histogram(result["histogram"]),
            "count": result["requests"] - result["errors"],
            "percentiles_us": result["percentiles_us"],
            "band": result["cdf"],
        },
        "stages": stages and {key: stages[key] for key in ("seconds", "total_seconds", "requests")},
    }


def _block(block: dict[str, Any], scenario: str, batch: int) -> dict[str, Any]:
    planned = ("scenario", "phase", "role", "pair", "offered_rate")
    return {
        **{key: value for key, value in block.items() if key not in planned},
        "histogram": _histogram(block["histogram"]),
        "plan": {
            **{key: block[key] for key in ("phase", "role", "pair", "requests")},
            "scenario": scenario,
            "traffic": scenario,
            "images_per_request": batch,
            "rate": block["offered_rate"],
            "first_image": 0,
            "seed": 0,
        },
    }


def _accuracy(found: dict[str, Any]) -> dict[str, Any]:
    labels = len(base64.b64decode(found["labels"])) // 2
    arms = {}
    for arm, share in found["accuracy"].items():
        missed = found.get("unanswered", {}).get(arm, 0)
        seconds = found["test_set_seconds"][arm]
        arms[arm] = {
            "requests": 0,
            "failed": 0,
            "images": labels - missed,
            "seconds": seconds,
            "images_per_second": (labels - missed) / seconds if seconds else 0.0,
            "latency": {"histogram": _histogram(""), "count": 0, "percentiles_us": {}},
            "answers": {
                "correct": round(share["estimate"] * found["images"]),
                "images": found["images"],
                "coverage": 1 - missed / labels if labels else 0.0,
                "share": share,
                "confusion": found["confusion"][arm],
                "predictions": found["predictions"].get(arm, ""),
            },
        }
    return {"scenario": "accuracy", "arms": arms}


def _rates(slo: dict[str, Any]) -> dict[str, Any]:
    return {
        **{key: slo[key] for key in ("percentile", "limit_ms", "max_error_share", "effect")},
        "sustained": slo["sustained_rate"],
        "points": [
            {key: value for key, value in point.items() if key != "invalid"}
            | {"reason": point["invalid"], "generator_bound": bool(point["invalid"])}
            for point in slo["points"]
        ],
    }
