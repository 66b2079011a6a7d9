//go:build ignore

// What Contour needs of client-go 0.34's tools/cache/synctrack, which client-go 0.36 has changed: the number of items of the first
// list that are still being worked on. It is put into Contour's package internal/contour when that is built here.

package contour

import "sync/atomic"

type singleFileTracker struct {
	waiting           atomic.Int64
	UpstreamHasSynced func() bool
}

// Start counts an item of the first list in; it comes before the item is handed on.
func (t *singleFileTracker) Start() { t.waiting.Add(1) }

// Finished counts it out.
func (t *singleFileTracker) Finished() { t.waiting.Add(-1) }

// HasSynced tells whether the list has been read and worked off. The source is asked first: it may have counted in until then.
func (t *singleFileTracker) HasSynced() bool {
	return t.UpstreamHasSynced() && t.waiting.Load() <= 0
}
