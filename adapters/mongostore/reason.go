package mongostore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// call runs one call to the server within the timeout. It replaces the error of fn
// by one without secrets, or by that of the caller's context when this has ended.
func (s *Store) call(ctx context.Context, verb string, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	own, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := fn(own)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.isClosed():
		return ErrClosed
	case own.Err() != nil:
		// This is not context.DeadlineExceeded: the caller's context has not ended.
		return fmt.Errorf("mongostore: %s: no answer within %s%s", verb, s.timeout, because(err))
	}
	return fmt.Errorf("mongostore: %s: %s", verb, reason(err))
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// phrases are the parts of errors of the driver and of the network that may be
// quoted: the whole text may hold a password.
var phrases = []string{
	"authentication failed", "auth error", "connection refused", "no such host", "certificate", "tls", "connection reset",
	"network is unreachable", "no route to host", "broken pipe", "i/o timeout", "EOF", "not primary",
}

// because returns the first phrase in an error, in brackets.
func because(err error) string {
	if text := phrase(err); text != "" {
		return " (" + text + ")"
	}
	return ""
}

func phrase(err error) string {
	text := strings.ToLower(err.Error())
	for _, phrase := range phrases {
		if strings.Contains(text, strings.ToLower(phrase)) {
			return phrase
		}
	}
	return ""
}

// reason describes an error of the driver without quoting it.
func reason(err error) string {
	var command mongo.CommandError
	if errors.As(err, &command) && command.Code != 0 {
		return fmt.Sprintf("the server returned error %d%s", command.Code, word(command.Name))
	}
	var bulk mongo.BulkWriteException
	var write mongo.WriteException
	var concern *mongo.WriteConcernError
	switch {
	case errors.As(err, &bulk):
		concern = bulk.WriteConcernError
		if len(bulk.WriteErrors) > 0 {
			return fmt.Sprintf("the server returned write error %d", bulk.WriteErrors[0].Code)
		}
	case errors.As(err, &write):
		concern = write.WriteConcernError
		if len(write.WriteErrors) > 0 {
			return fmt.Sprintf("the server returned write error %d", write.WriteErrors[0].Code)
		}
	}
	if concern != nil {
		return fmt.Sprintf("no majority of the servers acknowledged the write, error %d%s", concern.Code, word(concern.Name))
	}
	if text := phrase(err); text != "" {
		return "the server cannot be used: " + text
	}
	return fmt.Sprintf("the server cannot be used: %T", err)
}

// word returns a space and the name of an error code, if name is one.
func word(name string) string {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return ""
		}
	}
	if name == "" || len(name) > 60 {
		return ""
	}
	return " " + name
}

// isDuplicate reports whether the first error of an ordered command is an existing
// document, and at which place. It is not when no majority acknowledged the write.
func isDuplicate(err error) (index int, ok bool) {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 {
		return 0, false
	}
	first := bulk.WriteErrors[0]
	return first.Index, first.Code == 11000 || first.Code == 11001
}

// refused reports whether the server refused the command, so that a retry would
// change nothing.
func refused(err error) (code int32, ok bool) {
	var command mongo.CommandError
	if !errors.As(err, &command) || command.HasErrorLabel("NetworkError") || command.HasErrorLabel("RetryableWriteError") {
		return 0, false
	}
	switch command.Code {
	case 0, 18, 91, 189, 10107, 11600, 11602, 13435, 13436: // none, or one that passes
		return command.Code, false
	}
	return command.Code, true
}
