"""The server. The life of one request, file by file:

1. ``aio_transport`` (or ``fast_transport``) takes the RPC off the wire in a *gateway* process (``gateway``).
2. ``interceptors.access`` starts the clock; ``interceptors.errors`` parses the message and will map what goes wrong.
3. ``predict_service`` checks the tensor (``tensor_codec``) and asks the ``core.engine``.
4. ``core.router`` picks the variant; ``core.channel`` queues the job; ``core.batch_queue`` forms a batch as soon as a
   model process is free; ``core.link`` writes it as one frame (``core.frames``) to that process.
5. ``model_process`` joins the frames that have arrived; ``forward`` runs the artefact; one frame goes back.
6. ``core.link`` hands each job its rows; ``answer_codec`` packs the answer with the time split.
7. ``interceptors.access`` counts the RPC under its final status; the metrics lie in a ``metrics_slab``.

Around it: ``cli`` -> ``serve_command`` -> ``settings`` -> ``app`` wires; ``plan`` decides what runs; ``supervisor``
keeps the processes alive (``child_process``, ``control``) and serves ``/metrics`` (``exposition``,
``supervisor_metrics``).
"""
