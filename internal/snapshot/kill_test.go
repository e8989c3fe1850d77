package snapshot

func childSaves(string) int { return 0 }
func childLocks(string) int { return 0 }
