"""The words for pods that are judged otherwise than by Prometheus' answers.

Pods that are read, gateways that are read and samples that are pushed have one judge and one way back to Prometheus
(`followed.py`). What people are told of each differs, and is all here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Manner:
    """The words for how pods are judged otherwise than by Prometheus' answers.

    Attributes:
        reads: that they are, with the interval to come.
        misses: before the names of those that are not.
        seldom: before the names of those that are not each time.
        pending: that none was yet.
        absent: that there were none lately.
        silent: that none can be, with their names to come.
        judged: that what came cannot be judged, with the reason to come.
        whose: what has no series of the metric, with its name to come.
        accounts: what is compared with Prometheus.
        pods: what stands before the name of one that is not.
        of: what there are some of, and whether that is of each version.
        sample: what follows from there being others.
    """

    reads: str
    misses: str
    pending: str
    absent: str
    silent: str
    judged: str
    whose: str
    accounts: str
    seldom: str = "read more rarely"
    pods: str = "pod "
    of: str = ""
    sample: str = ""


READ = Manner(
    reads="read directly every",
    misses="not read",
    pending="no pod has been read directly yet",
    absent="no pod has been read directly lately",
    silent="pods cannot be read directly",
    judged="pods cannot be judged by direct readings",
    whose="pages of the new version's pods have no series of",
    accounts="direct readings",
)
AT_GATEWAY = Manner(
    reads="read directly every",
    misses="not read",
    pending="no pod of a gateway has been read directly yet",
    absent="no pod of a gateway has had requests of both versions on its page lately",
    silent="gateways cannot be read directly",
    judged="gateways' direct readings cannot be judged",
    whose="pages of the gateways' pods have, for the new version, no series of",
    accounts="direct readings",
    pods="",
    of="pods of the gateways",
    sample="the requests that they count are missing, so shares are those of the rest",
)
PUSHED = Manner(
    reads="samples are pushed every",
    misses="not judged",
    pending="no samples of the pods have been pushed yet",
    absent="no samples of the pods have been pushed lately",
    silent="pods cannot be judged by pushed samples",
    judged="pods cannot be judged by pushed samples",
    whose="what is pushed of the new version's pods has no series of",
    accounts="pushed samples",
)
