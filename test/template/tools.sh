#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the programs that check template.yaml (sam, aws-sam-translator, cfn-lint, parliament), at the versions of
# requirements.txt, into the user's cache folder, once, and prints the folder where they are. It needs python3 of 3.10 at
# least with venv, and PyPI the first time.
#
#   TARE_TEMPLATE_TOOLS  folder for the programs (default: tare-template in the user's cache folder)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
all=${TARE_TEMPLATE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tare-template}

# A change of versions is a folder of its own. The lock file is not taken away: whoever waits for it would hold another.
tools=$all/$(cksum <"$here/requirements.txt" | cut -d ' ' -f 1)
mkdir -p "$all"
exec 9>"$all/lock"
if command -v flock >/dev/null; then
	flock 9
fi
if [ ! -e "$tools/.complete" ]; then
	echo "tools.sh: installing into $tools" >&2
	rm -rf "$tools"
	python3 -m venv "$tools"
	"$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
	touch "$tools/.complete"
fi
echo "$tools/bin"
