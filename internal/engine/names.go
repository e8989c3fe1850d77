package engine

import "math"

// MaxName is the greatest length in bytes of the name of a cluster, topic or group, and of an owner or client id: Kafka's
// protocol has no room for a longer string. So no name makes a record that a snapshot cannot hold.
const MaxName = math.MaxInt16
