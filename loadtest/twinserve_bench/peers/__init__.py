"""What a user would pick instead; README.md says how each is set up.

``run`` measures, ``subjects`` starts and asks each system, ``catalogue`` knows them, ``report`` writes the tables. What
lies in the folders, ``artefact`` and ``oip`` run in the peers' own environments, without twinserve.
"""
