"""``twinserve models add``: turns the files of any model into a version that a server can serve.

``declare`` parses the inputs and outputs declared by the user; ``files`` reads the files and their own metadata;
``trial`` runs them on a few items and finds mismatches, field by field; ``version`` writes manifest and files
atomically; ``command`` connects the steps.
"""
