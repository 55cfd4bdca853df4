// SPDX-License-Identifier: Apache-2.0

// Package e2e drives real, unmodified clients against a running registry: docker, containerd, podman, buildah, skopeo,
// crane, oras, regctl, helm and cosign. Each client has a file, in which it pushes, pulls into storage that held
// nothing, and is compared byte by byte; the other files ask several clients for one ability.
//
// Every registry is started here, on loopback and on a data folder of its own, and every daemon that a client needs is
// started and stopped here too. Nothing is pulled from anywhere: the images are made by the tests. Clients run in a
// [box] from which no proxy leads out.
//
// The environment says:
//
//   - TARE_E2E_SERVE: how a registry is started (see [defaultServe]);
//   - TARE_E2E_LIMIT: the most bytes that the registry takes in one request; what needs more is not pushed, and
//     TestBeyondTheLimit shows what clients then print;
//   - TARE_E2E_CLIENTS: the folder where install.sh puts the clients that it builds;
//   - TARE_E2E_WITHOUT: a comma-separated list of [ability] names that a registry in Tare's place lacks; refused under CI;
//   - CI: when set, a client that is not installed fails its tests instead of skipping them.
package e2e
