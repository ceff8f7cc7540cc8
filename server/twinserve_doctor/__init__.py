"""``twinserve doctor``: what this machine has, whether a server would start on it, and what to do if not.

Each module checks one thing and returns :class:`~twinserve_doctor.finding.Finding`; ``examine`` runs them all, in the
order of a start: ``processor``, ``resources``, ``libraries``, ``gpu``, ``models``, ``network``, ``dataset``. ``view``
prints them. Needs only ``twinserve[cli]``: its purpose is to report whatever else is missing.
"""
