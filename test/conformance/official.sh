#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the official conformance suites of the OCI distribution specification against a running registry, counts, and
# fails when a suite ran and found something.
#
#   test/conformance/official.sh http://127.0.0.1:5000
#
# TARE_SPEC_SUITES   a folder outside this repository that holds the suites' programs, as their own documentation builds
#                    them; neither the suites nor a way to build them is part of this repository:
#                      conformance       the main branch's, at the commit pinned below
#                      conformance.test  the release's
# CONFORMANCE_USER, CONFORMANCE_PASSWORD   credentials, if the registry wants any
# CONFORMANCE_GATEWAY                      set when the registry is functions/api behind the HTTP API: what cannot pass there is
#                                          listed in testdata/gateway.txt, case by case
# CONFORMANCE_RESULTS                      where the reports go; default: a temporary folder, which stays when a suite fails
#
# Exit status: 0 passed, or not available; 1 a suite found something; 2 a suite could not run.
set -euo pipefail

commit=967efdc079b91785ad18c77cc4f8991a47feefbf # of the main branch
release=v1.1.1

# A suite skips what a registry does not support, so a skip is a failure in disguise. Known ones: a mount without `from`
# is answered 202 by design (once for sha256, once for sha512); the release skips five variants by its own settings.
main_skips=2
release_skips=5

url=${1:?usage: official.sh URL}
if [ -z "${TARE_SPEC_SUITES:-}" ]; then
  echo "official suite: not available (TARE_SPEC_SUITES names no folder)"
  exit 0
fi
for program in conformance conformance.test; do
  if [ ! -x "$TARE_SPEC_SUITES/$program" ]; then
    echo "official suite: $TARE_SPEC_SUITES has no program $program" >&2
    exit 2
  fi
done
suites=$(cd "$TARE_SPEC_SUITES" && pwd)
here=$(cd "$(dirname "$0")" && pwd)

if [ -n "${CONFORMANCE_RESULTS:-}" ]; then
  mkdir -p "$CONFORMANCE_RESULTS"
  results=$(cd "$CONFORMANCE_RESULTS" && pwd)
else
  results=$(mktemp -d)
fi
namespace=official/$(date +%s)-$$
failed=0

# verdict NAME PASS FAIL SKIP ALLOWED STATUS prints one line and remembers a failure.
verdict() {
  echo "official suite, $1: $2 passed, $3 failed, $4 skipped"
  if [ "$3" -gt 0 ] || [ "$6" -ne 0 ]; then
    echo "official suite, $1: FAILED (exit status $6); see $results"
    failed=1
  elif [ "$4" -gt "$5" ]; then
    echo "official suite, $1: FAILED: $4 skipped, at most $5 are known; see $results"
    failed=1
  elif [ "$2" -eq 0 ]; then
    echo "official suite, $1: it passed nothing; see $results" >&2
    exit 2
  fi
}

# count NAME FILE reads a number from the main suite's summary.
count() {
  sed -nE "s/^ +$1\.+: +([0-9]+)$/\1/p" "$2" | head -n 1
}

# found VERSION FILE prints what the main suite found, sorted: version, case, and what it said.
found() {
  awk -v version="$1" '
    match($0, /OCI Conformance Test\/.*: FAIL$/) && /^ / { name = substr($0, RSTART + 21, RLENGTH - 27); next }
    name != "" && sub(/^ +- /, "") { print version "\t" name "\t" $0; next }
    { name = "" }' "$2" | sort
}

# main VERSION runs the main branch's suite: its defaults, which are all categories of data but the sparse one (it pushes
# an image without its layer, which is refused here by design), and what VERSION adds to them.
main() {
  local log=$results/main-$1.log status=0 tls=enabled
  case $url in http://*) tls=disabled ;; esac
  env OCI_REGISTRY="${url#*://}" OCI_TLS=$tls OCI_VERSION="$1" OCI_RESULTS_DIR="$results/main-$1" \
    OCI_REPO1="$namespace/main-$1/one" OCI_REPO2="$namespace/main-$1/two" \
    OCI_USERNAME="${CONFORMANCE_USER:-}" OCI_PASSWORD="${CONFORMANCE_PASSWORD:-}" \
    "$suites/conformance" >"$log" 2>&1 || status=$?
  if ! grep -q "^OCI Conformance Result: " "$log"; then
    echo "official suite, main branch as $1: it did not run; see $log" >&2
    exit 2
  fi
  if ! grep -q "^ *commit: $commit$" "$log"; then
    echo "official suite, main branch as $1: the program is not built from $commit:" \
      "$(sed -nE 's/^ *commit: *//p' "$log" | head -n 1)" >&2
    exit 2
  fi
  local errors failures known=0
  errors=$(count Error "$log")
  failures=$(count FAIL "$log")
  if [ -n "${CONFORMANCE_GATEWAY:-}" ]; then
    found "$1" "$log" >"$results/found-$1"
    grep "^$1	" "$here/testdata/gateway.txt" | sort >"$results/known-$1"
    known=$(comm -12 "$results/known-$1" "$results/found-$1" | wc -l)
    comm -13 "$results/known-$1" "$results/found-$1" | sed 's/^/not known: /'
    # What is known and does not come is a list that is wrong.
    if [ "$(comm -23 "$results/known-$1" "$results/found-$1" | wc -l)" -gt 0 ]; then
      echo "official suite, main branch as $1: these are listed in test/conformance/testdata/gateway.txt and did not fail:"
      comm -23 "$results/known-$1" "$results/found-$1"
      failed=1
    fi
    failures=$((failures - known))
    if [ "$failures" -eq 0 ] && [ "$errors" -eq 0 ]; then
      status=0
    fi
    echo "official suite, main branch as $1: $known failed that cannot pass behind this gateway, by name, in test/conformance/testdata/gateway.txt"
  fi
  if [ "$failures" -gt 0 ] || [ "$errors" -gt 0 ]; then
    grep -E -A 3 '(: FAIL|: Error)$' "$log" | grep -vE '^--$' | head -n 60 || true
  fi
  verdict "main branch as $1" "$(count Pass "$log")" "$((failures + errors))" "$(count Skip "$log")" "$main_skips" "$status"
}

# released runs the release's suite: pull, push, content discovery and content management.
released() {
  local log=$results/$release.log status=0 line
  mkdir -p "$results/$release"
  env OCI_ROOT_URL="$url" OCI_NAMESPACE="$namespace/$release/one" OCI_CROSSMOUNT_NAMESPACE="$namespace/$release/two" \
    OCI_TEST_PULL=1 OCI_TEST_PUSH=1 OCI_TEST_CONTENT_DISCOVERY=1 OCI_TEST_CONTENT_MANAGEMENT=1 \
    OCI_USERNAME="${CONFORMANCE_USER:-}" OCI_PASSWORD="${CONFORMANCE_PASSWORD:-}" OCI_REPORT_DIR="$results/$release" \
    "$suites/conformance.test" -ginkgo.no-color >"$log" 2>&1 || status=$?
  line=$(grep -E '^(SUCCESS|FAIL)! -- ' "$log" || true)
  if [ -z "$line" ]; then
    echo "official suite, $release: it did not run; see $log" >&2
    exit 2
  fi
  if [ "$status" -ne 0 ]; then
    grep -F '[FAIL]' "$log" | sort -u | head -n 60 || true
  fi
  verdict "$release" "$(sed -E 's/.* ([0-9]+) Passed.*/\1/' <<<"$line")" "$(sed -E 's/.* ([0-9]+) Failed.*/\1/' <<<"$line")" \
    "$(sed -E 's/.* ([0-9]+) Skipped.*/\1/' <<<"$line")" "$release_skips" "$status"
}

main 1.1
main dev
released
if [ "$failed" -eq 0 ] && [ -z "${CONFORMANCE_RESULTS:-}" ]; then
  rm -rf "$results"
fi
exit "$failed"
