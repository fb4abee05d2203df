package mongostore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/internal/mongotest"
)

func TestOpen_saysNothingOfTheCredentials(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"", "canary", "http://canary:canary@h/", "canary://h", "mongodb://", "mongodb://canary", "mongodb://canary:canary@", "mongodb://canary:canary@/canary",
		"mongodb://canary:ca@nary@h/", "mongodb://canary:can:ary@h/", "mongodb://canary:can/ary@h/", "mongodb://canary:canary%zz@h/", "mongodb://h:canary/",
		"mongodb://h:99999/?canary", "mongodb://h/ca nary", "mongodb://h/ca%2fnary", "mongodb://h/x?w=canary&canary", "mongodb://h/?authMechanism=canary",
		"mongodb://h/?authMechanismProperties=canary", "mongodb://canary:canary@h/?tlsCAFile=/canary", "mongodb://canary:canary@h/?tls=canary",
		"mongodb://h/?readPreference=canary", "mongodb://h/?maxPoolSize=canary", "mongodb://canary@h/?authMechanism=SCRAM-SHA-256&compressors=canary;", "mongodb+srv://canary:canary@h,i/",
		"mongodb+srv://canary:canary@h:1/", "mongodb://h/?replicaSet=a&directConnection=true&loadBalanced=true&canary=canary", "mongodb://h/%zz?canary",
	} {
		s, err := mongostore.Open(uri)
		if err == nil {
			require.NoError(t, s.Close(t.Context()))
			continue // an option that the driver does not look at
		}
		require.ErrorIs(t, err, mongostore.ErrInvalidURI, uri)
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			require.NotContains(t, strings.ToLower(text), "canary", uri)
			require.NotContains(t, text, "nary@h")
		}
	}
}

func TestStore_saysNothingOfTheCredentials(t *testing.T) {
	t.Parallel()
	server := mongotest.New(t)
	refused := strings.TrimSuffix(strings.TrimPrefix(server.URI(), "mongodb://"), "/")
	down := mongotest.New(t)
	away := strings.TrimSuffix(strings.TrimPrefix(down.URI(), "mongodb://"), "/")
	down.Kill()
	var log bytes.Buffer
	for host, want := range map[string]string{
		refused:               `error 18 AuthenticationFailed|auth error`,
		away:                  `connection refused`,
		silent(t):             "no answer",
		"user:canary@" + away: "", // not a URI
	} {
		for _, query := range []string{"?authSource=canaryDB", "?authMechanism=SCRAM-SHA-256&tlsCertificateKeyFilePassword=canaryKey&appName=canaryApp", "?authMechanism=PLAIN&authSource=$external"} {
			uri := "mongodb://canaryUser:canary%40Pass@" + host + "/canaryPath" + query
			s, err := mongostore.Open(uri, mongostore.WithTimeout(200*time.Millisecond), mongostore.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			errs := map[string]error{"Open": err}
			if err == nil {
				errs = everything(t.Context(), s)
				errs["Close"] = s.Close(context.Background())
			}
			for name, err := range errs {
				if err == nil {
					continue
				}
				if want != "" && name != "Close" && !strings.Contains(query, "PLAIN") {
					require.Regexp(t, want, err.Error(), name)
				}
				var answer mongo.ServerError
				require.False(t, errors.As(err, &answer), "an answer of a server says what it likes")
				for e := err; e != nil; e = unwrapped(e) {
					for _, text := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
						require.NotContains(t, text, "canary", "%s of %s", name, uri)
					}
				}
			}
		}
	}
	require.NotContains(t, log.String(), "canary")
}

func unwrapped(err error) error {
	u, ok := err.(interface{ Unwrap() error })
	if !ok {
		return nil
	}
	return u.Unwrap()
}

func TestStore_logsTheIndexesThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	if mongotest.External() != "" {
		t.Skip("a server of one's own may refuse none")
	}
	var log bytes.Buffer
	uri, _ := fresh(t, mongotest.Start(t))
	s := open(t, uri, mongostore.WithTTL(48*time.Hour), mongostore.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	for range 2 {
		require.Empty(t, loaded(t, s))
	}
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "%s", &log)
	require.Contains(t, log.String(), "index=ls_ttl")
	require.Contains(t, log.String(), "level=INFO")
}

func TestReason_repeatsNothingThatMayBeSecret(t *testing.T) {
	t.Parallel()
	concern := &mongo.WriteConcernError{Code: 64, Name: "WriteConcernTimeout", Message: "canary"}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{mongo.CommandError{Code: 13, Name: "Unauthorized", Message: "canary"}, "the server returned error 13 Unauthorized"},
		{mongo.CommandError{Code: 13, Name: "canary@h", Message: "canary"}, "the server returned error 13"},
		{fmt.Errorf("canary: %w", mongo.CommandError{Code: 1, Name: strings.Repeat("canary", 11)}), "the server returned error 1"},
		{mongo.BulkWriteException{WriteConcernError: concern}, "no majority of the servers acknowledged the write, error 64 WriteConcernTimeout"},
		{mongo.WriteException{WriteConcernError: concern}, "no majority of the servers acknowledged the write, error 64 WriteConcernTimeout"},
		{mongo.WriteException{WriteErrors: []mongo.WriteError{{Code: 2, Message: "canary"}}}, "the server returned write error 2"},
		{mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{{WriteError: mongo.WriteError{Code: 3, Message: "canary"}}}}, "the server returned write error 3"},
		{errors.New("dial tcp canary:1: Connection refused"), "the server cannot be used: connection refused"},
		{errors.New("canary"), "the server cannot be used: *errors.errorString"},
	} {
		require.Equal(t, tc.want, mongostore.Reason(tc.err))
	}
}
