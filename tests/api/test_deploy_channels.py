"""Channels of notifications come through the chart's values as the page shows them, and the operator accepts what comes out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from api.cluster_access import run
from api.manifests import CHART, HELM, by_name, needs_helm
from tidegate.controller.process import config as configuration
from tidegate.notifications.config import MOST_CHANNELS, Kind
from unit.docs.pages import text_of


@needs_helm
def test_channels_of_the_page_are_values_of_the_chart(tmp_path: Path) -> None:
    """Each channel that docs/notifications.md shows can be given to the chart, and the operator accepts what comes out."""
    blocks = re.findall(
        r"^```yaml\n(# Tidegate configuration\n.*?)^```", text_of("docs/notifications.md"), re.DOTALL | re.MULTILINE
    )
    shown = [channel for block in blocks for channel in yaml.safe_load(block)["notifications"].get("channels", ())]
    read = set()
    for at in range(0, len(shown), MOST_CHANNELS):
        channels = [{**one, "name": f"channel-{number}"} for number, one in enumerate(shown[at : at + MOST_CHANNELS])]
        told = {"channels": channels, "audit": {"file": "/var/log/audit.jsonl"}, "cluster": "west", "giveUpAfter": "2h"}
        values = {"config": {"connections": [{"name": "default", "address": "http://prometheus:9090"}], "notifications": told}}
        done = run(HELM, "template", "tidegate", str(CHART), "--values", "-", stdin=json.dumps(values))
        assert done.returncode == 0, done.stderr
        file = tmp_path / "config.yaml"
        file.write_text(by_name(done.stdout)["ConfigMap", "tidegate-config"]["data"]["config.yaml"])
        read |= {channel.type for channel in configuration.load(file).notifications.channels}

    assert {*Kind} == read
