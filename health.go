package laneswap

import "time"

// Health is how the Manager itself is, beside the services that it watches.
type Health struct {
	// Stage is "new", "loading" while the storage has not been read, "running" or
	// "stopped".
	Stage string `json:"stage"`
	// Storage is nil without one.
	Storage *StorageHealth `json:"storage,omitempty"`
	// Notifiers are as Notifiers returns them.
	Notifiers []NotifierStatus `json:"notifiers,omitempty"`
}

// StorageHealth is how it stands with what is to be stored. It holds no text of
// the storage's errors, which may not be for everybody: those are logged.
type StorageHealth struct {
	// State is "ok", "loading", "degraded" while the storage does not take what it
	// is given, or "fenced" when a newer writer has taken it over.
	State string `json:"state"`
	// Since is when that began; zero for ok.
	Since time.Time `json:"since,omitzero"`
	// Backlog is how many rows wait to be stored.
	Backlog int `json:"backlog"`
	// Lost is how many transitions were not kept since the backlog became full; zero
	// again once that was told by EventStorageLost.
	Lost uint64 `json:"lost"`
}
