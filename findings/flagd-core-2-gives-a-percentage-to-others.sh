#!/usr/bin/env bash
# openfeature-flagd-core 2.0.0 gives the same percentage of the same flag to other users than 1.0.0 does.
#
# Version:   openfeature-flagd-core 1.0.0 and 2.0.0 (Python packages), the evaluator of flagd's in-process and file resolvers.
# Behaviour: 1.0.0 tells users apart by a hash of the flag's key and the targeting key as one text, 2.0.0 by a hash of both as CBOR. A
#            feature that 10% of the users have is taken from nearly all of them, and given to others, when a program is built anew with
#            2.0.0; while programs with both versions run, a user has it in one and not in the other. The definition does not change.
# Output:    the line that this script prints last: of 5,000 users those who have it by 1.0.0, by 2.0.0, and by both.
# What to do: bring all programs that ask for one flag to 2.0.0 at once, and while no feature is at a percentage between 0 and 100.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for version in 1.0.0 2.0.0; do
    python3 -m venv "$dir/$version"
    "$dir/$version/bin/pip" install --quiet --disable-pip-version-check "openfeature-flagd-core==$version"
    "$dir/$version/bin/python" - >"$dir/users-$version" <<'PYTHON'
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

targeting = {"fractional": [["on", 10], ["off", 90]]}
flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", "targeting": targeting}
core = FlagdCore()
core.set_flags({"flags": {"new-checkout": flag}})
for user in sorted(f"user-{number}" for number in range(5000)):
    if core.resolve_boolean_value("new-checkout", False, EvaluationContext(user)).value:
        print(user)
PYTHON
done
both=$(LC_ALL=C comm -12 "$dir/users-1.0.0" "$dir/users-2.0.0" | wc -l)
echo "1.0.0: $(wc -l <"$dir/users-1.0.0"), 2.0.0: $(wc -l <"$dir/users-2.0.0"), both: $both"
