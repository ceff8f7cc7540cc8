"""MLServer runtime for the INT8 artefact."""

import os
import sys

import numpy as np
import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

sys.path.insert(0, os.environ["PEER_COMMON"])
from artefact import load


class Mnist(MLModel):
    """The INT8 artefact."""

    async def load(self) -> bool:
        """Load it in this worker."""
        self.module = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request, or a batch that MLServer made."""
        pixels = np.array(NumpyCodec.decode_input(payload.inputs[0]), np.uint8)
        with torch.inference_mode():
            output = self.module(torch.from_numpy(pixels)).numpy()
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("OUTPUT", output)])
