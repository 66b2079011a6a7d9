#!/usr/bin/env bash
# Thanos cannot be built as what another module asks for: its go.mod replaces a library by one with another interface.
#
# Version:   github.com/thanos-io/thanos v0.42.4 (its package pkg/cache, which all of its commands are made of).
# Behaviour: `go get -tool github.com/thanos-io/thanos/cmd/thanos@v0.42.4` and `go mod tidy` succeed, and the build fails minutes
#            later: Go looks at the `replace` lines of the main module alone, and github.com/vimeo/galaxycache as Thanos asks for it
#            has a MarshalBinary of another form than the fork that Thanos replaces it by.
# Output:    the two lines that this script prints last.
# What to do: copy the `replace` lines of Thanos' go.mod into your own, with each new version anew.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
go mod init finding >/dev/null 2>&1
GOFLAGS=-mod=mod go get github.com/thanos-io/thanos/pkg/cache@v0.42.4 >/dev/null 2>&1
try() { CGO_ENABLED=0 GOFLAGS=-mod=mod go build -tags slicelabels github.com/thanos-io/thanos/pkg/cache >"$dir/log" 2>&1 && echo builds || echo "does not build"; }
alone=$(try)
grep -q 'does not implement galaxycache.Codec' "$dir/log" && why=", for want of galaxycache.Codec" || why=
module=$(GOFLAGS=-mod=mod go list -m -f '{{.Dir}}' github.com/thanos-io/thanos)
sed -n '/^replace (/,/^)/p' "$module/go.mod" >>go.mod
replaced=$(try)
echo "asked for as it is:          $alone$why"
echo "with its own replacements:   $replaced"
[ "$alone" = "does not build" ] && [ -n "$why" ] && [ "$replaced" = builds ] || { echo "it is no longer so"; exit 1; }
