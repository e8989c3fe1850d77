package protocol

import (
	"encoding/base64"
	"fmt"
)

// TopicID is the id that Kafka gives a topic when it is created: a topic that is deleted and recreated under the same name
// gets another. The zero value means that the id is not known.
type TopicID [16]byte

// topicIDText is how Kafka writes an id.
var topicIDText = base64.RawURLEncoding.Strict()

// IsZero reports whether the id is not known.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// String returns the id as Kafka's tools print it: 22 characters of URL-safe base64.
func (id TopicID) String() string { return topicIDText.EncodeToString(id[:]) }

// MarshalText returns String as text. The error is always nil.
func (id TopicID) MarshalText() ([]byte, error) { return topicIDText.AppendEncode(nil, id[:]), nil }

// UnmarshalText takes the text of String. It returns an error, and leaves the id as it was, for any other text.
func (id *TopicID) UnmarshalText(text []byte) error {
	var bytes TopicID
	if len(text) == topicIDText.EncodedLen(len(bytes)) {
		// The decoder skips line feeds.
		if n, err := topicIDText.Decode(bytes[:], text); err == nil && n == len(bytes) {
			*id = bytes
			return nil
		}
	}
	return fmt.Errorf("invalid topic id %.40q: must be 22 characters of URL-safe base64", text)
}
