package testkit

import (
	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// ChannelOnly is the class of a module with only what storage.Module requires, as one of another Go module may be.
const ChannelOnly = "channel-only"

type channelOnly struct {
	storage.Module
}

func init() {
	err := storage.Register(ChannelOnly, func(
		app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper,
	) storage.Module {
		return channelOnly{&storage.InMemoryStorage{App: app, Log: log, Viper: v}}
	})
	if err != nil {
		panic(err)
	}
}
