package window

// Narrowable reports whether the window may take more memory than its commits need, for one that has left it.
func (w Window) Narrowable() bool { return w.first()>>turnShift&3 == turned }

// narrowFrom is the part of its size that a window must become smaller by to be worth moving: a commit that does not fit costs a new
// form.
const narrowFrom = 16

// Narrow returns the size, for Take, that a full window that is Narrowable needs in a form for what it holds now. If that is not
// much less than it has, Narrow returns 0, and the window is not Narrowable any more.
func (w Window) Narrow(s *Scratch) (size int) {
	s.commits = w.AppendTo(s.commits[:0])
	needed := s.plan()
	// A new form a bit wider than it must be spares another one soon.
	size = align(needed + (needed-HeaderSize)/32)
	if has := w.Size(); has-size < has/narrowFrom {
		w.setFirst(w.first() &^ (3 << turnShift))
		return 0
	}
	return size
}
