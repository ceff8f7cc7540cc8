"""``twinserve doctor``: what this machine has, whether a server would start on it, and what to do where it would not.

Each module looks at one thing and returns :class:`~twinserve_doctor.finding.Finding`; ``examine`` runs them all, in the
order of a start: ``processor``, ``resources``, ``libraries``, ``gpu``, ``models``, ``network``, ``dataset``. ``view``
prints them. Needs ``twinserve[cli]`` only: whatever else is missing is what it is there to tell.
"""
