// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"golang.org/x/sys/unix"

	"tare/internal/oci"
)

// floor keeps a reserve of the disk free, so that there is room for what deletes and the sweep write: while less is left,
// whatever brings bytes is refused. It is a reserve, not a wall: uploads that run side by side may dip into it, and what
// then finds the disk full is refused by the store.
type floor struct {
	free  func() (int64, error)
	least int64
}

// Where nothing else is said, the reserve is defaultFloor, or a part of a disk on which that would be too much.
const (
	defaultFloor = 1 << 30
	floorPart    = 20
)

// floorOf decides the reserve for a data folder.
func floorOf(set *size, folder string) (int64, error) {
	if set != nil {
		return int64(*set), nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, err
	}
	return min(defaultFloor, int64(st.Blocks)*int64(st.Bsize)/floorPart), nil //nolint:unconvert // it has another type on other systems
}

// room tells whether there is room for n bytes; a negative n is an unknown number of them. The error is NoSpace.
func (f floor) room(n int64) error {
	left, err := f.free()
	if err != nil {
		return nil // the store will meet what is wrong with the disk, and knows how to tell it
	}
	switch {
	case left-max(n, 0) >= f.least:
		return nil
	case left >= f.least:
		return oci.Errorf(oci.NoSpace, "the disk of the registry has no room for %v: %v are left, and %v are kept free", size(n), size(left), size(f.least))
	}
	return oci.Errorf(oci.NoSpace, "the disk of the registry is nearly full: %v are left, and %v are kept free", size(left), size(f.least))
}

// floored is a registry that asks for room also where package upload does not.
type floored struct {
	oci.Registry
	floor floor
}

// StartUpload implements oci.Pusher. To refuse here spares the client the sending.
func (r *floored) StartUpload(ctx context.Context, repo oci.Repository) (oci.Upload, error) {
	if err := r.floor.room(0); err != nil {
		return oci.Upload{}, err
	}
	return r.Registry.StartUpload(ctx, repo)
}

// PushManifest implements oci.Pusher.
func (r *floored) PushManifest(ctx context.Context, repo oci.Repository, push oci.ManifestPush) (oci.PushedManifest, error) {
	if err := r.floor.room(int64(len(push.Body))); err != nil {
		return oci.PushedManifest{}, err
	}
	return r.Registry.PushManifest(ctx, repo, push)
}
