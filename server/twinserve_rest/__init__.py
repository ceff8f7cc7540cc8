"""The Open Inference Protocol over HTTP: a separate process that calls a twinserve server through the SDK.

``cli`` reads the options, ``app`` has the routes, ``messages`` the JSON, ``tensors`` the elements in JSON and in the
binary extension, ``models`` maps names to models and variants, ``errors`` maps errors to HTTP statuses.
"""
