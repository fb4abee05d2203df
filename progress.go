package laneswap

// TaskID is the id of a long task.
type TaskID string

// TaskStatus is where a long task stands.
type TaskStatus string

// The task statuses. Completed, failed, canceled and timeout are final.
const (
	TaskPending   TaskStatus = "pending"
	TaskRunning   TaskStatus = "running"
	TaskPaused    TaskStatus = "paused"
	TaskCompleted TaskStatus = "completed"
	TaskFailed    TaskStatus = "failed"
	TaskCanceled  TaskStatus = "canceled"
	TaskTimeout   TaskStatus = "timeout"
)

// Valid reports whether s is one of the task statuses.
func (s TaskStatus) Valid() bool {
	switch s {
	case TaskPending, TaskRunning, TaskPaused:
		return true
	}
	return s.Final()
}

// Final reports whether a task in this status has ended.
func (s TaskStatus) Final() bool {
	switch s {
	case TaskCompleted, TaskFailed, TaskCanceled, TaskTimeout:
		return true
	}
	return false
}
