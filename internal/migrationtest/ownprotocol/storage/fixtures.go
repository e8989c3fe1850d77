package storage

import (
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"

	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/protocol"
)

// CoordinatorWithOffsets is the fixture that the application's tests know: a running store that holds two groups.
func CoordinatorWithOffsets() *Coordinator {
	inner := storage.CoordinatorWithOffsets()
	return &Coordinator{
		App:   &protocol.ApplicationContext{Logger: zap.NewNop(), StorageChannel: inner.App.StorageChannel},
		Log:   zap.NewNop(),
		inner: inner,
	}
}
