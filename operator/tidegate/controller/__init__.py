"""The controller: from watch events and due times to snapshots, from plans to writes."""
