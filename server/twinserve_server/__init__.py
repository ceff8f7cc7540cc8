"""The server, folder by folder in the order a request meets them:

1. ``transport`` takes the RPC off the wire in a *gateway* process (``gateway`` wires one; ``choice`` picks ``aio`` or
   ``fast``).
2. ``rpc`` finds the method (``method``: the table, from the proto's descriptor), counts the RPC under its final status,
   parses the message and maps whatever goes wrong (``serve``, ``status``), or calls it back without a coroutine
   (``callback``).
3. ``services`` checks the tensor (``decode``; ``skeletons`` knows requests that differ in their pixels only) and asks
   the engine (``inference_method``: what Predict and ModelInfer share; ``predict_method``, ``open_inference``). What
   arrives together travels as one list from here on.
4. ``engine``: ``router`` picks the variant for a ``call``, ``channel`` queues its ``job``, ``batch_queue`` forms a
   batch as soon as a model process is free, ``link`` writes it as one frame (``frames``) to that process.
5. ``model``: ``batch_server`` merges the frames that have arrived, ``rescue`` and ``forward`` run and check them, a
   ``runtime`` (such as ``torchscript``) runs the artefact, one frame goes back.
6. ``engine.link`` hands each job its rows; ``services.encode`` encodes the answer with the time of each stage.
7. ``metrics`` counts, in a ``slab`` that outlives its process; ``telemetry`` logs and traces.

Around it: ``cli`` -> ``serve`` -> ``settings`` -> ``supervisor``, which wires the server (``start``), decides what runs
(``plan``), keeps the processes alive (``supervisor``, ``child``) and serves ``/metrics``. Processes talk through
``ipc``. ``artefact`` reads models from disk, ``errors`` defines every error, ``host`` reads figures from the kernel. On
small machines everything runs in one process (``edge``).
"""
