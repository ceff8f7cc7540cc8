"""Load, comparison, verdict and report; reaches the server through the SDK only.

From the bottom up:

- **Load.** :mod:`~twinserve_loadtest.generator` runs bounded *blocks* (:mod:`~twinserve_loadtest.blocks`) with Locust
  in a process of its own (:mod:`~twinserve_loadtest.worker_main`, :mod:`~twinserve_loadtest.users`), counts in
  :mod:`~twinserve_loadtest.recorder` and watches itself (:mod:`~twinserve_loadtest.watch`,
  :mod:`~twinserve_loadtest.validity`). :mod:`~twinserve_loadtest.locustfile` is the same under Locust's own command
  line, over several workers and with a web page.
- **Load test.** :mod:`~twinserve_loadtest.plan` and :mod:`~twinserve_loadtest.runner` turn blocks into a test,
  :mod:`~twinserve_loadtest.results` says what it writes. ``twinserve loadtest``, ``twinserve demo``.
- **Comparison.** :mod:`~twinserve_loadtest.design` and :mod:`~twinserve_loadtest.experiment` interleave blocks of two
  variants, :mod:`~twinserve_loadtest.statistics` has the formulas with their sources,
  :mod:`~twinserve_loadtest.verdict` judges by :mod:`~twinserve_loadtest.gates`. ``twinserve compare``.
- **Report.** :mod:`~twinserve_loadtest.report` makes a page, its JSON, a table and a picture of the files of the other
  two. ``twinserve report``.

Importing this package imports nothing else; Locust, and with it gevent's monkey-patching, stays in its own process.
"""
