// Package lagredis keeps the state of a store in Redis 7 or Valkey, single node or Cluster, so that any number of processes
// write and any number read one state, and none of them has to survive. Open gives a storage.Store; a Coordinator has it as the
// class "redis".
//
// The rules are those of the store in memory, and they are there once, in Go: a group is loaded, changed by the same code, and
// what has changed is written back by a script that compares a version and nothing else. All that the server stores are opaque
// values. The time is always that of the process that writes, never the server's.
//
// # Buckets
//
// The groups are spread over buckets, each with a hash tag of its own, so that whatever belongs to a bucket lies in one slot
// and a replica holds a prefix of its history. The bucket of a group is its partition of __consumer_offsets, if
// Options.Buckets is the number of those (protocol.LogPartitionOf). A bucket holds, beside its groups, the position in the log
// that it reflects: a failover that loses acknowledged writes gives an earlier state together with its position, and a replay
// from there heals it. End offsets are in buckets of topics.
//
// # Keys
//
// Each begins with Options.KeyPrefix. <c> is the name of a cluster behind its length in bytes and a colon: 4:prod.
//
//	{m}:settings           hash    what the state was written with: format, number of buckets, rules
//	{g0}:lease             hash    who feeds the bucket, until when, with which epoch
//	{g0}:writers           hash    how many changes each process that feeds the bucket has made of it
//	{g0}:swept             hash    at: when the bucket was last swept, Unix milliseconds
//	{g0}:events            stream  what happened to groups of the bucket
//	{g0}:positions:<c>     hash    partition of the commit log -> next offset to read
//	{g0}:live:<c>          zset    groups by their last sign of life, Unix milliseconds
//	{g0}:stalest:<c>       zset    groups of several topics by that of the topic that has been silent longest
//	{g0}:of:<c>:<topic>    set     groups that hold the topic
//	{g0}:group:<c>:<group> hash    v: version; m: the group; t…: a topic; p…: a partition; o…: owners of a topic
//	{t0}:events            stream  what happened to topics of the bucket
//	{t0}:topics:<c>        zset    topics by when they were last polled, Unix milliseconds
//	{t0}:topic:<c>:<topic> hash    v: version; m: the topic; p…: a partition with its end offsets and their curve; of one that
//	                               was deleted: v, and d: how many of that name were
//	{t0}:deleted:<c>       zset    topics that were deleted by when, Unix milliseconds; kept for expire-topic
//	{g0}:mark:<process>    string  when a process that reads from replicas was there last, Unix milliseconds; the same for {t0}
//	{m}:members            zset    processes that share the buckets, by when their sign of life runs out, Unix milliseconds
//
// # Rights
//
// The user needs the keys of its prefix and these commands; the second line is what the script runs:
//
//	ACL SETUSER monitor on >secret resetkeys ~lagkeeper:* -@all +hello +ping +readonly +info +cluster|slots +cluster|shards +asking
//	  +get +set +hset +hdel +del +zadd +zrem +sadd +srem +xadd +evalsha +eval
//	  +hget +hmget +hgetall +hlen +hexists +smembers +zrange +zrangebyscore +zremrangebyscore +zcard +zinter +xrange +xinfo|stream
//
// The server must not drop keys: Open returns an error for a maxmemory-policy of allkeys-*. If it has no memory left, writes
// return storage.ErrFull.
package lagredis
