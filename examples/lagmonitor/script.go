package main

import (
	"context"
	"errors"
	"fmt"
)

// The script repeats itself after scriptCycle steps. After scriptSettled steps a table shows every behaviour.
const (
	scriptCycle   = 60
	scriptSettled = 14
)

// scriptTopics are the topics at the start.
var scriptTopics = []struct {
	name       string
	partitions int
}{
	{"orders", 4},
	{"payments", 3},
	{"clicks", 2},
	{"legacy", 1},
}

// mostClicks is the number of partitions up to which the topic clicks grows.
const mostClicks = 8

// scriptGroups are the groups.
var scriptGroups = []role{
	// Keeps up.
	{"billing", "orders", 2, always(everything)},
	// Falls behind, and catches up towards the end of the cycle.
	{"warehouse", "orders", 1, func(at int) int {
		if at >= 42 {
			return 3 * perStep
		}
		return 4
	}},
	// Stops.
	{"mailer", "payments", 1, always(everything)},
	// Rewinds, then reads a little faster than messages are written.
	{"search", "payments", 1, always(perStep * 3 / 2)},
	// Is deleted.
	{"adhoc", "payments", 1, always(everything)},
	// Keeps up with a topic that gains partitions.
	{"dashboard", "clicks", 1, always(everything)},
	// Reads the topic that is deleted.
	{"archiver", "legacy", 1, always(everything)},
}

// rewindBy is the number of messages by which the group search goes back.
const rewindBy = 60

func always(rate int) func(int) int { return func(int) int { return rate } }

// scene is an action at the beginning of a step, before messages are written.
type scene struct {
	at   int
	what string
	do   func(context.Context, *workload) error
}

// script lists the actions beside writing and reading.
var script = []scene{
	{6, "mailer stops", func(_ context.Context, w *workload) error {
		w.group("mailer").stop()
		return nil
	}},
	{7, "clicks gains partitions", func(ctx context.Context, w *workload) error {
		if len(w.ends["clicks"]) >= mostClicks {
			return nil
		}
		if err := w.growTopic(ctx, "clicks", 2); err != nil {
			return err
		}
		return w.group("dashboard").refresh(ctx, len(w.ends["clicks"]))
	}},
	{8, "adhoc is deleted", func(ctx context.Context, w *workload) error { return w.deleteGroup(ctx, "adhoc") }},
	{9, "legacy is deleted", func(ctx context.Context, w *workload) error {
		if err := w.deleteGroup(ctx, "archiver"); err != nil {
			return err
		}
		return w.deleteTopic(ctx, "legacy")
	}},
	{11, "search rewinds", func(ctx context.Context, w *workload) error { return w.group("search").rewind(ctx, rewindBy) }},
	{30, "adhoc is back", func(ctx context.Context, w *workload) error { return w.startGroup(ctx, "adhoc") }},
	{35, "legacy is back", func(ctx context.Context, w *workload) error {
		if err := w.createTopic(ctx, "legacy", 1); err != nil {
			return err
		}
		return w.startGroup(ctx, "archiver")
	}},
	{45, "mailer goes on", func(ctx context.Context, w *workload) error { return w.startGroup(ctx, "mailer") }},
}

// group finds a group of the script.
func (w *workload) group(name string) *consumerGroup {
	for _, group := range w.groups {
		if group.name == name {
			return group
		}
	}
	panic("the script has no group " + name)
}

// startGroup starts a group that was stopped or deleted.
func (w *workload) startGroup(ctx context.Context, name string) error {
	group := w.group(name)
	if len(group.members) > 0 {
		return nil
	}
	if err := group.start(); err != nil {
		return err
	}
	return group.wait(ctx, len(w.ends[group.topic]))
}

// deleteGroup makes the members of a group leave and deletes it.
func (w *workload) deleteGroup(ctx context.Context, name string) error {
	group := w.group(name)
	group.stop()
	group.forget()
	deleted, err := w.admin.DeleteGroups(ctx, name)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return fmt.Errorf("delete group %s: %w", name, err)
	}
	return nil
}
