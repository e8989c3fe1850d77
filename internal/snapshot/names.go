package snapshot

// maxInterned limits the strings that are kept from one block for the next.
const maxInterned = 1 << 16

// names are the strings of the block being read. Strings in several blocks, such as topics and owners, are kept once.
type names struct {
	// byNumber are the strings in the order of their first occurrence in the block.
	byNumber []string
	interned map[string]string
}

// begin forgets the strings of the previous block.
func (n *names) begin() {
	n.byNumber = n.byNumber[:0]
	if n.interned == nil || len(n.interned) >= maxInterned {
		n.interned = make(map[string]string)
	}
}

// next reads a string that many records share.
func (n *names) next(c *cursor) string { return n.read(c, true) }

// nextOnce reads a string that is expected once in a file, such as the name of a group.
func (n *names) nextOnce(c *cursor) string { return n.read(c, false) }

func (n *names) read(c *cursor, share bool) string {
	number := c.uvarint()
	if number > 0 {
		if number > uint64(len(n.byNumber)) {
			c.fail("it refers to string %d, the block has %d so far", number, len(n.byNumber))
			return ""
		}
		return n.byNumber[number-1]
	}
	b := c.bytes(c.uvarint(), "a string")
	if c.err != nil {
		return ""
	}
	s, ok := n.interned[string(b)]
	if !ok {
		s = string(b)
		if share && len(n.interned) < maxInterned {
			n.interned[s] = s
		}
	}
	n.byNumber = append(n.byNumber, s)
	return s
}
