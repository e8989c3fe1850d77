//go:build race

package lagredis_test

func init() { racing = true }
