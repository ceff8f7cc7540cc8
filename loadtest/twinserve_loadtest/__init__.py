"""Load, comparison, verdict and report; reaches the server through the SDK only.

Folder by folder in the order a measurement meets them:

- ``commands``: the command line, one file per command.
- ``target``: the server under test, and a server started for the duration of a measurement.
- ``generate``: a bounded *block* of requests (``spec``), run by Locust in a process of its own (``worker``, ``users``),
  counted (``recorder``) and checked for limits of the generator itself (``watch``, ``validity``).
- ``loadtest``: a plan of blocks, run and summarised: ``twinserve loadtest``, ``twinserve demo``.
- ``compare``: blocks of two variants interleaved by a design, judged by gates: ``twinserve compare``.
- ``capacity``: how many servers a load needs, from what was measured: ``twinserve capacity``.
- ``statistics``: the formulas, with their sources.
- ``record``: the data model of a measurement, and its files.
- ``report``: a page, its JSON, a table and a picture from those files: ``twinserve report``.
- ``locust_cli``: the same load under Locust's own command line, over several workers and with a web page.
- ``top``: a running server in a terminal: ``twinserve top``.

Importing this package imports nothing else; Locust, and with it gevent's monkey-patching, stays in its own process.
"""
