"""``twinserve models add``: files of any model become a version that a server serves.

``declare`` reads what the user says of inputs and outputs; ``files`` reads the files and what they themselves say;
``trial`` runs them on a few items and finds what does not fit, field by field; ``version`` writes manifest and files,
whole or not at all; ``command`` is the way there and back.
"""
