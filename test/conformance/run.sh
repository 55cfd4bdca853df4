#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Starts bin/tare with an empty data folder and runs our suite and the official ones against it. With CONFORMANCE_URL set,
# it takes the registry there instead.
set -euo pipefail
cd "$(dirname "$0")/../.."

url=${CONFORMANCE_URL:-}
tests=TestURL
if [ -z "$url" ]; then
  tests=
  folder=$(mktemp -d)
  exec {output}< <(exec bin/tare serve --listen 127.0.0.1:0 --data "$folder/data" 2>"$folder/log")
  server=$!
  # shellcheck disable=SC2064 # the server and its folder are known now
  trap "kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf '$folder'" EXIT
  while [ -z "$url" ] && IFS= read -r line <&"$output"; do
    url=$(sed -nE 's/^Tare .* at (http:[^ ]+)$/\1/p' <<<"$line")
  done
  if [ -z "$url" ]; then
    cat "$folder/log" >&2
    exit 2
  fi
fi

status=0
CONFORMANCE_URL=$url go test -count=1 -run "$tests" ./test/conformance || status=1
test/conformance/official.sh "$url" || status=1
exit "$status"
