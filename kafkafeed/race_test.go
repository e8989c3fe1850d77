//go:build race

package kafkafeed

func init() { racing = true }
