"""twinserve on a Ray cluster, served by Ray Serve; file by file in the order a request meets them:

1. ``proxy`` runs in Serve's gRPC proxies: which methods there are, the caller's deadline, and what a caller reads when
   the replica that had its request dies.
2. ``gateway`` is a deployment: the server's own gateway (``twinserve_server.gateway``), fed through ``transport``,
   which takes Serve's calls (``context``).
3. ``links`` carries the batches that the gateway's queues form to the replicas of their variant.
4. ``model`` is a deployment for each variant: the server's own model thread.
5. ``supervisor`` is a deployment of one replica: the state that the others share (traffic, statistics, ``/metrics``),
   and their reports (``reports``, ``account``).

``app`` puts them together. Everything about running models, and about checking, routing, batching, counting and
answering requests, is the server's own code.
"""
