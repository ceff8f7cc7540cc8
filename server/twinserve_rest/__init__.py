"""The Open Inference Protocol over HTTP: a process of its own that asks a twinserve server through the SDK.

``cli`` reads the options, ``app`` has the routes, ``messages`` the JSON, ``tensors`` the elements in JSON and in the
binary extension, ``models`` which model and variant a name means, ``errors`` the status of whatever goes wrong.
"""
