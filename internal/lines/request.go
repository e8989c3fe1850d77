package lines

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/lagkeeper/storage/protocol"
)

// Requests logs the outcomes of requests. A line that is not logged costs one check of the level.
type Requests struct {
	log  *zap.Logger
	core zapcore.Core
	kept Kept
}

// NewRequests returns Requests that log to log by Log; nil logs nothing.
func NewRequests(log *zap.Logger) *Requests {
	l := &Requests{}
	l.log = l.kept.Of(log, nil)
	l.core = l.log.Core()
	return l
}

// FlushOwn is that of Kept, for users of a logger that was given to them.
func (l *Requests) FlushOwn() { l.kept.FlushOwn() }

// Warn logs a warning that concerns no request.
func (l *Requests) Warn(what string) { l.log.Warn(what) }

// Done logs that a request was carried out.
func (l *Requests) Done(request *protocol.StorageRequest) {
	if l.core.Enabled(zapcore.DebugLevel) {
		l.log.Debug("ok", requestFields(request)...)
	}
}

// Dropped logs that a request has changed nothing, or is not answered, and why.
func (l *Requests) Dropped(request *protocol.StorageRequest, why error) {
	if l.core.Enabled(zapcore.DebugLevel) {
		l.log.Debug("dropped", append(requestFields(request), zap.String("reason", why.Error()))...)
	}
}

// Abandoned logs that an answer was not read.
func (l *Requests) Abandoned(request *protocol.StorageRequest) {
	if l.core.Enabled(zapcore.DebugLevel) {
		l.log.Debug("answer abandoned", requestFields(request)...)
	}
}

// Fault counts a fault of the caller and warns of it now and then.
func (l *Requests) Fault(count *atomic.Uint64, what string, request *protocol.StorageRequest) {
	if n := count.Add(1); WorthALine(n) {
		l.log.Warn(what, append(requestFields(request), zap.Uint64("count", n))...)
	}
}

// Unknown counts a request of an unknown type, and logs it now and then.
func (l *Requests) Unknown(count *atomic.Uint64, request *protocol.StorageRequest) {
	if n := count.Add(1); WorthALine(n) {
		l.log.Error("unknown request type", append(requestFields(request),
			zap.Int("request_type", int(request.RequestType)), zap.Uint64("count", n))...)
	}
}

// Panicked counts a panic and logs it. It returns when the line is written, so that whoever waits for the request finds it in
// the log.
func (l *Requests) Panicked(count *atomic.Uint64, request *protocol.StorageRequest, cause string, stack []byte) {
	l.log.Error("panic", append(requestFields(request),
		zap.String("panic", cause), zap.ByteString("stack", stack), zap.Uint64("count", count.Add(1)))...)
	Flush(l.log, panicPatience)
}

// Stuck counts and logs what Stop has given up waiting for.
func (l *Requests) Stuck(count *atomic.Uint64, what string, request *protocol.StorageRequest) {
	l.log.Error("stop: "+what, append(requestFields(request), zap.Uint64("count", count.Add(1)))...)
}

// panicPatience is how long the goroutine that handled a request waits for the line: a hook may send a request itself.
const panicPatience = 100 * time.Millisecond

// WorthALine reports whether the nth event of a kind is logged: the first, the tenth, the hundredth and so on, so that a flood of
// events leaves a trace in the log but does not fill it.
func WorthALine(n uint64) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// requestFields returns the fields of a request that matter, in a readable order.
func requestFields(request *protocol.StorageRequest) []zap.Field {
	if request == nil {
		return nil
	}
	fields := make([]zap.Field, 0, 12)
	fields = append(fields, zap.String("cluster", request.Cluster))
	if request.Group != "" {
		fields = append(fields, zap.String("consumer", request.Group))
	}
	if request.Topic != "" {
		fields = append(fields, zap.String("topic", request.Topic))
	}
	switch request.RequestType {
	case protocol.StorageSetBrokerOffset:
		fields = append(fields, zap.Int32("partition", request.Partition),
			zap.Int32("topic_partition_count", request.TopicPartitionCount),
			zap.Int64("offset", request.Offset), zap.Int64("timestamp", request.Timestamp))
	case protocol.StorageSetConsumerOffset:
		fields = append(fields, zap.Int32("partition", request.Partition), zap.Int64("offset", request.Offset),
			zap.Int64("order", request.Order), zap.Int64("timestamp", request.Timestamp))
	case protocol.StorageSetConsumerOwner:
		fields = append(fields, zap.Int32("partition", request.Partition),
			zap.String("owner", request.Owner), zap.String("client_id", request.ClientID))
	}
	return append(fields, zap.String("request", request.RequestType.String()))
}
