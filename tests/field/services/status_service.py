"""The demo service as a library counts that has another name for the label of the status: `status`, with its class for a value."""

from __future__ import annotations

import re
import sys

from tidegate_sandbox import demo_service

_CODE = re.compile(r'code="(\d)\d\d"')


class Classes(demo_service.Metrics):
    """Counts requests by the class of their status."""

    def text(self) -> str:
        counted: dict[str, int] = {}
        lines = []
        for line in super().text().splitlines():
            if not line.startswith("http_requests_total{"):
                lines.append(line)
                continue
            series, _, count = _CODE.sub(r'handler="/",status="\1xx"', line).rpartition(" ")
            counted[series] = counted.get(series, 0) + int(count)
        return "\n".join([*(f"{series} {count}" for series, count in counted.items()), *lines]) + "\n"


if __name__ == "__main__":
    demo_service.Metrics = Classes  # type: ignore[misc]
    sys.exit(demo_service.main())
