package storage_test

import (
	"context"
	"iter"
	"reflect"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// This file pins the published API, and the shape of what we promise beside it. Fields, methods, functions and types may be
// added; what is pinned here never changes. protocol/surface_test.go does the same for the shared types.

// An application's list of coordinators accepts ours, and its configuration selects our module.
var (
	_ protocol.Coordinator = (*storage.Coordinator)(nil)
	_ protocol.Module      = (*storage.InMemoryStorage)(nil)
	_ storage.Module       = (*storage.InMemoryStorage)(nil)
	_ protocol.Module      = storage.Module(nil)
)

// An application may implement Module: an added method would break it, so it is pinned from both sides.
type publishedModule interface {
	protocol.Module
	GetCommunicationChannel() chan *protocol.StorageRequest
}

var (
	_ publishedModule = storage.Module(nil)
	_ storage.Module  = publishedModule(nil)
)

var (
	_ func() *storage.Coordinator = storage.CoordinatorWithOffsets

	_ func(*storage.Coordinator)               = (*storage.Coordinator).Configure
	_ func(*storage.Coordinator) error         = (*storage.Coordinator).Start
	_ func(*storage.Coordinator) error         = (*storage.Coordinator).Stop
	_ func(*storage.Coordinator) storage.Store = (*storage.Coordinator).Store

	_ func(*storage.InMemoryStorage, string, string)                               = (*storage.InMemoryStorage).Configure
	_ func(*storage.InMemoryStorage) chan *protocol.StorageRequest                 = (*storage.InMemoryStorage).GetCommunicationChannel
	_ func(*storage.InMemoryStorage) error                                         = (*storage.InMemoryStorage).Start
	_ func(*storage.InMemoryStorage) error                                         = (*storage.InMemoryStorage).Stop
	_ func(*storage.InMemoryStorage) storage.Store                                 = (*storage.InMemoryStorage).Store
	_ func(string, storage.Factory) error                                          = storage.Register
	_ func(*protocol.ApplicationContext, *zap.Logger, *viper.Viper) storage.Module = storage.Factory(nil)
)

func TestSurfaceFields(t *testing.T) {
	type field struct {
		name string
		typ  reflect.Type
	}
	fields := []field{
		{"App", reflect.TypeFor[*protocol.ApplicationContext]()},
		{"Log", reflect.TypeFor[*zap.Logger]()},
		{"Viper", reflect.TypeFor[*viper.Viper]()},
	}
	for _, structType := range []reflect.Type{
		reflect.TypeFor[storage.Coordinator](),
		reflect.TypeFor[storage.InMemoryStorage](),
	} {
		for _, want := range fields {
			got, found := structType.FieldByName(want.name)
			if !assert.True(t, found, "%s has no field %s", structType, want.name) {
				continue
			}
			assert.Len(t, got.Index, 1, "%s.%s is promoted: a keyed literal cannot set it", structType, want.name)
			assert.Equal(t, want.typ, got.Type, "type of %s.%s", structType, want.name)
		}
	}
}

// The typed API is ours, and modules on other engines implement Store: both its methods and their signatures are promised.
func TestSurfaceStore(t *testing.T) {
	methods := map[string]reflect.Type{
		"SetEndOffset":      reflect.TypeFor[func(context.Context, string, string, protocol.EndOffset) error](),
		"SetEndOffsetBatch": reflect.TypeFor[func(context.Context, string, string, []protocol.EndOffset) error](),
		"Commit":            reflect.TypeFor[func(context.Context, string, string, protocol.Commit) error](),
		"CommitBatch":       reflect.TypeFor[func(context.Context, string, string, []protocol.Commit) error](),
		"SetOwner":          reflect.TypeFor[func(context.Context, string, string, protocol.PartitionOwner) error](),
		"SetOwners":         reflect.TypeFor[func(context.Context, string, string, []protocol.PartitionOwner) error](),
		"ClearOwners":       reflect.TypeFor[func(context.Context, string, string) error](),
		"DeleteTopic":       reflect.TypeFor[func(context.Context, string, string) error](),
		"DeleteGroup":       reflect.TypeFor[func(context.Context, string, string) error](),
		"DeleteGroupTopic":  reflect.TypeFor[func(context.Context, string, string, string) error](),
		"Clusters":          reflect.TypeFor[func(context.Context) ([]string, error)](),
		"Groups":            reflect.TypeFor[func(context.Context, string) (iter.Seq[string], error)](),
		"Topics":            reflect.TypeFor[func(context.Context, string) (iter.Seq[string], error)](),
		"GroupsOfTopic":     reflect.TypeFor[func(context.Context, string, string) (iter.Seq[string], error)](),
		"EndOffsets":        reflect.TypeFor[func(context.Context, string, string, []int64) ([]int64, error)](),
		"Group":             reflect.TypeFor[func(context.Context, string, string, *protocol.Group) error](),
	}
	store := reflect.TypeFor[storage.Store]()
	for name, want := range methods {
		got, found := store.MethodByName(name)
		if assert.True(t, found, "Store has no method %s", name) {
			assert.Equal(t, want, got.Type, "signature of Store.%s", name)
		}
	}
}

// Every sentinel error is distinct: callers distinguish them with errors.Is.
func TestSurfaceErrors(t *testing.T) {
	sentinels := map[string]error{
		"ErrUnknownCluster":   storage.ErrUnknownCluster,
		"ErrUnknownGroup":     storage.ErrUnknownGroup,
		"ErrUnknownTopic":     storage.ErrUnknownTopic,
		"ErrUnknownPartition": storage.ErrUnknownPartition,
		"ErrFiltered":         storage.ErrFiltered,
		"ErrTooOld":           storage.ErrTooOld,
		"ErrDuplicate":        storage.ErrDuplicate,
		"ErrBackfill":         storage.ErrBackfill,
		"ErrInvalid":          storage.ErrInvalid,
		"ErrStopped":          storage.ErrStopped,
	}
	seen := map[error]string{}
	for name, sentinel := range sentinels {
		if assert.Error(t, sentinel, name) {
			assert.NotContains(t, seen, sentinel, "%s and %s are one error", name, seen[sentinel])
			seen[sentinel] = name
		}
	}
}
