"""``twinserve models quantize``: an INT8 variant of a model that is there.

``calibration`` reads the items that set the ranges; ``onnx_file`` quantises an ONNX graph, ``eager`` a module that the
user's own function returns; ``command`` tries the result as a server would and adds it to the manifest.
"""
