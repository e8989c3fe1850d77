package ends

// release unlocks a table that was locked for a change. It must be deferred directly: only then does recover see the panic
// that it reports and passes on.
func (t *Table) release() {
	if cause := recover(); cause != nil {
		t.damaged()
		t.mu.Unlock()
		panic(cause)
	}
	t.mu.Unlock()
}

// release is Table.release for a topic.
func (t *Topic) release() {
	if cause := recover(); cause != nil {
		t.table.damaged()
		t.mu.Unlock()
		panic(cause)
	}
	t.mu.Unlock()
}

func (t *Table) damaged() {
	if t.options.Damaged != nil {
		t.options.Damaged()
	}
}
