"""Every metric of twinserve, by name, kind, labels and help. ``docs/metrics.md`` is generated from this module."""

from __future__ import annotations

from typing import Final

from twinserve_server.metrics.family import Family

RPC: Final = ("grpc_type", "grpc_service", "grpc_method")
MODEL: Final = ("model", "version", "variant")

#: From 50 us, in steps of about 1.4 up to 25 ms. A forward pass of one MNIST image takes INT8 some 170 us and FP32 some
#: 400 us, and a step of 1.4 keeps an interpolated quantile within 20 % of the true one: the ratio stays visible.
LATENCY_BUCKETS: Final = (
    *(50e-6, 70e-6, 100e-6, 140e-6, 200e-6, 280e-6, 400e-6, 560e-6, 800e-6),
    *(1.1e-3, 1.6e-3, 2.2e-3, 3.2e-3, 4.5e-3, 6.3e-3, 9e-3, 12.5e-3, 18e-3, 25e-3),
    *(50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
BATCH_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
#: A model with more classes has no series per class.
MAX_CLASS_SERIES: Final = 256
DIFFERENCE_BUCKETS: Final = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)

RPC_STARTED: Final = Family("grpc_server_started", "counter", "RPCs started on the server.", RPC)
RPC_HANDLED: Final = Family(
    "grpc_server_handled",
    "counter",
    "RPCs completed on the server, by the status that the caller saw; UNAVAILABLE if a killed gateway cut them off.",
    (*RPC, "grpc_code"),
)
RPC_SECONDS: Final = Family(
    "grpc_server_handling_seconds",
    "histogram",
    "Seconds from the arrival of an RPC to its final status.",
    RPC,
    LATENCY_BUCKETS,
)

REQUESTS: Final = Family(
    "twinserve_requests",
    "counter",
    "Requests by chosen variant, route (named, split or shadow) and final gRPC status.",
    (*MODEL, "route", "code"),
)
REQUEST_SECONDS: Final = Family(
    "twinserve_request_duration_seconds",
    "histogram",
    "Seconds from the decoded request to the answer, for answered requests. route: named, split or shadow.",
    (*MODEL, "route"),
    LATENCY_BUCKETS,
)
REFUSED_SECONDS: Final = Family(
    "twinserve_refused_seconds",
    "counter",
    "Seconds from the decoded request to its end, for the requests in twinserve_refused_total.",
    MODEL,
)
REQUEST_STAGE_SECONDS: Final = Family(
    "twinserve_request_stage_seconds",
    "counter",
    "Seconds that answered requests spent in preprocess, inference and postprocess. Requests that share a forward pass "
    "each count all of it; twinserve_stage_duration_seconds counts it once.",
    (*MODEL, "stage"),
)
STAGE_SECONDS: Final = Family(
    "twinserve_stage_duration_seconds",
    "histogram",
    "Seconds in each stage: queue per request; transfer, preprocess, inference and postprocess per batch.",
    (*MODEL, "stage"),
    LATENCY_BUCKETS,
)
BATCH_IMAGES: Final = Family(
    "twinserve_batch_size_images", "histogram", "Images in one forward pass.", MODEL, BATCH_BUCKETS
)
FAILED_BATCHES: Final = Family(
    "twinserve_failed_batches", "counter", "Forward passes that failed, or returned NaN or infinity.", MODEL
)
FAILED_BATCH_IMAGES: Final = Family(
    "twinserve_failed_batch_images",
    "counter",
    "Images of failed forward passes, which are then run one by one. outcome: rescued (answered alone), poisoned "
    "(failed alone as well) or not_run (no time was left).",
    (*MODEL, "outcome"),
)
QUEUE_DEPTH: Final = Family(
    "twinserve_queue_depth_images", "gauge", "Images waiting for a batch in a gateway.", (*MODEL, "gateway")
)
QUEUE_REQUESTS: Final = Family(
    "twinserve_queue_depth_requests", "gauge", "Requests waiting for a batch in a gateway.", (*MODEL, "gateway")
)
QUEUE_BYTES: Final = Family(
    "twinserve_queue_depth_bytes",
    "gauge",
    "Bytes of the inputs waiting for a batch in a gateway.",
    (*MODEL, "gateway"),
)
IN_FLIGHT: Final = Family(
    "twinserve_in_flight_images",
    "gauge",
    "Images that a gateway currently has in model processes.",
    (*MODEL, "gateway"),
)
IN_FLIGHT_BYTES: Final = Family(
    "twinserve_in_flight_bytes",
    "gauge",
    "Bytes of the images that a gateway currently has in model processes.",
    (*MODEL, "gateway"),
)
#: What a gateway holds now, which is nothing once it has ended.
HELD: Final = frozenset({QUEUE_DEPTH.name, QUEUE_REQUESTS.name, QUEUE_BYTES.name, IN_FLIGHT.name, IN_FLIGHT_BYTES.name})
REFUSED: Final = Family(
    "twinserve_refused",
    "counter",
    "Requests that ended without an answer once a variant was chosen, by reason.",
    (*MODEL, "reason"),
)
IMAGES: Final = Family("twinserve_images", "counter", "Images answered, including those of shadow runs.", MODEL)
PREDICTIONS: Final = Family(
    "twinserve_predictions",
    "counter",
    f"Images answered, by predicted class; no series for a model of more than {MAX_CLASS_SERIES} classes.",
    (*MODEL, "class"),
)
ROUTED: Final = Family(
    "twinserve_routed",
    "counter",
    "Routing decisions: named by the request, by routing key, or at random.",
    (*MODEL, "reason"),
)
SHADOW_REQUESTS: Final = Family(
    "twinserve_shadow_requests", "counter", "Requests that also ran on this variant.", (*MODEL, "primary")
)
SHADOW_DROPPED: Final = Family(
    "twinserve_shadow_dropped", "counter", "Shadow runs dropped because of load.", (*MODEL, "primary")
)
SHADOW_IMAGES: Final = Family(
    "twinserve_shadow_images",
    "counter",
    "Images of a classifier compared between primary and shadow.",
    (*MODEL, "primary"),
)
SHADOW_DISAGREEMENTS: Final = Family(
    "twinserve_shadow_disagreements",
    "counter",
    "Images whose class differs from the primary's.",
    (*MODEL, "primary"),
)
SHADOW_DIFFERENCE: Final = Family(
    "twinserve_shadow_probability_difference",
    "histogram",
    "Largest difference in a class probability between primary and shadow, per request.",
    (*MODEL, "primary"),
    DIFFERENCE_BUCKETS,
)
FEEDBACK_IMAGES: Final = Family(
    "twinserve_feedback_images", "counter", "Images whose true label arrived later (SendFeedback).", MODEL
)
FEEDBACK_CORRECT: Final = Family(
    "twinserve_feedback_correct",
    "counter",
    "Images that the variant classified correctly, according to their later label.",
    MODEL,
)

# What the supervisor knows; all of the above is written by gateways, into their slabs.

READY: Final = Family(
    "twinserve_model_ready",
    "gauge",
    "1 while every replica of the variant is warm, else 0.",
    MODEL,
)
LOAD_SECONDS: Final = Family(
    "twinserve_model_load_duration_seconds",
    "gauge",
    "Duration of the last load of the artefact, in seconds.",
    MODEL,
)
WARM_UP_SECONDS: Final = Family(
    "twinserve_model_warm_up_duration_seconds",
    "gauge",
    "Duration of the last warm-up in seconds: every batch size up to 64 and some above, within its time budget.",
    MODEL,
)
LAST_LOAD: Final = Family(
    "twinserve_model_last_load_timestamp_seconds",
    "gauge",
    "When the variant last became ready, as Unix time.",
    MODEL,
)
MODEL_INFO: Final = Family(
    "twinserve_model",
    "info",
    "What is served, as labels; the value is 1.",
    (*MODEL, "sha256", "quantization", "engine", "isa", "torch", "dataset", "runtime", "library"),
)
ARTEFACT_BYTES: Final = Family("twinserve_model_artefact_bytes", "gauge", "Size of the artefact file in bytes.", MODEL)
PARAMETER_BYTES: Final = Family(
    "twinserve_model_parameter_bytes",
    "gauge",
    "Bytes of the parameters, including packed quantised ones.",
    MODEL,
)
ADDED_BYTES: Final = Family(
    "twinserve_model_added_bytes",
    "gauge",
    "Anonymous memory in use beyond that of the same process without the model, cumulative. stage: load, "
    "first_inference, batch_limit (one image, then a full batch) or warm_up (every size up to 64 and some above). "
    "Library code, which all model processes share, is excluded.",
    (*MODEL, "stage"),
)
MODEL_RESIDENT: Final = Family(
    "twinserve_model_resident_bytes",
    "gauge",
    "Resident memory of the process of a variant's replica. kind: pss (shared pages split among the processes that "
    "map them) or rss. In the edge profile, which has no model processes, pss and added are both the anonymous memory "
    "that loading and warming up the model added; what serving adds later is excluded.",
    (*MODEL, "replica", "kind"),
)
MODEL_DEVICE_BYTES: Final = Family(
    "twinserve_model_device_bytes",
    "gauge",
    "GPU memory of the process of a variant's replica. kind: context, weights, peak_reserved (the most that torch had "
    "reserved once the model was warm, activations included) or process (the driver's current count). Unknown figures "
    "have no series.",
    (*MODEL, "replica", "kind"),
)
GPU_UTILIZATION: Final = Family(
    "twinserve_gpu_utilization_ratio", "gauge", "Share of time busy, 0..1.", ("gpu", "name")
)
GPU_POWER: Final = Family("twinserve_gpu_power_watts", "gauge", "Power drawn by a GPU.", ("gpu", "name"))
MODEL_CPU: Final = Family(
    "twinserve_model_cpu_seconds",
    "counter",
    "CPU seconds of the variant's processes, including ended ones (except the last 2 s of a killed one). In the edge "
    "profile: of the thread that runs the models, while it loaded this variant and ran its batches.",
    MODEL,
)
GATEWAY_RESIDENT: Final = Family(
    "twinserve_gateway_resident_bytes",
    "gauge",
    "Resident memory of a gateway. kind: pss or rss. In the edge profile: of the single process, pss without its "
    "models, rss with them.",
    ("gateway", "kind"),
)
GATEWAY_CPU: Final = Family(
    "twinserve_gateway_cpu_seconds",
    "counter",
    "CPU seconds of a gateway slot, including ended processes (except the last 2 s of a killed one). In the edge "
    "profile: of the process without its models.",
    ("gateway",),
)
SUPERVISOR_RESIDENT: Final = Family(
    "twinserve_supervisor_resident_bytes",
    "gauge",
    "Resident memory of the supervisor and its fork server. kind: pss or rss.",
    ("kind",),
)
RESTARTS: Final = Family(
    "twinserve_process_restarts",
    "counter",
    "Unplanned restarts of a process. reason: ended (by itself), hung or slow_batch (replaced).",
    ("process", "reason"),
)
LOG_LINES_LOST: Final = Family(
    "twinserve_log_lines_lost",
    "counter",
    "Log lines dropped because nobody read them or the disk was full. The supervisor forwards the lines of all "
    "processes; a gateway drops its own only while the supervisor does not read.",
    ("process",),
)
TRAFFIC_WEIGHT: Final = Family(
    "twinserve_traffic_weight",
    "gauge",
    "The variant's share (0..1) of the requests that name no variant.",
    MODEL,
)
TRAFFIC_FILE_GENERATION: Final = Family(
    "twinserve_traffic_file_generation",
    "gauge",
    "The generation of the traffic file in force. Only with --traffic.",
)
TRAFFIC_FILE_GOOD: Final = Family(
    "twinserve_traffic_file_last_read_successful",
    "gauge",
    "1 while the traffic file is in force; 0 while it cannot be used and the last usable one applies. Only with "
    "--traffic.",
)
BUILD_INFO: Final = Family(
    "twinserve_build",
    "info",
    "Software versions, as labels; the value is 1.",
    ("version", "grpcio", "python", "transport"),
)

FAMILIES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
BY_NAME: Final = {family.name: family for family in FAMILIES}
