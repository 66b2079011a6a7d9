"""The controller: from watch events and due times to snapshots, from plans to writes.

It does what the engine has decided, and decides nothing itself.
"""
