#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the clients that the end-to-end tests drive, and nothing that is already there.
#
#   TARE_E2E_CLIENTS  folder for the clients built from source (default: tare-e2e in the user's cache folder)
#   CI                when set, a client that cannot be installed is an error; otherwise its tests are skipped
#
# Packages come from apt and need root. Everything else comes from the Go module proxy, at the versions of clients.txt.
set -u

here=$(cd "$(dirname "$0")" && pwd)
clients=${TARE_E2E_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/tare-e2e}
failed=

missing() {
	echo "install.sh: $1" >&2
	failed=1
}

install_packages() {
	packages=
	for pair in dockerd:docker.io skopeo:skopeo podman:podman buildah:buildah ctr:containerd; do
		command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair#*:}"
	done
	# Newer Debian releases ship the docker command apart from its daemon.
	if ! command -v docker >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then
		packages="$packages docker-cli"
	fi
	[ -n "$packages" ] || return 0
	if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
		missing "these packages need apt and root:$packages"
		return 0
	fi
	# In runlevel 1 the packages do not start their daemons: the tests run daemons of their own.
	export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # One word for each package.
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $packages >/dev/null; } ||
		missing "apt could not install:$packages"
}

# A program is kept when the build information in it names the version that is wanted.
is_built() {
	[ -x "$clients/$1" ] && go version -m "$clients/$1" | grep -Eq "^	(mod|dep)	$2	$3(	|$)"
}

# The program is built in an empty module that requires its own, so with exactly the dependencies that its authors chose.
# "go install" would do the same, but asks the proxy for the list of all versions, which it does not serve for every module.
build() {
	module=$(mktemp -d) || return 1
	(
		cd "$module" && export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod" &&
			go mod init client && go mod edit -require="$2@$3" && nice go build -o "$clients/" "$2/$4"
	) </dev/null 2>"$module/log" || {
		cat "$module/log" >&2
		missing "could not build $1"
	}
	rm -rf "$module"
}

build_clients() {
	mkdir -p "$clients"
	while read -r name module_path version package; do
		case $name in '' | '#'*) continue ;; esac
		is_built "$name" "$module_path" "$version" && continue
		echo "install.sh: building $name $version" >&2
		build "$name" "$module_path" "$version" "$package"
	done <"$here/clients.txt"
}

install_packages
build_clients
if [ -n "$failed" ] && [ -n "${CI:-}" ]; then
	exit 1
fi
