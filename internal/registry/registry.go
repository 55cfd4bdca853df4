// SPDX-License-Identifier: Apache-2.0

// Package registry holds the rules of pull, push, mount, delete and list: what a manifest needs to be there, what a
// digest must match, what a client is told of a store that fails. It implements [oci.Registry] on the ledger, which keeps
// the facts, package upload, which takes blobs in, and the objects that links name.
//
// It assumes that names, tags and digests were parsed by package oci. It knows no rows and no HTTP.
package registry

import (
	"context"
	"errors"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/upload"
)

// Registry is an [oci.Registry]. It is safe for concurrent use, by any number of processes on one ledger.
type Registry struct {
	ledger  *refcount.Ledger
	uploads *upload.Uploads
	objects store.Objects
	opts    Options
}

var _ oci.Registry = (*Registry)(nil)

// Options are what a deployment decides.
type Options struct {
	// SparseIndexes accepts an index although manifests that it lists are not there. Those that are there are held by it
	// as in any index.
	SparseIndexes bool

	// Direct sends readers to the objects themselves, by signed URLs. Nil: the registry reads them.
	Direct store.Direct
}

// New returns a registry on l. objects are those that l's links name, and uploads ends in l.
func New(l *refcount.Ledger, uploads *upload.Uploads, objects store.Objects, o Options) *Registry {
	return &Registry{ledger: l, uploads: uploads, objects: objects, opts: o}
}

// translate turns an error of a store into one for the client. It is the only place that does. Errors that are for the
// client already, and those of contexts, stay as they are.
func translate(err error) error {
	var e *oci.Error
	switch {
	case err == nil, errors.As(err, &e), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, store.ErrFull):
		return &oci.Error{Code: oci.NoSpace, Message: "the registry has no room for more: free some, or come back later", Cause: err}
	case errors.Is(err, store.ErrUnavailable):
		return &oci.Error{Code: oci.Unavailable, Message: "the registry cannot do this now; nothing has changed", Cause: err}
	case errors.Is(err, store.ErrUnknownOutcome):
		return &oci.Error{Code: oci.Unavailable, Message: "the registry does not know whether this was done; it is safe to repeat", Cause: err}
	}
	return &oci.Error{Code: oci.Internal, Message: "something is wrong with the registry", Cause: err}
}
