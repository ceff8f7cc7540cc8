"""Which waiting request is next: callers take turns, each with its own lane."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from twinserve_server.engine.job import Job


class Lanes:
    """Waiting jobs by caller. The caller that was served last goes behind all others.

    Two orders: from the one that has waited longest, or from the newest, among the callers and among the jobs of each.
    What was begun of a job is finished before its caller's other jobs.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[Job]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Job]:
        for lane in self._lanes.values():
            yield from lane

    def push(self, job: Job) -> None:
        """Append ``job`` to its caller's lane; a caller who waited for nothing goes behind all others."""
        self._count += 1
        lane = self._lanes.get(job.peer)
        if lane is None:
            self._lanes[job.peer] = deque((job,))
        else:
            lane.append(job)

    def next(self, *, newest: bool = False) -> Job:
        """Whose turn it is; the job stays where it is."""
        lanes = self._lanes
        lane = lanes[next(reversed(lanes) if newest else iter(lanes))]
        return lane[-1] if newest and not lane[0].taken else lane[0]

    def drop(self, job: Job) -> None:
        """Let go of a job that :meth:`next` gave."""
        self._count -= 1
        lane = self._lanes[job.peer]
        if lane[0] is job:
            lane.popleft()
        else:
            lane.pop()
        if not lane:
            del self._lanes[job.peer]

    def rotate(self, job: Job, *, newest: bool = False) -> None:
        """The caller of ``job`` has had a turn in this order."""
        if job.peer in self._lanes:
            self._lanes.move_to_end(job.peer, last=not newest)

    def remove(self, unwanted: Callable[[Job], bool]) -> list[Job]:
        """Let go of the jobs that are ``unwanted``, wherever they stand."""
        removed = [job for job in self if unwanted(job)]
        if removed:
            gone = set(map(id, removed))
            for peer, lane in list(self._lanes.items()):
                kept = deque(job for job in lane if id(job) not in gone)
                if kept:
                    self._lanes[peer] = kept
                else:
                    del self._lanes[peer]
            self._count -= len(removed)
        return removed
