"""Load, comparison, verdict and report; reaches the server through the SDK only.

From the bottom up:

- :mod:`twinserve_loadtest.load`: :mod:`~twinserve_loadtest.load.generator` runs bounded *blocks*
  (:mod:`~twinserve_loadtest.load.blocks`) with Locust in a process of its own
  (:mod:`~twinserve_loadtest.load.worker_main`, :mod:`~twinserve_loadtest.load.users`), counts in
  :mod:`~twinserve_loadtest.load.recorder` and watches itself (:mod:`~twinserve_loadtest.load.watch`,
  :mod:`~twinserve_loadtest.load.validity`). :mod:`~twinserve_loadtest.load.plan` and
  :mod:`~twinserve_loadtest.load.runner` make a test of blocks, :mod:`~twinserve_loadtest.load.results` says what it
  writes. ``twinserve loadtest``, ``twinserve demo``; :mod:`~twinserve_loadtest.locustfile` is the same under Locust's
  own command line, over several workers and with a web page.
- :mod:`twinserve_loadtest.compare`: :mod:`~twinserve_loadtest.compare.design` and
  :mod:`~twinserve_loadtest.compare.experiment` interleave blocks of two variants,
  :mod:`~twinserve_loadtest.compare.statistics` has the formulas with their sources,
  :mod:`~twinserve_loadtest.compare.verdict` judges by :mod:`~twinserve_loadtest.compare.gates`. ``twinserve compare``.
- :mod:`twinserve_loadtest.report` makes a page, its JSON, a table and a picture of the files of the other two.
  ``twinserve report``.
- :mod:`twinserve_loadtest.top` shows a running server in a terminal. ``twinserve top``.

Importing this package imports nothing else; Locust, and with it gevent's monkey-patching, stays in its own process.
"""
