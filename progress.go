package laneswap

// TaskID identifies a task: a long piece of work that reports its progress.
type TaskID string

// TaskStatus is the state of a task.
type TaskStatus string

// The task statuses. A task that is completed, failed, canceled or timeout has ended.
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
